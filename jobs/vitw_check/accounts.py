"""Accounts of the cells of a table: what rests on too few of them has no row."""

from collections.abc import Hashable, Iterable

from .reading import Row, place

GROUPS = 64  # of accounts, by the hash of their ids


class CellAccounts:
    """The distinct accounts of each cell.

    Of a cell no more than `most` are held: that many are enough, whichever they are. Where accounts
    do not count, `most` is 0: no account is held, and no cell has too few.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: dict[Hashable, set[Hashable]] = {}

    def count(self, account: Hashable | None, cells: Iterable[Hashable]) -> None:
        """A conversation of this account is in these cells; None is nobody."""
        if not self.most or account is None:
            return
        for cell in cells:
            held = self._held.setdefault(cell, set())
            if len(held) < self.most:
                held.add(account)

    def few(self, cell: Hashable) -> bool:
        """Whether a cell that is not empty has too few accounts to be public."""
        return len(self._held.get(cell, ())) < self.most


def group_of(row: Row) -> int:
    """The group of a conversation's account; one without an account is an account of its own."""
    name = row["account_id"] or row["conversation_id"]
    return (place({"conversation_id": name})[0] >> 1) % GROUPS
