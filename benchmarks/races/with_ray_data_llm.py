"""Conversations through the HTTP processor of `ray.data.llm`; runs in an environment of its own.

It sends the requests of a batch one after the other, so what is in flight is the number of batches:
small ones here, as many at once as Ray is told by an environment variable. Rows that have come
through are recorded by Ray Data's own checkpoints, in the folder of the output.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from adapter_flags import parser_of

BATCH_ROWS = 4  # a block has as many batches as requests may be in flight


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rows-per-block", type=int, default=256)
    given = parser.parse_args()
    # Read at the import, in the workers as well.
    os.environ["RAY_DATA_DEFAULT_ASYNC_BATCH_UDF_MAX_CONCURRENCY"] = str(given.in_flight)
    import ray
    from ray.data.checkpoint import CheckpointConfig
    from ray.data.llm import HttpRequestProcessorConfig, build_processor

    ray.init(num_cpus=4, include_dashboard=False, object_store_memory=256 * 2**20)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.checkpoint_config = CheckpointConfig(
        "row", str(Path(given.output) / "checkpoint"), delete_checkpoint_on_success=False
    )
    processor = build_processor(
        HttpRequestProcessorConfig(
            url=f"{given.url}/v1/chat/completions",
            batch_size=BATCH_ROWS,
            concurrency=1,
            max_retries=10,
            base_retry_wait_time_in_s=0.5,
        ),
        preprocess=_request,
        postprocess=_answer,
    )
    rows = ray.data.read_json(given.rows, override_num_blocks=_blocks(given))
    processor(rows).write_json(str(Path(given.output) / "answers"), mode="append")


def _blocks(given: argparse.Namespace) -> int:
    with Path(given.rows).open() as file:
        return max(1, sum(1 for _ in file) // given.rows_per_block)


def _request(row: dict[str, Any]) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": row["system"]},
        {"role": "user", "content": row["user"]},
    ]
    return {"payload": {"model": "mock", "temperature": 0.0, "messages": messages}}


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    response = row["http_response"]
    if not response.get("choices"):  # an error of the server that it does not try again
        return {"row": row["row"], "text": json.dumps(response)}
    return {"row": row["row"], "text": response["choices"][0]["message"]["content"]}


if __name__ == "__main__":
    main()
