"""A transcript respects its budget, keeps head and tail, and reports what it cut."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.inference.transcript import MARKER, estimate, transcript
from vitw_ray.records import Message


def words(text: str) -> int:
    return len(text.split())


texts = st.one_of(
    st.text(max_size=400),
    st.lists(st.sampled_from(["One two.", "Why?", "longword" * 20, "\n", "天地。"])).map(" ".join),
)
turns = st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), texts), max_size=8)
budgets = st.integers(0, 300)
counters = st.sampled_from([estimate, words, len])


def tokens(messages, count) -> int:
    return sum(count(message.content) for message in messages)


@given(turns, budgets, counters)
def test_the_budget_is_never_exceeded(messages, budget, count):
    assert tokens(transcript(messages, budget, count).messages, count) <= budget


@given(turns, budgets, counters)
def test_a_conversation_is_unchanged_exactly_if_it_fits(messages, budget, count):
    result = transcript(messages, budget, count)
    fits = tokens(messages, count) <= budget
    assert (result.messages == tuple(messages)) == fits
    assert (result.truncated_share == 0.0) == fits


def holds(content: str, pieces: list[str]) -> bool:
    position = 0
    for piece in pieces:
        position = content.find(piece, position)
        if position < 0:
            return False
        position += len(piece)
    return True


@given(turns, budgets, counters)
def test_the_remaining_text_is_in_the_original_in_order_and_with_its_role(messages, budget, count):
    originals = iter(messages)
    for message in transcript(messages, budget, count).messages:
        pieces = [piece.strip("\n") for piece in message.content.split(MARKER)]
        assert any(m.role == message.role and holds(m.content, pieces) for m in originals)


@given(turns, st.integers(20, 300))
def test_a_cut_is_marked_where_it_was_made(messages, budget):
    result = transcript(messages, budget)
    marks = sum(message.content.count(MARKER) for message in result.messages)
    assert (marks > 0) == (result.truncated_share > 0)
    assert marks <= 2


@given(st.integers(40, 400), st.integers(1, 40))
def test_most_of_the_budget_is_used(budget, words_per_turn):
    messages = [Message("user", "Say it. " * words_per_turn)] * 400
    assert tokens(transcript(messages, budget, words).messages, words) >= 0.75 * budget


def test_the_middle_is_cut_first_and_its_share_is_reported():
    messages = [Message("user", f"turn {i} has six words here") for i in range(100)]
    result = transcript(messages, 63, words)
    assert [m.content for m in result.messages[:5]] == [m.content for m in messages[:5]]
    assert [m.content for m in result.messages[-4:]] == [m.content for m in messages[-4:]]
    assert result.truncated_share == pytest.approx(1 - 60 / 600, abs=0.02)


def test_a_turn_is_cut_between_sentences():
    text = " ".join(f"This is sentence number {i}." for i in range(200))
    (message,) = transcript([Message("user", text)], 100).messages
    head, tail = message.content.split(f"\n{MARKER}\n")
    assert head.startswith("This is sentence number 0.")
    assert head.endswith(".")
    assert tail.startswith("This is sentence number")
    assert tail.endswith("number 199.")


def test_a_turn_without_sentences_is_cut_between_words():
    (message,) = transcript([Message("user", "alpha beta gamma " * 500)], 50).messages
    assert set(message.content.replace(MARKER, "").split()) == {"alpha", "beta", "gamma"}


def test_nothing_remains_when_not_even_the_marker_fits():
    result = transcript([Message("user", "words " * 50)], 1)
    assert (result.messages, result.truncated_share) == ((), 1.0)


@pytest.mark.parametrize("text", ["word " * 1_000_000, "x" * 5_000_000, "。\n" * 1_250_000])
def test_five_megabytes_in_one_turn_take_less_than_a_second(text):
    start = time.perf_counter()
    transcript([Message("user", text)], 4096)
    assert time.perf_counter() - start < 1.0


def test_the_tokens_of_a_huge_turn_are_counted_only_once():
    """A real tokenizer takes a second for megabytes; the search must not count them again."""
    asked = []

    def counting(text: str) -> int:
        asked.append(len(text))
        return estimate(text)

    transcript([Message("user", "word " * 1_000_000)], 4096, counting)
    assert sum(asked) < 1.2 * 5_000_000


@settings(max_examples=20)
@given(st.text(alphabet="ab .", min_size=1000, max_size=5000), st.integers(20, 200))
def test_a_non_monotonic_counter_still_respects_the_budget(text, budget):
    def wavering(part: str) -> int:
        return estimate(part) + (len(part) % 3 == 0)

    result = transcript([Message("user", text)], budget, wavering)
    assert tokens(result.messages, wavering) <= budget


def tool_log(steps: int, calls: int) -> list[Message]:
    """An agent's log: each step a question, calls of tools with their results, and an answer."""
    step = [Message("user", "Is it fair to our users? Please look at the next file.")]
    for _ in range(calls):
        step += [Message("assistant", "[tool call]"), Message("tool", "[tool message]")]
    return [*step, Message("assistant", "It is honest, and could be kinder to them.")] * steps


@given(st.integers(1, 40), st.integers(0, 40), counters)
def test_marks_of_tools_cost_no_speech_and_at_most_a_twentieth(steps, calls, count):
    messages = tool_log(steps, calls)
    speech = [m for m in messages if not m.content.startswith("[")]
    budget = max(100, int(tokens(speech, count) * 1.06) + 20)
    result = transcript(messages, budget, count)
    assert [m for m in result.messages if not m.content.startswith("[")] == speech
    marks = [m for m in result.messages if m.content.startswith("[")]
    assert result.truncated_share == 0.0
    if tuple(messages) != result.messages:
        assert tokens(marks, count) <= budget / 20


def test_marks_are_merged_and_counted_where_a_transcript_is_too_long():
    log = [*tool_log(1, 12), Message("user", "And now? " * 40)]
    contents = [m.content for m in transcript(log, 150, estimate).messages]
    assert contents[1] == "[12 tool calls]"
    parts = Message("assistant", "I look.\n[tool call]\n[tool call]\nDone. " + "word " * 300)
    (message,) = transcript([parts], 100, words).messages
    assert message.content.startswith("I look.\n[2 tool calls]\nDone.")


def test_a_conversation_of_marks_alone_has_a_transcript_within_the_budget():
    log = [Message("assistant", "[tool call]"), Message("tool", "[tool message]")] * 50_000
    result = transcript(log, 64)
    assert tokens(result.messages, estimate) <= 64
