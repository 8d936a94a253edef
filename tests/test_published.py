"""A population drawn from the published rates has these rates and associations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitw_ray.evaluation.pairing import Sets, pair_sets
from vitw_ray.evaluation.published import MIRRORED, TASKS, TIED_TO_TASKS, Rates, draw
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.statistics.contingency import Counts
from vitw_ray.statistics.residuals import adjusted_residual

PLACES = {2: "professionalism", 3: "clarity", 10: "efficiency", 12: "authenticity"}
PLACES |= dict(enumerate(TIED_TO_TASKS, start=250))  # rare, as in the paper


@pytest.fixture(scope="module")
def rates() -> Rates:
    """400 values, 4 per conversation, at the paper's size."""
    names = [f"value {rank:03d}" for rank in range(400)]
    for rank, name in PLACES.items():
        names[rank] = name
    shares = np.minimum(0.75 / np.arange(1, 401), 0.25)
    return Rates(dict(zip(names, shares.tolist(), strict=True)))


@pytest.fixture(scope="module")
def drawn(rates):
    return draw(rates, np.random.default_rng(0))


def near(hits, n, truth) -> np.ndarray:
    """Within 4.5 standard deviations."""
    return np.abs(hits - n * truth) <= 4.5 * np.sqrt(n * truth * (1 - truth))


def test_frequencies_are_the_published_ones_on_both_sides(drawn, rates):
    n = drawn.conversations
    assert near(drawn.ai.presence, n, np.array(list(rates.ai_values.values()))).all()
    assert near(drawn.human.presence, n, np.array(list(rates.human_values.values()))).all()
    assert near(drawn.response_type.presence, n, np.array(rates.response_types)).all()
    assert near(np.unique(drawn.human.rows).size, n, 0.451)
    assert drawn.human.rows.size / n == pytest.approx(1.48, abs=0.01)


def mirrored_by_type(drawn, rates):
    names = {name: code for code, name in enumerate(rates.ai_values)}
    to_ai = np.array([names.get(name, -1) for name in rates.human_values])
    known = to_ai[drawn.human.codes] >= 0
    human = drawn.human.rows[known] * len(names) + to_ai[drawn.human.codes[known]]
    ai = drawn.ai.rows * len(names) + drawn.ai.codes
    met = np.unique(np.intersect1d(human, ai) // len(names))
    has = np.unique(drawn.human.rows)
    kinds = drawn.response_type.codes
    return [
        (np.isin(has[kinds[has] == code], met).sum(), (kinds[has] == code).sum())
        for code in range(len(RESPONSE_TYPES))
    ]


def test_the_mirrored_share_by_response_type_is_the_published_one(drawn, rates):
    found = mirrored_by_type(drawn, rates)
    for (hits, n), share in zip(found, MIRRORED, strict=True):
        assert near(hits, n, share)


def test_the_published_residuals_are_reproduced(drawn, rates):
    def residual(facet, row, column):
        counts = Counts.of(drawn.ai, facet, drawn.conversations)
        parts = counts.both[row, [column]], counts.rows[[row]], counts.columns[[column]]
        return adjusted_residual(*parts, drawn.conversations)[0]

    names, human = list(rates.ai_values), list(rates.human_values)
    same = residual(drawn.human, names.index("efficiency"), human.index("efficiency"))
    assert same == pytest.approx(271.38, rel=0.05)
    for home, (name, published_residual) in enumerate(TIED_TO_TASKS.items()):
        found = residual(drawn.task, names.index(name), home)
        assert found == pytest.approx(published_residual, abs=6)  # its standard error is about 2
    assert residual(drawn.task, names.index("clarity"), TASKS - 1) == pytest.approx(0, abs=4.5)


def test_the_same_seed_gives_the_same_draw(rates, drawn):
    again = draw(rates, np.random.default_rng(0))
    assert np.array_equal(again.ai.codes, drawn.ai.codes)
    assert np.array_equal(again.task.codes, drawn.task.codes)


@given(st.integers(0, 2**32 - 1))
def test_pairing_is_a_permutation_with_the_requested_number_of_matches(seed):
    rng = np.random.default_rng(seed)
    size, labels = 60, 40
    sides = [np.nonzero(rng.random((size, labels)) < share) for share in (0.04, 0.08)]
    sets = Sets(size, labels, *((rows, codes) for rows, codes in sides))
    goes_to = pair_sets(rng, sets, 0.2, same=0, again=0.5)
    assert sorted(goes_to.tolist()) == list(range(size))
    human = set(zip(*(x.tolist() for x in sets.human), strict=True))
    ai = zip(goes_to[sets.ai[0]].tolist(), sets.ai[1].tolist(), strict=True)
    met = {conversation for conversation, code in ai if (conversation, code) in human}
    assert len(met) <= 60 * 0.2 + 5 * np.sqrt(60 * 0.16) + 1


def test_a_small_population_is_drawn_and_impossible_pairing_is_rejected(rates):
    few = Rates(rates.ai_values, conversations=3_000)
    assert draw(few, np.random.default_rng(1)).conversations == 3_000
    with pytest.raises(ValueError, match="ask for a larger mirrored share"):
        pair_sets(
            np.random.default_rng(2),
            Sets(2, 1, *[(np.array([0, 1]), np.array([0, 0]))] * 2),
            mirrored=0.0,
            same=0,
            again=0.0,
        )
