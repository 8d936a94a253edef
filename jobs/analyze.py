r"""Every table, and no page or release. As `vitw run --until statistics`.

    ray job submit --working-dir . -- python jobs/analyze.py --preset paper \
        --input 's3://bucket/logs/' --output s3://bucket/runs/mine

What is finished is skipped, so after `jobs/build_taxonomy.py` this needs CPUs only.
"""

import sys

from vitw_ray.cli.main import program

if __name__ == "__main__":
    program(["run", "--until", "statistics", *sys.argv[1:]])
