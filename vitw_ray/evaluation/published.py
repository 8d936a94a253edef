"""Draw coded extractions from the published rates: a data set of the paper's size without text.

The draw has what the statistics count: for each subjective conversation its AI values, human
values, response type and task, as codes. All marginal frequencies are exact in expectation: AI
values are drawn independently with their published frequencies. The drawn sets are then paired with
the human values, within a response type, so that the published share of conversations is mirrored;
this changes no frequency. Two values are associated with one task each, by the published residuals.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.evaluation.pairing import Sets, pair_sets
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.statistics.contingency import CodedFacet, deduplicate

SUBJECTIVE = 308_210  # paper, 1.1: of 700,000 conversations
TOP_HUMAN_VALUES = {  # paper, 3.2: shares of subjective conversations
    "authenticity": 0.038,
    "efficiency": 0.026,
    "clarity": 0.022,
    "professionalism": 0.015,
    "directness": 0.015,
    "thoroughness": 0.015,
    "clear communication": 0.014,
    "accuracy": 0.014,
    "simplicity": 0.013,
    "precision": 0.010,
}
HUMAN_VALUES, HUMAN_VALUES_EACH = 2483, 1.48  # paper, 1.3 and 1.4
WITH_HUMAN_VALUES = 0.451  # paper, 1.3: by the human-value extractor
TASKS = 300  # ours: 3,307 x 300 = 992,100 cells, as many as a run of this size tests
RESPONSE_SHARES = (0.282, 0.145, 0.096, 0.066, 0.024, 0.030, 0.357)  # paper, 2
MIRRORED = (0.201, 0.201, 0.08, 0.153, 0.05, 0.012, 0.0)  # paper, 2; two unpublished ones are ours
SAME_VALUE = ("efficiency", 271.38)  # paper, 3.4: residual of the value with itself
TIED_TO_TASKS = {"historical accuracy": 24.55, "creative collaboration": 20.73}  # paper, 3.4


@dataclass(frozen=True)
class Rates:
    """Rates of a population: frequencies of AI values by name, and of response types."""

    ai_values: dict[str, float]  # share of subjective conversations, most frequent first
    response_types: tuple[float, ...] = RESPONSE_SHARES
    conversations: int = SUBJECTIVE

    @property
    def human_values(self) -> dict[str, float]:
        """The ten published frequencies, then a power law, to a mean of 1.48 per conversation."""
        rest = [name for name in self.ai_values if name not in TOP_HUMAN_VALUES]
        rest = rest[: HUMAN_VALUES - len(TOP_HUMAN_VALUES)]
        weights = 1 / np.arange(50, 50 + len(rest))  # ours: starts below the tenth frequency
        remaining = HUMAN_VALUES_EACH - sum(TOP_HUMAN_VALUES.values())
        shares = remaining * weights / weights.sum()
        return TOP_HUMAN_VALUES | dict(zip(rest, shares.tolist(), strict=True))


@dataclass(frozen=True)
class Drawn:
    """Subjective conversations as codes; a code is an index into the names of `Rates`."""

    ai: CodedFacet
    human: CodedFacet
    response_type: CodedFacet
    task: CodedFacet
    conversations: int


def draw(rates: Rates, rng: np.random.Generator) -> Drawn:
    """Draw one population."""
    n = rates.conversations
    kind = rng.choice(len(RESPONSE_TYPES), n, p=_normalised(rates.response_types))
    ai = _independent(rng, n, list(rates.ai_values.values()))
    human = _human_values(rng, n, kind, rates)
    ai = _mirrored(rng, ai, human, kind, rates)
    task = _tasks(rng, n, ai, list(rates.ai_values), rates)
    rows = np.arange(n)
    return Drawn(
        ai,
        human,
        CodedFacet(rows, kind.astype(np.int32), len(RESPONSE_TYPES)),
        CodedFacet(rows, task.astype(np.int32), TASKS),
        n,
    )


def _normalised(shares: Sequence[float]) -> NDArray[np.float64]:
    return np.array(shares) / sum(shares)


def _independent(rng: np.random.Generator, n: int, shares: Sequence[float]) -> CodedFacet:
    """Each label in its share of n rows, independently of the others."""
    held = [rng.choice(n, rng.binomial(n, share), replace=False, shuffle=False) for share in shares]
    codes = np.repeat(np.arange(len(shares)), [rows.size for rows in held])
    return CodedFacet(*deduplicate(np.concatenate(held), codes), len(shares))


def _human_values(
    rng: np.random.Generator, n: int, kind: NDArray[np.int64], rates: Rates
) -> CodedFacet:
    """Human values of some of the conversations whose response type is not `no_values`.

    The independent draws give no value to about one in thirty of the chosen conversations, so
    slightly more are chosen.
    """
    candidates = np.flatnonzero(kind != RESPONSE_TYPES.index("no_values"))
    shares = np.array(list(rates.human_values.values()))
    share = WITH_HUMAN_VALUES
    for _ in range(20):
        share = WITH_HUMAN_VALUES / (1 - np.prod(1 - shares / share))
    treated = 1 - rates.response_types[-1] / sum(rates.response_types)
    stated = candidates[rng.random(candidates.size) < share / treated]
    found = _independent(rng, stated.size, (shares / share).tolist())
    return CodedFacet(stated[found.rows], found.codes, found.size)


def _mirrored(
    rng: np.random.Generator,
    ai: CodedFacet,
    human: CodedFacet,
    kind: NDArray[np.int64],
    rates: Rates,
) -> CodedFacet:
    """The AI sets permuted within each response type so that the published share is mirrored."""
    code_of = {name: code for code, name in enumerate(rates.ai_values)}
    to_ai = np.array([code_of.get(name, -1) for name in rates.human_values])
    same = code_of[SAME_VALUE[0]]
    resisted = RESPONSE_TYPES.index("strong_resistance")
    of_those = rates.response_types[resisted] / (1 - rates.response_types[-1])
    again = _share_shown_again(rates) / (1 - of_those)
    row_of_set = np.arange(rates.conversations)
    for code, share in enumerate(MIRRORED):
        pool = np.intersect1d(np.flatnonzero(kind == code), human.rows)
        sets = Sets.of(human, to_ai, ai, pool)
        wanted = 0.0 if code == resisted else again
        row_of_set[pool] = pool[pair_sets(rng, sets, share, same, wanted)]
    return CodedFacet(*deduplicate(row_of_set[ai.rows], ai.codes), ai.size)


def _share_shown_again(rates: Rates) -> float:
    """P(AI shows it | user states it) that gives the published residual at the paper's size."""
    name, residual = SAME_VALUE
    a, h = rates.ai_values[name], TOP_HUMAN_VALUES[name]
    return a + residual * math.sqrt(a * (1 - a) * (1 - h) / (SUBJECTIVE * h))


def _tasks(
    rng: np.random.Generator, n: int, ai: CodedFacet, names: Sequence[str], rates: Rates
) -> NDArray[np.int64]:
    weights = 1 / np.arange(10, 10 + TASKS)
    shares = weights / weights.sum()
    task = rng.choice(TASKS, n, p=shares)
    for home, (name, residual) in enumerate(TIED_TO_TASKS.items()):
        held = ai.rows[ai.codes == names.index(name)]
        moved = rng.random(held.size) < _moved_share(rates.ai_values[name], shares[home], residual)
        task[held[moved]] = home
    return task


def _moved_share(value: float, task: float, residual: float) -> float:
    """Share of a value's conversations to move to a task for a residual, at the paper's size."""
    low, high = 0.0, 1.0
    for _ in range(60):
        moved = (low + high) / 2
        both = value * (task + moved * (1 - task))
        size = task + value * moved * (1 - task)
        excess = (both - value * size) / math.sqrt(value * (1 - value) * size * (1 - size))
        low, high = (moved, high) if math.sqrt(SUBJECTIVE) * excess < residual else (low, moved)
    return low
