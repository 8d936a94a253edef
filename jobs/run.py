r"""The main job: every stage, from conversations to a report and a release.

On this machine, with the sample that ships with the project:

    python jobs/run.py

With your own conversations, here or in a bucket:

    python jobs/run.py --input 'logs/*.jsonl.gz' --output runs/mine
    python jobs/run.py --preset paper --input 's3://bucket/logs/' --output s3://bucket/runs/mine

On a cluster:

    ray job submit --working-dir . -- python jobs/run.py --preset paper \
        --input 's3://bucket/logs/' --output s3://bucket/runs/mine

Prints the plan, then log lines on standard error, and one line of JSON as the last line. Run it
again to go on where it stopped: what is finished is skipped.
"""

import sys

from vitw_ray.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(sys.argv[1:], __doc__ or ""))
