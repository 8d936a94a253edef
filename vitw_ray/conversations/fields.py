"""Validate and normalise the fields of one input row.

Every function accepts any value that JSON or Arrow can represent. It returns a clean value or
raises `RowRejected` with a short code, and raises no other exception. Content that is not written
by the user or the assistant (system prompts, tool output, images) is replaced by a short marker.
"""

import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any, TypedDict

from vitw_ray.records import Role

MAX_NAME_CHARS = 512  # ours: ids and model names have tens of characters; longer is misplaced text
_MILLISECONDS_FROM = 1e11  # ours: as seconds this is the year 5138; pandas writes milliseconds

ATTACHMENT, TOOL_CALL, TOOL_MESSAGE = "[attachment]", "[tool call]", "[tool message]"
_ROLE_MARKERS: dict[Role, str] = {"system": "[system message]", "tool": TOOL_MESSAGE}

_ROLE_NAMES: dict[Role, str] = {
    "user": "user human prompter",
    "assistant": "assistant gpt chatgpt bot ai model bing bard claude",
    "system": "system developer",
    "tool": "tool function function_call function_response observation ipython",
}
_ROLE_OF: dict[str, Role] = {
    name: role for role, names in _ROLE_NAMES.items() for name in names.split()
}

_TEXT_PARTS = ("text", "input_text", "output_text", "audio_transcription")
_PART_NAMES = {
    "[image]": "image image_url input_image image_asset_pointer",
    "[audio]": "audio input_audio audio_asset_pointer real_time_user_audio_video_asset_pointer",
    "[thinking]": "thinking redacted_thinking reasoning",
    TOOL_CALL: "tool_use server_tool_use function_call",
    TOOL_MESSAGE: "tool_result",
}
_PART_MARKER = {name: marker for marker, names in _PART_NAMES.items() for name in names.split()}
_MARKERS = {*_ROLE_MARKERS.values(), *_PART_NAMES, ATTACHMENT}
# Possessive: backtracking is never needed, and its stack would grow with the number of markers.
_NO_WORDS = re.compile("(?:" + "|".join(map(re.escape, sorted(_MARKERS))) + r"|\s)*+")


Raw = Mapping[str, Any]
Turn = tuple[Role, str]
"""Role and content."""


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
    repairs: Counter[str]  # what was odd and is now null or a marker, by kind


def clean_text(value: Any, reason: str) -> str:
    """Return `value` if it is a string that UTF-8 can encode.

    Raises:
        RowRejected: with `reason` if it is not a string, or `lone_surrogate`.
    """
    if not isinstance(value, str):
        raise RowRejected(reason)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise RowRejected("lone_surrogate") from None
    return value


def read_name(value: Any) -> str | None:
    """A model, language or source: a short string. Null and the empty string mean unknown."""
    if value is None:
        return None
    name = clean_text(value, "field_wrong_type")
    if len(name) > MAX_NAME_CHARS:
        raise RowRejected("field_too_long")
    return name or None


def read_id(value: Any) -> str | None:
    """An id: a short string or an integer. Null and the empty string mean unknown."""
    if isinstance(value, int) and not isinstance(value, bool):
        # Check the size first: converting a huge integer to decimal takes quadratic time.
        if value.bit_length() > 128:
            raise RowRejected("field_too_long")
        return str(value)
    if value is None or isinstance(value, str):
        return read_name(value)
    raise RowRejected("id_wrong_type")


def read_time(value: Any) -> datetime | None:
    """Convert ISO 8601 text, epoch seconds or milliseconds, a date or a datetime to UTC.

    A time without a zone is taken as UTC.
    """
    try:
        return _utc(value)
    except (ValueError, OverflowError, OSError):
        raise RowRejected("created_at_wrong_type") from None


def _utc(value: Any) -> datetime | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise ValueError
    if isinstance(value, int | float):
        seconds = value / 1000 if abs(value) > _MILLISECONDS_FROM else value
        return datetime.fromtimestamp(seconds, UTC)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):  # rebuilt, because a pandas Timestamp is a datetime subclass
        moment = datetime.combine(value.date(), value.time(), value.tzinfo)
    elif isinstance(value, date):
        moment = datetime.combine(value, time())
    else:
        raise ValueError
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_content(value: Any) -> str:
    """The text of one message: a string, or a list of parts, of which non-text become markers.

    Null becomes the empty string. Parts are joined by a newline; nothing is trimmed.
    """
    if value is None:
        return ""
    if isinstance(value, list):
        return "\n".join(_part(part) for part in value)
    return clean_text(value, "content_wrong_type")


def _part(part: Any) -> str:
    if isinstance(part, str):
        return clean_text(part, "content_wrong_type")
    if not isinstance(part, dict):
        raise RowRejected("content_wrong_type")
    kind = part.get("type") or part.get("content_type")
    if kind is None or kind in _TEXT_PARTS:
        return clean_text(part.get("text"), "content_wrong_type")
    if kind == "refusal":
        return clean_text(part.get("refusal"), "content_wrong_type")
    return _PART_MARKER.get(kind, ATTACHMENT) if isinstance(kind, str) else ATTACHMENT


def read_role(value: Any) -> Role:
    """Map a role name used by any known shape to one of the four roles."""
    role = _ROLE_OF.get(value.strip().lower()) if isinstance(value, str) else None
    if role is None:
        raise RowRejected("role_unknown")
    return role


def read_turn(role: Any, content: Any, *, calls_tool: bool = False) -> Turn:
    """Role and content of one message. System and tool messages are reduced to a marker."""
    known = read_role(role)
    if known in _ROLE_MARKERS:
        return known, _ROLE_MARKERS[known]
    words = read_content(content)
    if calls_tool:
        words = f"{words}\n{TOOL_CALL}" if words else TOOL_CALL
    return known, words


def read_list(value: Any) -> list[Raw]:
    """The raw messages of a row."""
    if value is None:
        raise RowRejected("messages_missing")
    if not isinstance(value, list):
        raise RowRejected("messages_wrong_type")
    if not all(isinstance(message, dict) for message in value):
        raise RowRejected("message_wrong_type")
    return value


def read_turns(value: Any, role: str = "role", content: str = "content") -> list[Turn]:
    """Read a list of messages; `role` and `content` are the keys that the messages use."""
    return [
        read_turn(
            message.get(role),
            message.get(content),
            calls_tool=bool(message.get("tool_calls") or message.get("function_call")),
        )
        for message in read_list(value)
    ]


def parsed(
    messages: list[Turn],
    *,
    conversation_id: Any = None,
    prompt_id: Any = None,
    account: Any = None,
    model: Any = None,
    language: Any = None,
    source: Any = None,
    created_at: Any = None,
    updated_at: Any = None,
    repairs: Counter[str] | None = None,
) -> Parsed:
    """Validate the fields of one row. At least one user or assistant message must have text."""
    if not any(
        role in ("user", "assistant") and not _NO_WORDS.fullmatch(content)
        for role, content in messages
    ):
        raise RowRejected("conversation_empty")
    return Parsed(
        conversation_id=read_id(conversation_id),
        prompt_id=read_id(prompt_id),
        account=read_id(account),
        model=read_name(model),
        language=read_name(language),
        source=read_name(source),
        created_at=read_time(created_at),
        updated_at=read_time(updated_at),
        messages=messages,
        repairs=Counter() if repairs is None else repairs,
    )
