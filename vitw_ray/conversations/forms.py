"""The form of a column's values, by which a shape is recognised together with its name."""

from collections.abc import Callable
from typing import Any

from vitw_ray.conversations.messages import is_message
from vitw_ray.conversations.paths import opened_json
from vitw_ray.conversations.prompts import is_transcript

_LOOKED_AT = 50  # ours: messages of a list that are looked at


def listed(value: Any) -> Any:
    """A list of messages, opened where it is JSON text, or taken out of a list around it."""
    value = opened_json(value) if isinstance(value, str) else value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        return value[0]
    return value


def _turns(value: Any) -> bool:
    value = listed(value)
    if not (isinstance(value, list) and value):
        return False
    some = value[:_LOOKED_AT]
    return 2 * sum(map(is_message, some)) >= len(some)


def _nodes(value: Any) -> bool:
    value = opened_json(value)
    if not (isinstance(value, dict) and value):
        return False
    some = list(value.values())[:_LOOKED_AT]
    linked = sum(isinstance(v, dict) and not _LINKS.isdisjoint(v) for v in some)
    return 2 * linked >= len(some)


_LINKS = frozenset(("parent", "parentId", "children", "childrenIds"))
_PAIR_KEYS = (("human", "assistant"), ("input", "output"), ("user", "assistant"))


def _pairs(value: Any) -> bool:
    value = opened_json(value)
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and any(a in first and b in first for a, b in _PAIR_KEYS)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and opened_json(value) is value


FORMS: dict[str, Callable[[Any], bool]] = {
    "turns": _turns,
    "nodes": _nodes,
    "pairs": _pairs,
    "transcript": is_transcript,
    "text": _text,
    "list": lambda value: isinstance(opened_json(value), list) and len(value) > 0,
    "object": lambda value: isinstance(opened_json(value), dict),
    "answer": lambda value: isinstance(value, str | list | dict) and len(value) > 0,
}
