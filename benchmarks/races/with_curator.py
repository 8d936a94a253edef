"""Conversations through Bespoke Curator; runs in an environment of its own.

The answer's pydantic model is its `response_format`, so it asks again what does not fit. Rows that
fail for good are left out of its data set instead of ending the run.
"""

import json
import os
from pathlib import Path
from typing import Any

import litellm
from adapter_flags import parser_of

# The tokenizer with which it estimates its limits comes with this package: nothing is downloaded.
TOKENIZERS = Path(litellm.__file__).parent / "litellm_core_utils" / "tokenizers"
os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(TOKENIZERS))

from bespokelabs import curator  # noqa: E402
from pydantic import BaseModel  # noqa: E402


class Value(BaseModel):
    """A value as the prompt asks for it."""

    label: str
    explicit: bool


class Answer(BaseModel):
    """The fields of an answer; below the gate only the first."""

    subjectivity: int
    task: str | None = None
    human_values: list[Value] | None = None
    ai_values: list[Value] | None = None
    response_type: str | None = None


class Reader(curator.LLM):
    """Asks one question about each row."""

    response_format = Answer

    def prompt(self, input: dict[str, Any]) -> list[dict[str, str]]:
        """The messages of a row."""
        return [
            {"role": "system", "content": input["system"]},
            {"role": "user", "content": input["user"]},
        ]

    def parse(self, input: dict[str, Any], response: Answer) -> dict[str, Any]:
        """The answer as text, so that all contestants are judged alike."""
        return {"row": input["row"], "text": response.model_dump_json(exclude_none=True)}


def main() -> None:
    given = parser_of(__doc__).parse_args()
    os.environ["CURATOR_CACHE_DIR"] = str(Path(given.output) / "cache")
    reader = Reader(
        model_name="mock",
        backend="openai",
        generation_params={"temperature": 0.0},
        backend_params={
            "base_url": f"{given.url}/v1",
            "max_concurrent_requests": given.in_flight,
            "max_requests_per_minute": 10_000_000,
            "max_tokens_per_minute": 10_000_000_000,
            "require_all_responses": False,
            "request_timeout": 60,
        },
    )
    rows = [json.loads(line) for line in Path(given.rows).read_text().splitlines()]
    found = reader(rows)
    answers = Path(given.output) / "answers"
    answers.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"row": row["row"], "text": row["text"]}) for row in found.dataset)
    (answers / "all.jsonl").write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
