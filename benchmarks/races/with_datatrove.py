"""Conversations through datatrove's `InferenceRunner`; runs in an environment of its own.

`--again N` asks up to N times in the rollout function, whose failures are left to the user: by
default a failed request ends the run, and an answer is not looked at.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapter_flags import parser_of
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.inference.types import InferenceError, ServerError
from datatrove.pipeline.writers import JsonlWriter


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--again", type=int, default=0)
    given = parser.parse_args()
    output = Path(given.output)
    runner = InferenceRunner(
        rollout_fn=_asks_again(given.again) if given.again else _ask,
        config=InferenceConfig(
            server_type="endpoint",
            endpoint_url=given.url,
            model_name_or_path="mock",
            default_generation_params={"temperature": 0.0},
            max_concurrent_generations=given.in_flight,
        ),
        output_writer=JsonlWriter(
            str(output / "answers"),
            output_filename="${rank}_chunk_${chunk_index}.jsonl",
            compression=None,
        ),
        checkpoints_local_dir=str(output / "checkpoints"),
        records_per_chunk=256,
    )
    LocalPipelineExecutor(
        pipeline=[lambda *_: _documents(given.rows), runner], logging_dir=str(output / "logs")
    ).run()


def _documents(rows: str) -> Iterator[Document]:
    with Path(rows).open() as file:
        for line in file:
            row = json.loads(line)
            yield Document(text=row["user"], id=str(row["row"]), metadata={"system": row["system"]})


def _payload(document: Document) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "system", "content": document.metadata["system"]},
            {"role": "user", "content": document.text},
        ]
    }


async def _ask(document: Document, generate: Any) -> Any:
    return (await generate(_payload(document))).text


def _asks_again(times: int) -> Any:
    async def ask(document: Document, generate: Any) -> Any:
        for attempt in range(times):
            try:
                # The cache of requests gives an answer again, unless the payload differs.
                text = (await generate({**_payload(document), "seed": attempt})).text
                if isinstance(json.loads(text)["subjectivity"], int):
                    return text
            except (InferenceError, ServerError, ValueError, KeyError):
                continue
        return None

    return ask


if __name__ == "__main__":
    main()
