"""Messages in every form: roles, parts, private reasoning, answers beside them, and branches."""

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.conversations.fields import RowRejected
from vitw_ray.conversations.shapes import parse, recognise_rows
from vitw_ray.conversations.thinking import without_thinking

ASKED = {"role": "user", "content": "Hello"}
TOLD = {"role": "assistant", "content": "Hi"}
SPOKEN = [("user", "Hello"), ("assistant", "Hi")]


def read(*messages, **beside):
    row = {"messages": list(messages), **beside}
    assert recognise_rows([row]).shape == "openai"
    return parse("openai", row)


def answered(content):
    """The assistant's content as it is read."""
    return read(ASKED, {"role": "assistant", "content": content}, TOLD)["messages"][1][1]


# --- roles

ROLES = {
    "user": "human prompter customer USER human1 User: you",
    "assistant": "gpt CHATBOT agent gemini llm model bot Assistant\u200b <|assistant|>",
    "system": "developer context latest_reminder instruction root operator",
    "tool": "tool_response tool_result toolResult function environment computer ipython",
}


@pytest.mark.parametrize(
    ("name", "role"), [(name, role) for role, names in ROLES.items() for name in names.split(" ")]
)
def test_role_names_of_logs_and_data_sets_are_known(name, role):
    row = read(ASKED, TOLD, {"role": name, "content": "More"})
    assert row["messages"][2][0] == role
    assert not row["repairs"]


@pytest.mark.parametrize("name", ["Assistant (gpt-4)", "AI Assistant"])
def test_a_role_with_a_remark_is_known(name):
    assert read(ASKED, TOLD, {"role": name, "content": "a"})["messages"][2] == ("assistant", "a")


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("tool_call", ("assistant", "[tool call]")),
        ("tool_calls", ("assistant", "[tool call]")),
        ("reasoning", ("assistant", "[thinking]")),
        ("thinking", ("assistant", "[thinking]")),
    ],
)
def test_a_role_that_is_no_speech_becomes_a_marker(name, turn):
    assert read(ASKED, {"role": name, "content": "secret"}, TOLD)["messages"][1] == turn


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("narrator", "role_unknown_narrator"),
        ("critic", "role_unknown_critic"),
        ("Maria", "role_unknown"),
        (None, "role_missing"),
        ("", "role_missing"),
        (7, "role_unknown"),
    ],
)
def test_an_unknown_role_is_marked_and_counted_and_no_name_of_a_person_is_shown(name, kind):
    row = read(ASKED, {"role": name, "content": "secret"}, TOLD)
    assert row["messages"][1] == ("system", "[other speaker]")
    assert row["repairs"] == {kind: 1}
    with pytest.raises(RowRejected) as rejected:
        parse("openai", {"messages": [ASKED, {"role": name, "content": "secret"}]})
    assert rejected.value.reason == kind


# --- parts


@pytest.mark.parametrize(
    ("content", "text", "odd"),
    [
        ([None, "a"], "[attachment]\na", 1),
        ([{"asset_pointer": "x"}, "a"], "[attachment]\na", 1),
        ([{"type": "hologram"}, "a"], "[attachment]\na", 1),
        ([{"type": "text", "text": None}, "a"], "[attachment]\na", 1),
        ([7, "a"], "[attachment]\na", 1),
        ({"text": "a"}, "a", 0),
        ({"content_type": "text", "parts": ["a", None]}, "a\n[attachment]", 1),
        ([{"type": "text", "text": {"value": "a", "annotations": []}}], "a", 0),
        ([{"type": "text", "content": "a"}], "a", 0),
        ([{"type": "step-start"}, {"type": "text", "text": "a"}], "a", 0),
        ([{"type": "tool-search", "state": "done"}, "a"], "[tool call]\na", 0),
        ([{"text": "x", "thought": True}, {"text": "a"}], "[thinking]\na", 0),
        ([{"functionCall": {"name": "f"}}, {"text": "a"}], "[tool call]\na", 0),
        ([{"inlineData": {"mimeType": "x"}}, {"text": "a"}], "[attachment]\na", 0),
    ],
)
def test_parts_become_text_or_a_marker_and_only_odd_ones_are_counted(content, text, odd):
    row = read({"role": "user", "content": content}, TOLD)
    assert row["messages"][0] == ("user", text)
    assert row["repairs"] == Counter({"part_unknown": odd} if odd else {})


@pytest.mark.parametrize("content", ["", None, []])
@pytest.mark.parametrize("key", ["parts", "text", "value"])
def test_text_beside_an_empty_content_is_read(key, content):
    words = [{"type": "text", "text": "Hello"}] if key == "parts" else "Hello"
    assert read({"role": "user", "content": content, key: words}, TOLD)["messages"] == SPOKEN


NO_CALLS = [
    *(None, [], {}, "", "[]", "null", "{}", [None], [{"id": None, "type": "function"}]),
    *({"name": None, "arguments": None}, [{"function": {"name": None, "arguments": None}}]),
]


@pytest.mark.parametrize("key", ["tool_calls", "function_call"])
@pytest.mark.parametrize("calls", NO_CALLS)
def test_a_call_of_nulls_is_no_call(key, calls):
    assert read(ASKED, {**TOLD, key: calls})["messages"] == SPOKEN


@pytest.mark.parametrize("calls", [[{"id": "x"}], '[{"name": "f"}]', {"function": {"name": "f"}}])
def test_a_call_of_a_tool_is_marked(calls):
    assert read(ASKED, {**TOLD, "tool_calls": calls})["messages"][1][1] == "Hi\n[tool call]"


def test_an_entry_that_is_no_message_is_left_out_and_counted():
    row = read(ASKED, None, "Hm", TOLD, ASKED, TOLD)
    assert (row["messages"], row["repairs"]) == (SPOKEN * 2, {"message_unreadable": 2})


# --- private reasoning


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("<think>\nI lie.\n</think>\n\nYes.", "[thinking]\n\nYes."),
        ("<thinking>I lie.</thinking>Yes.", "[thinking]Yes."),
        ("<Reasoning>\nI lie.\n</reasoning>\nYes.", "[thinking]\nYes."),
        ("<thought>I lie.</thought> Yes.", "[thinking] Yes."),
        ("So:\n<think>I lie.</think>\nYes.", "So:\n[thinking]\nYes."),
        ("<think>One.</think><think>Two.</think>Yes.", "[thinking][thinking]Yes."),
        ("Yes.\n<think>I lie, and", "Yes.\n[thinking]"),
        ("I lie.\n</think>\n\nYes.", "[thinking]\n\nYes."),
        ("[THINK]I lie.[/THINK]Yes.", "[thinking]Yes."),
        ("◁think▷I lie.◁/think▷Yes.", "[thinking]Yes."),
        ("<|begin_of_thought|>I lie.<|end_of_thought|>Yes.", "[thinking]Yes."),
        ('<details type="reasoning" done="true">\n> I lie.\n</details>\nYes.', "[thinking]\nYes."),
        ('<details type="tool_calls" done="true">x</details>\nYes.', "[tool call]\nYes."),
        (":::thinking\nI lie.\n:::\nYes.", "[thinking]\nYes."),
        (
            "<|channel|>analysis<|message|>I lie.<|end|><|start|>assistant<|channel|>final"
            "<|message|>Yes.<|return|>",
            "[thinking]\nYes.",
        ),
        (
            "<|channel|>analysis<|message|>I lie.<|end|><|start|>assistant<|channel|>commentary "
            "to=functions.f <|constrain|>json<|message|>{}<|call|>",
            "[thinking]\n[tool call]",
        ),
        ("<|channel|>analysis<|message|>I lie, and", "[thinking]"),
        ("analysisI lie.assistantfinalYes.", "[thinking]\nYes."),
    ],
)
def test_private_reasoning_becomes_a_marker(text, read_as):
    assert answered(text) == read_as


@pytest.mark.parametrize(
    "text",
    [
        "The tag `<think>` opens it, and `</think>` closes it.",
        "Models write <think> before they answer.",
        "```xml\n<think>\nreasoning\n</think>\n```\nThat is the format.",
        "I think <b>so</b>, with [reasoning].",
        "analysis of the final assistant",
        "a < b and b > c: think about it",
    ],
)
def test_an_answer_about_such_tags_is_left_alone(text):
    assert answered(text) == text


def test_only_what_the_assistant_writes_is_looked_at():
    question = "<think>I am the user</think> Hello"
    assert read({"role": "user", "content": question}, TOLD)["messages"][0] == ("user", question)


PIECES = st.sampled_from(
    [
        *("<think>", "</think>", "\n", "words ", "```", "<|channel|>", "<|message|>", "analysis"),
        *("final", ":::thinking", ":::", "[THINK]", "[/THINK]", "<details ", 'type="reasoning">'),
    ]
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_any_mixture_of_tags_gives_text(text):
    assert isinstance(without_thinking(text), str)


@pytest.mark.parametrize(
    "text",
    [
        "<think>" * 100_000,
        "x <think>" * 100_000,
        "\n<think>" * 100_000,
        "\n<think></think>" * 50_000,
        " " * 500_000 + "<think",
        "<|channel|>" * 50_000,
        "<|channel|>analysis" * 30_000,
        "</think>" * 100_000,
        "<details " * 50_000,
        "```\n<think>" * 50_000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_a_hostile_text_costs_no_more_than_its_length(text):
    started = time.process_time()
    without_thinking(text)
    assert time.process_time() - started < 2.0


# --- answers beside the messages

ANSWERS = [
    "Hi",
    {"role": "assistant", "content": "Hi"},
    [{"role": "assistant", "content": "Hi"}],
    [ASKED, TOLD],
    {"choices": [{"index": 0, "message": TOLD}]},
    [{"message": TOLD}],
    [{"text": "Hi"}],
    {"content": [{"type": "text", "text": "Hi"}], "type": "message"},
    {"body": {"choices": [{"message": TOLD}]}},
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}}]},
    {"generations": [[{"text": "Hi"}]]},
    '{"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}',
    ["Hi", "Another candidate"],
]


@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
@pytest.mark.parametrize("column", ["response", "choices", "completion", "output", "chosen"])
def test_an_answer_beside_the_messages_is_the_last_turn(column, answer):
    assert read(ASKED, **{column: answer})["messages"] == SPOKEN


def test_an_answer_is_not_read_twice():
    assert read(ASKED, TOLD, response="Hi")["messages"] == SPOKEN
    assert read(ASKED, TOLD, response="Something else")["messages"] == SPOKEN


@pytest.mark.parametrize("answer", [None, "", [], {}, 8.5, True, [None], {"score": 1}, [[[]]]])
def test_without_an_answer_that_can_be_read_there_is_no_conversation(answer):
    with pytest.raises(RowRejected) as rejected:
        read(ASKED, response=answer)
    assert rejected.value.reason == "no_assistant_turn"


@pytest.mark.parametrize("text", ['{"output": "x"}', '["a", "b"]', "[1] is a source", "{}"])
def test_an_answer_that_is_itself_json_is_the_answer(text):
    assert read(ASKED, response=text)["messages"][1] == ("assistant", text)


TEMPLATES = {
    "ChatML": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
    "<|im_start|>assistant\n",
    "Llama 3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "Gemma": "<bos><start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n",
    "Llama 2": "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nHello [/INST]",
    "Zephyr": "<|user|>\nHello<|end|>\n<|assistant|>\n",
    "Human and Assistant": "\n\nHuman: Hello\n\nAssistant:",
    "plain": "Hello",
}


@pytest.mark.parametrize("prompt", TEMPLATES.values(), ids=TEMPLATES)
def test_the_chat_template_of_a_prompt_is_taken_apart(prompt):
    row = {"prompt": prompt, "response": "Hi"}
    assert recognise_rows([row]).shape == "prompt-response"
    messages = parse("prompt-response", row)["messages"]
    assert [(role, text.strip()) for role, text in messages if role != "system"] == SPOKEN


@pytest.mark.parametrize(
    "prompt",
    [
        "What do [INST] and [/INST] mean?",
        "Explain <|im_start|>user\nHello<|im_end|>",
        '[{"a": 1}]',
        '{"question": "Hello"}',
        "Human: a word for a person",
    ],
)
def test_a_prompt_about_templates_or_in_json_is_one_turn_of_the_user(prompt):
    row = parse("prompt-response", {"prompt": prompt, "response": "Hi"})
    assert row["messages"] == [("user", prompt), ("assistant", "Hi")]


# --- branches


def linked(*links, **beside):
    """Messages with ids and parents: `("b", "a", "user", "Hello")`."""
    messages = [
        {"id": name, "parentId": parent, "role": role, "content": text}
        for name, parent, role, text in links
    ]
    return read(*messages, **beside)


def test_the_newest_branch_of_linked_messages_is_read():
    row = linked(
        ("a", None, "user", "Hello"),
        ("b", "a", "assistant", "Go away"),
        ("c", "a", "assistant", "Hi"),
    )
    assert (row["messages"], row["regenerated"]) == (SPOKEN, 1)


def test_messages_with_ids_and_no_links_are_a_list():
    row = linked(("a", None, "user", "Hello"), ("b", None, "assistant", "Hi"))
    assert (row["messages"], row["regenerated"]) == (SPOKEN, 0)


def test_a_circle_of_messages_ends_and_is_counted():
    row = linked(("a", "b", "user", "Hello"), ("b", "a", "assistant", "Hi"))
    assert sorted(row["messages"]) == sorted(SPOKEN)
    assert row["repairs"] == {"tree_broken": 1}


def test_the_branch_with_a_root_is_preferred_to_one_that_broke():
    row = linked(
        ("a", None, "user", "Hello"),
        ("b", "a", "assistant", "Hi"),
        ("y", "lost", "user", "Bye"),
        ("z", "y", "assistant", "Go"),
    )
    assert (row["messages"], row["repairs"]) == (SPOKEN, {})


def test_a_long_chain_is_followed_in_linear_time():
    links = [
        (str(n), str(n - 1) if n else None, "assistant" if n % 2 else "user", "x")
        for n in range(50_000)
    ]
    started = time.process_time()
    assert len(linked(*links)["messages"]) == 50_000
    assert time.process_time() - started < 5.0
