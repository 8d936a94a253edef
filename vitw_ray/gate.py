"""The gate: whether what so many conversations and accounts share may leave `private/`.

Everything public passes it: labels, tasks and the words of their names, assistants, data sets and
days. Its thresholds are those of `LabelsConfig`. What does not pass is counted under `OTHER`, or
left out.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitw_ray.config import LabelsConfig
from vitw_ray.keys import id_hash

OTHER = "other"
"""The name under which all is counted that does not pass."""

Mask = NDArray[np.bool_]
Name = TypeVar("Name", bound=Hashable)


def may_be_shown(
    conversations: ArrayLike, accounts: ArrayLike | None, thresholds: LabelsConfig
) -> Mask:
    """Whether each of some things has enough support, elementwise.

    Args:
        conversations: in which each occurs.
        accounts: that they are of; None where no conversation of the run names its account.
        thresholds: `min_conversations` and `min_accounts`.
    """
    enough = np.asarray(conversations) >= thresholds.min_conversations
    if accounts is None:
        return enough
    return enough & (np.asarray(accounts) >= thresholds.min_accounts)


@dataclass
class Support(Generic[Name]):
    """Conversations of each name, and its accounts up to the number that decides; a monoid.

    No more than `most` accounts of a name are held. Whether there are `most` does not depend on
    which ones: the first set that is full has shown it.
    """

    most: int
    conversations: Counter[Name] = field(default_factory=Counter)
    accounts: dict[Name, set[int]] = field(default_factory=dict)

    def count(self, name: Name, account: str | None, conversations: int = 1) -> None:
        """Count conversations of one account, or of an unknown one."""
        is_full = len(self.accounts.get(name, ())) >= self.most
        hashes = () if account is None or is_full else (id_hash(account),)
        self.add_all(name, hashes, conversations)

    def add_all(self, name: Name, accounts: Iterable[int], conversations: int) -> None:
        """Count conversations of some accounts, by their hashes."""
        self.conversations[name] += conversations
        held = self.accounts.setdefault(name, set())
        for account in accounts:
            if len(held) >= self.most:
                return
            held.add(account)

    def add(self, other: "Support[Name]") -> "Support[Name]":
        """What both counted."""
        found = Support[Name](self.most)
        for one in (self, other):
            for name, conversations in one.conversations.items():
                found.add_all(name, one.accounts[name], conversations)
        return found

    def shown(self, known: bool, thresholds: LabelsConfig) -> set[Name]:
        """The names that pass; `known`: whether any conversation of the run names its account."""
        names = list(self.conversations)
        passes = may_be_shown(
            [self.conversations[name] for name in names],
            [len(self.accounts[name]) for name in names] if known else None,
            thresholds,
        )
        return {name for name, one in zip(names, passes.tolist(), strict=True) if one}


def shown_beside_the_rest(
    conversations: Sequence[int],
    accounts: Sequence[set[int]] | None,
    thresholds: LabelsConfig,
) -> list[bool]:
    """Which of some groups may be shown if the others are merged into one.

    The merged group can be found by subtraction, so it must pass as well: if it does not, the
    smallest group beside it is merged too. If nothing is shown, all are one group, which may not
    pass.
    """
    sizes = [len(found) for found in accounts] if accounts is not None else None
    shown = may_be_shown(conversations, sizes, thresholds).tolist()
    rest = [n for n, one in enumerate(shown) if not one]
    merged = sum(conversations[n] for n in rest)
    people = set[int]().union(*(accounts[n] for n in rest)) if accounts is not None else None
    beside = (n for n in sorted(range(len(shown)), key=lambda n: (conversations[n], n)) if shown[n])
    for smallest in [*beside] if rest else []:
        if may_be_shown(merged, None if people is None else len(people), thresholds):
            break
        shown[smallest] = False
        merged += conversations[smallest]
        if people is not None and accounts is not None:
            people |= accounts[smallest]
    return shown


def with_other(found: Support[str], known: bool, thresholds: LabelsConfig) -> Mapping[str, int]:
    """Conversations of the names that pass, and of all others together as `OTHER`, sorted."""
    names = sorted(found.conversations)
    shown = shown_beside_the_rest(
        [found.conversations[name] for name in names],
        [found.accounts[name] for name in names] if known else None,
        thresholds,
    )
    counts = Counter[str]()
    for name, one in zip(names, shown, strict=True):
        counts[name if one else OTHER] += found.conversations[name]
    return dict(sorted(counts.items()))
