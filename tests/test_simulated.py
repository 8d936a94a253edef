"""The simulated extractor: random but valid answers, and a log of its calls."""

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.config import ExtractionConfig
from vitw_ray.extraction.answers import Answer, in_order
from vitw_ray.extraction.simulated import CALL_LOG, LABELS, TASKS, SimulatedExtractor
from vitw_ray.records import Conversation, Message

CONFIG = ExtractionConfig(extractor="simulated")


def talk(*contents, conversation_id="id"):
    roles = ("user", "assistant")
    return Conversation(
        conversation_id, tuple(Message(roles[n % 2], text) for n, text in enumerate(contents))
    )


@pytest.fixture(scope="module")
def answers():
    talks = [talk(f"question {n}", f"answer {n}") for n in range(10_000)]
    return [extracted.answer for extracted in in_order(SimulatedExtractor(CONFIG), talks)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.text(st.characters(exclude_categories=())), max_size=4), max_size=12),
    st.integers(1, 12),
)
def test_an_answer_depends_on_the_messages_and_not_on_the_batch(texts, size):
    talks = [talk(*contents, conversation_id=str(n)) for n, contents in enumerate(texts)]
    extractor = SimulatedExtractor(CONFIG)
    whole = in_order(extractor, talks)
    batches = [
        extracted
        for start in range(0, len(talks), size)
        for extracted in in_order(SimulatedExtractor(CONFIG), talks[start : start + size])
    ]
    assert whole == batches
    renamed = [talk(*contents, conversation_id="another") for contents in texts]
    assert whole == in_order(extractor, renamed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (talk("ab", "c"), talk("a", "bc")),
        (talk("a", "b"), talk("a", "b", "")),
        (Conversation("id", (Message("user", "a"),)), Conversation("id", (Message("tool", "a"),))),
    ],
)
def test_an_answer_depends_on_roles_and_on_message_boundaries(tmp_path, monkeypatch, one, other):
    monkeypatch.setenv(CALL_LOG, str(tmp_path))
    in_order(SimulatedExtractor(CONFIG), [one, other])
    first, second = "".join(file.read_text() for file in tmp_path.iterdir()).split()
    assert first != second


def test_every_answer_is_valid(answers):
    for answer in answers[:3000]:
        assert Answer.model_validate_json(answer.model_dump_json()) == answer


def test_every_label_and_task_of_the_catalogue_is_valid_and_unique():
    assert len(set(TASKS)) == len(TASKS) == 60
    assert len(set(LABELS)) == len(LABELS) == 122
    for task in TASKS:
        Answer(subjectivity=3, task=task)


def test_rates_are_near_the_published_ones(answers):
    subjective = [answer for answer in answers if answer.subjectivity >= 3]
    kinds = Counter(answer.response_type for answer in subjective)
    assert len(subjective) / len(answers) == pytest.approx(0.44, abs=0.02)
    assert kinds["strong_support"] / len(subjective) == pytest.approx(0.282, abs=0.03)
    assert kinds["no_values"] / len(subjective) == pytest.approx(0.357, abs=0.03)


def test_answers_of_levels_1_and_2_have_only_the_level(answers):
    for answer in answers:
        if answer.subjectivity < 3:
            assert answer == Answer(subjectivity=answer.subjectivity)
        else:
            assert answer.task in TASKS
            assert bool(answer.human_values) == (answer.response_type != "no_values")


def test_label_frequencies_decrease_with_rank_and_depend_on_tasks(answers):
    counts = Counter(value.label for answer in answers for value in answer.ai_values)
    assert counts[LABELS[0]] > 3 * counts[LABELS[9]] > 3 * counts[LABELS[99]] > 0
    with_task = [a for a in answers if a.task == TASKS[5]]
    favoured = LABELS[35]  # 7 x 5: the first of its three
    share = sum(any(v.label == favoured for v in a.ai_values) for a in with_task) / len(with_task)
    assert share > 5 * counts[favoured] / sum(a.subjectivity >= 3 for a in answers)


def test_tokens_are_a_quarter_of_the_characters_up_to_the_budget():
    config = ExtractionConfig(extractor="simulated", transcript_tokens=100)
    short, long, empty = in_order(
        SimulatedExtractor(config), [talk("x" * 41), talk("x" * 800), talk()]
    )
    assert (short.prompt_tokens, short.truncated_share) == (11, 0.0)
    assert (long.prompt_tokens, long.truncated_share) == (100, 0.5)
    assert (empty.prompt_tokens, empty.truncated_share) == (0, 0.0)
    assert short.output_tokens > 0


def test_it_sleeps_for_each_row():
    slow = SimulatedExtractor(
        ExtractionConfig(extractor="simulated", simulated_seconds_per_row=0.02)
    )
    started = time.perf_counter()
    in_order(slow, [talk(str(n)) for n in range(10)])
    assert time.perf_counter() - started >= 0.2


def test_the_call_log_has_one_line_per_row_and_one_file_per_extractor(tmp_path, monkeypatch):
    monkeypatch.setenv(CALL_LOG, str(tmp_path))
    one, other, idle = (SimulatedExtractor(CONFIG) for _ in range(3))
    in_order(one, [talk("a"), talk("b")])
    in_order(one, [talk("a")])
    in_order(other, [talk("c")])
    in_order(idle, [])
    lines = sorted(file.read_text().splitlines() for file in tmp_path.iterdir())
    assert sorted(map(len, lines)) == [1, 3]
    three = max(lines, key=len)
    assert three[0] == three[2] != three[1]
    assert all(len(bytes.fromhex(line)) == 16 for line in three)


def test_there_is_no_call_log_by_default(tmp_path, monkeypatch):
    monkeypatch.delenv(CALL_LOG, raising=False)
    monkeypatch.chdir(tmp_path)
    in_order(SimulatedExtractor(CONFIG), [talk("a")])
    assert not list(tmp_path.iterdir())
