r"""Labels counted, embedded, clustered and named. As `vitw run --until taxonomy`.

    ray job submit --working-dir . -- python jobs/build_taxonomy.py --preset paper \
        --input 's3://bucket/logs/' --output s3://bucket/runs/mine

What is finished is skipped, so after `jobs/extract.py` this needs embedders and no reader.
"""

import sys

from vitw_ray.cli.main import program

if __name__ == "__main__":
    program(["run", "--until", "taxonomy", *sys.argv[1:]])
