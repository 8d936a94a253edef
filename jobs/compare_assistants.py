r"""Which values each assistant shows more (paper, B.5). As `vitw compare-assistants`.

    ray job submit --working-dir . -- python jobs/compare_assistants.py --preset paper \
        --input 's3://bucket/answers/' --output s3://bucket/runs/assistants

Runs all stages that are not finished, then prints every two assistants side by side.
"""

import sys

from vitw_ray.cli.main import program

if __name__ == "__main__":
    program(["compare-assistants", *sys.argv[1:]])
