"""Shares of response types per model and per category."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.records import RESPONSE_TYPE_SHARES
from vitw_ray.statistics.contingency import Axis, Counts
from vitw_ray.statistics.response_types import by_category, by_model

pytestmark = pytest.mark.filterwarnings("error")

TYPES = Axis("response_types", RESPONSE_TYPES)
# Seven types by two models; ten conversations name no model, and five have no response type.
BOTH = np.array([[20, 1], [10, 2], [5, 3], [4, 0], [0, 0], [1, 4], [30, 10]])
COUNTS = Counts(
    BOTH.sum() + 15, BOTH.sum(axis=1) + np.array([10, 0, 0, 0, 0, 0, 0]), np.array([72, 23]), BOTH
)


def test_the_first_rows_are_of_all_conversations_including_those_of_unknown_assistants():
    table = by_model(COUNTS, TYPES, Axis("models", ["m1", "m2"]))
    assert table.schema == RESPONSE_TYPE_SHARES
    assert table["model"].to_pylist() == [None] * 7 + ["m1"] * 7 + ["m2"] * 7
    assert table["response_type"].to_pylist() == list(RESPONSE_TYPES) * 3
    assert table["conversations"].to_pylist() == [*COUNTS.rows, *BOTH[:, 0], *BOTH[:, 1]]
    assert table["over_facet"].null_count == table["over"].null_count == 21


def test_shares_of_a_group_add_to_one_with_wilson_intervals():
    table = by_model(COUNTS, TYPES, Axis("models", ["m1", "m2"]))
    shares = np.array(table["share"]).reshape(3, 7)
    assert shares.sum(axis=1) == pytest.approx([1, 1, 1])
    of_group = np.repeat([COUNTS.rows.sum(), *BOTH.sum(axis=0)], 7)
    low, high = proportion_confint(np.array(table["conversations"]), of_group, method="wilson")
    assert np.array(table["low"]) == pytest.approx(low)
    assert np.array(table["high"]) == pytest.approx(high)


def test_an_empty_category_has_counts_but_no_shares():
    both = np.column_stack([BOTH[:, 0], np.zeros(7, np.int64)])
    counts = Counts(80, both.sum(axis=1), np.array([72, 3]), both)
    rows = by_category(counts, TYPES, Axis("tasks", ["t1", "t2"])).to_pylist()
    assert [row["over"] for row in rows] == ["t1"] * 7 + ["t2"] * 7
    assert {row["over_facet"] for row in rows} == {"tasks"}
    assert {row["model"] for row in rows} == {None}
    assert rows[0]["share"] == pytest.approx(20 / 70)
    assert [(row["conversations"], row["share"], row["high"]) for row in rows[7:]] == [
        (0, None, None)
    ] * 7


def test_names_that_do_not_match_the_counts_are_refused():
    with pytest.raises(ValueError, match="response types x 1 groups"):
        by_category(COUNTS, TYPES, Axis("tasks", ["t1"]))
