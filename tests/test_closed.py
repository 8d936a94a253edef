"""Closed answers: probabilities of codes, and decisions fitted to labelled conversations."""

import asyncio
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_model import ScriptedModel, completion
from sklearn.linear_model import LogisticRegression

from vitw_ray.config import ExtractionConfig
from vitw_ray.extraction.asking import as_values, extract_one, read_fully
from vitw_ray.extraction.closed import (
    CODES,
    LEVEL_CODES,
    PENALTY,
    RESPONSE_DECISIONS,
    Calibration,
    calibrate,
    fit_curve,
    held_out,
    plain_level,
    plain_response,
)
from vitw_ray.extraction.questions import questions_for
from vitw_ray.extraction.signs import examples_in
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.inference.choices import LOWEST, code_logprobs
from vitw_ray.records import Message

SHORT = questions_for(ExtractionConfig())
MESSAGES = (Message("user", "Should I move?"), Message("assistant", "Only you can know."))
VALUES = ["autonomy"]
OPEN = {"task": "decide about a move", "human_values": [], "ai_values": VALUES}


def test_the_codes_of_a_question_begin_differently():
    for codes in CODES.values():
        assert len({code[0] for code in codes}) == len(codes)


def test_the_probability_of_a_code_is_that_of_all_tokens_that_begin_it():
    tokens = [("ob", math.log(0.2)), (' "object', math.log(0.2)), ("sub", math.log(0.4))]
    tokens += [("x", math.log(0.1)), ("", math.log(0.1))]
    found = code_logprobs(("objective", "subjective"), tokens)
    assert np.exp(found) == pytest.approx([0.5, 0.5])


def test_a_code_that_no_token_begins_has_no_chance_and_no_tokens_say_nothing():
    assert code_logprobs(("no", "yes"), [("y", -0.1)]) == (LOWEST, 0.0)
    assert np.exp(code_logprobs(("no", "yes"), [])) == pytest.approx([0.5, 0.5])


def biased(score: float, bias: float) -> tuple[float, float]:
    """Log-probabilities of "no" and "yes" by a reader that prefers "yes"."""
    odds = score + bias
    return -math.log1p(math.exp(odds)), odds - math.log1p(math.exp(odds))


def rows_of(scores, bias) -> list[dict]:
    rows = []
    for score in scores:
        level = biased(score, bias)
        rating = [level[0] - math.log(2)] * 2 + [level[1] - math.log(2)] * 2
        yes_no = {name: level for name, codes in CODES.items() if len(codes) == 2}
        rows.append({"rating": rating, "stance": (*level[::-1], -9.0), **yes_no})
    return rows


def constant_reader(count=64, bias=6.0, seed=0):
    """Rows that a reader answers alike, though its probabilities order them; and the truth."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=count) * 2
    levels = [int(np.digitize(score, [-1.5, 0, 1.5])) + 1 for score in scores]
    types = ["strong_support" if score > 0 else "no_values" for score in scores]
    return rows_of(scores, bias), levels, types


def test_a_reader_whose_answers_are_constant_is_read_by_its_probabilities():
    rows, levels, types = constant_reader()
    assert {plain_level(row, 3) >= 3 for row in rows} == {True}
    fitted = calibrate(rows, levels, types)
    right = [
        (fitted.level(row, 3)[0] >= 3) == (level >= 3)
        for row, level in zip(rows, levels, strict=True)
    ]
    assert np.mean(right) > 0.95
    responses = [fitted.response_type(row) == kind for row, kind in zip(rows, types, strict=True)]
    assert np.mean(responses) > 0.95


def test_confidence_is_the_probability_of_the_side_that_was_chosen():
    fitted = calibrate(*constant_reader())
    for row in rows_of(np.linspace(-4, 4, 33), 6.0):
        level, confidence = fitted.level(row, 3)
        subjective = fitted.at_least[3].probability(row)
        assert confidence == pytest.approx(subjective if level >= 3 else 1 - subjective)
        assert 0.5 <= confidence <= 1


def test_a_curve_is_the_logistic_regression_of_the_mean_standardised_evidence():
    rows, levels, _ = constant_reader(seed=3)
    truth = [level >= 3 for level in levels]
    curve = fit_curve((("values", ("yes",)), ("resists", ("no",))), rows, truth)
    odds = np.array([row["values"][1] - row["values"][0] for row in rows])
    against = np.array([row["resists"][0] - row["resists"][1] for row in rows])
    sums = (odds - odds.mean()) / odds.std() + (against - against.mean()) / against.std()
    oracle = LogisticRegression(C=PENALTY).fit(sums[:, None] / 2, truth)
    ours = [curve.probability(row) for row in rows]
    assert ours == pytest.approx(oracle.predict_proba(sums[:, None] / 2)[:, 1])


def test_the_decisions_lead_to_every_response_type_once():
    groups = [RESPONSE_DECISIONS[name] for name in ("resists", "supports")]
    assert groups[0].yes | groups[0].no == set(RESPONSE_TYPES)
    assert groups[1].yes | groups[1].no == groups[0].no
    found = set()
    for bits in range(2**5):
        row = rows_of([0.0], 0.0)[0]
        for n, name in enumerate(("resists", "affirms", "personal", "works")):
            row[name] = biased(8.0 if bits >> n & 1 else -8.0, 0.0)
        row["stance"] = (-9.0, -9.0, 0.0) if bits >> 4 & 1 else (0.0, -9.0, -9.0)
        found.add(plain_response(row))
    assert found == set(RESPONSE_TYPES)


@given(st.integers(0, 2**31), st.integers(2, 4), st.floats(-8, 8))
def test_any_row_gets_a_level_on_the_side_of_its_probability(seed, gate, bias):
    fitted = calibrate(*constant_reader(count=16, seed=seed))
    for row in rows_of([-3.0, 0.0, 3.0], bias):
        level, confidence = fitted.level(row, gate)
        assert (level >= gate) == (fitted.at_least[gate].probability(row) >= 0.5)
        assert confidence >= 0.5
        assert fitted.response_type(row) in RESPONSE_TYPES


def test_a_calibration_survives_its_storage():
    fitted = calibrate(*constant_reader())
    again = Calibration.of_json(json.loads(json.dumps(fitted.as_json())))
    for row in rows_of([-2.0, 0.3, 2.0], 6.0):
        assert again.level(row, 3) == fitted.level(row, 3)
        assert again.response_type(row) == fitted.response_type(row)


def test_what_judges_a_labelled_conversation_has_not_seen_it():
    rows, levels, types = constant_reader(count=24)
    before = held_out(rows, levels, types)
    for n in (0, 7, 23):
        other = [5 - level if k == n else level for k, level in enumerate(levels)]
        after = held_out(rows, other, types)
        assert after[n] == before[n]
        assert sum(one != other for one, other in zip(after, before, strict=True)) >= 18


def test_objective_conversations_say_nothing_about_the_response_type():
    rows, levels, types = constant_reader(count=24)
    more, _, _ = constant_reader(count=24, seed=9)
    fitted = calibrate(rows, levels, types)
    beside = calibrate(rows + more, levels + [1] * 24, types + [None] * 24)
    assert beside.response == fitted.response
    assert beside.at_least != fitted.at_least


def test_labels_of_one_kind_alone_are_no_error():
    rows, _, _ = constant_reader(count=8)
    fitted = calibrate(rows, [4] * 8, [None] * 8)
    level, confidence = fitted.level(rows[0], 3)
    assert (level, confidence > 0.99) == (4, True)
    assert fitted.response_type(rows[0]) == "no_values"


def reply_with(logprobs):
    def reply(_reading, question, _attempt):
        if question.codes:
            row = logprobs.get(question.name)
            code = question.codes[int(np.argmax(row)) if row else 0]
            found = completion(json.dumps({question.name: code}))
            return type(found)(**{**fields_of(found), "code_logprobs": row})
        return completion(json.dumps({question.name: OPEN[question.name]}))

    return reply


def fields_of(found) -> dict:
    return {name: getattr(found, name) for name in found.__slots__}


def ask(logprobs, calibration=None):
    model = ScriptedModel(reply_with(logprobs))
    found = asyncio.run(extract_one(model, model.read(MESSAGES), SHORT, 3, calibration))
    return found, [name for name, _ in model.asked]


def test_an_objective_conversation_costs_the_level_questions_alone():
    rows, levels, types = constant_reader()
    fitted = calibrate(rows, levels, types)
    (objective,) = rows_of([-4.0], 6.0)
    found, asked = ask(objective, fitted)
    assert asked == list(LEVEL_CODES)
    assert found.answer.subjectivity < 3
    assert found.answer.response_type is None
    assert found.confidence > 0.5


def test_a_subjective_conversation_is_asked_everything():
    rows, levels, types = constant_reader()
    (subjective,) = rows_of([4.0], 6.0)
    found, asked = ask(subjective, calibrate(rows, levels, types))
    assert sorted(asked) == sorted(question.name for question in SHORT.all)
    assert found.answer.response_type == "strong_support"
    assert [value.label for value in found.answer.ai_values] == ["autonomy"]


def test_without_a_calibration_the_answers_count_and_confidence_is_unknown():
    (row,) = rows_of([-4.0], 6.0)
    found, _ = ask(row)
    assert found.answer.subjectivity >= 3
    assert found.confidence is None


def test_a_server_without_probabilities_is_read_by_its_answers():
    found, asked = ask({})
    assert (found.error, asked) == (None, list(LEVEL_CODES))
    assert found.answer.subjectivity == 1


def test_a_labelled_conversation_is_read_fully_whatever_its_level():
    model = ScriptedModel(reply_with(rows_of([-4.0], 0.0)[0]))
    found, logprobs = asyncio.run(read_fully(model, model.read(MESSAGES), SHORT))
    assert list(logprobs) == list(CODES)
    assert found.answer.subjectivity < 3
    assert [value.label for value in found.answer.ai_values] == ["autonomy"]


@pytest.mark.parametrize("salience", [False, True])
@pytest.mark.parametrize("evidence", [False, True])
def test_a_list_has_labels_alone_unless_more_is_asked_for(salience, evidence):
    asked = questions_for(ExtractionConfig(salience=salience, evidence=evidence)).then
    (question,) = (one for one in asked if one.name == "ai_values")
    entries = question.schema["properties"]["ai_values"]["items"]
    fields = set(question.schema.get("$defs", {}).get("value", {}).get("properties", ()))
    assert fields == ({"label"} if salience or evidence else set()) | (
        {"salience"} if salience else set()
    ) | ({"quote"} if evidence else set())
    assert ("pattern" in entries) == (not fields)
    assert question.schema["properties"]["ai_values"]["minItems"] == 1  # a reply shows something
    assert '"explicit"' not in question.after


def test_a_label_is_explicit_where_the_speaker_uses_its_words():
    spoken = [Message("user", "Honest work matters."), Message("assistant", "Be honest with her.")]
    found = as_values(["honesty", "kind words", "work"], spoken, "assistant")
    assert {value.label: value.explicit for value in found} == {
        "honesty": True,
        "kind words": False,
        "work": False,
    }
    assert as_values(["work"], spoken, "user")[0].explicit


def test_short_questions_quote_no_value_and_no_task_that_a_reader_could_copy():
    quoted = examples_in(SHORT.all)
    forms = {"...", " or "}
    assert quoted <= forms | {question.name for question in SHORT.all}
    assert examples_in(questions_for(ExtractionConfig(questions="one_pass")).all) > {"fairness"}
