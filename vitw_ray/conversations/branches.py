"""The conversation in a tree of messages: edits and answers asked for anew are not turns.

Chat apps keep every version of a message as a branch. The branch that the person saw last is the
conversation: the path from the root to the current message, where that is whole, or else to the
newest leaf.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from vitw_ray.conversations.fields import Raw, Repairs
from vitw_ray.conversations.times import TimeUnreadable, read_time

_ID_KEYS = ("id", "uuid", "messageId", "message_id", "_id")
_PARENT_KEYS = (
    *("parent_message_uuid", "parentMessageId", "parentId", "parent_id", "parentUuid"),
    *("logicalParentUuid", "parent_response_id", "parent"),
)
_LINKS = frozenset((*_PARENT_KEYS, "ancestors", "children"))
_TIME_KEYS = ("created_at", "createdAt", "create_time", "timestamp", "inserted_at")
_NO_PARENT = ("00000000-0000-", "client-created-root")  # written in place of null


def newest_branch(
    parents: Mapping[str, Any],
    current: Any,
    message_of: Callable[[str], Raw],
    repairs: Repairs,
) -> list[str]:
    """The ids on the path from the root to the current or else the newest leaf.

    Args:
        parents: The parent of each node, by id, in the order of the file.
        current: The node that the app showed last, if it says so.
        message_of: The message of a node; empty for one without.
        repairs: Counts a path that does not begin at a root.
    """
    whole = _whole(parents)
    if not (isinstance(current, str) and whole.get(current)):
        inner = {parent for parent in parents.values() if isinstance(parent, str)}
        leaves = [node for node in parents if node not in inner and message_of(node)]
        leaves = leaves or [node for node in parents if message_of(node)]
        ages = [age_of(message_of(leaf)) for leaf in leaves]
        newest = max(
            zip(leaves, ages, range(len(leaves)), strict=True),
            key=lambda leaf: (whole[leaf[0]], leaf[1] is not None, leaf[1] or 0, leaf[2]),
            default=None,
        )
        current = newest[0] if newest else None
    path: dict[str, None] = {}
    while isinstance(current, str) and current in parents and current not in path:
        path[current] = None
        current = parents[current]
    if path and not whole[next(iter(path))]:
        repairs["tree_broken"] += 1
    return [*path][::-1]


def _whole(parents: Mapping[str, Any]) -> dict[str, bool]:
    """Which nodes lead to a root; the others lead to a node that is missing, or in a circle."""
    known: dict[str, bool] = {}
    for start in parents:
        walk: dict[str, None] = {}
        node: Any = start
        while isinstance(node, str) and node in parents and node not in known and node not in walk:
            walk[node] = None
            node = parents[node]
        reached = known.get(node, False) if isinstance(node, str) else node is None
        if isinstance(node, str) and node not in parents:
            reached = not node.strip("0-") or node.startswith(_NO_PARENT)
        known |= dict.fromkeys(walk, reached)
    return known


def age_of(message: Raw) -> datetime | None:
    """When a message was written."""
    value = next((message[key] for key in _TIME_KEYS if message.get(key) is not None), None)
    try:
        return read_time(value)
    except TimeUnreadable:
        return None


def follow(messages: list[Any], current: Any, repairs: Repairs) -> tuple[list[Any], int]:
    """The messages of the newest branch, and how many others there are.

    A list without links between its messages is returned as it is.
    """
    last = messages[-1] if messages else None
    if type(last) is dict and len(last) == 2 and "content" in last:
        return messages, 0
    if not isinstance(last, dict) or _LINKS.isdisjoint(_unwrapped(last)):
        return messages, 0
    nodes = [node for node in _flat(messages) if isinstance(node[0], dict)]
    inner = [_unwrapped(message) for message, _ in nodes]
    ids = [_first(message, _ID_KEYS) for message in inner]
    parents = {
        name: _parent(message, above)
        for name, message, (_, above) in zip(ids, inner, nodes, strict=True)
        if isinstance(name, str)
    }
    linked = any(isinstance(parent, str) and parent in parents for parent in parents.values())
    if len(parents) != len(nodes) or not linked:
        return messages, 0
    by_id = dict(zip(ids, nodes, strict=True))
    path = newest_branch(parents, current, lambda name: _unwrapped(by_id[name][0]), repairs)
    odd = sum(not isinstance(message, dict) for message in messages)
    if odd:
        repairs["message_unreadable"] += odd
    return [by_id[name][0] for name in path], len(nodes) - len(path)


def _unwrapped(message: Raw) -> Raw:
    inner = message.get("response")
    return inner if isinstance(inner, dict) else message


def _first(message: Raw, keys: Iterable[str]) -> Any:
    return next((message[key] for key in keys if message.get(key) is not None), None)


def _parent(message: Raw, above: Any) -> Any:
    ancestors = message.get("ancestors")
    if isinstance(ancestors, list) and ancestors:
        return ancestors[-1]
    return _first(message, _PARENT_KEYS) or above


def _flat(messages: list[Any]) -> list[tuple[Any, Any]]:
    """Messages and the id of the message that each is nested in, in order."""
    found: list[tuple[Any, Any]] = []
    waiting: list[tuple[Any, Any]] = [(message, None) for message in reversed(messages)]
    while waiting:
        message, above = waiting.pop()
        found.append((message, above))
        children = message.get("children") if isinstance(message, dict) else None
        if isinstance(children, list):
            name = _first(message, _ID_KEYS)
            nested = [(child, name) for child in children if isinstance(child, dict)]
            waiting += reversed(nested)
    return found
