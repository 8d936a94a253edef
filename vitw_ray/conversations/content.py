"""The content of one message: text, or parts, of which all but the text become markers."""

from typing import Any

from vitw_ray.conversations.fields import Raw, Repairs, clean_text
from vitw_ray.conversations.paths import opened_json
from vitw_ray.marks import (
    ATTACHMENT,
    AUDIO,
    IMAGE,
    THINKING,
    TOOL_CALL,
    TOOL_MESSAGE,
)

_TEXT_PARTS = frozenset(
    [
        "text",
        "input_text",
        "output_text",
        "audio_transcription",
        "markdown",
        "paragraph",
        "REQUEST",
        "RESPONSE",
        "message",
        "refusal",
    ]
)
_TEXT_KEYS = ("text", "content", "value", "refusal", "transcript")
_PART_NAMES = {
    IMAGE: "image image_url input_image output_image image_asset_pointer image_generation_call",
    AUDIO: "audio input_audio output_audio audio_asset_pointer audio_url "
    "real_time_user_audio_video_asset_pointer",
    THINKING: "think thinking redacted_thinking reasoning reasoning_content thought thoughts THINK",
    TOOL_CALL: "tool_use server_tool_use mcp_tool_use function_call tool-call tool_call "
    "tool-invocation dynamic-tool TOOL_SEARCH SEARCH",
    TOOL_MESSAGE: "tool_result mcp_tool_result function_call_output tool-result tool_output "
    "tool_response tool_call_response TOOL_OPEN",
    ATTACHMENT: "file input_file file_url document attachment video video_url input_video source "
    "source-url source-document container_upload search_result json",
}
_MARKER = {name: marker for marker, names in _PART_NAMES.items() for name in names.split()}
_SPOKEN = frozenset(("audio", "input_audio", "output_audio"))
"""Parts that are text where they hold a transcript."""
_TYPELESS = {
    "image": IMAGE,
    "audio": AUDIO,
    "video": ATTACHMENT,
    "document": ATTACHMENT,
    "toolUse": TOOL_CALL,
    "toolResult": TOOL_MESSAGE,
    "reasoningContent": THINKING,
    "guardContent": ATTACHMENT,
    "inlineData": ATTACHMENT,
    "inline_data": ATTACHMENT,
    "fileData": ATTACHMENT,
    "file_data": ATTACHMENT,
    "functionCall": TOOL_CALL,
    "function_call": TOOL_CALL,
    "executableCode": TOOL_CALL,
    "executable_code": TOOL_CALL,
    "functionResponse": TOOL_MESSAGE,
    "function_response": TOOL_MESSAGE,
    "codeExecutionResult": TOOL_MESSAGE,
    "code_execution_result": TOOL_MESSAGE,
}
"""Parts that have a key for each kind, as those of Gemini and of Amazon Bedrock have."""
_SILENT = frozenset(
    ["step-start", "step-finish", "start-step", "finish-step", "token_budget", "flag"]
)
"""Parts that hold nothing that could be said."""
_KNOWN_PARTS = (frozenset(_MARKER) | _TEXT_PARTS | _SILENT) - {"message", "json", "source", "file"}
_OPENED_CHARS = 200  # ours: the type stands among the first keys of a part
_ENDINGS = (("_call", TOOL_CALL), ("_result", TOOL_MESSAGE), ("_output", TOOL_MESSAGE))


def read_content(value: Any, repairs: Repairs) -> str:
    """The text of a message; null is empty. Parts are joined by a newline, nothing is trimmed."""
    if isinstance(value, str):
        parts = _written_parts(value) if value.startswith("[{") else None
        if parts is None:
            return clean_text(value, repairs)
        value = parts
    if value is None:
        return ""
    if isinstance(value, dict) and isinstance(value.get("parts"), list):
        value = value["parts"]
    parts = value if isinstance(value, list) else [value]
    texts = [_part(part, repairs) for part in parts]
    return "\n".join(text for text in texts if text is not None)


def _written_parts(text: str) -> list[Any] | None:
    """Parts that are written as JSON text, as databases hold them; any other text is a text."""
    parts = opened_json(text) if '"type"' in text[:_OPENED_CHARS] else None
    if not isinstance(parts, list):
        return None
    kinds = [part.get("type") if isinstance(part, dict) else None for part in parts]
    known = all(isinstance(kind, str) and kind in _KNOWN_PARTS for kind in kinds)
    return parts if known and any(_text_of(part) is not None for part in parts) else None


def _part(part: Any, repairs: Repairs) -> str | None:
    if isinstance(part, str):
        return clean_text(part, repairs)
    if isinstance(part, dict):
        kind = part.get("type") or part.get("content_type")
        if part.get("thought") is True:
            return THINKING
        spoken = part.get("transcript")
        if spoken and isinstance(spoken, str) and (kind is None or str(kind) in _SPOKEN):
            return clean_text(spoken, repairs)
        if "cachePoint" in part and len(part) == 1:
            return None
        if kind is None or (isinstance(kind, str) and kind in _TEXT_PARTS):
            text = _text_of(part)
            if text is not None:
                return clean_text(text, repairs)
            marker = next((mark for key, mark in _TYPELESS.items() if part.get(key)), None)
        elif isinstance(kind, str):
            if kind in _SILENT:
                return None
            marker = _MARKER.get(kind) or _by_form(kind)
        else:
            marker = None
        if marker:
            return marker
    repairs["part_unknown"] += 1
    return ATTACHMENT


def _text_of(part: Raw) -> str | None:
    """The text of a part: a string, or an object that holds it with its annotations."""
    for key in _TEXT_KEYS:
        text = part.get(key)
        if isinstance(text, dict):
            text = text.get("value") or text.get("text")
        if isinstance(text, str):
            return text
    return None


def _by_form(kind: str) -> str | None:
    if kind.startswith("tool-"):
        return TOOL_CALL
    if kind.startswith("data-"):
        return ATTACHMENT
    return next((marker for ending, marker in _ENDINGS if kind.endswith(ending)), None)
