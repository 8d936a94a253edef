"""A cell of enough conversations and too few accounts stands in no table."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_analyze import VOCABULARY, tables

from vitw_ray.config import LabelsConfig
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.statistics import cell_accounts
from vitw_ray.statistics.block import ConversationBlock
from vitw_ray.statistics.cell_accounts import UNKNOWN, CellAccounts, People
from vitw_ray.statistics.contingency import CodedFacet, deduplicate
from vitw_ray.statistics.partials import add, count_block
from vitw_ray.statistics.tables import compute

pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(UNKNOWN, 6)), max_size=40)


def of(found, most=3):
    cells, accounts = (np.array([p[n] for p in found], np.int64) for n in (0, 1))
    return CellAccounts.of(most, cells, accounts)


@given(pairs, pairs)
def test_cells_with_enough_accounts_are_those_that_a_set_would_count(some, others):
    known = {(c, a) for c, a in some + others if a != UNKNOWN}
    few = [len({a for c, a in known if c == cell}) < 3 for cell in range(5)]
    total = of(some).add(of(others))
    assert total.few(5).tolist() == few
    assert total.few_of(np.arange(5)).tolist() == few
    assert np.bincount(total.cells, minlength=5).max(initial=0) < 3
    at_once = of(some + others)
    for name in ("full", "cells", "accounts"):
        assert getattr(total, name).tolist() == getattr(at_once, name).tolist()


def conversations(accounts, number, **row):
    """Conversations of some accounts in turn."""
    row = {"is_subjective": True, "model": "m", "task": None, "human_values": []} | row
    return [(row, accounts[n % len(accounts)]) for n in range(number)]


def made(found, vocabulary):
    extractions, tasks = tables([row for row, _ in found])
    column = extractions.schema.get_field_index("account_id")
    accounts = pa.array([account for _, account in found], pa.string())
    extractions = extractions.set_column(column, extractions.schema.field(column), accounts)
    half = len(found) // 2
    blocks = (extractions.slice(0, half), extractions.slice(half))
    merged = {}
    for block in blocks:
        merged = add(merged, count_block(ConversationBlock.of(block, tasks, vocabulary)))
    return compute(merged, {}, vocabulary, 0.05)


MANY = [f"a{n}" for n in range(8)]
STRONG = RESPONSE_TYPES[0]
RARE = {"ai_values": ["care", "clarity"], "human_values": ["speed"], "response_type": STRONG}
RARE |= {"task": "tasks:l1:b"}
USUAL = {"ai_values": ["care"], "human_values": ["honesty"], "response_type": RESPONSE_TYPES[1]}
USUAL |= {"task": "tasks:l1:a"}
OTHER = {"ai_values": ["clarity"], "human_values": ["honesty"], "response_type": RESPONSE_TYPES[2]}
OTHER |= {"task": "tasks:l1:a", "model": "n"}


@pytest.mark.parametrize("accounts", [["one"], ["one", "two", None]])
def test_cells_of_one_account_are_in_no_table(accounts):
    thresholds = LabelsConfig(min_conversations=10, min_accounts=3)
    vocabulary = dataclasses.replace(VOCABULARY, thresholds=thresholds)
    found = conversations(MANY, 40, **USUAL) + conversations(MANY, 40, **OTHER)
    found += conversations(accounts, 30, **RARE)
    loose = dataclasses.replace(thresholds, min_accounts=1)
    shown = made(found, dataclasses.replace(VOCABULARY, thresholds=loose))
    gated = made(found, vocabulary)

    def cells(tables_, name):
        counts = ("conversations", "observed", "explicit")
        rows = [r for r in tables_[name].to_pylist() if any(r.get(c) for c in counts)]
        return {tuple(v for v in row.values() if isinstance(v, str)) for row in rows}

    of_rare = {
        "response_types": lambda row: STRONG in row,
        "associations": lambda row: STRONG in row or "tasks:l1:b" in row or row[-1] == "speed",
        "cooccurrence": lambda row: True,
        "mirroring": lambda row: STRONG in row,
        "explicitness": lambda row: STRONG in row,
    }
    for name, is_rare in of_rare.items():
        assert any(map(is_rare, cells(shown, name))), name
        assert not any(map(is_rare, cells(gated, name))), name
    compared = gated["model_comparison"].to_pylist()
    assert not {row["label"] for row in compared} & {STRONG, "speed", "tasks:l1:b"}
    assert any(RESPONSE_TYPES[1] in row for row in cells(gated, "response_types"))


@pytest.mark.parametrize("seed", range(20))
def test_pairs_of_a_block_are_those_that_two_columns_sorted_one_by_one_give(seed, monkeypatch):
    monkeypatch.setattr(cell_accounts, "FIRST_ROWS", 1 + seed * 15)
    monkeypatch.setattr(cell_accounts, "MOST_FLAGS", 0 if seed % 4 == 3 else 1 << 20)
    made = np.random.default_rng(seed)
    n, most = 200, int(made.integers(1, 6))
    a, b = (
        CodedFacet(*deduplicate(made.integers(0, n, 500), made.integers(0, size, 500)), size)
        for size in (7, 12)
    )
    if seed % 2:  # a column of one code per conversation takes another way
        first = np.concatenate([[True], b.rows[1:] != b.rows[:-1]])
        b = CodedFacet(b.rows[first], b.codes[first], b.size)
    accounts = made.choice(np.append(made.integers(0, 1 << 62, 30), UNKNOWN), n)
    held = [(r, c, d) for r, c in zip(a.rows, a.codes, strict=True) for d in b.codes[b.rows == r]]
    cells = np.array([c * 12 + d for _, c, d in held], np.int64)
    plain = CellAccounts.of(most, cells, accounts[[r for r, _, _ in held]])
    found = CellAccounts.of_pairs(most, a, b, People.of(accounts))
    assert found.full.tolist() == plain.full.tolist()
    assert found.cells.tolist() == plain.cells.tolist()
    assert found.accounts.tolist() == plain.accounts.tolist()
    rising = CellAccounts.of_pairs(most, a, a, People.of(accounts), rising=True)
    whole = CellAccounts.of_pairs(most, a, a, People.of(accounts))
    upper = whole.cells // 7 < whole.cells % 7
    assert rising.full.tolist() == [n for n in whole.full.tolist() if n // 7 < n % 7]
    turned = CellAccounts.of_pairs(most, b, a, People.of(accounts))
    assert turned.full.tolist() == sorted(n % 12 * 7 + n // 12 for n in plain.full.tolist())
    assert rising.cells.tolist() == whole.cells[upper].tolist()
    assert rising.accounts.tolist() == whole.accounts[upper].tolist()


@pytest.mark.parametrize("flags", [0, 1 << 20])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_full_before_a_block_is_left_out_and_the_sum_is_the_same(seed, flags, monkeypatch):
    monkeypatch.setattr(cell_accounts, "MOST_FLAGS", flags)
    made = np.random.default_rng(seed)
    a, b = (
        [CodedFacet(*deduplicate(made.integers(0, 90, 300), made.integers(0, s, 300)), s)] * 2
        for s in (5, 9)
    )
    people = [People.of(made.choice(np.append(np.arange(20), UNKNOWN), 90)) for _ in range(2)]
    one, other = (
        CellAccounts.of_pairs(3, *facets, of) for *facets, of in zip(a, b, people, strict=True)
    )
    later = CellAccounts.of_pairs(3, a[1], b[1], people[1], one.full)
    assert one.full.size
    assert flags == 0 or not np.isin(later.full, one.full).any()
    codes = [CellAccounts.of_codes(3, b[n], people[n]) for n in (0, 1)]
    after = CellAccounts.of_codes(3, b[1], people[1], codes[0].full)
    for first, second, left in ((one, other, later), (*codes, after)):
        whole, found = first.add(second), first.add(left)
        for name in ("full", "cells", "accounts"):
            assert getattr(found, name).tolist() == getattr(whole, name).tolist()
