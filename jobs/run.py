r"""The main job: every stage, from conversations to a report and a release. As `vitw run`.

    python jobs/run.py
    ray job submit --working-dir . -- python jobs/run.py --preset paper \
        --input 's3://bucket/logs/' --output s3://bucket/runs/mine

Prints the plan, then log lines on standard error, and one line of JSON as the last line. Run it
again to go on where it stopped: what is finished is skipped.
"""

import sys

from vitw_ray.cli.main import program

if __name__ == "__main__":
    program(["run", *sys.argv[1:]])
