"""A language model that answers from a script: what is asked of it is kept, and written down."""

import json
from collections.abc import Callable
from pathlib import Path

from vitw_ray.inference.language_model import Completion, Reading

Script = Callable[[str, int], str | Exception]
"""From the text between the fences and the attempt to what the model writes, or how it fails."""


class ScriptedModel:
    """Keeps (text, question, attempt) of every request, in order."""

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
    """What a model writes that keeps to the form."""
    return json.dumps({"description": description, "name": name})


def items(text: str, heading: str | None = None) -> list[str]:
    """Lines of a listing without their dash, of one part or of all; the headings are left out."""
    parts = dict(part.split(":\n", 1) for part in text.strip().split("\n\n"))
    chosen = parts.values() if heading is None else [parts.get(heading, "")]
    return [line.removeprefix("- ") for part in chosen for line in part.split("\n") if line]


def name_after_first(text: str, attempt: int) -> str:
    """A name made of the first label inside, as often as needed another."""
    return answer(f"{items(text, 'Values inside')[0].capitalize()} {'again' * attempt}".strip())
