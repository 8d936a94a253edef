"""Groups of accounts: intervals allow for similar conversations of an account."""

import numpy as np
import pyarrow as pa
import pytest

from vitw_ray.statistics.account_groups import ACCOUNT_GROUPS, account_groups, t_interval
from vitw_ray.statistics.cell_accounts import hashes_of
from vitw_ray.statistics.clustered import ClusteredCounts, residuals_by_account
from vitw_ray.statistics.contingency import Axis, CodedFacet, deduplicate
from vitw_ray.statistics.mirroring import count_mirroring, mirroring
from vitw_ray.statistics.residuals import adjusted_residual

pytestmark = pytest.mark.filterwarnings("error")


def single(codes, size: int) -> CodedFacet:
    codes = np.asarray(codes)
    rows = np.flatnonzero(codes >= 0)
    return CodedFacet(rows, codes[rows].astype(np.int32), size)


def test_conversations_of_an_account_share_a_group_and_those_without_one_spread():
    accounts = ["anna", None, "anna", "ben", *[None] * 500]
    ids = pa.chunked_array([[f"c{i}" for i in range(len(accounts))]])
    group = account_groups(hashes_of(pa.chunked_array([accounts], pa.string())), ids)
    assert group.codes[0] == group.codes[2]
    assert group.size == ACCOUNT_GROUPS
    assert len(set(group.codes.tolist())) == ACCOUNT_GROUPS


def test_the_interval_of_a_mean_of_groups_covers_the_truth_in_95_of_100_draws():
    draws = np.random.default_rng(0).normal(3.0, 1.0, (ACCOUNT_GROUPS, 10_000))
    without = (draws.sum(axis=0) - draws) / (ACCOUNT_GROUPS - 1)
    low, high = t_interval(draws.mean(axis=0), without)
    assert np.mean((low <= 3) & (high >= 3)) == pytest.approx(0.95, abs=0.01)


def planted(rng, accounts: int, each: int, own_taste: float):
    """Two labels, independent given the account; with `own_taste`, both depend on the account."""
    account = np.repeat(np.arange(accounts), each)
    facets = []
    for _ in range(2):
        taste = rng.random(accounts) < 0.2
        shown = np.where(
            rng.random(account.size) < own_taste, taste[account], rng.random(account.size) < 0.2
        )
        facets.append(
            CodedFacet(*deduplicate(np.flatnonzero(shown), np.zeros(shown.sum(), int)), 1)
        )
    return *facets, account


def both_residuals(rng, accounts: int, each: int, own_taste: float) -> tuple[float, float]:
    a, b, account = planted(rng, accounts, each, own_taste)
    group = single(rng.permutation(np.arange(accounts) % ACCOUNT_GROUPS)[account], ACCOUNT_GROUPS)
    counts = ClusteredCounts.of(a, b, np.array([0]), group)
    both, row, column = (np.array([c.sum()]) for c in (counts.both, counts.rows, counts.columns))
    plain = adjusted_residual(both, row, column, account.size)
    return plain[0], residuals_by_account(counts, np.array([0]))[0]


def test_similar_conversations_of_accounts_bias_the_plain_residual_but_not_that_by_account():
    rng = np.random.default_rng(1)
    found = np.array([both_residuals(rng, 400, 20, own_taste=0.9) for _ in range(300)])
    plain, by_account = (np.abs(found) > 1.96).mean(axis=0)
    assert plain > 0.4
    assert by_account < 0.08


def test_with_one_conversation_per_account_both_residuals_are_similar():
    rng = np.random.default_rng(2)
    found = np.array([both_residuals(rng, 6_000, 1, own_taste=0.5) for _ in range(100)])
    assert found[:, 1] == pytest.approx(found[:, 0], rel=0.35, abs=0.01)
    assert np.all(np.abs(found[:, 1]) <= np.abs(found[:, 0]) + 1e-12)


def test_cells_counted_in_blocks_add_up():
    rng = np.random.default_rng(3)
    held = [np.nonzero(rng.random((300, 5)) < 0.4) for _ in range(2)]
    cells, group = np.array([0, 7, 24]), rng.integers(0, 4, 300)

    def count(low, high):
        inside = [(r >= low) & (r < high) for r, _ in held]
        a, b = (
            CodedFacet(*deduplicate(r[i] - low, c[i]), 5)
            for (r, c), i in zip(held, inside, strict=True)
        )
        return ClusteredCounts.of(a, b, cells, single(group[low:high], 4))

    whole, parts = count(0, 300), count(200, 300).add(count(0, 200))
    assert np.array_equal(whole.both, parts.both)
    presence = [np.zeros((300, 5), int) for _ in range(2)]
    for (r, c), table in zip(held, presence, strict=True):
        table[r, c] = 1
    for place, cell in enumerate(cells):
        together = presence[0][:, cell // 5] & presence[1][:, cell % 5]
        assert whole.both[place].tolist() == [together[group == g].sum() for g in range(4)]


def lift(rng, accounts: int, each: int, alike: float) -> dict:
    """Conversations with one human value of 20, which the answer copies in 3 of 10.

    The larger `alike`, the more similar are the conversations of an account in that.
    """
    n = accounts * each
    account = np.repeat(np.arange(accounts), each)
    said = rng.integers(0, 20, n)
    own = np.where(rng.random(accounts) < 0.3, 1.0, 0.0)[account]
    copies = rng.random(n) < alike * own + (1 - alike) * 0.3
    shown = np.where(copies, said, rng.integers(0, 20, n))
    group = rng.permutation(np.arange(accounts) % ACCOUNT_GROUPS)[account]
    counts = count_mirroring(
        single(said, 20), single(shown, 20), np.arange(20), single(np.zeros(n, int), 1),
        single(np.zeros(n, int), 1), single(group, ACCOUNT_GROUPS),
    )  # fmt: skip
    return mirroring(counts, Axis("response_types", ["reframing"]), 20).to_pylist()[0]


TRUE_LIFT = (0.3 + 0.7 / 20) * 20  # chance is one in 20


@pytest.mark.slow
@pytest.mark.parametrize("alike", [0.0, 0.8])
def test_over_10_000_draws_the_interval_of_the_lift_covers_the_truth_in_95_of_100(alike):
    rng = np.random.default_rng(6)
    rows = [lift(rng, 300, 5, alike) for _ in range(10_000)]
    held = np.mean([row["lift_low"] <= TRUE_LIFT <= row["lift_high"] for row in rows])
    assert held == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("alike", [0.0, 0.8])
def test_the_interval_of_the_lift_covers_the_truth_with_similar_conversations_of_accounts(alike):
    rng = np.random.default_rng(5)
    rows = [lift(rng, 300, 5, alike) for _ in range(150)]
    held = np.mean([row["lift_low"] <= TRUE_LIFT <= row["lift_high"] for row in rows])
    assert held == pytest.approx(0.95, abs=0.05)  # 150 draws: 2.8 standard errors
    if alike:
        naive = np.mean([row["low"] <= TRUE_LIFT / 20 <= row["high"] for row in rows])
        assert naive < 0.85
