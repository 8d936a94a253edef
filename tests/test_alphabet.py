"""Text that an answer or a cluster name may hold is exactly the text that may be released."""

import re

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from release_tables import labels_table, taxonomy_table

from vitw_ray.alphabet import CLUSTER_NAME, LABEL, LABEL_CHARACTERS
from vitw_ray.config import LabelsConfig
from vitw_ray.extraction.answers import Label
from vitw_ray.labels.normalize import merge_labels
from vitw_ray.release.tables import MAX_NAME, values_frequencies, values_tree
from vitw_ray.taxonomy.naming.group_question import NAME
from vitw_ray.taxonomy.naming.member_naming import is_name

valid_labels = st.from_regex(LABEL, fullmatch=True)
near_labels = st.text("ab z'-\n,A1_é=", max_size=42) | st.text("a-", max_size=2) | st.text()


def is_valid(label: str) -> bool:
    try:
        TypeAdapter(Label).validate_python(label)
    except ValidationError:
        return False
    return True


def is_released(label: str) -> bool:
    return values_frequencies({"labels": labels_table({label: 5}, 10)}).rows == 1


@given(valid_labels | near_labels)
def test_a_label_may_be_released_exactly_if_an_answer_may_hold_it(label):
    assert is_released(label) == is_valid(label)


def test_a_label_has_at_least_two_and_at_most_forty_characters():
    for label, fits in {"a": False, "ab": True, "a" * 40: True, "a" * 41: False}.items():
        assert is_valid(label) == is_released(label) == fits


@given(valid_labels)
def test_merging_spellings_adds_no_character_that_a_label_may_not_hold(label):
    ((merged, _),) = merge_labels({label: 1}, LabelsConfig()).values() or [(label, "")]
    assert re.fullmatch(rf"[a-z][{LABEL_CHARACTERS}]*", merged)
    assert len(merged) <= len(label)


@given(st.from_regex(NAME, fullmatch=True))
def test_a_cluster_name_that_a_model_may_write_is_released_unless_it_is_too_long(name):
    group, leaf = ("ai_values:l1:a", 1, None, name, ""), ("kind", 0, "ai_values:l1:a", "kind", "")
    tables = {"labels": labels_table({"kind": 5}, 10), "taxonomy": taxonomy_table([group, leaf])}
    assert re.fullmatch(CLUSTER_NAME, name)
    assert is_name(name)
    assert values_tree(tables).withheld["group_text"] == (len(name) > MAX_NAME)
