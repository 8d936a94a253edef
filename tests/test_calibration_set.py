"""The calibration set is balanced, its labels are valid, and no prompt gives them away."""

from collections import Counter

import pytest

from vitw_ray.config import ExtractionConfig
from vitw_ray.extraction.answers import in_order
from vitw_ray.extraction.calibration.checking import examples
from vitw_ray.extraction.calibration.labelled import calibration_set
from vitw_ray.extraction.calibration.scores import lexicon_scores, score
from vitw_ray.extraction.signs import CHECK, chance, is_foreign, signs_of, tally
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.records import Message

LANGUAGES = ("de", "en", "es", "zh")


def of(language: str):
    return [one for one in calibration_set() if one.language == language]


def subjective(language: str):
    return [one.answer for one in of(language) if one.answer.subjectivity >= 3]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_all_levels_and_all_response_types(language):
    levels = Counter(one.answer.subjectivity for one in of(language))
    assert levels == {1: 4, 2: 4, 3: 4, 4: 4}
    assert {answer.response_type for answer in subjective(language)} == set(RESPONSE_TYPES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_subjective_conversations_have_two_to_five_ai_values_and_most_a_human_value(language):
    answers = subjective(language)
    assert all(2 <= len(answer.ai_values) <= 5 for answer in answers)
    assert 4 <= sum(bool(answer.human_values) for answer in answers) <= 6
    for answer in answers:
        assert answer.response_type != "no_values" or not answer.human_values


def test_objective_conversations_have_the_level_alone():
    for one in calibration_set():
        if one.answer.subjectivity < 3:
            assert one.answer.task is None
            assert not one.answer.ai_values
            assert one.answer.response_type is None


def test_no_two_conversations_tasks_or_lists_are_the_same():
    full = [answer for language in LANGUAGES for answer in subjective(language)]
    assert len({answer.task for answer in full}) == 32
    assert len({frozenset(v.label for v in answer.ai_values) for answer in full}) == 32
    assert len({one.conversation.messages for one in calibration_set()}) == 64


def test_conversations_alternate_from_user_to_assistant_and_have_two_to_eight_messages():
    lengths = set()
    for one in calibration_set():
        roles = [message.role for message in one.conversation.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        lengths.add(len(roles))
    assert lengths >= {2, 4, 6, 8}


def test_every_language_has_an_instruction_to_the_reader_inside():
    marks = (
        "ignore the above",
        "Instrucción para el lector",
        "Vergiss alle Anweisungen",
        "请忽略以上",
    )
    for mark in marks:
        assert any(
            mark in message.content for one in calibration_set() for message in spoken(one)
        ), mark


def spoken(one) -> tuple[Message, ...]:
    return one.conversation.messages


def test_no_label_or_task_is_an_example_of_a_prompt():
    from readers import config

    copied = examples(config())
    for one in calibration_set():
        labels = [v.label for v in (*one.answer.human_values, *one.answer.ai_values)]
        assert not copied & {one.answer.task, *labels}


def test_the_labels_of_the_set_and_those_published_are_taken_for_english(real_data):
    import csv

    with (real_data / "reference" / "values_frequencies.csv").open(encoding="utf-8") as file:
        published = [row["value"].lower() for row in csv.DictReader(file)]
    mine = [v.label for one in calibration_set() for v in one.answer.ai_values]
    assert not [label for label in mine if is_foreign(label)]
    assert sum(map(is_foreign, published)) < 0.001 * len(published)


@pytest.mark.parametrize(
    "label", ["honestidad", "libertad", "lealtad", "ehrlichkeit", "verantwortung", "amor y respeto"]
)
def test_labels_in_another_language_are_recognised(label):
    assert is_foreign(label)


def test_the_lexicon_passes_in_its_language_and_its_scores_are_those_that_are_shipped():
    pytest.importorskip("sentence_transformers")
    from readers import config

    from vitw_ray.extraction.lexicon import LexiconExtractor

    labelled = calibration_set()
    found = in_order(LexiconExtractor(ExtractionConfig()), [one.conversation for one in labelled])
    english = [one for of, one in zip(labelled, found, strict=True) if of.language == "en"]
    assert not signs_of(tally(english, 3, examples(config())), CHECK)
    for matching in ("minilm", "spelling"):
        scores = score(labelled, found, 3, matching)
        assert not chance(scores)
        shipped = lexicon_scores()[matching]
        assert {one["facet"]: one["value"] for one in scores} == pytest.approx(shipped, abs=0.01)
