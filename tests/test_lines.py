"""Answers in lines hold what answers in JSON hold."""

import contextlib
import itertools
import json
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_model import completion
from test_asking import extracted

from vitw_ray.alphabet import LABEL, TASK_PHRASE
from vitw_ray.config import ExtractionConfig
from vitw_ray.extraction.questions import QuestionSet, questions_for
from vitw_ray.facets import AI_VALUES, FACETS, HUMAN_VALUES, RESPONSE_TYPES
from vitw_ray.inference.attempts import temperature_and_room
from vitw_ray.inference.parsing import InvalidAnswer, parse
from vitw_ray.inference.question import Question

FORMS = ("one_pass", "separate", "short")
MARKS = tuple(itertools.product((False, True), repeat=3))
QUOTE = r'[^"\\\x00-\x1f\x7f]{0,120}'


def asked(questions: str, form: str = "lines", marks=(False, False, False)) -> QuestionSet:
    only, salience, evidence = marks
    return questions_for(
        ExtractionConfig(
            questions=questions,  # pyright: ignore[reportArgumentType]
            answer_form=form,  # pyright: ignore[reportArgumentType]
            explicit_only=only,
            salience=salience,
            evidence=evidence,
        )
    )


def in_lines(question: Question, fields: dict) -> str:
    """What a model would write that means these fields."""
    found = []
    for line in question.lines:
        if line.field not in fields:
            continue
        value = fields[line.field]
        if line.kind == "code":
            value = next(code for code, meant in line.codes if meant == value)
        elif line.kind == "values":
            value = "; ".join(map(_entry, value)) or "-"
        found.append(value)
    return "\n".join(found)


def _entry(value: str | dict) -> str:
    if isinstance(value, str):
        return value
    written = value["label"] + "*" * value.get("explicit", False)
    if "salience" in value:
        written += f" {value['salience']}"
    return written + (f' "{value["quote"]}"' if "quote" in value else "")


@st.composite
def answers(draw, question: Question, marks) -> dict:
    """Fields of a valid answer to an open question."""
    _, salience, evidence = marks
    level = draw(st.sampled_from((1, 2, 3, 4)))
    if question.name == "one_pass" and level < 3:
        return {"subjectivity": level}
    parts = {"label": st.from_regex(LABEL, fullmatch=True).map(str.strip).filter(_is_label)}
    parts |= {} if _short(question) else {"explicit": st.booleans()}
    parts |= {"salience": st.integers(1, 5)} if salience else {}
    parts |= {"quote": st.from_regex(QUOTE, fullmatch=True)} if evidence else {}
    entry = parts["label"] if len(parts) == 1 else st.fixed_dictionaries(parts)
    fields = {
        "subjectivity": st.just(level),
        "task": st.from_regex(TASK_PHRASE, fullmatch=True).filter(
            lambda task: task == task.strip()
        ),
        "human_values": st.lists(entry, max_size=HUMAN_VALUES.most),
        "ai_values": st.lists(entry, min_size=1, max_size=AI_VALUES.most),
        "response_type": st.sampled_from(RESPONSE_TYPES),
    }
    return {line.field: draw(fields[line.field]) for line in question.lines}


def _short(question: Question) -> bool:
    return any(line.marks[:1] != ("explicit",) for line in question.lines if line.kind == "values")


def _is_label(text: str) -> bool:
    return re.fullmatch(LABEL, text) is not None and not text.endswith((" ", "-", "'"))


@given(st.data(), st.sampled_from(FORMS), st.sampled_from(MARKS))
def test_lines_mean_what_the_same_answer_in_json_means(data, form, marks):
    pairs = zip(asked(form, "lines", marks).all, asked(form, "json", marks).all, strict=True)
    for lines, as_json in pairs:
        if lines.codes:
            assert (lines.after, lines.lines) == (as_json.after, ())  # one token in any form
            continue
        fields = data.draw(answers(lines, marks))
        text = in_lines(lines, fields)
        assert re.fullmatch(lines.pattern, text)
        assert parse(text, lines) == parse(json.dumps(fields), as_json)


ONE = asked("one_pass").first[0]
WRITTEN = "4\ndecide about a move\nfamily ties*\nhonesty; clarity*\nB"


def test_an_answer_in_lines_is_the_answer():
    found, _ = extracted(lambda *_: completion(WRITTEN), asked("one_pass"))
    assert found.answer is not None
    assert found.answer.response_type == "mild_support"
    assert [(v.label, v.explicit) for v in found.answer.ai_values] == [
        ("honesty", False),
        ("clarity", True),
    ]


def test_below_the_gate_only_one_line_is_allowed():
    assert re.fullmatch(ONE.pattern, "2")
    assert not re.fullmatch(ONE.pattern, WRITTEN.replace("4", "2", 1))
    assert not re.fullmatch(ONE.pattern, "4")
    (all_levels,) = questions_for(
        ExtractionConfig(questions="one_pass", answer_form="lines", subjective_from=1)
    ).first
    assert re.fullmatch(all_levels.pattern, WRITTEN.replace("4", "1", 1))
    assert not re.fullmatch(all_levels.pattern, "1")


def test_what_a_server_writes_around_lines_is_left_out():
    fields = parse(WRITTEN, ONE)
    named = "\n".join(
        f"{line.field}: {text}" for line, text in zip(ONE.lines, WRITTEN.split("\n"), strict=True)
    )
    spaced = WRITTEN.replace("\n", "\n\n  ").replace("; ", ";")
    full_code = WRITTEN[:-1] + "Mild_Support."
    for text in (
        named,
        spaced,
        full_code,
        f"```\n{WRITTEN}\n```",
        f"<think>\n1\n</think>{WRITTEN}",
    ):
        assert parse(text, ONE) == fields


def test_an_odd_value_costs_itself_and_is_counted():
    repairs = Counter()
    odd = WRITTEN.replace("clarity*", "\u6e05\u6670; clarity*")
    assert parse(odd, ONE, repairs) == parse(WRITTEN, ONE)
    assert repairs == {"label_dropped": 1}


def test_a_missing_line_costs_the_answer():
    whole = WRITTEN.split("\n")
    for left in range(1, len(whole)):
        with pytest.raises(InvalidAnswer):
            parse("\n".join(whole[:left]), ONE)


def cut_values(text: str):
    """What becomes of a list of AI values that was cut."""
    (values,) = (q for q in asked("separate").then if q.name == "ai_values")
    only_values = QuestionSet(asked("separate").first, (values,))

    def reply(_, question, attempt):
        return completion("4") if question.name == "subjectivity" else completion(text, cut=True)

    return extracted(reply, only_values)


def test_a_list_that_was_cut_loses_its_last_value_and_is_counted():
    found, times = cut_values("care; clarity*; hon")
    assert found.answer is not None
    assert [value.label for value in found.answer.ai_values] == ["care", "clarity"]
    assert found.lists_cut == 1
    assert ("ai_values", 1) not in times  # a loop would only be written once more


def test_an_answer_that_was_cut_before_its_first_whole_value_is_asked_again():
    found, times = cut_values("hon")
    assert found.error == "cut_answer"
    assert times.count(("ai_values", 1)) == 1


def test_one_pass_that_was_cut_is_never_taken_for_whole():
    found, _ = extracted(lambda *_: completion(WRITTEN, cut=True), asked("one_pass"))
    assert found.error == "cut_answer"


def test_lines_have_a_third_of_the_room_of_json():
    config = ExtractionConfig(max_output_tokens=600)
    assert temperature_and_room(config, 0) == (0.0, 600)
    assert temperature_and_room(config, 0, in_lines=True) == (0.0, 200)
    assert temperature_and_room(config, 1, in_lines=True) == (0.7, 400)


@given(st.text(max_size=200))
def test_any_text_is_an_answer_to_what_was_asked_or_none(text):
    for form in FORMS:
        for question in asked(form).all:
            with contextlib.suppress(InvalidAnswer):
                named = {question.name} if question.codes else question.answer.model_fields.keys()
                assert parse(text, question).keys() <= named


def test_every_facet_has_its_line_and_every_code_its_letter():
    assert [line.field for line in ONE.lines] == ["subjectivity", *(f.field for f in FACETS)]
    (codes,) = (line.codes for line in ONE.lines if line.field == "response_type")
    assert [meant for _, meant in codes] == list(RESPONSE_TYPES)
    for letter, code in codes:
        assert f"{letter} {code}" in " ".join(ONE.before.split())
