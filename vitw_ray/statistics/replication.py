"""Half-split replication: does one half of the accounts lead its list with the same pairs?

The hash of the account decides the half, so that the halves share no account, and the same input
gives the same halves. One half is counted in the pass of all others; the second is what is left.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitw_ray.gate import Mask
from vitw_ray.statistics.contingency import CodedFacet, Counts
from vitw_ray.statistics.shrunken import log_odds

TOP = 20  # ours: as long as a list that is read


def count_half(rows: CodedFacet, columns: CodedFacet, is_in: Mask) -> Counts:
    """Counts of the conversations of one half; `is_in` is of each conversation of the block."""
    found = Counts.of(_inside(rows, is_in), _inside(columns, is_in), is_in.size)
    return Counts(int(is_in.sum()), found.rows, found.columns, found.both)


def _inside(facet: CodedFacet, is_in: Mask) -> CodedFacet:
    kept = is_in[facet.rows]
    return CodedFacet(facet.rows[kept], facet.codes[kept], facet.size)


def replicated(whole: Counts, half: Counts) -> dict[str, Any]:
    """Length of the list of strongest pairs in either half, and how many of them are in both.

    A list holds at most `TOP` pairs, those with the largest lower end of the shrunken odds ratio,
    if it is above 1; the longer one is cut to the length of the other.
    """
    rest = Counts(
        whole.conversations - half.conversations,
        whole.rows - half.rows,
        whole.columns - half.columns,
        whole.both - half.both,
    )
    one, other = strongest(half), strongest(rest)
    listed = min(one.size, other.size)
    return {"listed": listed, "in_both": np.intersect1d(one[:listed], other[:listed]).size}


def strongest(counts: Counts) -> NDArray[np.intp]:
    """Cells at the top of the list, as indices into the flat matrix; ties in their order."""
    r, c = np.nonzero(counts.both)
    parts = counts.both[r, c], counts.rows[r], counts.columns[c]
    low = log_odds(*parts, counts.conversations)[1]
    sure = np.flatnonzero(low > 0)
    first = sure[np.argsort(-low[sure], kind="stable")[:TOP]]
    return r[first] * counts.columns.size + c[first]
