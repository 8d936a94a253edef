"""Rows as products write them, invented after their documentation, not by writers of the tests."""

import pytest
from test_shape_round_trip import read

from vitw_ray.conversations.shapes import recognise_rows

HI = [("user", "Hi"), ("assistant", "Hello")]
THOUGHT = [("user", "Hi"), ("assistant", "[thinking]\nHello")]
MILLISECONDS = {"$date": {"$numberLong": "1714564800000"}}


def stored(name, text, kind):
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": {"content": text, "type": kind}}


LANGSMITH = {
    "id": "run-1",
    "run_type": "llm",
    "start_time": "2025-01-02T03:04:05.123456",
    "extra": {"metadata": {"ls_model_name": "model-1", "user_id": "user-1"}},
    "inputs": {"messages": [[stored("HumanMessage", "Hi", "human")]]},
    "outputs": {
        "generations": [
            [
                {
                    "text": "Hello",
                    "generation_info": {"finish_reason": "stop"},
                    "type": "ChatGeneration",
                    "message": stored("AIMessage", "Hello", "ai"),
                }
            ]
        ],
        "llm_output": None,
    },
}
LANGFUSE = {
    "id": "observation-1",
    "traceId": "trace-1",
    "type": "GENERATION",
    "startTime": "2025-01-02T03:04:05.000Z",
    "model": "model-1",
    "input": [{"role": "user", "content": "Hi"}],
    "output": "Hello",
}


def deepseek(number, parent, child, **message):
    node = {"id": number, "parent": parent, "children": [child] if child else []}
    about = {"files": [], "model": "deepseek-chat", "inserted_at": "2025-02-01T10:00:00+08:00"}
    return node | {"message": about | message if message else None}


DEEPSEEK = {
    "id": "chat-1",
    "inserted_at": "2025-02-01T10:00:00+08:00",
    "updated_at": "2025-02-01T10:01:00+08:00",
    "mapping": {
        "root": deepseek("root", None, "1"),
        "1": deepseek("1", "root", "2", content="Hi", reasoning_content=None),
        "2": deepseek("2", "1", None, content="Hello", reasoning_content="I wonder."),
    },
}


def librechat(number, above, **message):
    about = {"conversationId": "chat-1", "user": "user-1", "createdAt": MILLISECONDS}
    return {"messageId": number, "parentMessageId": above, **about, **message}


NOBODY = "00000000-0000-0000-0000-000000000000"
ASKED = {"sender": "User", "text": "Hi", "isCreatedByUser": True, "model": None}
TOLD = {"sender": "GPT-4", "isCreatedByUser": False, "model": "model-1"}
LIBRECHAT_ROWS = [
    librechat("1", NOBODY, **ASKED),
    librechat("old", "1", text="An answer that was not wanted", **TOLD),
    librechat("2", "1", text="Hello", **TOLD),
]
LIBRECHAT = {
    "conversationId": "chat-1",
    "options": {"model": "model-1"},
    "messages": [
        librechat("1", NOBODY, **ASKED),
        librechat(
            "2",
            "1",
            text="",
            content=[{"type": "think", "think": "I wonder."}, {"type": "text", "text": "Hello"}],
            **TOLD,
        ),
    ],
}
MOSS = {"conversation_id": 7, "meta_instruction": "You are MOSS.", "num_turns": 11}
MANY = {
    f"turn_{n}": {"Human": f"<|Human|>: Hi {n}<eoh>\n", "MOSS": f"<|MOSS|>: Hello {n}<eom>\n"}
    for n in range(11, 0, -1)
}
PLAIN = "[Human]: Hi<eoh> [MOSS]: Hello<eoa>"

FORMATS = {
    "LangSmith": ([LANGSMITH], "langsmith", "run-1", "user-1", "model-1", HI),
    "Langfuse": ([LANGFUSE], "langfuse", "observation-1", None, "model-1", HI),
    "DeepSeek": ([DEEPSEEK], "deepseek-export", "chat-1", None, "deepseek-chat", HI),
    "LibreChat": ([LIBRECHAT], "librechat", "chat-1", None, "model-1", THOUGHT),
    "LibreChat's messages": (LIBRECHAT_ROWS, "message-rows", "chat-1", "user-1", "model-1", HI),
    "MOSS 002": ([MOSS | {"plain_text": PLAIN}], "moss", "7", None, None, HI),
    "MOSS 003": (
        [MOSS | {"chat": MANY}],
        *("moss", "7", None, None),
        [(role, f"{text} {n}") for n in range(1, 12) for role, text in HI],
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_read_as_its_product_writes_it(name):
    rows, shape, *fields, turns = FORMATS[name]
    assert recognise_rows(rows).shape == shape
    found = [row for row in read(shape, rows).values() if isinstance(row, dict)]
    assert len(found) == 1
    assert [found[0][key] for key in ("conversation_id", "account", "model")] == fields
    assert found[0]["messages"] == turns
    assert not found[0]["repairs"]
