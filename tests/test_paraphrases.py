"""The prompts in other words ask the same, in the same form, and share no wording."""

import re
from dataclasses import replace
from itertools import combinations

import pytest

from vitw_ray.config import ExtractionConfig
from vitw_ray.errors import ConfigError
from vitw_ray.extraction.questions import LONG, PROMPTS, SHORT, questions_for
from vitw_ray.facets import FACETS

PARAPHRASES = (1, 2, 3)
FORMS = ("short", "one_pass", "separate")
NAMES = re.compile(r"\{[^}]*\}|`[^`]*`|\"[^\"]*\"|\$\w+")  # fields, quoted examples, blanks
RUN = 4  # words in a row


def folders(of: str) -> list[str]:
    return [of, *(f"{of}_{number}" for number in PARAPHRASES)]


def runs(text: str) -> set[tuple[str, ...]]:
    found = set()
    for part in NAMES.split(text.lower()):
        words = re.findall(r"[a-z_]+", part)
        found |= {tuple(words[n : n + RUN]) for n in range(len(words) - RUN + 1)}
    return found


@pytest.mark.parametrize("of", [LONG, SHORT])
def test_every_prompt_is_there_in_all_wordings(of):
    original, *others = ({file.name for file in (PROMPTS / name).iterdir()} for name in folders(of))
    assert all(other == original for other in others)


@pytest.mark.parametrize("of", [LONG, SHORT])
def test_no_two_wordings_share_four_words_in_a_row(of):
    for file in (PROMPTS / of).iterdir():
        texts = [(PROMPTS / folder / file.name).read_text("utf-8") for folder in folders(of)]
        for one, other in combinations(texts, 2):
            assert not runs(one) & runs(other), file.name


@pytest.mark.parametrize("questions", FORMS)
@pytest.mark.parametrize("marks", [{}, {"salience": True, "evidence": True, "strict": True}])
def test_every_wording_asks_the_same_facets_in_the_same_schema(questions, marks):
    config = ExtractionConfig(questions=questions, **marks)
    expected = questions_for(config)
    for number in PARAPHRASES:
        found = questions_for(replace(config, paraphrase=number))
        assert [q.name for q in found.first] == [q.name for q in expected.first]
        for one, other in zip(found.all, expected.all, strict=True):
            assert (one.name, one.codes, one.opening) == (other.name, other.codes, other.opening)
            assert one.schema == other.schema
            assert one.after != other.after
            for blank in ("$field", "$entries", "$gate", "$facets"):
                assert blank not in one.before + one.after


@pytest.mark.parametrize("of", [LONG, SHORT])
def test_a_wording_names_the_same_fields_codes_and_blanks(of):
    for file in (PROMPTS / of).iterdir():
        texts = [(PROMPTS / folder / file.name).read_text("utf-8") for folder in folders(of)]
        named = [set(re.findall(r"\$\w+|\"[a-z_]+\":", text)) for text in texts]
        assert all(one == named[0] for one in named), file.name
    for facet in FACETS:
        for folder in folders(LONG):
            text = (PROMPTS / folder / f"{facet.field}.md").read_text("utf-8")
            assert text.startswith(f"`{facet.field}`: ")
            assert all(code in text for code in facet.codes)


def test_a_strict_reading_is_told_so_once_for_each_list_of_values():
    for questions, times in (("short", 2), ("one_pass", 1), ("separate", 2)):
        config = ExtractionConfig(questions=questions, strict=True)
        asked = [q.before + q.after for q in questions_for(config).all]
        assert sum("beyond doubt" in text for text in asked) == times


def test_a_wording_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="paraphrase"):
        ExtractionConfig(paraphrase=4)
