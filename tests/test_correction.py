"""Corrected measures: equal to other people's code, valid for small samples, and true to design."""

from dataclasses import replace

import numpy as np
import pytest

from vitw_ray.config import LabelsConfig
from vitw_ray.intervals import Floats, z_quantile
from vitw_ray.statistics.correction import bounds, corrected
from vitw_ray.statistics.correction.corrected import Evidence
from vitw_ray.statistics.correction.measures import (
    CELLS,
    STATES,
    LogOddsRatio,
    Share,
    Slope,
    share_states,
    table_states,
)
from vitw_ray.statistics.correction.sample import Estimate, Reviewed, estimate

N, REVIEWED = 1_000, 200


def drawn(rows: int, share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(rows) < share


TRUTH = drawn(N, 0.3, 1)
READER = np.where(drawn(N, 0.15, 2), ~TRUTH, TRUTH)
EVERY = np.ones(N, bool)


def sample(rows, probability, truth=TRUTH, reader=READER, stratum=None, group=None) -> Reviewed:
    """The reviewed rows of a population, all of it in the base."""
    none = np.zeros(len(rows), np.int64)
    return Reviewed(
        probability=np.broadcast_to(np.asarray(probability, float), len(rows)).copy(),
        stratum=none if stratum is None else stratum[rows],
        account=np.arange(len(rows)),
        group=none if group is None else group[rows],
        people=share_states(np.ones(len(rows), bool), truth[rows]),
        reader=share_states(np.ones(len(rows), bool), reader[rows]),
    )


def counted(reader=READER, group=None) -> np.ndarray:
    groups = np.zeros(reader.size, np.int64) if group is None else group
    states = share_states(np.ones(reader.size, bool), reader)
    keys = groups * STATES + states
    return np.bincount(keys, minlength=STATES * (groups.max() + 1)).reshape(-1, STATES)


EVENLY = sample(np.arange(REVIEWED), REVIEWED / N)


# The figures below are of glide-py 0.11.0 and ppi-python 0.2.3, over the arrays above. Both take
# the reviewed rows and the others as two samples; ours takes the reviewed rows as a part of all.
# A tuning of theirs is ours times 1 - reviewed / all.


def test_a_share_is_that_of_glide_without_tuning():
    found = estimate(EVENLY, counted(), Share(), tuning=1 / (1 - REVIEWED / N))
    assert found.value == pytest.approx(0.30624999999999997, abs=1e-9)


def test_a_share_is_that_of_glide_with_its_tuning():
    y, f, rest = (x.astype(float) for x in (TRUTH[:REVIEWED], READER[:REVIEWED], READER[REVIEWED:]))
    of_all = np.var(np.concatenate([f, rest]), ddof=1)
    tuning = np.cov(y, f)[0, 1] / ((1 + REVIEWED / rest.size) * of_all)
    found = estimate(EVENLY, counted(), Share(), tuning=tuning / (1 - REVIEWED / N))
    assert found.value == pytest.approx(0.29526847188620287, abs=1e-9)


def test_a_standard_error_is_that_of_glide_where_both_samples_have_one_variance():
    # the other rows are the opposite of the reviewed ones: the same variance, another mean
    reader = np.concatenate([READER[:REVIEWED], ~READER[:REVIEWED]])
    found = estimate(
        sample(np.arange(REVIEWED), 0.5, reader=reader), counted(reader), Share(), tuning=2.0
    )
    assert found.value == pytest.approx(0.605, abs=1e-9)
    assert np.sqrt(found.variance) == pytest.approx(0.04348944306715662, abs=1e-9)


def test_a_stratified_share_is_that_of_glide():
    stratum = drawn(N, 0.5, 3).astype(np.int64)
    sizes = np.bincount(stratum)
    rows = np.concatenate([np.flatnonzero(stratum == h)[: sizes[h] // 4] for h in (0, 1)])
    part = (sizes // 4 / sizes)[stratum[rows]]
    shares = []
    for h in (0, 1):  # each stratum has its own part of reviewed rows, so its own factor
        mine = rows[stratum[rows] == h]
        inside = np.flatnonzero(stratum == h)
        place = np.searchsorted(inside, mine)
        one = sample(place, part[stratum[rows] == h], TRUTH[inside], READER[inside])
        tuning = 1 / (1 - mine.size / inside.size)
        shares.append(estimate(one, counted(READER[inside]), Share(), tuning=tuning).value)
    assert np.average(shares, weights=sizes) == pytest.approx(0.3099965220133527, abs=1e-9)


@pytest.mark.parametrize(
    ("tuning", "theirs"), [(1.0, 0.2886666666666666), (0.6871751733376583, 0.28751964230223814)]
)
def test_a_mean_with_unequal_probabilities_is_that_of_glide(tuning, theirs):
    probability = np.where(READER, 0.6, 0.1)
    chosen = np.where(READER, drawn(N, 0.6, 4), drawn(N, 0.1, 5))
    rows = np.flatnonzero(chosen)
    one = sample(rows, probability[rows])

    def mean(totals: Floats) -> tuple[float, Floats]:
        return float(totals[0, 2]) / N, np.array([[0, 0, 1 / N]])

    found = estimate(one, counted(), mean, tuning=tuning)
    assert found.value == pytest.approx(theirs, abs=1e-9)


def tuned_as(theirs: float, part: float = REVIEWED / N) -> float:
    """Our tuning for theirs."""
    return theirs / (1 - part)


@pytest.mark.parametrize(("tuning", "theirs"), [(1.0, 0.30625), (0.5, 0.295625)])
def test_a_share_is_that_of_ppi_python(tuning, theirs):
    found = estimate(EVENLY, counted(), Share(), tuned_as(tuning))
    assert found.value == pytest.approx(theirs, abs=1e-9)


def test_an_interval_is_that_of_ppi_python_where_both_samples_have_one_variance():
    reader = np.concatenate([READER[:REVIEWED], ~READER[:REVIEWED]])
    one = sample(np.arange(REVIEWED), 0.5, reader=reader)
    found = estimate(one, counted(reader), Share(), tuned_as(0.5, part=0.5))
    assert found.value == pytest.approx(0.445, abs=1e-9)
    theirs = (0.5034508121299853 - 0.3865491878700147) / 2
    of_n = np.sqrt(found.variance * (REVIEWED - 1) / REVIEWED)  # theirs divides by n
    assert z_quantile() * of_n == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(
    ("tuning", "theirs"), [(1.0, -0.03869210664324856), (0.5, 0.12422007395672556)]
)
def test_a_logistic_regression_on_a_group_is_that_of_ppi_python(tuning, theirs):
    group = drawn(N, 0.5, 3)
    people, reader = (table_states(EVERY, group, found) for found in (TRUTH, READER))
    cells = np.bincount(reader, minlength=CELLS)[None]
    one = EVENLY.of_states(EVENLY.group, people[:REVIEWED], reader[:REVIEWED])
    found = estimate(one, cells, LogOddsRatio(), tuned_as(tuning))
    assert found.value == pytest.approx(theirs, abs=1e-9)


def test_people_alone_give_the_textbook_variance():
    found = estimate(EVENLY, counted(), Share(), tuning=0.0)
    y = TRUTH[:REVIEWED].astype(float)
    assert found.value == pytest.approx(y.mean(), abs=1e-12)
    assert found.variance == pytest.approx(y.var(ddof=1) / REVIEWED, rel=1e-9)


def test_a_reader_of_no_use_is_left_out():
    noise = drawn(N, 0.4, 9)
    found = estimate(sample(np.arange(REVIEWED), 0.2, reader=noise), counted(noise), Share())
    assert found.tuning < 0.1
    assert found.value == pytest.approx(TRUTH[:REVIEWED].mean(), abs=0.01)


def test_the_tuning_has_the_least_variance():
    best = estimate(EVENLY, counted(), Share())
    assert 0 < best.tuning < 1
    for tuning in (0.0, 0.5 * best.tuning, 1.0):
        assert best.variance < 1.01 * estimate(EVENLY, counted(), Share(), tuning).variance


def test_a_reader_without_a_visible_error_may_still_err():
    same = sample(np.arange(REVIEWED), REVIEWED / N, reader=TRUTH)
    found = corrected.share(same, counted(TRUTH))
    assert found.low is not None
    assert found.high is not None
    assert found.low < TRUTH.mean() - 2 / REVIEWED
    assert found.high > TRUTH.mean() + 2 / REVIEWED


def test_the_gradients_are_those_of_the_measures():
    rng = np.random.default_rng(7)
    measures = [(Share(1), STATES), (LogOddsRatio(1), CELLS), (Slope((0.0, 1.0, 3.0)), STATES)]
    for measure, states in measures:
        totals = rng.uniform(50, 100, (3, states))
        value, gradient = measure(totals)
        for cell in np.ndindex(totals.shape):
            moved = totals.copy()
            moved[cell] += 1e-4
            assert (measure(moved)[0] - value) / 1e-4 == pytest.approx(gradient[cell], abs=1e-6)


def test_the_slope_is_that_of_a_line_through_all_conversations():
    times = np.random.default_rng(3).integers(0, 4, N)
    totals = counted(TRUTH, times).astype(float)
    slope = np.polyfit(times.astype(float), TRUTH.astype(float), 1)[0]
    assert Slope((0, 1, 2, 3))(totals)[0] == pytest.approx(slope, abs=1e-12)


def test_rows_of_one_account_count_less():
    twice = np.repeat(np.arange(REVIEWED // 2), 2)
    apart = sample(twice, REVIEWED / N)
    together = replace(apart, account=twice)
    ratio = [estimate(one, counted(), Share(), 1.0).variance for one in (together, apart)]
    assert ratio[0] / ratio[1] > 1.5


def test_a_review_of_everything_leaves_the_sampling_of_the_conversations():
    whole = sample(np.arange(N), 1.0)
    found = estimate(whole, counted(), Share(), tuning=1.0)
    assert found.value == pytest.approx(TRUTH.mean(), abs=1e-12)
    one = (1 / N) ** 2  # one disagreement is always assumed
    assert found.variance == pytest.approx(TRUTH.var(ddof=1) / N + one, rel=1e-6)


def test_strata_of_which_the_reader_said_the_same_make_the_interval_narrower():
    stratum = READER.astype(np.int64)
    rows = np.concatenate([np.flatnonzero(stratum == h)[:100] for h in (0, 1)])
    probability = (100 / np.bincount(stratum))[stratum[rows]]
    known = sample(rows, probability, stratum=stratum)
    unknown = replace(known, stratum=np.zeros(rows.size, np.int64))
    people = [estimate(one, counted(), Share(), tuning=0.0).variance for one in (known, unknown)]
    assert people[0] < people[1]


def test_a_stratum_with_one_row_still_adds_to_the_variance():
    stratum = np.zeros(N, np.int64)
    stratum[:2] = 1, 2
    one = sample(np.arange(REVIEWED), REVIEWED / N, stratum=stratum)
    assert np.isfinite(estimate(one, counted(), Share()).variance)
    stratum[1] = 0
    one = sample(np.arange(REVIEWED), REVIEWED / N, stratum=stratum)
    assert np.isfinite(estimate(one, counted(), Share()).variance)


def test_the_order_of_rows_does_not_matter():
    order = np.random.default_rng(1).permutation(REVIEWED)
    a = estimate(EVENLY, counted(), Share())
    b = estimate(sample(order, REVIEWED / N), counted(), Share())
    assert (a.value, a.variance) == pytest.approx((b.value, b.variance), rel=1e-12)


def test_a_rare_label_has_a_reason_and_no_number():
    rare = np.arange(N) % 50 == 0  # 4 of 200
    found = corrected.share(sample(np.arange(REVIEWED), 0.2, truth=rare), counted())
    assert (found.value, found.reason) == (None, "few_reviewed")
    common = ~rare
    found = corrected.share(sample(np.arange(REVIEWED), 0.2, truth=common), counted())
    assert (found.low, found.reason) == (None, "few_reviewed")


def test_a_difference_needs_evidence_in_both_groups():
    group = (np.arange(N) % 20 == 0).astype(np.int64)
    one = sample(np.arange(REVIEWED), 0.2, group=group)
    assert corrected.difference(one, counted(group=group), 0, 1).reason == "few_reviewed"
    half = (np.arange(N) % 2).astype(np.int64)
    one = sample(np.arange(REVIEWED), 0.2, group=half)
    found = corrected.difference(one, counted(group=half), 0, 1)
    assert found.low is not None
    assert found.high is not None
    assert found.value is not None
    assert found.low < found.value < found.high
    back = corrected.difference(one, counted(group=half), 1, 0)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low), abs=1e-12)


def test_an_odds_ratio_needs_all_four_cells():
    other = TRUTH | drawn(N, 0.2, 8)  # never without the first
    states = table_states(EVERY, TRUTH, other)
    held = np.bincount(states, minlength=CELLS)[None]
    one = EVENLY.of_states(EVENLY.group, states[:REVIEWED], states[:REVIEWED])
    assert corrected.odds_ratio(one, held).reason == "few_reviewed"
    other = np.where(drawn(N, 0.3, 8), ~TRUTH, TRUTH)
    states = table_states(EVERY, TRUTH, other)
    one = EVENLY.of_states(EVENLY.group, states[:REVIEWED], states[:REVIEWED])
    found = corrected.odds_ratio(one, np.bincount(states, minlength=CELLS)[None])
    assert found.low is not None
    assert found.high is not None
    assert found.low < (0.7 / 0.3) ** 2 < found.high


def test_two_periods_are_no_trend():
    times = np.arange(N) % 2
    one = sample(np.arange(REVIEWED), 0.2, group=times)
    assert corrected.trend(one, counted(group=times), (0, 1)).reason == "few_reviewed"
    times = np.arange(N) % 3
    one = sample(np.arange(REVIEWED), 0.2, group=times)
    assert corrected.trend(one, counted(group=times), (0, 1, 2)).value is not None


def test_the_evidence_is_at_least_what_a_label_needs_to_be_shown():
    least = Evidence.of(LabelsConfig(min_conversations=25, min_accounts=3))
    assert (least.rows, least.cell, least.accounts) == (25, 25, 3)
    one = replace(EVENLY, account=np.arange(REVIEWED) % 2)
    assert corrected.share(one, counted(), least=least).reason == "few_reviewed"
    assert corrected.share(EVENLY, counted(), least=least).reason is None


def test_the_interval_of_a_share_is_within_0_and_1_and_wider_towards_the_middle():
    low, high = bounds.of_share(Estimate(0.02, 0.01**2, freedom=20.0, tuning=1.0))
    assert 0 < low < 0.02 < high < 1
    assert high - 0.02 > 0.02 - low


def test_few_disagreements_give_a_wider_interval():
    few, many = (Estimate(0.3, 0.02**2, freedom, 1.0) for freedom in (3.0, 300.0))
    assert bounds.half_width(few) > 1.5 * bounds.half_width(many)
