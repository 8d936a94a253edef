r"""Up to the taxonomy (stages 1 to 4): labels counted, embedded, clustered and named.

    python jobs/build_taxonomy.py --input 'logs/*.jsonl.gz' --output runs/mine
    ray job submit --working-dir . -- python jobs/build_taxonomy.py --preset paper \
        --input 's3://bucket/logs/' --output s3://bucket/runs/mine

What is finished is skipped, so after `jobs/extract.py` this needs embedders and no extractor.
"""

import sys

from vitw_ray.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(sys.argv[1:], __doc__ or "", until="taxonomy"))
