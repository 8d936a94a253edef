"""From what a model writes to an answer or an error row."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_model import FULL, ScriptedModel, answered, completion

from vitw_ray.config import ExtractionConfig
from vitw_ray.extraction.answers import Answer, Extracted
from vitw_ray.extraction.asking import as_values, extract_one
from vitw_ray.extraction.questions import questions_for
from vitw_ray.facets import FACETS
from vitw_ray.inference.language_model import ModelFailure, Reading
from vitw_ray.inference.parsing import InvalidAnswer, parse
from vitw_ray.inference.question import FENCE, conversation_turns, opening, turn_mark
from vitw_ray.records import Message

MESSAGES = (
    Message("user", "I miss my sister. Family comes first, doesn't it?"),
    Message("assistant", "Then visit her.   Being there matters more than the job."),
)
ONE_PASS = questions_for(ExtractionConfig(questions="one_pass"))
SEPARATE = questions_for(ExtractionConfig(questions="separate"))
(ONE,) = ONE_PASS.first


def extracted(reply, questions=ONE_PASS, gate=3) -> tuple[Extracted, list]:
    model = ScriptedModel(reply)
    found = asyncio.run(extract_one(model, model.read(MESSAGES), questions, gate))
    return found, model.asked


def test_one_pass_asks_once_and_keeps_what_it_cost():
    found, asked = extracted(lambda *_: answered())
    assert asked == [("one_pass", 0)]
    assert found.answer is not None
    assert found.answer.task == "decide about a move"
    assert (found.prompt_tokens, found.output_tokens, found.cached_tokens) == (100, 10, 64)
    assert found.truncated_share == 0.25


def test_a_gated_answer_ends_at_its_level():
    found, _ = extracted(lambda *_: answered({"subjectivity": 2}))
    assert found.answer == Answer(subjectivity=2)


def test_the_gate_is_part_of_the_form():
    for gate in (1, 2, 3, 4):
        (question,) = questions_for(
            ExtractionConfig(questions="one_pass", subjective_from=gate)
        ).first
        for level in (1, 2, 3, 4):
            full = {**FULL, "subjectivity": level}
            wanted, other = (full, {"subjectivity": level})
            if level < gate:
                wanted, other = other, wanted
            assert parse(json.dumps(wanted), question)["subjectivity"] == level
            with pytest.raises(InvalidAnswer):
                parse(json.dumps(other), question)


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_separate_questions_follow_only_from_the_gate_on(level):
    def reply(reading, question, attempt):
        return answered({question.name: {**FULL, "subjectivity": level}[question.name]})

    found, asked = extracted(reply, SEPARATE)
    names = ["subjectivity", *(facet.field for facet in FACETS if level >= 3)]
    assert [name for name, _ in asked] == names
    assert found.prompt_tokens == 100 * len(names)
    assert found.answer is not None
    assert (found.answer.response_type is None) == (level < 3)


def test_what_is_no_answer_is_asked_again_once_and_then_an_error():
    for text, cut, code in (
        ("I would rather not.", False, "invalid_answer"),
        ('{"subjectivity": 3, "task": "deci', True, "cut_answer"),
        ('{"subjectivity": 9}', False, "invalid_answer"),
        ("[1, 2]", False, "invalid_answer"),
        ("", False, "invalid_answer"),
    ):
        found, asked = extracted(lambda *_, text=text, cut=cut: completion(text, cut=cut))
        assert (found.answer, found.error) == (None, code)
        assert [attempt for _, attempt in asked] == [0, 1]
        assert found.prompt_tokens == 200  # both attempts are paid for


def test_a_second_attempt_that_succeeds_is_an_answer():
    found, _ = extracted(
        lambda _r, _q, attempt: answered() if attempt else completion("{", cut=True)
    )
    assert found.error is None
    assert found.answer is not None


def test_a_failure_of_the_model_is_an_error_row_with_its_code():
    def reply(reading, question, attempt):
        raise ModelFailure("time_out")

    assert extracted(reply)[0] == Extracted(None, "time_out", truncated_share=0.25)


def test_one_failed_separate_question_fails_the_row_after_all_have_ended():
    def reply(reading, question, attempt):
        if question.name == "task":
            raise ModelFailure("refused")
        return answered({question.name: FULL[question.name]})

    found, asked = extracted(reply, SEPARATE)
    assert (found.answer, found.error) == (None, "refused")
    assert len(asked) == 1 + len(FACETS)


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("Honesty", "honesty"),
        ("Self-Reliance (financial)", "self-reliance financial"),
        ("café_culture", "cafe culture"),
        ("  spare   words ", "spare words"),
        ("respect for the many people who came before us", "respect for the many people who came"),
    ],
)
def test_a_label_that_is_nearly_in_the_alphabet_is_brought_there(written, label):
    fields = {**FULL, "ai_values": [{"label": written, "explicit": False}]}
    (value,) = parse(json.dumps(fields), ONE)["ai_values"]
    assert value["label"] == label


def test_what_is_valid_as_it_stands_is_not_lost_by_tidying():
    fields = {**FULL, "task": "chap ", "ai_values": [{"label": "a-", "explicit": False}]}
    assert parse(json.dumps(fields), ONE)["task"] == "chap "


@pytest.mark.parametrize("written", ["", "7", "正直", "!!", "x"])
def test_a_label_of_no_words_makes_the_answer_invalid(written):
    fields = {**FULL, "ai_values": [{"label": written, "explicit": False}]}
    with pytest.raises(InvalidAnswer):
        parse(json.dumps(fields), ONE)


def test_an_object_in_a_fence_or_a_sentence_is_found():
    for text in ("```json\n%s\n```", "Sure: %s Done.", "\n\n%s"):
        assert parse(text % json.dumps(FULL), ONE)["subjectivity"] == 4


def test_unknown_and_missing_fields_are_refused():
    for fields in ({**FULL, "mood": 1}, {k: v for k, v in FULL.items() if k != "task"}):
        with pytest.raises(InvalidAnswer):
            parse(json.dumps(fields), ONE)


@given(st.text(max_size=200).filter(lambda text: "{" not in text))
def test_text_without_an_object_raises_nothing_but_an_invalid_answer_that_says_nothing(text):
    for question in (*ONE_PASS.all, *SEPARATE.all):
        with pytest.raises(InvalidAnswer, match=r"^$"):
            parse(text, question)


def test_a_quote_grounds_a_value_in_its_speakers_words_only():
    def values(quote, role):
        found = [{"label": "family", "explicit": True, "quote": quote}]
        return as_values(found, MESSAGES, role)[0].grounded

    assert values("family COMES first,  doesn\u2019t it", "user") is True
    assert values("Being there matters", "user") is False
    assert values("Being there matters", "assistant") is True
    assert values("ily comes", "user") is False  # no whole words
    assert values("", "user") is False
    (value,) = as_values([{"label": "family", "explicit": True}], MESSAGES, "user")
    assert value.grounded is None


def test_a_quote_in_a_script_without_spaces_is_found_within_its_sentence():
    spoken = (Message("user", "私は家族が一番大事だと思う"),)
    found = [{"label": "family", "explicit": True, "quote": "家族が一番大事"}]
    assert as_values(found, spoken, "user")[0].grounded is True


def test_a_label_counts_once():
    found = [{"label": "honesty", "explicit": explicit} for explicit in (True, False)]
    assert [value.explicit for value in as_values(found, MESSAGES, "user")] == [True]


def test_salience_and_evidence_are_asked_for_only_when_wanted():
    for salience in (False, True):
        for evidence in (False, True):
            config = ExtractionConfig(questions="one_pass", salience=salience, evidence=evidence)
            (question,) = questions_for(config).all
            marks = set(question.schema["$defs"]["value"]["properties"])
            wanted = {"label", "explicit"} | ({"salience"} if salience else set())
            assert marks == wanted | ({"quote"} if evidence else set())
            assert ("salience" in question.before) == salience
            assert ("`quote`" in question.before) == evidence


def test_the_explicit_only_question_replaces_the_definition_of_ai_values_alone():
    usual = ONE
    (only,) = questions_for(ExtractionConfig(questions="one_pass", explicit_only=True)).all
    assert "declares" in only.before
    assert "declares" not in usual.before
    lists = [q.schema["$defs"]["subjective"]["properties"]["ai_values"] for q in (only, usual)]
    assert [found.pop("minItems", 0) for found in lists] == [0, 1]  # a reply shows something
    assert lists[0] == lists[1]


def test_what_precedes_the_conversation_is_the_same_for_all_and_says_subjectivity_first():
    for question in (*ONE_PASS.all, *SEPARATE.all):
        assert opening(question).endswith(FENCE)
    assert next(iter(ONE.schema["$defs"]["subjective"]["properties"])) == "subjectivity"
    assert len({opening(question) for question in SEPARATE.all}) == 1  # the conversation is shared


@given(st.lists(st.sampled_from([FENCE, "[USER]", " [assistant]  ", "a", "", "| [USER]", "=="])))
def test_no_line_of_content_can_pass_for_a_mark_or_a_fence(lines):
    content = "\n".join(lines)
    ((mark, shown),) = conversation_turns([Message("user", content)])
    assert mark == turn_mark("user")
    for line in shown.split("\n"):
        assert not line.strip().startswith(FENCE)
        assert line.strip().upper() not in ("[USER]", "[ASSISTANT]", "[SYSTEM]", "[TOOL]")
    assert shown.replace("| ", "") == content.replace("| ", "")  # nothing else has changed


def test_reading_of_another_thing_has_no_messages():
    assert Reading(text="labels").messages == ()
