"""A language model with scripted answers that records its requests, also in a file."""

import json
from collections.abc import Callable
from pathlib import Path

from vitw_ray.inference.language_model import Completion, Reading

Script = Callable[[str, int], str | Exception]
"""Maps the text between the fences and the attempt to the model's output or failure."""


class ScriptedModel:
    """Records (text, question, attempt) of every request, in order."""

    def __init__(self, script: Script, log: Path | None = None) -> None:
        self.script, self.log = script, log
        self.asked = []

    async def open(self):
        pass

    def read(self, messages):
        raise AssertionError("a conversation was handed to the model")

    def read_text(self, text):
        return Reading(text=text)

    async def ask(self, reading, question, attempt):
        self.asked.append((reading.text, question, attempt))
        written = self.script(reading.text, attempt)
        if isinstance(written, Exception):
            raise written
        return Completion(written, cut=False, prompt_tokens=0, output_tokens=0)

    def describe(self):
        return {"script": self.script.__name__}

    def close(self):
        if self.log:
            self.log.write_text(json.dumps([text for text, _, _ in self.asked]))


def answer(name: str, description: str = "Values that belong together.") -> str:
    """A valid answer."""
    return json.dumps({"description": description, "name": name})


def items(text: str, heading: str | None = None) -> list[str]:
    """Items of a listing, of one part or of all, without dashes and headings."""
    parts = dict(part.split(":\n", 1) for part in text.strip().split("\n\n"))
    chosen = parts.values() if heading is None else [parts.get(heading, "")]
    return [line.removeprefix("- ") for part in chosen for line in part.split("\n") if line]


def name_after_first(text: str, attempt: int) -> str:
    """A name made of the first label inside; a retry gives another name."""
    return answer(f"{items(text, 'Values inside')[0].capitalize()} {'again' * attempt}".strip())
