"""Error rates of readers without any truth: the model of Dawid and Skene (Applied Statistics 1979).

Each conversation has one true answer that nobody saw, and each reader errs in its own way: with the
truth given, readers are independent of each other. Then their agreement tells the error rates. What
it gives are figures of that model. Readers that err together, as models of one family do, look
better than they are, and only labels by people can show that.

The likelihood is maximised by EM from the vote of the majority. A few invented answers (`PRIOR`)
keep every rate off 0 and 1. The libraries that do the same (crowd-kit, and others on its pattern)
bring a data frame per answer and many dependencies for these few lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.agreement.estimates import MISSING
from vitw_ray.intervals import Floats

LEAST_READERS = 3  # with two, different error rates explain the same answers equally well
PRIOR = 0.1  # ours: answers added to each cell of a reader's table, and conversations to each truth
_MOST_STEPS, _CHANGE = 2000, 1e-10


@dataclass(frozen=True, eq=False)
class Fitted:
    """What the model says.

    Attributes:
        shares: of each true answer.
        tables: of each reader, [true answer, given answer]: how often it gives which.
        log_likelihood: of the answers, with the prior.
        conversations: that two readers or more have answered.
        converged: whether the steps came to rest.
    """

    shares: Floats
    tables: Floats
    log_likelihood: float
    conversations: int
    converged: bool

    @property
    def accuracy(self) -> Floats:
        """Of each reader: share of conversations that it answers rightly."""
        right = np.diagonal(self.tables, axis1=1, axis2=2)
        return right @ self.shares


def fit(codes: Sequence[NDArray[np.integer]], size: int) -> Fitted | None:
    """Fit the model.

    Args:
        codes: of each reader, the answer to each conversation; `MISSING` where there is none.
        size: number of possible answers.

    Returns:
        None with fewer than three readers or without a conversation that two have answered.
    """
    answers = np.stack([np.asarray(reader, np.int64) for reader in codes]) if codes else None
    if answers is None or len(answers) < LEAST_READERS:
        return None
    answers = answers[:, (answers != MISSING).sum(axis=0) >= 2]
    if not answers.shape[1]:
        return None
    patterns, times = np.unique(answers, axis=1, return_counts=True)
    given = np.stack([patterns == code for code in range(size)], axis=-1).astype(float)
    return _em(given, times.astype(float))


def _em(given: Floats, times: Floats) -> Fitted:
    """EM over patterns of answers; `given` is [readers, patterns, answers], 0 or 1."""
    votes = given.sum(axis=0)
    belief = votes / votes.sum(axis=1, keepdims=True)
    last, converged = -np.inf, False
    shares, tables, total = belief[0], given, last
    for _ in range(_MOST_STEPS):
        weighted = belief * times[:, None]
        shares = weighted.sum(axis=0) + PRIOR
        shares = shares / shares.sum()
        tables = np.einsum("pt,rpg->rtg", weighted, given) + PRIOR
        tables = tables / tables.sum(axis=2, keepdims=True)
        joint = np.log(shares) + np.einsum("rpg,rtg->pt", given, np.log(tables))
        top = joint.max(axis=1, keepdims=True)
        likelihood = np.exp(joint - top)
        whole = likelihood.sum(axis=1, keepdims=True)
        belief = likelihood / whole
        total = float(times @ (np.log(whole) + top)[:, 0]) + _log_prior(shares, tables)
        if total - last < _CHANGE * abs(total):
            converged = True
            break
        last = total
    return Fitted(shares, tables, total, int(times.sum()), converged)


def _log_prior(shares: Floats, tables: Floats) -> float:
    return PRIOR * float(np.log(shares).sum() + np.log(tables).sum())
