"""A difference between two assistants or periods, adjusted for task, language and human values.

A logistic regression predicts whether a conversation shows a value from its group and the
covariates. The adjusted difference is an average marginal effect: the mean prediction over all
conversations with every conversation set to the first group, minus the same for the second group.
Unlike stratification this needs no stratum in which all covariates coincide, but it assumes the
regression model.

The ridge penalty (scikit-learn's default) keeps the coefficients of rare covariates finite. The
interval uses the delta method with a sandwich covariance clustered by account.
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

GROUP_SCALE = 100.0  # ours: value of the group column, so that the ridge barely shrinks its weight
MOST_ROWS = 200_000  # ours: limit on conversations; a fit takes seconds per value


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The adjusted difference and its 95 % interval; None with a `reason` when undefined."""

    difference: float | None
    low: float | None
    high: float | None
    reason: str | None = None


def covariates(block: ConversationBlock) -> csr_array:
    """Task, language and human values of each conversation, as indicator columns."""
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
    """Adjusted difference in the share of `shown` between the two groups.

    Args:
        shown: whether each conversation shows the value, [n].
        in_a: whether it belongs to the first group, [n]; the others belong to the second.
        covariates: covariates to adjust for, [n, any].
        accounts: account number of each, [n]; conversations of one account are not independent.
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
    x: Any,  # a csr_array; scipy has no type stubs for it
    shown: NDArray[np.bool_],
    weights: Floats,
    accounts: NDArray[np.int64],
) -> Adjusted:
    """Average marginal effect of the first column, with its interval."""
    expected = expit(x @ weights)
    rest = x @ np.concatenate([[0.0], weights[1:]])
    with_a, without = expit(rest + GROUP_SCALE * weights[0]), expit(rest)
    slope_a, slope = with_a * (1 - with_a), without * (1 - without)
    gradient = (slope_a - slope) @ x / x.shape[0]
    gradient[0] = GROUP_SCALE * slope_a.mean()
    penalty = np.diag([*np.ones(weights.size - 1), 0.0])  # C = 1; the intercept is not penalised
    hessian = (x.T @ diags_array(expected * (1 - expected)) @ x).toarray() + penalty
    _, account = np.unique(accounts, return_inverse=True)
    scores = diags_array(shown - expected) @ x
    member = csr_array((np.ones(account.size), (account, np.arange(account.size))))
    by_account = member @ scores
    solved = cho_solve(cho_factor(hessian), gradient)
    half = z_quantile() * float(np.linalg.norm(by_account @ solved))  # sandwich standard error
    difference = float(np.mean(with_a - without))
    return Adjusted(difference, difference - half, difference + half)


def numbered(accounts: pa.ChunkedArray) -> NDArray[np.int64]:
    """A number for each account; a conversation without an account counts as a separate one."""
    codes = accounts.combine_chunks().dictionary_encode().indices
    alone = np.arange(-1, -1 - len(accounts), -1, dtype=np.int64)
    return np.where(codes.is_valid(), codes.fill_null(0).to_numpy(), alone)
