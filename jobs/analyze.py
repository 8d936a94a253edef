r"""Up to the statistics (stages 1 to 5).

    python jobs/analyze.py --input 'logs/*.jsonl.gz' --output runs/mine
    ray job submit --working-dir . -- python jobs/analyze.py --preset paper \
        --input 's3://bucket/logs/' --output s3://bucket/runs/mine

What is finished is skipped, so after `jobs/build_taxonomy.py` this needs CPUs only.
"""

import sys

from vitw_ray.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(sys.argv[1:], __doc__ or "", until="statistics"))
