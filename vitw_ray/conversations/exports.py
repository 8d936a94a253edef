"""Parsers for the personal data exports of claude.ai and ChatGPT.

Both are documents rather than rows: attachments are listed beside the text, and a ChatGPT
conversation is a tree of edits and retries.
"""

from typing import Any

from vitw_ray.conversations.fields import (
    ATTACHMENT,
    Parsed,
    Raw,
    RowRejected,
    Turn,
    parsed,
    read_list,
    read_turn,
)


def read_claude_export(raw: Raw) -> Parsed:
    """Parse one conversation of a claude.ai data export."""
    messages: list[Turn] = []
    for message in read_list(raw.get("chat_messages")):
        role, words = read_turn(
            message.get("sender"), message.get("content") or message.get("text")
        )
        files = [*_items(message.get("attachments")), *_items(message.get("files"))]
        messages.append(
            (role, "\n".join([*([words] if words else []), *[ATTACHMENT] * len(files)]))
        )
    account = raw.get("account")
    return parsed(
        messages,
        conversation_id=raw.get("uuid"),
        account=account.get("uuid") if isinstance(account, dict) else account,
        model=raw.get("model"),
        created_at=raw.get("created_at"),
    )


def read_chatgpt_export(raw: Raw) -> Parsed:
    """Parse one conversation of a ChatGPT data export: the path from the root to `current_node`."""
    messages: list[Turn] = []
    model = None
    for node in _path(raw):
        message = node.get("message")
        if message is None:
            continue
        author = message.get("author") if isinstance(message, dict) else None
        if not isinstance(author, dict):
            raise RowRejected("message_wrong_type")
        metadata = message.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        if metadata.get("is_visually_hidden_from_conversation"):
            continue
        messages.append(_chatgpt_turn(message, author))
        model = metadata.get("model_slug") or model
    return parsed(
        messages,
        conversation_id=raw.get("conversation_id") or raw.get("id"),
        model=model,
        created_at=raw.get("create_time"),
    )


def _chatgpt_turn(message: Raw, author: Raw) -> Turn:
    content = message.get("content")
    if not isinstance(content, dict):
        raise RowRejected("content_wrong_type")
    kind = content.get("content_type")
    if kind in ("user_editable_context", "model_editable_context"):
        return read_turn("system", None)  # custom instructions and memory have other roles here
    if message.get("recipient", "all") not in ("all", None):
        return read_turn(author.get("role"), None, calls_tool=True)
    if kind in ("thoughts", "reasoning_recap"):
        return read_turn(author.get("role"), [{"type": "thinking"}])
    return read_turn(author.get("role"), content.get("parts", content.get("text")))


def _path(raw: Raw) -> list[Raw]:
    """Nodes from the root to `current_node`, or to the last leaf if the export names none."""
    nodes = raw.get("mapping")
    if nodes is None:
        raise RowRejected("messages_missing")
    if not isinstance(nodes, dict):
        raise RowRejected("messages_wrong_type")
    at = raw.get("current_node")
    if at is None:
        leaves = [k for k, v in nodes.items() if isinstance(v, dict) and not v.get("children")]
        at = leaves[-1] if leaves else None
    path: list[Raw] = []
    while at is not None:
        node = nodes.get(at) if isinstance(at, str) else None
        if not isinstance(node, dict) or len(path) > len(nodes):  # a longer path means a cycle
            raise RowRejected("tree_broken")
        path.append(node)
        at = node.get("parent")
    return path[::-1]


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise RowRejected("field_wrong_type")
    return value
