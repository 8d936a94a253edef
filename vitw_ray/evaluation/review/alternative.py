"""The alternative annotator test: whether the reader may stand in for a person.

One labeller at a time is set aside. On each conversation that they share with others, the reader
and the labeller set aside are compared by how well they agree with those others: either may win,
or both where they agree equally well. The reader passes against a labeller when it wins as often,
but for an allowance `epsilon` for what a person costs, and the difference is significant. It may
replace a person when it passes against at least half of the labellers.

This is the test of Calderon, Reichart and Dror (2025), where closeness is the mean agreement with
the others. It is about the labelled conversations as they are: it is not weighted to the run.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, ttest_1samp

FEWEST_CONVERSATIONS = 30  # the paper's (4.2): fewer do not carry a t-test
FEWEST_LABELLERS = 2  # the paper's; it recommends three, of whom two can form a consensus
RECOMMENDED_LABELLERS = 3
ALPHA = 0.05  # the paper's false discovery rate
WINS = 0.5  # the paper's: share of labellers

Closeness = Callable[[int, int, int], float]
"""Of two answers to a conversation: (conversation, one who answers, another); higher is closer.

The reader is -1.
"""
READER = -1
DIGITS = 12  # of closeness: means of the same numbers in another order must tie


@dataclass(frozen=True, slots=True)
class Duel:
    """The reader against one labeller."""

    labeller: int
    conversations: int
    reader_advantage: float
    """Share of conversations on which the reader is as close to the others, or closer."""
    labeller_advantage: float
    p_value: float
    passed: bool


@dataclass(frozen=True)
class Verdict:
    """What the test says; `reason` says why it cannot be made."""

    epsilon: float
    winning_rate: float | None = None
    advantage: float | None = None
    """Mean over labellers of the reader's advantage."""
    replaces: bool | None = None
    duels: tuple[Duel, ...] = ()
    reason: str | None = None


def alternative_test(
    answered: NDArray[np.bool_],
    reader_answered: NDArray[np.bool_],
    closeness: Closeness,
    epsilon: float,
    fewest: int = FEWEST_CONVERSATIONS,
) -> Verdict:
    """Test whether the reader may stand in for a labeller.

    Args:
        answered: which labeller answered which conversation, [labellers, conversations].
        reader_answered: which conversations the reader answered.
        closeness: of two answers.
        epsilon: allowance for the reader.
        fewest: conversations that a labeller must share with others.
    """
    usable = reader_answered & (answered.sum(axis=0) >= 2)
    tested = [j for j in range(len(answered)) if int((answered[j] & usable).sum()) >= fewest]
    if len(tested) < FEWEST_LABELLERS:
        return Verdict(
            epsilon,
            reason=f"needs {FEWEST_LABELLERS} labellers with {fewest} conversations that others"
            f" labelled too; there are {len(tested)}",
        )
    wins = [
        _wins(j, np.flatnonzero(answered[j] & usable).tolist(), answered, closeness) for j in tested
    ]
    p_values = [_p_value(labeller - reader, epsilon) for reader, labeller in wins]
    # Benjamini and Yekutieli (2001): the tests share conversations, so they depend on each other
    rejected = false_discovery_control(p_values, method="by") <= ALPHA
    duels = tuple(
        Duel(j, reader.size, float(reader.mean()), float(labeller.mean()), float(p), bool(passed))
        for j, (reader, labeller), p, passed in zip(tested, wins, p_values, rejected, strict=True)
    )
    rate = sum(duel.passed for duel in duels) / len(duels)
    advantage = float(np.mean([duel.reader_advantage for duel in duels]))
    return Verdict(epsilon, rate, advantage, rate >= WINS, duels)


def _wins(
    aside: int, conversations: list[int], answered: NDArray[np.bool_], closeness: Closeness
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the reader wins, and where the labeller set aside does; 1 for both in a tie."""
    reader, labeller = [], []
    for i in conversations:
        others = [k for k in np.flatnonzero(answered[:, i]).tolist() if k != aside]
        by_reader = round(float(np.mean([closeness(i, READER, k) for k in others])), DIGITS)
        by_labeller = round(float(np.mean([closeness(i, aside, k) for k in others])), DIGITS)
        reader.append(by_reader >= by_labeller)
        labeller.append(by_labeller >= by_reader)
    return np.array(reader, float), np.array(labeller, float)


def _p_value(difference: NDArray[np.float64], epsilon: float) -> float:
    """That a labeller wins less than `epsilon` more often than the reader (one-sided t-test)."""
    if np.ptp(difference) == 0:  # no spread: the t statistic is infinite
        return 0.0 if difference[0] < epsilon else 1.0
    return float(ttest_1samp(difference, epsilon, alternative="less")[1])  # type: ignore[arg-type]
