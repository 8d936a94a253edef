"""An answer that was logged as it came: the pieces of a stream, joined to one message."""

import json
from typing import Any

from vitw_ray.conversations.paths import opened_json

_EVENT = "data:"
_OF_AN_EVENT = ("event:", "id:", "retry:", ":")
_END = "[DONE]"
_TEXTS = ("content", "text", "output_text", "response")
_THINKING = ("reasoning_content", "reasoning", "thinking")
_CALLS = ("tool_calls", "function_call", "partial_json")


def streamed(value: Any) -> dict[str, Any] | None:
    """Content, reasoning and calls of a stream; None if the value is none.

    Reads server-sent events as one text, and lists of chunks: those of OpenAI (`choices` with a
    `delta`), of its Responses (`response.output_text.delta`), of Anthropic
    (`content_block_delta`), and of Ollama (`message` or `response` with `done`). Of several
    choices the first is read.
    """
    if isinstance(value, str):
        chunks = _events(value)
    elif isinstance(value, list):
        chunks = [opened_json(_without_mark(c)) if isinstance(c, str) else c for c in value]
        chunks = [chunk for chunk in chunks if not (chunk == _END or chunk == "")]
    else:
        return None
    if not chunks or not all(isinstance(chunk, dict) for chunk in chunks):
        return None
    pieces = [_piece(chunk) for chunk in chunks]
    known = [piece for piece in pieces if piece is not None]
    return _joined(known) if any(known) else None


def _events(text: str) -> list[Any]:
    """The data of server-sent events; empty if the text is anything else."""
    if not text.lstrip().startswith((_EVENT, "event:")):
        return []
    lines = [line for line in text.splitlines() if line.strip()]
    if not all(line.startswith((_EVENT, *_OF_AN_EVENT)) for line in lines):
        return []
    told = [_without_mark(line) for line in lines if line.startswith(_EVENT)]
    return [opened_json(event) for event in told if event != _END]


def _without_mark(line: str) -> str:
    return line.strip().removeprefix(_EVENT).strip()


def _piece(chunk: dict[str, Any]) -> dict[str, Any] | None:
    """What a chunk adds: an empty object adds nothing; None says that it is no chunk."""
    kind = chunk.get("type")
    if isinstance(kind, str):
        delta = chunk.get("delta")
        if isinstance(delta, str):
            return {"content": delta} if kind.endswith("output_text.delta") else {}
        if isinstance(delta, dict) and kind.endswith("delta"):
            return delta
        block = chunk.get("content_block")
        if isinstance(block, dict):  # its start, which may hold the first words
            return {"function_call": block} if block.get("type") == "tool_use" else block
        return {} if kind.startswith(_OTHER_EVENTS) else None
    choices = chunk.get("choices")
    if isinstance(choices, list):
        if not choices:
            return {}  # the last one, with the counts of tokens
        first = choices[0]
        delta = first.get("delta") if isinstance(first, dict) else None
        if isinstance(delta, dict):
            return delta if first.get("index") in (0, None) else {}
        return None
    if isinstance(chunk.get("done"), bool):
        message = chunk.get("message")
        return message if isinstance(message, dict) else chunk
    return None


_OTHER_EVENTS = ("message_", "content_block_", "ping", "response.", "error")


def _joined(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    content = "".join(_of(piece, _TEXTS) for piece in pieces)
    thought = any(_of(piece, _THINKING) for piece in pieces)
    calls = [piece[key] for piece in pieces for key in _CALLS if piece.get(key)]
    parts = [{"type": "thinking"}] if thought else []
    parts += [{"type": "text", "text": content}] if content else []
    message: dict[str, Any] = {"content": parts if thought else content}
    return {**message, "tool_calls": [json.dumps(call) for call in calls]} if calls else message


def _of(piece: dict[str, Any], keys: tuple[str, ...]) -> str:
    return next((piece[key] for key in keys if isinstance(piece.get(key), str)), "")
