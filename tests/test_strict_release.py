"""The strict release: what one account may change, what it costs, and what is said of it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from vitw_ray.evaluation.audit_population import NAMES, audit_population, hashes
from vitw_ray.release.strict import measure, names, noise, tables
from vitw_ray.release.strict.bounds import AI, SPLIT, TASKS, Bounds
from vitw_ray.release.strict.committed import from_json, to_json
from vitw_ray.release.strict.noise import Budget, ExactNoise
from vitw_ray.release.strict.population import (
    WEIGHT,
    Pairs,
    Population,
    bound_conversations,
    bound_names,
    bound_pairs,
    weigh,
)
from vitw_ray.release.strict.sharing import SIZE_SHARE, budget_of, head_share

BOUNDS = Bounds(conversations=2, pairs=5, delta=1e-3)


class NoNoise:
    def add(self, counts, scale):
        return counts

    def add_cube(self, numbers, scale):
        return numbers


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
    whole = people(held)
    bounded = bound_conversations(whole, BOUNDS.conversations)
    assert np.bincount(bounded.accounts, minlength=1).max() <= BOUNDS.conversations
    pairs = bound_pairs(whole.facets[AI], whole, BOUNDS.pairs)
    assert np.bincount(whole.accounts[pairs.rows], minlength=1).max() <= BOUNDS.pairs
    pairs = bound_names(whole.facets[AI], whole, BOUNDS.pairs)
    assert np.bincount(pairs.rows, minlength=1).max() <= BOUNDS.pairs
    weights = np.bincount(whole.accounts, weigh(whole, BOUNDS.conversations), minlength=1)
    assert weights.max() <= BOUNDS.conversations * WEIGHT


@given(conversations)
def test_what_an_account_contributes_does_not_depend_on_others(held):
    def contributed(population, bound, most):
        pairs = bound(population.facets[AI], population, most)
        weights = weigh(population, BOUNDS.conversations)[pairs.rows].tolist()
        order = population.order[pairs.rows].tolist()
        accounts = population.accounts[pairs.rows].tolist()
        found = zip(accounts, order, pairs.codes.tolist(), weights, strict=True)
        return {pair for pair in found if pair[0] != 0}

    whole, fewer = people(held), without(people(held), 0)
    for bound in (bound_pairs, bound_names):
        assert contributed(whole, bound, BOUNDS.pairs) == contributed(fewer, bound, BOUNDS.pairs)
    kept = [set(bound_conversations(one, 2).order.tolist()) for one in (whole, fewer)]
    assert kept[0] & set(fewer.order.tolist()) == kept[1]


def test_the_choice_does_not_depend_on_the_order_in_which_names_were_found():
    whole = audit_population(with_the_account=True)
    pairs = whole.facets[AI]
    other = pairs.only(np.arange(len(pairs.names))[::-1].copy())

    def chosen(some):
        held = bound_pairs(some, whole, 3)
        return {(row, some.names[code]) for row, code in zip(held.rows, held.codes, strict=True)}

    assert chosen(pairs) == chosen(other)


@given(conversations, st.sampled_from([1, 2, 5]))
def test_one_account_changes_counts_by_their_sensitivity_at_most(held, k):
    bounds = Bounds(k, 3, 1e-3)
    found = []
    for population in (people(held), without(people(held), 0)):
        pairs, weights = population.facets[AI], weigh(population, k)
        counts = bound_names(pairs, population, bounds.pairs).weighed(weights)
        whole = weights.sum()
        head = np.append(2 * pairs.weighed(weights)[:5] - whole, whole)
        rows = bound_pairs(pairs, population, bounds.names(AI))
        accounts = np.unique(population.accounts[rows.rows] * 100 + rows.codes)
        of_names = names.weights_of(accounts // 100, accounts % 100, len(NAMES))
        found.append((counts, head, of_names))
    changes = [one - other for one, other in zip(*found, strict=True)]
    assert np.linalg.norm(changes[0]) <= WEIGHT * bounds.norm(AI) + 1e-3
    assert np.abs(changes[1]).max() <= WEIGHT * k
    assert np.linalg.norm(changes[2]) <= names.UNIT


def test_the_measurements_spend_the_budget_and_no_more():
    budget = Budget(0.02, 0.5, NoNoise())
    population = audit_population(True)
    measure.measure(population, BOUNDS, budget)
    assert math.fsum(budget.spent) == pytest.approx(1)
    assert budget.has_measured_few
    with pytest.raises(ValueError, match="budget"):
        budget.measure_few(np.zeros(6, np.int64), 1)
    assert math.fsum(SPLIT.values()) == pytest.approx(1)
    with pytest.raises(ValueError, match="budget"):
        budget.measure(np.zeros(1, np.int64), 1.0, 0.01)


def test_the_two_parts_of_a_budget_add_up_to_its_epsilon():
    pytest.importorskip("opendp")
    budget = Budget.of(2.0, 1e-6, 0.3, NoNoise())
    assert budget.epsilon == 0.6
    assert budget.epsilon + noise.epsilon_of(budget.rho, 1e-6) == pytest.approx(2, abs=1e-3)
    assert budget.epsilon + noise.epsilon_of(budget.rho, 1e-6) <= 2


@pytest.mark.parametrize(
    ("accounts", "weigh_as", "share"),
    [
        (10**7, 1, 0.25),
        (308_210, 1, 0.25),
        (150_000, 1, 0.35),
        (102_737, 1, 0.5),
        (0, 1, 0.5),
        (308_210, 3, 0.5),
    ],
)
def test_the_most_frequent_values_get_more_of_epsilon_where_accounts_are_few(
    accounts, weigh_as, share
):
    assert head_share(accounts, weigh_as, 1.0) == share


def test_whatever_a_population_is_its_budget_adds_up_to_epsilon():
    pytest.importorskip("opendp")
    for whole in (people([]), audit_population(True)):
        budget = budget_of(whole, BOUNDS, 2.0, 1e-6, NoNoise())
        spent = SIZE_SHARE * 2 + budget.epsilon + noise.epsilon_of(budget.rho, 1e-6)
        assert 2 - 1e-3 < spent <= 2 + 1e-12


def test_accounts_with_several_conversations_count_as_one_and_lose_none():
    held = [(0, {0}), (0, {1}), (0, {0}), (1, {0}), (2, {1})]
    found = measure.measure(people(held), Bounds(1, 5, 0.5), Budget(1e9, 1e9, NoNoise()))
    assert found.conversations == 3
    counts = dict(zip(found.facets[AI].names, found.facets[AI].counts.tolist(), strict=True))
    assert counts == {NAMES[0]: 2, NAMES[1]: 1}  # 5/3 and 4/3


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


def test_noise_of_a_cube_has_the_probabilities_that_it_claims():
    pytest.importorskip("opendp")
    scale, draws = 1.3, 4000
    zero = np.zeros(2, np.int64)
    drawn = np.array([ExactNoise().add_cube(zero, scale) for _ in range(draws)])
    radius = np.abs(drawn).max(axis=1)
    sizes = np.array([(2 * r + 1) ** 2 - max(2 * r - 1, 0) ** 2 for r in range(40)])
    expected = sizes * np.exp(-np.arange(40) / scale)
    expected *= draws / expected.sum()
    seen = np.bincount(radius, minlength=40)[:6]
    assert (np.abs(seen - expected[:6]) < 4.5 * np.sqrt(expected[:6])).all()
    corners = (np.abs(drawn) == 1).all(axis=1).sum()  # 4 of the 8 points with radius 1
    assert abs(corners - expected[1] / 2) < 4.5 * math.sqrt(expected[1] / 2)


def test_noise_of_a_cube_has_its_deviation():
    pytest.importorskip("opendp")
    drawn = [ExactNoise().add_cube(np.zeros(6, np.int64), 2.0 * WEIGHT) for _ in range(400)]
    expected = noise.cube_deviation(2.0, 6)
    assert np.std(drawn) / WEIGHT == pytest.approx(expected, rel=0.1)
    assert expected == pytest.approx(8.64, abs=0.01)


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
    found = measure.measure(population, BOUNDS, Budget(1e9, 1e9, NoNoise()))
    counts = dict(zip(found.facets[AI].names, found.facets[AI].counts.tolist(), strict=True))
    pairs = population.facets[AI]
    expected = dict(zip(pairs.names, pairs.counts().tolist(), strict=True))
    assert counts == {name: n for name, n in expected.items() if n > 1}
    assert found.conversations == population.conversations
    assert found.response_types.counts.sum() == population.conversations


def test_a_population_of_nobody_gives_an_empty_release():
    found = measure.measure(people([]), BOUNDS, Budget(0.02, 0.5, NoNoise()))
    assert not found.facets[AI].names
    assert tables.labels_table(found).num_rows == 0
    assert tables.associations_table(found).num_rows == 0
    assert tables.certain_of_top(found) == 0


def test_what_is_committed_gives_the_same_tables_again():
    found = measure.measure(audit_population(True), BOUNDS, Budget(50.0, 0.5, NoNoise()))
    again = from_json(to_json(found))
    for table in (tables.labels_table, tables.types_table, tables.associations_table):
        assert table(found).equals(table(again))
    assert tables.frequencies_rows(found) == tables.frequencies_rows(again)


def test_intervals_hold_the_shares_and_come_from_the_scale_of_the_noise():
    found = measure.measure(audit_population(True), BOUNDS, Budget(50.0, 0.5, NoNoise()))
    for row in tables.labels_table(found).to_pylist():
        assert 0 <= row["low"] <= row["share"] <= row["high"] <= 1
    quiet = measure.measure(audit_population(True), BOUNDS, Budget(5e5, 5e3, NoNoise()))
    assert tables.share_errors(quiet.facets[AI], quiet).max() < 0.1 * float(
        tables.share_errors(found.facets[AI], found).max()
    )


def test_residuals_are_those_of_the_noisy_counts():
    found = measure.measure(audit_population(False), BOUNDS, Budget(1e9, 1e9, NoNoise()))
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


def test_the_norm_is_what_an_account_with_the_same_names_in_all_conversations_reaches():
    bounds = Bounds(4, 3, 1e-3)
    one = people([(0, {0, 1, 2})] * 4)
    counts = one.facets[AI].weighed(weigh(one, 4))
    assert np.linalg.norm(counts) == pytest.approx(WEIGHT * bounds.norm(AI))
