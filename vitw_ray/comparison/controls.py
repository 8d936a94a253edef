"""A difference between two models or periods, adjusted for what the conversations are about.

A logistic regression explains whether a conversation shows a value by its group and by its task,
language and human values. The adjusted difference is the mean, over all conversations, of what the
regression expects if every one of them were in the first group, less the same for the second. It
goes further than strata do, as the covariates need not meet in one cell, and rests on a model where
strata rest on none.

The ridge penalty, scikit-learn's own, keeps rare covariates from running away. The interval is by
the delta method, with the sandwich covariance over accounts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array, diags_array, hstack
from scipy.special import expit

from vitw_ray.intervals import Floats, z_quantile
from vitw_ray.statistics.block import ConversationBlock
from vitw_ray.statistics.contingency import CodedFacet

GROUP_SCALE = (
    100.0  # ours: the group's column is this large, so that its coefficient goes unpunished
)
MOST_ROWS = 200_000  # ours: conversations of a pair at most; seconds a value


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The adjusted difference and its 95 % interval; null with the `reason` when undefined."""

    difference: float | None
    low: float | None
    high: float | None
    reason: str | None = None


def covariates(block: ConversationBlock) -> csr_array:
    """Task, language and human values of each conversation as columns of 0 and 1."""
    language = block.table["language"].combine_chunks().dictionary_encode()
    codes = language.indices.fill_null(-1).to_numpy()
    rows = np.flatnonzero(codes >= 0)
    spoken = CodedFacet(rows, codes[rows].astype(np.int32), max(len(language.dictionary), 1))
    columns = [_indicators(f, block.conversations) for f in (block.task, spoken, block.human)]
    return csr_array(hstack(columns, format="csr"))


def _indicators(facet: CodedFacet, n_rows: int) -> csr_array:
    ones = np.ones(facet.rows.size)
    return csr_array((ones, (facet.rows, facet.codes)), shape=(n_rows, facet.size))


def adjusted_difference(
    shown: NDArray[np.bool_],
    in_a: NDArray[np.bool_],
    covariates: csr_array,
    accounts: NDArray[np.int64],
) -> Adjusted:
    """Adjusted difference in the share of `shown` between the rows in and out of `in_a`.

    Args:
        shown: whether each conversation shows the value, [n].
        in_a: whether it is of the first group, [n]; the others are of the second.
        covariates: what to hold fixed, [n, any].
        accounts: number of the account of each, [n]; conversations of one are not independent.
    """
    if not 0 < in_a.sum() < in_a.size:
        return Adjusted(None, None, None, "one_group")
    if not 0 < shown.sum() < shown.size:
        return Adjusted(None, None, None, "row_never" if not shown.any() else "row_always")
    from sklearn.linear_model import LogisticRegression  # heavy: only where it is needed

    occurs = np.asarray(covariates.sum(axis=0)).ravel() > 0
    ones = np.ones((in_a.size, 1))
    group = GROUP_SCALE * in_a[:, None].astype(float)
    x: Any = csr_array(hstack([group, covariates[:, occurs], ones], format="csr"))
    fit: Any = LogisticRegression(C=1.0, solver="newton-cholesky").fit(x[:, :-1], shown)
    weights = np.concatenate([fit.coef_[0], fit.intercept_])
    return _marginal(x, shown, weights, accounts)


def _marginal(
    x: Any,  # a csr_array, whose types scipy does not tell
    shown: NDArray[np.bool_],
    weights: Floats,
    accounts: NDArray[np.int64],
) -> Adjusted:
    """Average over all rows of the difference that the first column makes, with its interval."""
    expected = expit(x @ weights)
    rest = x @ np.concatenate([[0.0], weights[1:]])
    with_a, without = expit(rest + GROUP_SCALE * weights[0]), expit(rest)
    slope_a, slope = with_a * (1 - with_a), without * (1 - without)
    gradient = (slope_a - slope) @ x / x.shape[0]
    gradient[0] = GROUP_SCALE * slope_a.mean()
    penalty = np.diag([*np.ones(weights.size - 1), 0.0])  # of C = 1; the intercept has none
    hessian = (x.T @ diags_array(expected * (1 - expected)) @ x).toarray() + penalty
    _, account = np.unique(accounts, return_inverse=True)
    scores = diags_array(shown - expected) @ x
    member = csr_array((np.ones(account.size), (account, np.arange(account.size))))
    by_account = member @ scores
    solved = cho_solve(cho_factor(hessian), gradient)
    half = z_quantile() * float(np.linalg.norm(by_account @ solved))  # of the sandwich
    difference = float(np.mean(with_a - without))
    return Adjusted(difference, difference - half, difference + half)


def numbered(accounts: pa.ChunkedArray) -> NDArray[np.int64]:
    """A number for each account; a conversation without one is an account of its own."""
    codes = accounts.combine_chunks().dictionary_encode().indices
    alone = np.arange(-1, -1 - len(accounts), -1, dtype=np.int64)
    return np.where(codes.is_valid(), codes.fill_null(0).to_numpy(), alone)
