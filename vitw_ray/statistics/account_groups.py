"""Groups of accounts: how intervals learn that the conversations of one account are alike.

Each account falls, by the hash of its id, into one of 64 groups; a conversation whose account is
not known is an account of its own. Counts are kept for each group, where they are sums like all
others, and a statistic is computed again without each group in turn (the delete-a-group jackknife:
Kott, 2001). The spread of those 64 numbers is that of a bootstrap over groups of accounts, without
its random draws: the same counts give the same bits.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from vitw_ray.intervals import CONFIDENCE, Floats
from vitw_ray.keys import id_hash
from vitw_ray.statistics.contingency import CodedFacet

ACCOUNT_GROUPS = 64  # ours: a standard error that is itself known to 9 %, for 64 times the counts


def account_groups(accounts: Sequence[str | None], conversations: Sequence[str]) -> CodedFacet:
    """The group of each conversation, from the ids of its account and of itself."""
    pairs = zip(accounts, conversations, strict=True)
    hashes = (
        id_hash(conversation if account is None else account) for account, conversation in pairs
    )
    # the ring's upper bits sort the rows of a part, so a part would hold few groups: take the lower
    codes = np.fromiter(hashes, np.int64, len(accounts)) & (ACCOUNT_GROUPS - 1)
    return CodedFacet(np.arange(codes.size), codes.astype(np.int32), ACCOUNT_GROUPS)


def standard_error(without: Floats) -> Floats:
    """Standard error of a statistic from its values without each group, [groups, ...]."""
    groups = without.shape[0]
    return np.sqrt((groups - 1) * np.var(without, axis=0))


def t_interval(statistic: Floats, without: Floats) -> tuple[Floats, Floats]:
    """95 % interval of a statistic, from its values without each group, [groups, ...]."""
    quantile = float(stdtrit(without.shape[0] - 1, 0.5 + CONFIDENCE / 2))
    half = quantile * standard_error(without)
    return statistic - half, statistic + half
