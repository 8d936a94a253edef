"""Coefficients of a stratified sample, weighted to the run, with intervals.

A conversation stands for as many of the run as its stratum has for each one that was labelled.
Intervals come from a bootstrap with random weights: every account (where accounts are known, else
every conversation) gets a positive weight, and the weights of each stratum are scaled to its size.
The spread of the weights is such that the variance of a mean is that of a stratified sample.
Conversations are taken as drawn from a larger stream, as in all intervals of the package, so that a
stratum that was labelled whole still has a variance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.agreement.estimates import FEWEST, ROUNDS, Additive, Estimate
from vitw_ray.intervals import CONFIDENCE, Floats, wilson

FEWEST_OF_STRATUM = 2  # a variance needs two
NO_SPREAD = 1e-9  # ours: less is rounding
LEAST_SHAPE = 0.05  # ours: of the gamma distribution, where a stratum has two clusters only


@dataclass(frozen=True, eq=False)
class Design:
    """How conversations were drawn, a row each.

    Attributes:
        names: of the strata.
        strata: number of the stratum, 0 ...
        sizes: conversations of the run in each stratum.
        clusters: number of the account, or a number of its own.
    """

    names: tuple[str, ...]
    strata: NDArray[np.int64]
    sizes: NDArray[np.float64]
    clusters: NDArray[np.int64]

    @staticmethod
    def of(strata: Sequence[str], sizes: Sequence[int], accounts: Sequence[str | None]) -> "Design":
        """From the name and size of the stratum, and the account, of each conversation."""
        names, first, codes = np.unique(
            np.array(strata, object), return_index=True, return_inverse=True
        )
        known = [a if a is not None else f"\0{place}" for place, a in enumerate(accounts)]
        _, clusters = np.unique(np.array(known, object), return_inverse=True)
        return Design(tuple(names), codes, np.array(sizes, float)[first], clusters)

    def where(self, rows: NDArray[np.bool_]) -> "Design":
        """The design of some of the conversations: they stand for the whole of their strata.

        A stratum with a single conversation, or none, is put together with the one before it,
        since it has no variance of its own.
        """
        groups: list[list[int]] = []
        counts = np.bincount(self.strata[rows], minlength=self.sizes.size)
        for stratum in range(self.sizes.size):
            if groups and min(counts[stratum], counts[groups[-1]].sum()) < FEWEST_OF_STRATUM:
                groups[-1].append(stratum)
            else:
                groups.append([stratum])
        target = np.zeros(self.sizes.size, np.int64)
        for number, group in enumerate(groups):
            target[group] = number
        return Design(
            tuple(" + ".join(self.names[stratum] for stratum in group) for group in groups),
            target[self.strata[rows]],
            np.array([self.sizes[group].sum() for group in groups]),
            self.clusters[rows],
        )

    @property
    def counts(self) -> NDArray[np.int64]:
        """Conversations in each stratum."""
        return np.bincount(self.strata, minlength=self.sizes.size)

    @property
    def probability(self) -> Floats:
        """Of each conversation to be among these."""
        return (self.counts / self.sizes)[self.strata]

    @property
    def weights(self) -> Floats:
        """Of each conversation; their mean is 1, and those of a stratum add up to its share."""
        weights = 1 / self.probability
        return weights / weights.mean()

    def resampled(self, seed: int, rounds: int) -> Floats:
        """Random weights of the conversations, [rounds, conversations]; see the module."""
        random = np.random.default_rng(seed)
        # With gamma weights of shape k, the variance of the mean of n is s^2 (n - 1) / n over
        # (n k + 1); that equals s^2 / n for k = (n - 2) / n.
        pairs = np.unique(np.column_stack([self.strata, self.clusters]), axis=0)
        groups = np.bincount(pairs[:, 0], minlength=self.sizes.size)
        shapes = np.maximum((groups - 2) / np.maximum(groups, 1), LEAST_SHAPE)
        shape_of_cluster = np.ones(int(self.clusters.max()) + 1)
        np.minimum.at(shape_of_cluster, pairs[:, 1], shapes[pairs[:, 0]])
        drawn = random.gamma(shape_of_cluster, size=(rounds, shape_of_cluster.size))
        raw = np.maximum(drawn / shape_of_cluster, 1e-12)[:, self.clusters]
        weights = np.empty_like(raw)
        base = self.weights
        for stratum in range(self.sizes.size):
            rows = self.strata == stratum
            if rows.any():
                sums = raw[:, rows].sum(axis=1, keepdims=True)
                weights[:, rows] = raw[:, rows] / sums * base[rows].sum()
        return weights


def estimate(
    coefficient: Additive, design: Design, seed: int = 0, rounds: int = ROUNDS
) -> Estimate:
    """A coefficient of the run, with its 95 % percentile interval.

    Args:
        coefficient: with one row of additions per conversation of `design`, zeros for those that it
            says nothing about.
        design: how the conversations were drawn.
        seed: of the random weights.
        rounds: of them.
    """
    told = int((coefficient.added != 0).any(axis=1).sum())
    if not told:
        return Estimate(None, None, None, 0)
    value = float(coefficient.value(design.weights @ coefficient.added))
    if np.isnan(value):
        return Estimate(None, None, None, told)
    if told < FEWEST:
        return Estimate(value, None, None, told)
    found = coefficient.value(design.resampled(seed, rounds) @ coefficient.added)
    found = found[~np.isnan(found)]
    if not found.size or np.ptp(found) < NO_SPREAD:  # all agree: resampling cannot tell how surely
        return Estimate(value, None, None, told)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(found, [tail, 100 - tail])
    return Estimate(value, min(float(low), value), max(float(high), value), told)


def share(part: NDArray[np.bool_], whole: NDArray[np.bool_], design: Design) -> Estimate:
    """Weighted share of `part` in `whole`; its interval is Wilson's for an effective count.

    That count is of independent conversations with even weights: what the variance of the share
    amounts to (Korn and Graubard, 1998), and no more than what the weights allow (Kish, 1965). So 0
    of n has a width too.
    """
    weights = np.where(whole, design.weights, 0.0)
    total = weights.sum()
    if not total:
        return Estimate(None, None, None, 0)
    value = min(float(weights[part & whole].sum() / total), 1.0)  # sums round
    per_cluster = np.bincount(design.clusters, weights)
    effective = total**2 / (per_cluster**2).sum()
    variance = _variance(weights * (part.astype(float) - value), design) / total**2
    if variance > 0:
        effective = min(effective, value * (1 - value) / variance)
    low, high = wilson(value * effective, effective)
    return Estimate(value, float(low), float(high), int(whole.sum()))


def _variance(terms: Floats, design: Design) -> float:
    """Variance of the sum of terms over a stratified sample of accounts."""
    counts = np.maximum(design.counts, 2)
    means = np.bincount(design.strata, terms, minlength=counts.size) / np.maximum(design.counts, 1)
    centred = (terms - means[design.strata]) * np.sqrt(counts / (counts - 1))[design.strata]
    return float((np.bincount(design.clusters, centred) ** 2).sum())
