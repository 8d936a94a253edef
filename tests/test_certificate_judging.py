"""What is planted to hold is certified, what is planted to fail never is, and choices are told."""

from collections import Counter

import numpy as np
import pytest

from vitw_ray.config import ExtractionConfig
from vitw_ray.evaluation.certificate.design import (
    CHOICES,
    Specification,
    Way,
    gates_of,
    specifications,
    ways_of,
)
from vitw_ray.evaluation.certificate.headlines import Headline
from vitw_ray.evaluation.certificate.judging import judge, moved_by
from vitw_ray.evaluation.certificate.measuring import Cells, Measured, draws_of, measure

ROUNDS, SAMPLE, DRAWS, HEADLINES = 200, 1500, 60, 20
MODEL = ExtractionConfig(extractor="vllm", model="qwen3-8b")
WAYS = ways_of({"own": MODEL})
SPECIFICATIONS = [Specification(way, 3) for way in WAYS]
COMMON = Headline(claim="most_common", facet="ai_values", label="care", versus="honesty")
TOGETHER = Headline(
    claim="together", facet="ai_values", label="care", over_facet="tasks", over="tasks:1"
)


def cells_of(shown, other) -> Cells:
    base = np.ones(shown.size, bool)
    return Cells(base, shown, other, base, np.where(other, 1, 0))


def reading(rng, latent, first: float, second: float) -> Cells:
    """Two labels of such shares; readings of one conversation agree, up to a tenth of them."""
    mine = np.where(rng.random(latent.shape) < 0.1, rng.random(latent.shape), latent)
    return cells_of(mine[0] < first, mine[1] < second)


def badge_of(rng, shares) -> str | None:
    latent = rng.random((2, SAMPLE))
    weights = draws_of([None] * SAMPLE, int(rng.integers(1 << 30)), DRAWS)
    found = [measure(COMMON, reading(rng, latent, *pair), weights) for pair in shares]
    return judge(found, COMMON.limits, HEADLINES).badge


def by_wording(*shares: tuple[float, float]) -> list[tuple[float, float]]:
    return [shares[way.paraphrase] for way in WAYS]


@pytest.mark.parametrize(
    ("shares", "badge", "least"),
    [
        ([(0.40, 0.30), (0.45, 0.30), (0.38, 0.28), (0.42, 0.30)], "holds_in_all", 0.95),
        ([(0.40, 0.30), (0.45, 0.30), (0.20, 0.35), (0.42, 0.30)], "hangs_on_the_wording", 0.95),
    ],
    ids=["robust", "fragile"],
)
def test_what_is_planted_gets_its_badge_in_200_draws(shares, badge, least):
    rng = np.random.default_rng(14)
    found = Counter(badge_of(rng, by_wording(*shares)) for _ in range(ROUNDS))
    assert found[badge] >= least * ROUNDS
    if badge != "holds_in_all":
        assert found["holds_in_all"] == 0


def test_a_claim_that_is_just_not_true_in_one_specification_is_never_certified():
    rng = np.random.default_rng(15)
    shares = [(0.45, 0.30)] * (len(WAYS) - 1) + [(0.30, 0.30)]
    found = Counter(badge_of(rng, shares) for _ in range(ROUNDS))
    assert found["holds_in_all"] == 0
    assert found["holds_in_most"] >= 0.95 * ROUNDS


def test_a_claim_that_the_sample_cannot_tell_gets_no_badge():
    rng = np.random.default_rng(16)
    found = Counter(badge_of(rng, by_wording(*[(0.31, 0.30)] * 4)) for _ in range(20))
    assert found == {None: 20}


@pytest.mark.parametrize("seen", [0, 1, 4])
def test_a_pair_that_is_hardly_seen_is_not_certified(seen):
    weights = draws_of([None] * SAMPLE, 0, DRAWS)
    both = np.arange(SAMPLE) < seen
    found = [measure(TOGETHER, cells_of(both, both), weights) for _ in WAYS]
    assert judge(found, TOGETHER.limits, 1).badge is None


def test_accounts_are_drawn_whole_so_their_conversations_tell_less():
    rng = np.random.default_rng(3)
    latent = rng.random((2, 100))
    same, alone = [f"a{n}" for n in np.repeat(range(100), 15)], [None] * SAMPLE
    cells = cells_of(*(np.repeat(one, 15) < 0.4 for one in latent))
    spread = [
        np.std(measure(COMMON, cells, draws_of(accounts, 1, 400)).values[1:])
        for accounts in (same, alone)
    ]
    assert spread[0] / spread[1] == pytest.approx(np.sqrt(15), rel=0.15)


def measured(value: float, rng) -> Measured:
    return Measured(value + np.concatenate([[0.0], rng.normal(0, 0.01, 200)]), 0.01, ())


def test_the_share_of_a_choice_is_that_which_was_planted():
    rng = np.random.default_rng(5)
    found = specifications(WAYS, 3)
    effects = {
        one: 0.2 * (one.way.paraphrase in (1, 3)) + 0.1 * one.way.strict + 0.1 * (one.gate == 1)
        for one in found
    }
    moves = {m.choice: m for m in moved_by([measured(effects[one], rng) for one in found], found)}
    parts = {"paraphrase": 0.04 / 4, "strict": 0.01 / 4, "gate": 0.01 * 2 / 9, "questions": 0.0}
    for choice, part in parts.items():
        assert moves[choice].share == pytest.approx(part / sum(parts.values()), abs=0.001)
    assert moves["rest"].share == pytest.approx(0, abs=0.001)
    assert 0 < moves["questions"].by_chance < 0.05


@pytest.mark.parametrize("own", ["short", "one_pass", "separate"])
def test_the_design_is_balanced_and_begins_as_the_run_reads(own):
    extraction = ExtractionConfig(extractor="vllm", model="qwen3-8b", questions=own)
    ways = ways_of({"own": extraction, "other": extraction})
    assert ways[0] == Way(reader="own", questions=own)
    assert len(ways) == len({way.name for way in ways}) == 16
    found = specifications(ways, 3)
    assert found[0] == Specification(ways[0], 3)
    for n, one in enumerate(CHOICES):
        for other in CHOICES[n + 1 :]:
            counts = Counter((spec.level(one), spec.level(other)) for spec in found)
            levels = [{spec.level(choice) for spec in found} for choice in (one, other)]
            assert len(counts) == len(levels[0]) * len(levels[1])
            assert len(set(counts.values())) == 1


def test_a_lexicon_has_no_wording_and_gates_are_told_apart():
    ways = ways_of({"own": ExtractionConfig()})
    assert [way.settings for way in ways] == [
        {"strict": False, "subjective_from": 1},
        {"strict": True, "subjective_from": 1},
    ]
    assert [gates_of(gate) for gate in (1, 3, 4)] == [(1, 2), (3, 4, 1), (4, 1)]
