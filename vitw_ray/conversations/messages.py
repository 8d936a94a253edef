"""Read the messages of a conversation, in the forms in which logs and data sets write them.

Most have `role` and `content`. The others name them differently (`from`, `value`), nest them
(`data`, `kwargs`), hold a question and its answer in one object, or are items of an API's output.
"""

from typing import Any

from vitw_ray.conversations.content import read_content
from vitw_ray.conversations.fields import Raw, Repairs, Turn, clean_text
from vitw_ray.conversations.roles import is_thinking, is_tool_call, role_of, unknown_role
from vitw_ray.conversations.thinking import without_thinking
from vitw_ray.marks import (
    ATTACHMENT,
    OTHER_SPEAKER,
    ROLE_MARKERS,
    THINKING,
    TOOL_CALL,
)
from vitw_ray.records import Role

ROLE_KEYS = ("role", "from", "sender", "author", "speaker", "type")
CONTENT_KEYS = (
    *("content", "value", "text", "message", "parts", "fragments", "body", "refusal", "utterance"),
    *("audio",),
)
_INNER = ("message", "data", "kwargs", "response")  # an object within an entry of the list
_USER_FLAGS = ("isCreatedByUser", "is_user")
_PAIRS = (
    *(("human", "assistant"), ("user", "assistant"), ("human", "gpt"), ("user", "bot")),
    *(("input", "output"), ("prompt", "response"), ("instruction", "output")),
)
_SPEAKERS = frozenset(("user", "human", "assistant", "gpt", "bot", "ai", "model", "system"))
"""Keys that hold what their speaker says, in a message that has no other."""
_FILES = ("attachments", "files")
_NOT_A_CALL = frozenset(("", "[]", "{}", "null", "None", "nan"))
_MAX_DEPTH = 4  # ours: of objects around a message


def read_turns(messages: list[Any], repairs: Repairs) -> list[Turn]:
    """The turns of a list of messages; an entry that cannot be read is left out and counted."""
    turns: list[Turn] = []
    for message in messages:
        if not isinstance(message, dict):
            repairs["message_unreadable"] += 1
            continue
        name, content = message.get("role"), message.get("content")
        if name is None and content is None:
            name, content = message.get("from"), message.get("value")
        role = role_of(name)
        if role is None:
            turns += _unusual(message, repairs)
        elif role in ROLE_MARKERS or type(content) is not str or not content or _calls(message):
            turns.append(read_turn(role, message, content, repairs))
        else:  # nearly all messages: a text
            if content[:2] == "[{":
                content = read_content(content, repairs)
            elif not content.isascii():
                content = clean_text(content, repairs)
            turns.append((role, without_thinking(content) if role == "assistant" else content))
    return turns


def _calls(message: Raw) -> bool:
    return len(message) > 2 and ("tool_calls" in message or "function_call" in message)


def read_turn(role: Role, message: Raw, content: Any, repairs: Repairs) -> Turn:
    """One turn of a known role. System and tool messages are reduced to a marker."""
    marker = ROLE_MARKERS.get(role)
    if marker is not None:
        return role, marker
    words = read_content(content, repairs)
    if not words:
        other = next((message[key] for key in CONTENT_KEYS if message.get(key)), None)
        words = read_content(other, repairs) if other is not content else words
    if role == "assistant":
        words = without_thinking(words)
    if _holds(message.get("tool_calls")) or _holds(message.get("function_call")):
        words = f"{words}\n{TOOL_CALL}" if words else TOOL_CALL
    return role, words


def said(role: Role, text: Any, repairs: Repairs) -> Turn:
    """One turn that stands outside a list of messages."""
    words = read_content(text, repairs)
    return role, without_thinking(words) if role == "assistant" else words


def is_message(value: Any) -> bool:
    """Whether an object looks like a message: it names a speaker and has content."""
    named = False
    for _ in range(_MAX_DEPTH):
        if not isinstance(value, dict):
            return False
        named = (
            named
            or any(isinstance(value.get(key), str | dict) for key in ROLE_KEYS[:-1])
            or any(key in value for key in _USER_FLAGS)
            or role_of(value.get("type")) is not None
        )
        if named and any(key in value for key in CONTENT_KEYS):
            return True
        if any(value.get(a) is not None and b in value for a, b in _PAIRS):
            return True
        if _named_by_key(value):
            return True
        value = next((value[key] for key in _INNER if isinstance(value.get(key), dict)), None)
    return False


def _unusual(message: Raw, repairs: Repairs, depth: int = 0) -> list[Turn]:
    """The turns of a message whose `role` is missing or not known."""
    inner = next((message[key] for key in _INNER if isinstance(message.get(key), dict)), None)
    if inner is not None and depth < _MAX_DEPTH:
        if role_of(inner.get("role")) is None and not any(key in inner for key in ROLE_KEYS):
            inner = {**inner, "role": _role_name(message)}
        role = role_of(inner.get("role"))
        if role is not None:
            return [read_turn(role, inner, inner.get("content"), repairs)]
        return _unusual(inner, repairs, depth + 1)
    if all(message.get(key) is None for key in ROLE_KEYS[:-1]):
        for ask, answer in _PAIRS:
            if isinstance(message.get(ask), str) and isinstance(message.get(answer), str):
                pair = (
                    said("user", message[ask], repairs),
                    said("assistant", message[answer], repairs),
                )
                return [turn for turn in pair if turn[1]]
    speaker = _named_by_key(message)
    if speaker is not None:
        return [read_turn(speaker[0], {}, speaker[1], repairs)]
    name = _role_name(message)
    if name is None and "message" in message and message["message"] is None:
        return []  # the root of a tree
    role = role_of(name)
    if role is not None:
        content = next((message[k] for k in CONTENT_KEYS if message.get(k) is not None), None)
        turn = read_turn(role, message, content, repairs)
        files = [file for key in _FILES for file in _list(message.get(key))]
        if files and role not in ROLE_MARKERS:
            turn = role, "\n".join([*([turn[1]] if turn[1] else []), *[ATTACHMENT] * len(files)])
        return [turn]
    if is_thinking(name):
        return [("assistant", THINKING)]
    if is_tool_call(name) or (isinstance(name, str) and name.endswith("_call")):
        return [("assistant", TOOL_CALL)]
    if isinstance(name, str) and name.endswith("_output"):
        return [("tool", ROLE_MARKERS["tool"])]
    repairs[unknown_role(name)] += 1
    return [("system", OTHER_SPEAKER)]


def _named_by_key(message: Raw) -> tuple[Role, str] | None:
    """The speaker and the text of `{"user": "..."}`."""
    if len(message) != 1:
        return None
    ((key, words),) = message.items()
    role = role_of(key) if key in _SPEAKERS else None
    return (role, words) if role is not None and isinstance(words, str) else None


def _role_name(message: Raw) -> Any:
    """The name of the speaker, from whichever key holds it."""
    for flag in _USER_FLAGS:
        if isinstance(message.get(flag), bool):
            return "user" if message[flag] else "assistant"
    fragments = message.get("fragments")
    if isinstance(fragments, list):
        asked = any(isinstance(part, dict) and part.get("type") == "REQUEST" for part in fragments)
        return "user" if asked else "assistant"
    for key in ROLE_KEYS:
        name = message.get(key)
        if isinstance(name, dict):
            name = name.get("role")
        if name is not None and not (name == "constructor" and isinstance(message.get("id"), list)):
            return name
    kind = message.get("id")  # a LangChain object: its class is the last of its id
    return kind[-1] if isinstance(kind, list) and kind else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _holds(calls: Any) -> bool:
    """Whether any call is there: Parquet writes every optional field, filled with nulls."""
    if not calls:
        return False
    waiting = [calls]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [inner for key, inner in value.items() if key not in ("type", "index")]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and value.strip() not in _NOT_A_CALL:
            return True
    return False
