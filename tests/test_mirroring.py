"""Mirroring: the counted conversations, and the share by chance."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.records import MIRRORING
from vitw_ray.statistics.contingency import Axis, CodedFacet, deduplicate
from vitw_ray.statistics.mirroring import count_mirroring, mirroring
from vitw_ray.statistics.mirroring_chance import MirroringCounts, share_by_chance, summed

pytestmark = pytest.mark.filterwarnings("error")

AI, HUMAN, TYPES, TASKS = 5, 6, 2, 2
TO_AI = [2, 0, 4, -1, 1, 0]  # human code to AI code; labels 1 and 5 share one, 3 has none

conversation = st.tuples(
    st.sets(st.integers(0, HUMAN - 1), max_size=4),
    st.sets(st.integers(0, AI - 1), max_size=4),
    st.none() | st.integers(0, TYPES - 1),
    st.none() | st.integers(0, TASKS - 1),
)


def facet(held, size: int) -> CodedFacet:
    pairs = [(row, code) for row, codes in enumerate(held) for code in codes]
    return CodedFacet(*deduplicate([row for row, _ in pairs], [code for _, code in pairs]), size)


def single(codes, size: int) -> CodedFacet:
    return facet([[] if code is None else [code] for code in codes], size)


GROUPS = 3  # of accounts


def groups(n: int, first=0) -> CodedFacet:
    return single((first + np.arange(n)) % GROUPS, GROUPS)


def count(rows, first=0) -> MirroringCounts:
    """Counts of rows of which the first has index `first`; the index decides the account."""
    human, ai, types, task = zip(*rows, strict=True) if rows else ((), (), (), ())
    return count_mirroring(
        facet(human, HUMAN),
        facet(ai, AI),
        TO_AI,
        single(types, TYPES),
        single(task, TASKS),
        groups(len(rows), first),
    )


def table(counts: MirroringCounts):
    return mirroring(counts, Axis("response_types", ["support", "resistance"], level=1), AI)


@settings(deadline=None)
@given(st.lists(conversation, max_size=25))
def test_mirrored_conversations_are_those_with_a_label_on_both_sides(rows):
    result = table(count(rows)).to_pylist()
    for response_type, row in enumerate(result):
        base = [(h, a) for h, a, kind, _ in rows if kind == response_type and h]
        assert row["conversations"] == len(base)
        assert row["mirrored"] == sum(any(TO_AI[v] in a for v in h) for h, a in base)


@settings(deadline=None)
@given(st.lists(conversation, max_size=25), st.lists(st.integers(0, 25), max_size=4), st.randoms())
def test_any_split_of_the_rows_in_any_order_gives_the_same_table(rows, cuts, random):
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    blocks = [count(rows[low:high], low) for low, high in pairwise(bounds)]
    random.shuffle(blocks)
    total = MirroringCounts.zero(GROUPS, TYPES, TASKS)
    for block in blocks:
        total = total.add(block)
    assert table(total).equals(table(count(rows)))


@settings(deadline=None)
@given(st.lists(conversation, min_size=1, max_size=25))
def test_with_one_human_value_each_the_share_by_chance_is_the_mean_over_all_partners(rows):
    rows = [({min(h)}, a, kind, task) for h, a, kind, task in rows if h and kind is not None]
    result = share_by_chance(summed(count(rows), AI), TYPES, AI)
    for response_type in range(TYPES):
        group = [row for row in rows if row[2] == response_type]
        chances = [chance_of(i, group) for i in range(len(group))]
        if not chances or None in chances:
            assert np.isnan(result[response_type])
        else:
            assert result[response_type] == pytest.approx(np.mean(chances), abs=1e-12)


def chance_of(i: int, group) -> float | None:
    """Share of the other conversations of the task, else of the type, that would mirror i."""
    known = {TO_AI[value] for value in group[i][0]} - {-1}
    others = group[:i] + group[i + 1 :]
    near = [other for other in others if other[3] == group[i][3]] or others
    if not known:
        return 0.0
    return float(np.mean([bool(known & other[1]) for other in near])) if near else None


VALUES = 60  # of the planted conversations


def planted(generator, n: int, human_values: tuple[int, ...], copy_share: float = 0.0):
    """Each of two tasks has different common labels, on both sides; some answers copy one more."""
    common = 1 / np.arange(1, VALUES + 1)
    weights = np.array([common, common[::-1]]) / common.sum()
    rows = []
    for _ in range(n):
        task = int(generator.integers(2))
        sizes = generator.choice(human_values), generator.integers(1, 6)
        human, ai = (
            set(generator.choice(VALUES, size, replace=False, p=weights[task]).tolist())
            for size in sizes
        )
        if generator.random() < copy_share:
            ai = ai | {min(human)}
        rows.append((human, ai, 0, task))
    return rows


def planted_row(rows):
    human, ai, _, task = zip(*rows, strict=True)
    facets = facet(human, VALUES), facet(ai, VALUES)
    kind, task = single([0] * len(rows), 1), single(task, 2)
    counts = count_mirroring(*facets, range(VALUES), kind, task, groups(len(rows)))
    return mirroring(counts, Axis("response_types", ["reframing"]), VALUES).to_pylist()[0]


def test_labels_shared_only_because_of_the_task_have_a_lift_of_one():
    rows = planted(np.random.default_rng(3), 4_000, human_values=(1,))
    row = planted_row(rows)
    assert row["low"] < row["share_by_chance"] < row["high"]
    pooled = planted_row([(human, ai, kind, 0) for human, ai, kind, _ in rows])
    assert pooled["share_by_chance"] < pooled["low"]


def test_with_several_human_values_the_share_by_chance_is_at_most_5_percent_too_low():
    rows = planted(np.random.default_rng(5), 1_200, human_values=(1, 2, 3, 4))
    held = np.zeros((2, len(rows), VALUES))
    for i, (human, ai, _, _) in enumerate(rows):
        held[0, i, list(human)] = held[1, i, list(ai)] = 1
    task = np.array([row[3] for row in rows])
    partners = (task[:, None] == task) & ~np.eye(len(rows), dtype=bool)
    exact = np.mean((((held[0] @ held[1].T) > 0) & partners).sum(1) / partners.sum(1))
    assert 0.95 * exact < planted_row(rows)["share_by_chance"] < exact


def test_copied_labels_raise_the_share_above_the_share_by_chance():
    row = planted_row(planted(np.random.default_rng(4), 2_000, (1, 2, 3), copy_share=0.3))
    assert row["share_by_chance"] < row["low"] < row["share"] < row["high"]
    assert row["lift"] == pytest.approx(row["share"] / row["share_by_chance"])


def test_a_response_type_without_partners_has_counts_but_no_share_by_chance():
    rows = [({0}, {2}, 1, None)]
    support, resistance = table(count(rows)).to_pylist()
    assert (support["conversations"], support["share"], support["lift"]) == (0, None, None)
    assert (resistance["mirrored"], resistance["share"]) == (1, 1.0)
    assert resistance["share_by_chance"] is None


def test_the_table_has_the_schema_of_records_even_without_conversations():
    assert table(MirroringCounts.zero(GROUPS, TYPES, TASKS)).schema == MIRRORING
    assert table(MirroringCounts.zero(GROUPS, TYPES, TASKS))["level"].to_pylist() == [1, 1]


def test_a_conversation_with_too_many_human_values_is_refused():
    with pytest.raises(ValueError, match="64 human values"):
        count_mirroring(
            facet([range(64)], 64),
            facet([[]], 64),
            range(64),
            single([0], 1),
            single([None], 1),
            groups(1),
        )
