"""The answer that stands beside a conversation's messages, as logs of an API write it."""

from typing import Any

from vitw_ray.conversations.fields import Repairs, Turn
from vitw_ray.conversations.messages import read_turns, said
from vitw_ray.conversations.paths import opened_json
from vitw_ray.conversations.streams import streamed

BESIDE = (
    "response choices completion response_body output outputs chosen answer generation generations "
    "candidates prediction model_output model_response response_text reply completions"
)
"""Columns that hold the answer to `messages`, in order of preference."""

_WITHIN = (
    *("choices", "candidates", "output", "outputs", "generations", "message", "body", "content"),
    *("kwargs", "data"),
)
_TEXTS = ("text", "output_text", "completion", "response", "answer", "value")
_REPLY_KEYS = frozenset(("choices", "candidates", "generations", "role"))
_MAX_DEPTH = 8  # ours: response.body.choices[0].message.content[0] has six levels


def is_answered(turns: list[Turn]) -> bool:
    """Whether the assistant has spoken last."""
    if not turns or turns[-1][0] != "assistant":
        return False
    text = turns[-1][1]
    return text != "" and not text.isspace()


def with_answer(turns: list[Turn], answer: Any, repairs: Repairs) -> list[Turn]:
    """The turns, and the answer as the last one where the assistant has not answered yet."""
    if answer is None or is_answered(turns):
        return turns
    said_after = answer_turns(answer, repairs)
    if said_after[: len(turns)] == turns:  # the answer repeats the question
        return said_after
    return turns + said_after


def answer_turns(answer: Any, repairs: Repairs) -> list[Turn]:
    """The turns of an answer: a text, a message, a list of messages, or the reply of an API."""
    value = answer
    for _ in range(_MAX_DEPTH):
        value = _reply(value)
        whole = streamed(value)
        if whole is not None:
            return read_turns([{"role": "assistant", **whole}], repairs)
        if isinstance(value, str):
            return [said("assistant", value, repairs)] if value.strip() else []
        if isinstance(value, list):
            if not value:
                return []
            if _are_messages(value):
                return read_turns(value, repairs)
            if isinstance(value[0], dict) and not _is_candidate(value[0]):
                return [said("assistant", value, repairs)]  # the parts of one message
            value = _first_candidate(value, repairs)
        elif isinstance(value, dict):
            if isinstance(value.get("role"), str) and ("content" in value or "parts" in value):
                return read_turns([value], repairs)
            key = next((key for key in (*_WITHIN, *_TEXTS) if value.get(key)), None)
            if key is None:
                return []
            value = value[key]
            if key == "content" and isinstance(value, list):
                return [said("assistant", value, repairs)]
            if key == "content" and isinstance(value, dict) and "parts" in value:
                return [said("assistant", value["parts"], repairs)]
        else:
            return []
    return []


def _reply(value: Any) -> Any:
    """The reply of an API that is written as JSON text; JSON that was the answer stays a text."""
    opened = opened_json(value)
    if isinstance(opened, dict) and not _REPLY_KEYS.isdisjoint(opened):
        return opened
    if isinstance(opened, list) and opened and _are_messages(opened):
        return opened
    return value


def _are_messages(values: list[Any]) -> bool:
    return all(
        isinstance(value, dict)
        and (
            isinstance(value.get("role") or value.get("from"), str)
            or (isinstance(value.get("type"), str) and value["type"] in _ITEMS)
        )
        for value in values
    )


_ITEMS = (
    *("message", "reasoning", "function_call", "web_search_call", "file_search_call"),
    *("computer_call", "code_interpreter_call", "mcp_call", "image_generation_call"),
)
"""Types of the items that an API's output is a list of."""


def _first_candidate(values: list[Any], repairs: Repairs) -> Any:
    """Of several candidates the first by its number; the others are counted."""
    others = [value for value in values[1:] if isinstance(value, dict)]
    if others:
        repairs["further_candidate"] += len(others)
    numbers = [value.get("index") if isinstance(value, dict) else None for value in values]
    known = [number for number in numbers if isinstance(number, int)]
    if others and len(known) == len(values):
        return values[known.index(min(known))]
    return values[0]


_GENERATIONS = (None, "Generation", "ChatGeneration", "ChatGenerationChunk")  # of LangChain


def _is_candidate(value: dict[str, Any]) -> bool:
    return value.get("type") in _GENERATIONS and any(
        value.get(key) for key in (*_WITHIN, *_TEXTS, "generation_info")
    )
