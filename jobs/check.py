"""Check a finished run folder with a program that shares no code with the pipeline.

    python jobs/check.py runs/sample
    ray job submit --working-dir . -- python jobs/check.py s3://bucket/run

As `vitw check`: one line per check, then one line of JSON. `jobs/vitw_check/` holds the checks.
"""

import sys

from vitw_check.verdict import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
