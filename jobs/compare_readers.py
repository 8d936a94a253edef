r"""Several readers of the same conversations, and how good each is. As `vitw compare-readers`.

    ray job submit --working-dir . -- python jobs/compare_readers.py \
        --reader lexicon --reader one=qwen3-8b --device gpu --gpus-per-actor 1 \
        --input 's3://bucket/logs/' --sample 500 --output s3://bucket/runs/readers

Runs every reader that is not finished, then writes the leaderboard and its page.
"""

import sys

from vitw_ray.cli.main import program

if __name__ == "__main__":
    program(["compare-readers", *sys.argv[1:]])
