"""Turns of rows that record calls of a model: what was sent, and what came back."""

import re
from typing import Any

from vitw_ray.conversations.answers import with_answer
from vitw_ray.conversations.exports import Told
from vitw_ray.conversations.fields import Raw, Repairs, RowRejected, Turn
from vitw_ray.conversations.messages import read_turns, said
from vitw_ray.conversations.paths import at, opened_json


def cohere(raw: Raw, repairs: Repairs) -> Told:
    """A request to Cohere's chat: the history, the user's new message, and the answer."""
    history = opened_json(raw.get("chat_history"))
    turns = read_turns(history, repairs) if isinstance(history, list) else []
    message = raw.get("message")
    if isinstance(message, str) and message:
        turns.append(said("user", message, repairs))
    return Told(with_answer(turns, raw.get("response") or raw.get("text"), repairs))


def gemini(raw: Raw, repairs: Repairs) -> Told:
    """A request to the Gemini API, where a content without a role is the user's."""
    contents = at(raw, ("contents",)) or at(raw, ("request", "contents"))
    contents = opened_json(contents)
    if isinstance(contents, str):
        contents = [{"parts": [{"text": contents}]}]
    if not isinstance(contents, list):
        raise RowRejected("messages_missing" if contents is None else "messages_wrong_type")
    named = [
        {**content, "role": content.get("role") or "user"} if isinstance(content, dict) else content
        for content in contents
    ]
    answer = raw.get("response") or raw.get("candidates")
    return Told(with_answer(read_turns(named, repairs), answer, repairs))


def batch(raw: Raw, repairs: Repairs) -> Told:
    """A line of a batch's input joined with the line of its output, of OpenAI or Anthropic."""
    rows = [row for row in raw.get("messages", [raw]) if isinstance(row, dict)]
    sent = (row.get(name) for row in rows for name in ("body", "params"))
    asked = next((value for value in sent if isinstance(value, dict)), {})
    came = (row.get(name) for row in rows for name in ("response", "result"))
    told = next((value for value in came if value), None)
    messages = opened_json(asked.get("messages") or asked.get("input"))
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    turns = read_turns(messages, repairs) if isinstance(messages, list) else []
    models = (at(told, (name, "model")) for name in ("body", "message"))
    model = next(filter(None, models), None) or asked.get("model")
    account = asked.get("user") or at(asked, ("metadata", "user_id"))
    return Told(with_answer(turns, told, repairs), fields={"model": model, "account": account})


def otel_span(raw: Raw, repairs: Repairs) -> Told:
    """A span of OpenTelemetry's GenAI conventions: the messages that went in and came out.

    They are attributes of the span or of one of its events; in an older convention, each message
    is an event.
    """
    attributes, events = _attributes(raw.get("attributes")), raw.get("events")
    events = [e for e in events if isinstance(e, dict)] if isinstance(events, list) else []
    of_events = [(event.get("name"), _attributes(event.get("attributes"))) for event in events]
    if raw.get("attributes") is None and not of_events:
        raise RowRejected("messages_missing")
    found = dict(attributes)
    for _, more in of_events:
        found = {**more, **found}
    turns: list[Turn] = []
    for keys in _MESSAGES:
        messages = opened_json(next((found[key] for key in keys if found.get(key)), None))
        turns += read_turns(messages, repairs) if isinstance(messages, list) else []
    if turns and isinstance(found.get(_TEXT), str):  # the AI SDK's answer is a text
        turns.append(said("assistant", found[_TEXT], repairs))
    turns = turns or [*_numbered(attributes, repairs)] or [*_evented(of_events, repairs)]
    if not turns:
        raise RowRejected("messages_missing")
    names = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name")
    fields = {
        "model": next((attributes[name] for name in names if attributes.get(name)), None),
        "conversation_id": attributes.get("gen_ai.conversation.id"),
        "account": attributes.get("user.id") or attributes.get("enduser.id"),
    }
    return Told(turns, fields={name: value for name, value in fields.items() if value is not None})


_MESSAGES = (
    ("gen_ai.input.messages", "gen_ai.prompt", "ai.prompt.messages"),
    ("gen_ai.output.messages", "gen_ai.completion"),
)
_TEXT = "ai.response.text"
_MOST_WITHIN = 8  # ours: levels of lists and objects of an attribute; parts of a message have four


def _attributes(value: Any) -> dict[str, Any]:
    """Attributes by name, which OTLP writes as a list of keys and typed values."""
    if isinstance(value, list):
        pairs = [a for a in value if isinstance(a, dict) and isinstance(a.get("key"), str)]
        return {a["key"]: _otel_value(a.get("value"), _MOST_WITHIN) for a in pairs}
    return value if isinstance(value, dict) else {}


def _otel_value(value: Any, levels: int) -> Any:
    if not isinstance(value, dict) or not value or not levels:
        return None if isinstance(value, dict) else value
    ((kind, held),) = [*value.items()][:1]
    within = held.get("values") if isinstance(held, dict) else None
    within = within if isinstance(within, list) else []
    if kind in ("arrayValue", "array_value"):
        return [_otel_value(one, levels - 1) for one in within]
    if kind in ("kvlistValue", "kvlist_value"):
        pairs = [a for a in within if isinstance(a, dict) and isinstance(a.get("key"), str)]
        return {a["key"]: _otel_value(a.get("value"), levels - 1) for a in pairs}
    return held


def _numbered(attributes: Raw, repairs: Repairs) -> list[Turn]:
    """Messages of an older convention: `gen_ai.prompt.0.role`, `gen_ai.prompt.0.content`.

    OpenInference writes `llm.input_messages.0.message.role`.
    """
    turns: list[Turn] = []
    for side, within in _NUMBERED:
        number = 0
        while (role := attributes.get(f"{side}.{number}.{within}role")) is not None:
            content = attributes.get(f"{side}.{number}.{within}content")
            turns += read_turns([{"role": role, "content": content}], repairs)
            number += 1
    return turns


_NUMBERED = (
    *(("gen_ai.prompt", ""), ("gen_ai.completion", "")),
    *(("llm.input_messages", "message."), ("llm.output_messages", "message.")),
)


def _evented(events: list[tuple[Any, dict[str, Any]]], repairs: Repairs) -> list[Turn]:
    """Messages of an older convention: `gen_ai.user.message` with `content`, `gen_ai.choice`."""
    turns: list[Turn] = []
    for name, attributes in events:
        name = name or attributes.get("event.name")
        spoken = _EVENT.fullmatch(name) if isinstance(name, str) else None
        if spoken is None:
            continue
        message = opened_json(attributes.get("message"))
        message = message if isinstance(message, dict) else attributes
        content = message.get("content")
        role = spoken[1] or "assistant"
        turns += read_turns([{"role": role, "content": content}], repairs) if content else []
    return turns


_EVENT = re.compile(r"gen_ai\.(?:(system|user|assistant|tool)\.message|choice)")
