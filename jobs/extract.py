r"""Read and extract only: the stages that need the reader. As `vitw run --until extractions`.

    ray job submit --working-dir . -- python jobs/extract.py --preset paper \
        --input 's3://bucket/logs/' --output s3://bucket/runs/mine

The answers stay under `private/`; `jobs/run.py` with the same settings goes on from them, on
another cluster if need be.
"""

import sys

from vitw_ray.cli.main import program

if __name__ == "__main__":
    program(["run", "--until", "extractions", *sys.argv[1:]])
