"""Validate and normalise the fields of one input row.

Every function accepts any value that JSON or Arrow can represent. An optional field that cannot be
read is null, and counted as a repair; only a row without a readable conversation is rejected, with
a short code.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

from vitw_ray.conversations.times import TimeUnreadable, read_time
from vitw_ray.marks import has_words
from vitw_ray.records import Role

MAX_NAME_CHARS = 512  # ours: ids and model names have tens of characters; longer is misplaced text
_WHOLE_FLOAT = 2.0**53  # from here on, a float no longer holds every whole number

Raw = Mapping[str, Any]
Turn = tuple[Role, str]
"""Role and content."""
Repairs = Counter[str]
"""How often something odd became null or a marker, by kind."""


class RowRejected(Exception):
    """A row that is not a valid conversation; `reason` is a short code, never text of the row."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Parsed(TypedDict):
    """A parsed row. `account` is not hashed yet: `RowMaker` does that."""

    conversation_id: str | None
    prompt_id: str | None
    account: str | None
    model: str | None
    language: str | None
    source: str | None
    created_at: datetime | None
    updated_at: datetime | None  # of two versions of a conversation the latest is kept
    messages: list[Turn]
    regenerated: int  # messages of other branches of a tree: edits, and answers asked for anew
    repairs: Repairs


def clean_text(text: str, repairs: Repairs) -> str:
    """Text that UTF-8 can encode: half a surrogate pair becomes U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        repairs["lone_surrogate"] += 1
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


# Colours and cursor movements of a terminal, and titles that it would show
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?")


_NAME_KEYS = ("name", "id", "model")  # of an object in place of the name of a model


def read_name(value: Any, field: str, repairs: Repairs) -> str | None:
    """A model, language or source: a short string. Null and the empty string mean unknown.

    Spaces around it are no part of it.
    """
    if type(value) is str and len(value) <= MAX_NAME_CHARS and value.isprintable():
        return value.strip() or None
    if value is None or value == "":
        return None
    if isinstance(value, list) and len(value) == 1:  # the one model that a chat was started with
        (value,) = value
    if isinstance(value, dict) and field == "model":  # {"provider": "...", "name": "..."}
        value = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), value)
    if not isinstance(value, str) or len(value) > MAX_NAME_CHARS:
        repairs[f"{field}_unreadable"] += 1
        return None
    if value.isprintable():
        return value.strip() or None
    text = clean_text(value, repairs)
    shown = "".join(c for c in _ESCAPE.sub("", text) if unicodedata.category(c) not in ("Cc", "Cf"))
    if shown != text:
        repairs["control_removed"] += 1
    return shown.strip() or None


def read_id(value: Any, field: str, repairs: Repairs) -> str | None:
    """An id: a short string or a whole number. Null, NaN and the empty string mean unknown."""
    if type(value) is str and len(value) <= MAX_NAME_CHARS and value.isprintable():
        return value or None
    if isinstance(value, str):
        return _visible(value, field, repairs)
    if value is None:
        return None
    if isinstance(value, dict) and len(value) == 1:  # {"$oid": "..."} of a database
        ((key, value),) = value.items()
        return read_name(value if key in ("$oid", "$uuid") else 0, field, repairs)
    if isinstance(value, float | Decimal):
        if value != value:
            return None
        whole = abs(value) < _WHOLE_FLOAT and value == int(value)
        value = int(value) if whole else None  # 101.0: a column of whole numbers with gaps
    # Check the size first: converting a huge integer to decimal takes quadratic time.
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 128:
        return str(value)
    return read_name(str(value) if isinstance(value, UUID) else 0, field, repairs)


def _visible(text: str, field: str, repairs: Repairs) -> str | None:
    """An id in which what is not seen is written out: ids that differ stay different."""
    if not text:
        return None
    if len(text) > MAX_NAME_CHARS:
        repairs[f"{field}_unreadable"] += 1
        return None
    repairs["control_escaped"] += 1
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def read_moment(value: Any, repairs: Repairs) -> datetime | None:
    """A time in UTC; one that cannot be read, or of another age, is null."""
    if value is None:
        return None
    try:
        return read_time(value)
    except TimeUnreadable as odd:
        repairs[odd.kind] += 1
        return None


def parsed(
    messages: list[Turn],
    repairs: Repairs,
    *,
    conversation_id: Any = None,
    prompt_id: Any = None,
    account: Any = None,
    model: Any = None,
    language: Any = None,
    source: Any = None,
    created_at: Any = None,
    updated_at: Any = None,
    regenerated: int = 0,
) -> Parsed:
    """Clean the fields of one row; a conversation needs both sides, and words of the assistant.

    Raises:
        RowRejected: there is nothing to judge.
    """
    _require_both_sides(messages, repairs)
    return {
        "conversation_id": None
        if conversation_id is None
        else read_id(conversation_id, "id", repairs),
        "prompt_id": None if prompt_id is None else read_id(prompt_id, "prompt_id", repairs),
        "account": None if account is None else read_id(account, "account", repairs),
        "model": None if model is None else read_name(model, "model", repairs),
        "language": None if language is None else read_name(language, "language", repairs),
        "source": None if source is None else read_name(source, "source", repairs),
        "created_at": None if created_at is None else read_moment(created_at, repairs),
        "updated_at": None if updated_at is None else read_moment(updated_at, repairs),
        "messages": messages,
        "regenerated": regenerated,
        "repairs": repairs,
    }


_WHY_EMPTY = {"message_unreadable": "message_wrong_type", "part_unknown": "content_wrong_type"}


def _require_both_sides(messages: list[Turn], repairs: Repairs) -> None:
    answered = asked = False
    for role, content in messages:
        if role == "assistant":
            answered = answered or content[:1].isalnum() or has_words(content)
        elif role == "user":
            asked = asked or not (content.isspace() or not content)
        if answered and asked:
            return
    # The role that could not be read may be that of the missing side.
    roles = sorted(kind for kind in repairs if kind.startswith("role_"))
    if roles:
        raise RowRejected(roles[-1])
    if answered:
        raise RowRejected("no_user_turn")
    if any(role == "user" and has_words(content) for role, content in messages):
        raise RowRejected("no_assistant_turn")
    why = (reason for kind, reason in _WHY_EMPTY.items() if repairs[kind])
    raise RowRejected(next(why, "conversation_empty"))
