"""Answers that were logged as they came are joined, and of several answers the first is read."""

import json

import pytest

from vitw_ray.conversations.shapes import parse

ASKED = [{"role": "user", "content": "Is it fair?"}]
SAID = "It is, and kind."
PIECES = ["It is,", " and", " kind."]


def chunk(delta, index=0, **more):
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": index, "delta": delta, **more}],
    }


CHUNKS = [
    chunk({"role": "assistant", "content": ""}),
    *(chunk({"content": piece}) for piece in PIECES),
    chunk({"content": "another choice"}, index=1),
    chunk({}, finish_reason="stop"),
    {"choices": [], "usage": {"total_tokens": 9}},
]
ANTHROPIC = [
    {"type": "message_start", "message": {"role": "assistant", "content": [], "model": "m"}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    *(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        for piece in PIECES
    ),
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    {"type": "message_stop"},
]
RESPONSES = [
    {"type": "response.created", "response": {"id": "r"}},
    *({"type": "response.output_text.delta", "delta": piece} for piece in PIECES),
    {"type": "response.completed", "response": {"id": "r"}},
]
OLLAMA = [
    *(
        {"model": "m", "message": {"role": "assistant", "content": p}, "done": False}
        for p in PIECES
    ),
    {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True},
]
GENERATED = [*({"response": piece, "done": False} for piece in PIECES), {"done": True}]


def events(chunks, named=False):
    names = [f"event: {c['type']}\n" if named else "" for c in chunks]
    told = [f"{n}data: {json.dumps(c)}\n\n" for n, c in zip(names, chunks, strict=True)]
    return ": keep-alive\n\n".join(["data: " + told[0].split("data: ")[1], *told[1:]])


STREAMS = {
    "chunks": CHUNKS,
    "chunks as text": [json.dumps(chunk) for chunk in CHUNKS],
    "lines of events": ["data: " + json.dumps(chunk) for chunk in CHUNKS] + ["data: [DONE]"],
    "events": events(CHUNKS) + "data: [DONE]\n\n",
    "Anthropic": ANTHROPIC,
    "Anthropic's events": events(ANTHROPIC, named=True),
    "Responses": RESPONSES,
    "Ollama's chat": OLLAMA,
    "Ollama's generate": GENERATED,
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_streamed_answer_is_one_message(name):
    row = parse("openai", {"messages": ASKED, "response": STREAMS[name]})
    assert row["messages"] == [("user", "Is it fair?"), ("assistant", SAID)]
    assert row["repairs"] == {}


def test_reasoning_and_calls_of_a_stream_are_marks():
    chunks = [
        chunk({"reasoning_content": "He wants to hear yes."}),
        chunk({"content": SAID}),
        chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}),
    ]
    row = parse("openai", {"messages": ASKED, "response": chunks})
    assert row["messages"][1] == ("assistant", f"[thinking]\n{SAID}\n[tool call]")


@pytest.mark.parametrize(
    "text", ["data: is what I have", "data: {", "data:\ndata: 5", "Say data: {}", "event: none"]
)
def test_a_text_about_events_is_a_text(text):
    row = parse("openai", {"messages": ASKED, "response": text})
    assert row["messages"][1] == ("assistant", text)


def test_a_stream_that_says_nothing_is_no_answer():
    with pytest.raises(Exception, match="no_assistant_turn"):
        parse("openai", {"messages": ASKED, "response": CHUNKS[:1]})


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_of_several_choices_the_first_by_number_is_read_and_the_others_counted(order):
    said = {0: SAID, 1: "No.", 2: "Perhaps."}
    choices = [{"index": n, "message": {"role": "assistant", "content": said[n]}} for n in order]
    row = parse("openai", {"messages": ASKED, "choices": choices})
    assert row["messages"][1] == ("assistant", SAID)
    assert row["repairs"] == {"further_candidate": 2}
