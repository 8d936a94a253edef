"""The supported row formats ("shapes") of conversation data, and a parser for each.

A parser is a pure function from a raw row (a JSON object, or a Parquet row as Python objects) to
`Parsed`. It raises only `RowRejected`. One row gives one conversation; if a row contains several,
the parser documents which one it takes.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from vitw_ray.config import SourceFormat
from vitw_ray.conversations.exports import read_chatgpt_export, read_claude_export
from vitw_ray.conversations.fields import (
    Parsed,
    Raw,
    RowRejected,
    Turn,
    clean_text,
    parsed,
    read_list,
    read_turn,
    read_turns,
)


def _vitw(raw: Raw) -> Parsed:
    """The native shape: the columns of the `conversations` table; `account_id` is the account."""
    return parsed(
        read_turns(raw.get("messages")),
        conversation_id=raw.get("conversation_id"),
        prompt_id=raw.get("prompt_id"),
        account=raw.get("account_id"),
        model=raw.get("model"),
        language=raw.get("language"),
        source=raw.get("source"),
        created_at=raw.get("created_at"),
    )


def _wildchat(raw: Raw) -> Parsed:
    """WildChat; the account is the hashed IP address of the row or, in early copies, of a turn."""
    turns = read_list(raw.get("conversation"))
    return parsed(
        read_turns(turns),
        conversation_id=_first([raw], "conversation_hash", "conversation_id"),
        account=_first([raw, *turns], "hashed_ip"),
        model=raw.get("model"),
        language=_first([raw, *turns], "language"),
        created_at=_first([raw, *turns], "timestamp"),
    )


def _lmsys(raw: Raw) -> Parsed:
    """LMSYS-Chat-1M, and Chatbot Arena battles.

    From a battle the first conversation is taken, with the id `<question>:a`. The Arena assigns
    sides at random, so this favours no assistant. Taking the winner would be a biased sample.
    """
    if raw.get("conversation") is not None:
        return parsed(
            read_turns(raw.get("conversation")),
            conversation_id=raw.get("conversation_id"),
            model=raw.get("model"),
            language=raw.get("language"),
        )
    battle = parsed(
        read_turns(raw.get("conversation_a")),
        conversation_id=raw.get("question_id"),
        prompt_id=raw.get("question_id"),
        account=raw.get("judge"),
        model=raw.get("model_a"),
        language=raw.get("language"),
        created_at=raw.get("tstamp"),
    )
    if battle["prompt_id"] is not None:
        battle["conversation_id"] = f"{battle['prompt_id']}:a"
    return battle


def _sharegpt(raw: Raw) -> Parsed:
    """ShareGPT, and training sets in the same format."""
    return parsed(
        read_turns(_first([raw], "conversations", "items"), "from", "value"),
        conversation_id=raw.get("id"),
        model=raw.get("model"),
    )


def _openai(raw: Raw) -> Parsed:
    """OpenAI chat-completion requests and fine-tuning files; most have no id."""
    return parsed(
        read_turns(raw.get("messages")), conversation_id=raw.get("id"), model=raw.get("model")
    )


def _oasst(raw: Raw) -> Parsed:
    """An OpenAssistant tree: the path from the prompt along the best-ranked reply of each turn.

    Rank 0 is the best; if no reply is ranked, the first is taken. People wrote both sides, so
    there is no assistant model.
    """
    prompt = raw.get("prompt")
    if prompt is None:
        raise RowRejected("messages_missing")
    if not isinstance(prompt, dict):
        raise RowRejected("messages_wrong_type")
    messages: list[Turn] = []
    node: Raw | None = prompt
    while node is not None:
        messages.append(read_turn(node.get("role"), node.get("text")))
        replies = read_list(node.get("replies") or [])
        node = min(replies, key=_rank, default=None)
    return parsed(
        messages,
        conversation_id=raw.get("message_tree_id"),
        account=prompt.get("user_id"),
        language=prompt.get("lang"),
        created_at=prompt.get("created_date"),
    )


def _rank(reply: Raw) -> float:
    rank = reply.get("rank")
    return rank if isinstance(rank, int | float) and rank == rank else float("inf")


_SPEAKER = re.compile(r"\n\n(Human|Assistant): ?")  # one space is part of the separator


def _hh_rlhf(raw: Raw) -> Parsed:
    """A row of Anthropic's hh-rlhf: the transcript chosen by the rater."""
    if raw.get("chosen") is None:
        raise RowRejected("messages_missing")
    before, *pieces = _SPEAKER.split(clean_text(raw["chosen"], "messages_wrong_type"))
    if before.strip() or not pieces:
        raise RowRejected("transcript_without_speaker")
    return parsed([read_turn(*turn) for turn in zip(pieces[::2], pieces[1::2], strict=True)])


def _first(places: Iterable[Raw], *keys: str) -> Any:
    """The first value that is not null: over `places`, then over `keys`."""
    return next((p[key] for p in places for key in keys if p.get(key) is not None), None)


@dataclass(frozen=True)
class Shape:
    """A row format; `name` is its value of `--source-format`."""

    name: SourceFormat
    parser: Callable[[Raw], Parsed]
    columns: str
    """Columns that the parser uses, so that a columnar file is not read completely."""
    signatures: tuple[str, ...]
    """Sets of columns; a file may have this shape if it has all columns of one set."""

    def fits(self, columns: Collection[str]) -> bool:
        """Whether a file with these columns may have this shape."""
        return any(set(columns) >= set(signature.split()) for signature in self.signatures)


SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (  # most specific first
        Shape(
            "chatgpt-export",
            read_chatgpt_export,
            "conversation_id id mapping current_node create_time",
            ("mapping",),
        ),
        Shape(
            "claude-export",
            read_claude_export,
            "uuid account model created_at chat_messages",
            ("chat_messages",),
        ),
        Shape("oasst", _oasst, "message_tree_id prompt", ("message_tree_id prompt",)),
        Shape("hh-rlhf", _hh_rlhf, "chosen", ("chosen rejected",)),
        Shape(
            "wildchat",
            _wildchat,
            "conversation_hash conversation_id conversation hashed_ip language model timestamp",
            ("conversation conversation_hash", "conversation hashed_ip", "conversation timestamp"),
        ),
        Shape(
            "lmsys",
            _lmsys,
            "conversation_id conversation language model "
            "question_id conversation_a model_a judge tstamp",
            ("conversation", "conversation_a conversation_b"),
        ),
        Shape("sharegpt", _sharegpt, "id conversations items model", ("conversations", "items")),
        Shape(
            "vitw",
            _vitw,
            "conversation_id prompt_id account_id model source language created_at messages",
            ("messages conversation_id",),
        ),
        Shape("openai", _openai, "id messages model", ("messages",)),
    )
}


def parse(shape: str, raw: Raw) -> Parsed:
    """Parse one row of a shape.

    Raises:
        RowRejected: the row is not a conversation of this shape; nothing else is raised.
    """
    return SHAPES[shape].parser(raw)


@dataclass(frozen=True)
class Recognised:
    """What the rows of a file look like.

    `shape` is None if no known shape fits; then `nearest` is the shape whose columns the rows
    have, if any, and `reasons` says why its rows cannot be read. `columns` counts the rows that
    hold a value in a column.
    """

    shape: str | None
    nearest: str | None
    columns: Counter[str]
    reasons: Counter[str]

    def unread(self) -> list[str]:
        """Columns that hold values and that the shape does not read."""
        read = SHAPES[self.shape].columns.split() if self.shape else []
        return sorted(set(self.columns) - set(read))


def recognise_rows(rows: Iterable[Raw]) -> Recognised:
    """The most specific shape that reads most of some rows; one row is in memory at a time."""
    columns: Counter[str] = Counter()
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in SHAPES}
    for row in rows:
        columns.update(name for name, value in row.items() if value is not None)
        for name, outcome in outcomes.items():
            outcome[_outcome(name, row)] += 1
    possible = [name for name in SHAPES if SHAPES[name].fits(columns)]
    best = max(possible, key=lambda name: outcomes[name]["read"], default=None)
    shape = best if best and outcomes[best]["read"] else None
    nearest = possible[0] if possible else None
    return Recognised(shape, nearest, columns, outcomes[nearest] if nearest else Counter())


def _outcome(shape: str, raw: Raw) -> str:
    try:
        parse(shape, raw)
    except RowRejected as rejected:
        return rejected.reason
    return "read"
