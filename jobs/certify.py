r"""Which headlines of a finished run hold however its conversations are read. As `vitw certify`.

ray job submit --working-dir . -- python jobs/certify.py s3://bucket/runs/mine --sample 2000
"""

import sys

from vitw_ray.cli.main import program

if __name__ == "__main__":
    program(["certify", *sys.argv[1:]])
