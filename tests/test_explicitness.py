"""Explicit and implicit values: counts of conversations, residuals of two-by-two tables."""

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import Table

from vitw_ray.records import EXPLICITNESS
from vitw_ray.statistics.contingency import Axis, Counts
from vitw_ray.statistics.explicitness import explicitness

pytestmark = pytest.mark.filterwarnings("error")

TYPES = Axis("response_types", ["support", "resistance"])


def rows(shown, said):
    def counts(both):
        both = np.array(both)
        return Counts(100, both.sum(axis=1), np.array([60, 40]), both)

    table = explicitness(counts(shown), counts(said), TYPES, ["honesty", "warmth"])
    assert table.schema == EXPLICITNESS
    return {(r["label"], r["response_type"]): r for r in table.to_pylist()}


def residual(cells) -> float:
    return Table(np.array(cells), shift_zeros=False).standardized_resids[0, 0]


def test_a_value_is_explicit_in_a_conversation_if_it_is_stated_once():
    found = rows([[20, 30], [40, 10]], [[5, 25], [4, 1]])
    assert (found["honesty", None]["explicit"], found["honesty", None]["implicit"]) == (30, 20)
    assert (found["honesty", "support"]["explicit"], found["honesty", "support"]["implicit"]) == (
        5,
        15,
    )


def test_the_residual_of_a_response_type_is_among_conversations_with_the_label():
    found = rows([[20, 30], [40, 10]], [[5, 25], [4, 1]])
    expected = residual([[25, 5], [5, 15]])
    assert found["honesty", "resistance"]["residual"] == pytest.approx(expected)
    assert found["honesty", "support"]["residual"] == pytest.approx(-expected)


def test_the_residual_over_all_types_compares_the_label_with_the_others():
    found = rows([[20, 30], [40, 10]], [[5, 25], [4, 1]])
    assert found["honesty", None]["residual"] == pytest.approx(residual([[30, 20], [5, 45]]))


def test_a_label_that_is_always_or_never_explicit_has_no_residual():
    found = rows([[20, 30], [0, 0]], [[20, 30], [0, 0]])
    assert all(row["residual"] is None for row in found.values())
