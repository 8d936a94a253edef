import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vitw_ray.alphabet import LABEL
from vitw_ray.config import LabelsConfig
from vitw_ray.labels.normalize import fold_case, fold_hyphens, merge_labels, singular

WORDS = [
    "boundary",
    "boundaries",
    "Boundary",
    "self care",
    "self-care",
    "ethics",
    "ethic",
    "kindness",
]
labels = st.one_of(st.sampled_from(WORDS), st.text(min_size=1, max_size=12))
counts = st.dictionaries(labels, st.integers(1, 50), max_size=12)


@given(counts, st.booleans(), st.booleans(), st.booleans())
def test_merging_is_idempotent_and_keeps_every_conversation(found, case, hyphens, plurals):
    config = LabelsConfig(merge_case=case, merge_hyphens=hyphens, merge_plurals=plurals)
    merges = merge_labels(found, config)
    merged = Counter()
    for label, n in found.items():
        merged[merges.get(label, (label, ""))[0]] += n
    assert sum(merged.values()) == sum(found.values())
    targets = {label for label, _ in merges.values()}
    assert not targets & set(merges), "a label that others are merged into is merged itself"


@given(st.text(max_size=20))
def test_folding_hyphens_is_idempotent_and_folding_case_settles_after_two(label):
    assert fold_hyphens(fold_hyphens(label)) == fold_hyphens(label)
    twice = fold_case(fold_case(label))
    assert fold_case(twice) == twice


def test_each_rule_merges_its_own_kind_and_is_named():
    found = {
        "Honesty": 1,
        "honesty": 5,
        "self-care": 2,
        "self care": 3,
        "clear boundary": 2,
        "clear boundaries": 9,
    }
    assert merge_labels(found, LabelsConfig()) == {
        "Honesty": ("honesty", "case"),
        "self-care": ("self care", "hyphen"),
        "clear boundary": ("clear boundaries", "plural"),
    }


def test_a_rule_that_is_off_merges_nothing():
    off = LabelsConfig(merge_case=False, merge_hyphens=False, merge_plurals=False)
    assert merge_labels({"Honesty": 1, "honesty": 2, "a-b": 1, "a b": 1, "ethic": 1}, off) == {}


def test_the_more_common_variant_stays_and_a_tie_goes_to_the_first_in_the_alphabet():
    plural = LabelsConfig()
    assert merge_labels({"goal": 5, "goals": 2}, plural) == {"goals": ("goal", "plural")}
    assert merge_labels({"goal": 2, "goals": 2}, plural) == {"goals": ("goal", "plural")}


def test_words_that_only_look_like_plurals_stay():
    for word in ("kindness", "consensus", "analysis", "bias", "happiness"):
        assert singular(word) in (word, "bia")
    assert singular("clear boundaries") == "clear boundary"
    assert singular("approaches") == "approach"


def test_a_plural_without_its_singular_is_left_alone():
    assert merge_labels({"ethics": 3, "kindness": 2}, LabelsConfig()) == {}


@given(st.lists(st.from_regex(rf"{LABEL}", fullmatch=True), min_size=1, max_size=20))
def test_a_valid_label_is_merged_into_valid_labels_only(found):
    merges = merge_labels({"a-": 1, "a ": 1, **dict.fromkeys(found, 1)}, LabelsConfig())
    assert all(re.fullmatch(LABEL, label) for label, _ in merges.values())
