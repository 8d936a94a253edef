"""The questions of a climb accept only valid answers."""

import json

import pytest

from vitw_ray.config import RunConfig
from vitw_ray.inference.parsing import InvalidAnswer, parse
from vitw_ray.taxonomy.climbing.questions import (
    MOST_LISTED,
    assign_question,
    climb_questions,
    deduplicate_question,
    propose_question,
)

GROUP = {"description": "Values that show care.", "name": "Care for others"}
PROPOSE = propose_question("ai_values", 2, 3)
DEDUPLICATE = deduplicate_question("ai_values", 12, 2, 4)
ASSIGN = assign_question("ai_values", 12)
BECAUSE = "Both are about care."

ANSWERS = [
    (PROPOSE, {"groups": [GROUP] * 2}, True),
    (PROPOSE, {"groups": [GROUP] * 3}, True),
    (PROPOSE, {"groups": [GROUP]}, False),
    (PROPOSE, {"groups": [GROUP] * 4}, False),
    (PROPOSE, {"groups": [GROUP, GROUP | {"name": "=SUM"}]}, False),
    (PROPOSE, {"groups": [GROUP, GROUP | {"name": "Care\n===================="}]}, False),
    (PROPOSE, {"groups": [GROUP, GROUP | {"name": " ".join(["Word"] * 11)}]}, False),
    (PROPOSE, {"groups": [GROUP, GROUP | {"description": f"{' '.join(['Word'] * 16)}."}]}, False),
    (PROPOSE, {"groups": [GROUP, {"name": "Care"}]}, False),
    (PROPOSE, {"groups": [GROUP] * 2, "poem": "O"}, False),
    (DEDUPLICATE, {"kept": [3, 12]}, True),
    (DEDUPLICATE, {"kept": [1, 2, 3, 4]}, True),
    (DEDUPLICATE, {"kept": [3]}, False),
    (DEDUPLICATE, {"kept": [1, 2, 3, 4, 5]}, False),
    (DEDUPLICATE, {"kept": [0, 1]}, False),
    (DEDUPLICATE, {"kept": [1, 13]}, False),
    (DEDUPLICATE, {"kept": ["Care", "Wit"]}, False),
    (ASSIGN, {"because": BECAUSE, "number": 12}, True),
    (ASSIGN, {"because": BECAUSE, "number": 13}, False),
    (ASSIGN, {"because": BECAUSE, "number": 0}, False),
    (ASSIGN, {"because": BECAUSE, "number": "Care"}, False),
    (ASSIGN, {"because": f"{' '.join(['Word'] * 21)}.", "number": 1}, False),
    (ASSIGN, {"number": 1}, False),
]


@pytest.mark.parametrize(("question", "answer", "fits"), ANSWERS)
def test_only_a_valid_answer_is_accepted(question, answer, fits):
    if fits:
        assert parse(json.dumps(answer), question) == answer
    else:
        with pytest.raises(InvalidAnswer):
            parse(json.dumps(answer), question)


def test_a_repeated_number_counts_once():
    assert parse('{"kept": [5, 2, 5]}', DEDUPLICATE) == {"kept": [2, 5]}
    with pytest.raises(InvalidAnswer):
        parse('{"kept": [5, 5, 5]}', DEDUPLICATE)


def test_the_schemas_compile_for_constrained_decoding():
    xgrammar = pytest.importorskip("xgrammar")
    vocabulary = xgrammar.TokenizerInfo([chr(n) for n in range(32, 127)] + ["</s>"])
    compiler = xgrammar.GrammarCompiler(vocabulary)

    def fits(question, answer):
        grammar = compiler.compile_json_schema(
            json.dumps(question.schema), any_whitespace=False, separators=(", ", ": ")
        )
        matcher = xgrammar.GrammarMatcher(grammar)
        return matcher.accept_string(json.dumps(answer)) and matcher.is_completed()

    for question, answer, taken in ANSWERS:
        assert fits(question, answer) is taken, answer


def test_the_longest_forms_compile_too():
    xgrammar = pytest.importorskip("xgrammar")
    vocabulary = xgrammar.TokenizerInfo([chr(n) for n in range(32, 127)] + ["</s>"])
    compiler = xgrammar.GrammarCompiler(vocabulary)
    for question in climb_questions()[:3]:
        compiler.compile_json_schema(json.dumps(question.schema))
    assert climb_questions()[2] is assign_question("ai_values", MOST_LISTED)


def test_a_question_form_has_one_name_and_one_prompt_per_facet():
    assert assign_question("ai_values", 12) is ASSIGN
    other = assign_question("human_values", 12)
    assert (other.name, other.schema) == (ASSIGN.name, ASSIGN.schema)
    assert other.before != ASSIGN.before
    names = [question.name for question in climb_questions()]
    assert len(set(names)) == 3
    assert {len(name) <= 64 for name in names} == {True}  # servers allow no more


def test_bounds_come_after_the_list_so_that_the_prefix_is_cached():
    assert propose_question("ai_values", 1, 5).before == PROPOSE.before
    assert "at least 2 and at most 3" in PROPOSE.after
    assert "at least 2 and at most 4" in DEDUPLICATE.after


def test_no_prompt_has_an_unfilled_placeholder():
    for question in (PROPOSE, DEDUPLICATE, ASSIGN):
        assert "$" not in question.before + question.after


def test_the_longest_answers_of_usual_words_fit_the_default_token_limit():
    room = RunConfig().extraction.max_output_tokens
    usual = {"description": " ".join(["Honesty"] * 10) + ".", "name": "Care for other people"}
    answer = json.dumps({"groups": [usual] * 15})
    assert len(answer) / 4 < room
