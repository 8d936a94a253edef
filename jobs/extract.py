r"""Read and extract only: the stages that need the extractor (stages 1 and 2).

    python jobs/extract.py --input 'logs/*.jsonl.gz' --output runs/mine
    ray job submit --working-dir . -- python jobs/extract.py --preset paper \
        --input 's3://bucket/logs/' --output s3://bucket/runs/mine

The answers stay under `private/`; `jobs/run.py` with the same settings goes on from them, on
another cluster if need be.
"""

import sys

from vitw_ray.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(sys.argv[1:], __doc__ or "", until="extractions"))
