"""Comparison of assistants: shares, the Bonferroni family, and periods."""

import numpy as np
import pytest

from vitw_ray.records import MODEL_COMPARISON
from vitw_ray.side_by_side import pairs
from vitw_ray.statistics import compared_groups
from vitw_ray.statistics.assistants import compare, task_mix
from vitw_ray.statistics.compared_groups import groups_of_assistants, groups_of_periods
from vitw_ray.statistics.contingency import Axis, CodedFacet, GroupCounts, deduplicate
from vitw_ray.statistics.differences import unmatched

pytestmark = pytest.mark.filterwarnings("error")

NAMES = ["small", "large", "third", "absent"]
LABELS = Axis("ai_values", ["care", "clarity", "honesty"])
TASKS = Axis("tasks", ["chat", "code"])
STRATA = 3


@pytest.fixture(scope="module")
def world():
    """1,500 conversations: `large` gets code, where clarity is common; `small` shows care."""
    rng = np.random.default_rng(0)
    model = rng.choice(3, 1_500, p=[0.3, 0.6, 0.1])
    task = (rng.random(1_500) < np.array([0.2, 0.8, 0.5])[model]).astype(int)
    shares = np.stack(
        [np.where(model == 0, 0.5, 0.2), np.where(task == 1, 0.7, 0.1), 0 * task + 0.3]
    )
    held = np.nonzero(rng.random((1_500, 3)) < shares.T)
    return model, task, CodedFacet(*deduplicate(*held), 3)


def counted(model, task, values) -> GroupCounts:
    column = CodedFacet(np.arange(model.size), (model * STRATA + task).astype(np.int32), 4 * STRATA)
    return GroupCounts.of(values, column, model.size)


def by_label(table, a="large", b="small"):
    assert table.schema == MODEL_COMPARISON
    rows = [r for r in table.to_pylist() if (r["model_a"], r["model_b"]) == (a, b)]
    return {(r["matched_on"], r["label"]): r for r in rows}


def test_shares_are_of_the_conversations_of_each_assistant_and_the_larger_is_first(world):
    model, _, values = world
    counts = counted(*world)
    groups = groups_of_assistants(counts.columns, STRATA, NAMES)
    assert [(NAMES[a], NAMES[b]) for a, b in groups.pairs] == [
        ("large", "small"),
        ("large", "third"),
        ("small", "third"),
    ]
    rows = by_label(compare(counts, STRATA, groups, LABELS))
    for code, label in enumerate(LABELS.names):
        row, held = rows["nothing", label], values.rows[values.codes == code]
        for side, which in (("a", 1), ("b", 0)):
            assert row[f"conversations_{side}"] == (model == which).sum()
            assert row[f"share_{side}"] == pytest.approx(
                np.mean(np.isin(np.flatnonzero(model == which), held))
            )
        assert row["difference"] == pytest.approx(row["share_a"] - row["share_b"])


def test_matching_on_tasks_removes_a_difference_due_to_tasks_and_keeps_a_real_one(world):
    counts = counted(*world)
    groups = groups_of_assistants(counts.columns, STRATA, NAMES)
    rows = by_label(compare(counts, STRATA, groups, LABELS))
    assert rows["nothing", "clarity"]["p_adjusted"] < 1e-10
    assert rows["tasks", "clarity"]["p_adjusted"] > 0.05
    assert rows["tasks", "clarity"]["low"] < 0 < rows["tasks", "clarity"]["high"]
    assert rows["tasks", "care"]["high"] < -0.2
    assert rows["tasks", "care"]["p_adjusted"] < 1e-10


def test_a_sign_turns_where_the_unmatched_difference_has_the_opposite_one(world):
    counts = counted(*world)
    groups = groups_of_assistants(counts.columns, STRATA, NAMES)
    table = compare(counts, STRATA, groups, LABELS).to_pylist()
    plain = {
        (row["model_a"], row["model_b"], row["label"]): row["difference"]
        for row in table
        if row["matched_on"] == "nothing"
    }
    turned = set()
    for row in table:
        if row["matched_on"] == "nothing":
            assert row["turned"] is None
        else:
            before = plain[row["model_a"], row["model_b"], row["label"]]
            assert row["turned"] is (before * row["difference"] < 0)
            turned.add(row["turned"])
    assert turned == {True, False}


def test_the_bonferroni_family_is_all_labels_tested_over_all_pairs(world):
    model, _, values = world
    counts = counted(*world)
    groups = groups_of_assistants(counts.columns, STRATA, NAMES)
    rows = by_label(compare(counts, STRATA, groups, LABELS))
    small, large = model == 0, model == 1
    for code, label in enumerate(LABELS.names):
        shows = np.isin(np.arange(model.size), values.rows[values.codes == code])
        hits = [np.array([(shows & mine).sum()]) for mine in (large, small)]
        p = unmatched(hits[0], large.sum(), hits[1], small.sum()).p_value[0]
        assert rows["nothing", label]["p_adjusted"] == pytest.approx(min(1, 9 * p))


def test_blocks_add_up_to_the_same_table(world):
    whole = counted(*world)
    model, task, values = world
    early = values.rows < 600
    parts = [
        counted(
            model[600:], task[600:], CodedFacet(values.rows[~early] - 600, values.codes[~early], 3)
        ),
        counted(model[:600], task[:600], CodedFacet(values.rows[early], values.codes[early], 3)),
    ]
    groups = groups_of_assistants(whole.columns, STRATA, NAMES)
    assert compare(parts[0].add(parts[1]), STRATA, groups, LABELS) == compare(
        whole, STRATA, groups, LABELS
    )


def test_the_tasks_of_each_assistant_are_compared(world):
    counts = counted(*world)
    groups = groups_of_assistants(counts.columns, STRATA, NAMES)
    rows = by_label(task_mix(counts.columns, groups, TASKS))
    assert rows["nothing", "code"]["low"] > 0.5


def test_each_period_is_compared_with_the_previous_one(world):
    counts = counted(*world)
    groups = groups_of_periods(counts.columns, STRATA, lambda code: f"week {code}")
    table = compare(counts, STRATA, groups, LABELS)
    assert set(zip(table["model_a"].to_pylist(), table["model_b"].to_pylist(), strict=True)) == {
        ("week 1", "week 0"),
        ("week 2", "week 1"),
    }
    assert set(table["groups"].to_pylist()) == {"periods"}


def test_only_the_largest_of_very_many_assistants_are_compared(world, monkeypatch):
    monkeypatch.setattr(compared_groups, "MOST_MODELS", 2)
    counts = counted(*world)
    assert groups_of_assistants(counts.columns, STRATA, NAMES).pairs == [(1, 0)]


def test_a_single_assistant_has_no_comparison(world):
    model, task, values = world
    counts = counted(0 * model, task, values)
    groups = groups_of_assistants(counts.columns, STRATA, NAMES)
    assert groups.pairs == []
    assert compare(counts, STRATA, groups, LABELS).num_rows == 0


def test_the_summary_of_a_pair_uses_the_best_available_matching(world):
    counts = counted(*world)
    groups = groups_of_assistants(counts.columns, STRATA, NAMES)
    first = pairs(compare(counts, STRATA, groups, LABELS), alpha=0.05)[0]
    assert (first.model_a, first.model_b, first.matched_on) == ("large", "small", "tasks")
    assert [row["label"] for row in first.more(-1)] == ["care"]
    assert first.more(1) == []
    assert first.overlap == 3
    assert first.top_a[0] == "clarity"
