"""The strict release: what one account may change, what it costs, and what is said of it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from vitw_ray.evaluation.audit_population import NAMES, audit_population, hashes
from vitw_ray.release.strict import measure, names, noise, tables
from vitw_ray.release.strict.bounds import (
    AI,
    SPLIT,
    TASKS,
    Bounds,
    accounts_counted,
    choose_bounds,
)
from vitw_ray.release.strict.committed import from_json, to_json
from vitw_ray.release.strict.noise import Budget, ExactNoise
from vitw_ray.release.strict.population import (
    Pairs,
    Population,
    bound_conversations,
    bound_pairs,
)

BOUNDS = Bounds(conversations=2, pairs=5, delta=1e-3)


class NoNoise:
    def add(self, counts, scale):
        return counts


def people(held: list[tuple[int, set[int]]]) -> Population:
    """Conversations as (account, values)."""
    rows = [row for row, (_, codes) in enumerate(held) for _ in codes]
    codes = [code for _, codes in held for code in sorted(codes)]
    order = hashes([f"{account}/{n}" for n, (account, _) in enumerate(held)])
    pairs = Pairs(
        np.array(rows, np.int64), np.array(codes, np.int64), list(NAMES), hashes(list(NAMES))
    )
    return Population(
        np.array([account for account, _ in held], np.int64),
        order,
        np.array([len(codes) % 7 for _, codes in held], np.int64),
        {AI: pairs, "human_values": pairs, TASKS: pairs.take(np.zeros(len(rows), bool))},
    )


conversations = st.lists(
    st.tuples(st.integers(0, 4), st.sets(st.integers(0, len(NAMES) - 1), max_size=9)), max_size=30
)


def without(population: Population, account: int) -> Population:
    """The population without an account; its conversations keep their hashes."""
    kept = population.accounts != account
    to_new = np.cumsum(kept) - 1
    facets = {}
    for name, pairs in population.facets.items():
        left = pairs.take(kept[pairs.rows])
        facets[name] = Pairs(to_new[left.rows], left.codes, left.names, left.keys)
    return Population(
        population.accounts[kept], population.order[kept], population.response_types[kept], facets
    )


@given(conversations)
def test_an_account_contributes_no_more_than_its_bounds(held):
    bounded = bound_conversations(people(held), BOUNDS.conversations)
    assert np.bincount(bounded.accounts, minlength=1).max() <= BOUNDS.conversations
    pairs = bound_pairs(bounded.facets[AI], bounded, BOUNDS.pairs)
    of_accounts = np.bincount(bounded.accounts[pairs.rows], minlength=1)
    assert of_accounts.max() <= BOUNDS.pairs


@given(conversations)
def test_what_an_account_contributes_does_not_depend_on_others(held):
    whole = bound_conversations(people(held), BOUNDS.conversations)
    fewer = bound_conversations(without(people(held), 0), BOUNDS.conversations)

    def contributed(population):
        pairs = bound_pairs(population.facets[AI], population, BOUNDS.pairs)
        found = zip(population.order[pairs.rows].tolist(), pairs.codes.tolist(), strict=True)
        accounts = population.accounts[pairs.rows].tolist()
        return {(a, *pair) for a, pair in zip(accounts, found, strict=True) if a != 0}

    assert contributed(whole) == contributed(fewer)


def test_the_choice_does_not_depend_on_the_order_in_which_names_were_found():
    whole = audit_population(with_the_account=True)
    pairs = whole.facets[AI]
    other = pairs.only(np.arange(len(pairs.names))[::-1].copy())

    def chosen(some):
        held = bound_pairs(some, whole, 3)
        return {(row, some.names[code]) for row, code in zip(held.rows, held.codes, strict=True)}

    assert chosen(pairs) == chosen(other)


@given(conversations)
def test_one_account_changes_counts_by_their_sensitivity_at_most(held):
    found = []
    for population in (people(held), without(people(held), 0)):
        bounded = bound_conversations(population, BOUNDS.conversations)
        pairs = bounded.facets[AI]
        counts = bound_pairs(pairs, bounded, BOUNDS.pairs).counts()
        head = 2 * pairs.counts()[:5] - bounded.conversations
        rows = bound_pairs(pairs, bounded, BOUNDS.pairs)
        accounts = np.unique(bounded.accounts[rows.rows] * 100 + rows.codes)
        weights = names.weights_of(accounts // 100, accounts % 100, len(NAMES))
        found.append((counts, head, weights))
    changes = [np.linalg.norm(one - other) for one, other in zip(*found, strict=True)]
    k = BOUNDS.conversations
    assert changes[0] <= BOUNDS.norm(AI) + 1e-9
    assert changes[1] <= k * math.sqrt(5) + 1e-9
    assert changes[2] <= names.UNIT


def test_the_measurements_spend_the_budget_and_no_more():
    budget = Budget(0.02, NoNoise())
    population = audit_population(True)
    measure.measure(population, choose_bounds(population, None, None, 1e-3, budget), budget)
    assert math.fsum(budget.spent) == pytest.approx(1)
    assert math.fsum(SPLIT.values()) == pytest.approx(1)
    with pytest.raises(ValueError, match="budget"):
        budget.measure(np.zeros(1, np.int64), 1.0, 0.01)


@given(conversations)
def test_one_account_changes_the_numbers_that_choose_the_bounds_by_one_each(held):
    before, after = (accounts_counted(one) for one in (people(held), without(people(held), 0)))
    assert set((before - after).tolist()) <= {0, 1}


@pytest.mark.parametrize(
    ("held", "asked", "chosen"),
    [
        ([1] * 9, (None, None), (1, 12)),
        ([1] * 9 + [40], (None, None), (1, 12)),  # one account with many changes nothing
        ([1, 1, 1, 2], (None, None), (3, 24)),
        ([1, 1, 1, 2], (None, 8), (3, 8)),
        ([3] * 9, (1, None), (1, 12)),
        ([1] * 9, (30, None), (30, 30)),
    ],
)
def test_more_conversations_count_where_enough_accounts_have_several(held, asked, chosen):
    each = [(account, {0}) for account, times in enumerate(held) for _ in range(times)]
    budget = Budget(0.02, NoNoise())
    bounds = choose_bounds(people(each), *asked, 1e-3, budget)
    assert (bounds.conversations, bounds.pairs) == chosen
    assert budget.spent == ([SPLIT["bounds"]] if asked[0] is None else [])


def test_rho_is_the_most_that_epsilon_and_delta_allow():
    pytest.importorskip("opendp")
    rho = noise.rho_of(1.0, 1e-6)
    assert 0.999 < noise.epsilon_of(rho, 1e-6) <= 1.0
    loose = rho + 2 * math.sqrt(rho * math.log(1e6))  # Bun and Steinke, 2016
    assert loose > 1.0


def test_noise_is_discrete_has_its_scale_and_differs_from_draw_to_draw():
    pytest.importorskip("opendp")
    draws = [ExactNoise().add(np.zeros(2000, np.int64), 20.0) for _ in range(2)]
    assert draws[0].dtype == np.int64
    assert np.std(draws[0]) == pytest.approx(20, rel=0.1)
    assert (draws[0] != draws[1]).mean() > 0.9


def test_noise_is_added_to_numbers_of_any_size_that_a_release_has():
    pytest.importorskip("opendp")
    large = np.array([10**12, -(10**12)], np.int64)
    assert np.abs(ExactNoise().add(large, 10.0) - large).max() < 200


@pytest.mark.parametrize("scale", [0.3, 1.0, 30.0])
def test_names_of_one_account_pass_the_threshold_with_probability_delta_at_most(scale):
    limit = names.threshold(scale * names.UNIT, 12, 1e-4) / names.UNIT
    for size in range(1, 13):
        passes = norm.sf((limit - 1 / math.sqrt(size)) / scale)
        assert 1 - (1 - passes) ** size <= 1e-4


def test_without_noise_the_counts_are_those_of_the_bounded_population():
    population = audit_population(with_the_account=False)
    found = measure.measure(population, BOUNDS, Budget(1e9, NoNoise()))
    counts = dict(zip(found.facets[AI].names, found.facets[AI].counts.tolist(), strict=True))
    pairs = population.facets[AI]
    expected = dict(zip(pairs.names, pairs.counts().tolist(), strict=True))
    assert counts == {name: n for name, n in expected.items() if n > 1}
    assert found.conversations == population.conversations
    assert found.response_types.counts.sum() == population.conversations


def test_a_population_of_nobody_gives_an_empty_release():
    found = measure.measure(people([]), BOUNDS, Budget(0.02, NoNoise()))
    assert not found.facets[AI].names
    assert tables.labels_table(found).num_rows == 0
    assert tables.associations_table(found).num_rows == 0
    assert tables.certain_of_top(found) == 0


def test_what_is_committed_gives_the_same_tables_again():
    found = measure.measure(audit_population(True), BOUNDS, Budget(50.0, NoNoise()))
    again = from_json(to_json(found))
    for table in (tables.labels_table, tables.types_table, tables.associations_table):
        assert table(found).equals(table(again))
    assert tables.frequencies_rows(found) == tables.frequencies_rows(again)


def test_intervals_hold_the_shares_and_come_from_the_scale_of_the_noise():
    found = measure.measure(audit_population(True), BOUNDS, Budget(50.0, NoNoise()))
    for row in tables.labels_table(found).to_pylist():
        assert 0 <= row["low"] <= row["share"] <= row["high"] <= 1
    quiet = measure.measure(audit_population(True), BOUNDS, Budget(5e5, NoNoise()))
    assert tables.share_errors(quiet.facets[AI], quiet).max() < 0.1 * float(
        tables.share_errors(found.facets[AI], found).max()
    )


def test_residuals_are_those_of_the_noisy_counts():
    found = measure.measure(audit_population(False), BOUNDS, Budget(1e9, NoNoise()))
    n = found.conversations
    rows = [r for r in tables.associations_table(found).to_pylist() if r["residual"] is not None]
    assert rows
    crossed = found.crossed["response_types"]
    counts = dict(zip(crossed.rows.names, crossed.rows.counts.tolist(), strict=True))
    types = dict(zip(crossed.columns.names, crossed.columns.counts.tolist(), strict=True))
    for row in rows:
        if row["column_facet"] != "response_types":
            continue
        r, c = counts[row["row"]], types[row["column"]]
        spread = math.sqrt(r * c / n * (1 - r / n) * (1 - c / n))
        assert row["residual"] == pytest.approx((row["observed"] - r * c / n) / spread, abs=1e-3)
