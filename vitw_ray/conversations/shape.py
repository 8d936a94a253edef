"""One row format ("shape"): how it is recognised, and where its messages and fields are."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vitw_ray.conversations.answers import is_answered, with_answer
from vitw_ray.conversations.branches import follow
from vitw_ray.conversations.exports import Told
from vitw_ray.conversations.fields import Parsed, Raw, Repairs, RowRejected, parsed
from vitw_ray.conversations.forms import FORMS, listed
from vitw_ray.conversations.messages import read_turns
from vitw_ray.conversations.paths import Steps, first, opened_json, paths, scalar
from vitw_ray.conversations.prompts import prompt_turns

_FIELDS = (
    *("conversation_id", "prompt_id", "account", "model", "language", "source"),
    *("created_at", "updated_at"),
)
"""Fields of a conversation beside its messages; each is a path of `Shape`."""


@dataclass(frozen=True)
class Shape:
    """A row format.

    A path is written `chat.messages`; of several, separated by spaces, the first that leads to a
    value counts.
    """

    name: str
    """Its value of `--source-format`."""
    signatures: tuple[str, ...] = ()
    """A file has this shape if most of its rows fulfil one of these. `messages:turns` is a path and
    the form of its value (`forms.py`); `hashed_ip` is a path that some row must have."""
    messages: str = ""
    """Path to the list of messages."""
    prompted: bool = False
    """A text in place of the messages is the user's prompt."""
    answer: str = ""
    """Path to an answer beside the messages; read if the assistant has not answered yet."""
    current: str = ""
    """Path to the id of the message that was shown last, where the messages are a tree."""
    conversation_id: str = ""
    prompt_id: str = ""
    account: str = ""
    model: str = ""
    language: str = ""
    source: str = ""
    created_at: str = ""
    updated_at: str = ""
    spoken_model: str = ""
    """Path to the model within a message; the last counts."""
    turns: Callable[[Raw, Repairs], Told] | None = None
    """Reads rows that are no list of messages; fields that it returns replace those of a path."""
    further_columns: str = ""
    """Columns that only `turns` reads."""
    opened: str = ""
    """Columns that hold lists or objects; where a table has them as JSON text, they are opened."""
    scalars: str = ""
    """Columns that hold numbers or truth values, which a table may have as text."""
    grouped_by: str = ""
    """Path to the id that the rows of one conversation share; such rows are read together."""
    several: str = ""
    """Columns that hold a list of answers, each of which makes a conversation of its own."""
    joins_files: bool = False
    """Such rows may lie in several files of a folder, which are then read together."""
    role: str = ""
    content: str = ""
    """Paths within a message, where it names its speaker and text in an unknown way (`--map`)."""

    @cached_property
    def columns(self) -> str:
        """Columns that are read, so that a columnar file is not read completely."""
        told = [steps[0] for text in (*self._paths.values(), self._told) for steps in text]
        further = [*self.further_columns.split(), *(p[0] for p in paths(self.grouped_by))]
        return " ".join(dict.fromkeys([*told, *further]))

    @cached_property
    def _paths(self) -> dict[str, tuple[Steps, ...]]:
        return {name: paths(getattr(self, name)) for name in _FIELDS if getattr(self, name)}

    @cached_property
    def _plain(self) -> list[tuple[str, str]]:
        """The fields that are columns."""
        return [(name, p[0][0]) for name, p in self._paths.items() if len(p) == len(p[0]) == 1]

    @cached_property
    def _nested(self) -> list[tuple[str, tuple[Steps, ...]]]:
        plain = dict(self._plain)
        return [(name, p) for name, p in self._paths.items() if name not in plain]

    @cached_property
    def _from_text(self) -> list[tuple[str, Callable[[str], Any]]]:
        return [
            *((name, opened_json) for name in self.opened.split()),
            *((name, scalar) for name in self.scalars.split()),
        ]

    @cached_property
    def _told(self) -> tuple[Steps, ...]:
        return paths(f"{self.messages} {self.answer} {self.current}")

    @cached_property
    def _messages(self) -> tuple[Steps, ...]:
        return paths(self.messages)

    @cached_property
    def _answer(self) -> tuple[Steps, ...]:
        return paths(self.answer)

    def as_values(self, raw: Raw) -> Raw:
        """A row in which the columns that are no text have their values, if they were text."""
        found = {k: read(raw[k]) for k, read in self._from_text if isinstance(raw.get(k), str)}
        return {**raw, **found} if found else raw

    def read(self, raw: Raw) -> Parsed:
        """The conversation of a row.

        Raises:
            RowRejected: the row is not a conversation of this shape; nothing else is raised.
        """
        if self._from_text:
            raw = self.as_values(raw)
        repairs: Repairs = Counter()
        told = self.turns(raw, repairs) if self.turns else self._read_messages(raw, repairs)
        fields: dict[str, Any] = {}
        for name, key in self._plain:
            value = raw.get(key)
            if value is not None:
                fields[name] = value
        for name, steps in self._nested:
            fields[name] = first(raw, steps)
        if told.fields:
            fields |= told.fields
        return parsed(told.turns, repairs, regenerated=told.regenerated, **fields)

    def came_out_null(self, raw: Raw, parsed: Parsed) -> list[str]:
        """Fields for which the row holds a value, and that are null all the same."""
        return [
            name
            for name, steps in self._paths.items()
            if parsed.get(name) is None and first(raw, steps) not in (None, "")
        ]

    def _read_messages(self, raw: Raw, repairs: Repairs) -> Told:
        value = first(raw, self._messages)
        if not (self.prompted and isinstance(value, str)) or FORMS["turns"](value):
            value = listed(value)  # else a question that happens to be JSON
        regenerated, fields = 0, {}
        if self.prompted and isinstance(value, str):
            turns = prompt_turns(value, repairs)
        elif value is None:
            raise RowRejected("messages_missing")
        elif isinstance(value, list) or (self.current and isinstance(value, dict)):
            value = list(value.values()) if isinstance(value, dict) else value
            current = first(raw, paths(self.current)) if self.current else None
            value, regenerated = follow(value, current, repairs)
            renamed = self._renamed(value) if self.role or self.content else value
            turns = read_turns(renamed, repairs)
            if self.spoken_model:
                fields = self._model_of(value)
        else:
            raise RowRejected("messages_wrong_type")
        if self.answer and not is_answered(turns):
            turns = with_answer(turns, first(raw, self._answer), repairs)
        return Told(turns, regenerated, fields)

    def _renamed(self, messages: list[Any]) -> list[Any]:
        named = {key: paths(getattr(self, key)) for key in ("role", "content")}
        named = {key: steps for key, steps in named.items() if steps}
        return [
            {**message, **{key: first(message, steps) for key, steps in named.items()}}
            if isinstance(message, dict)
            else message
            for message in messages
        ]

    def _model_of(self, messages: list[Any]) -> dict[str, Any]:
        steps = paths(self.spoken_model)
        models = (first(m, steps) for m in reversed(messages) if isinstance(m, dict))
        model = next((model for model in models if isinstance(model, str) and model), None)
        return {"model": model} if model else {}
