"""What follows from public numbers: the least and the most that a hidden count can be.

Counts are whole and not negative. Linear constraints say what adds up to what. The bounds are
exact: a hidden count that cannot reach the threshold, and cannot be 0, is as good as public.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

Cell = tuple[Hashable, ...]
_MOST = 1e9  # ours: stands for no bound


@dataclass
class System:
    """Counts, some of them known, and sums of them."""

    known: dict[Cell, int] = field(default_factory=dict)
    sums: list[tuple[dict[Cell, int], float, float]] = field(default_factory=list)
    """Terms with factors, and the bounds of their sum."""

    def add(self, terms: Mapping[Cell, int] | Iterable[Cell], low: float, high: float) -> None:
        """State the bounds of a sum."""
        factors = dict(terms) if isinstance(terms, Mapping) else dict.fromkeys(terms, 1)
        self.sums.append((factors, low, high))

    def add_equal(self, parts: Iterable[Cell], whole: Cell) -> None:
        """Parts add up to another count."""
        self.add({**dict.fromkeys(parts, 1), whole: -1}, 0, 0)

    @property
    def hidden(self) -> list[Cell]:
        """Counts that occur in a sum and are not known."""
        return list(
            dict.fromkeys(c for terms, *_ in self.sums for c in terms if c not in self.known)
        )

    def components(self) -> list["_Component"]:
        """Sums that share hidden counts, together; the parts of the system are independent."""
        parent: dict[Cell, Cell] = {}

        def root(cell: Cell) -> Cell:
            while parent.setdefault(cell, cell) != cell:
                parent[cell] = parent[parent[cell]]
                cell = parent[cell]
            return cell

        open_sums = []
        for terms, low, high in self.sums:
            hidden = {cell: f for cell, f in terms.items() if cell not in self.known}
            rest = sum(f * self.known[cell] for cell, f in terms.items() if cell in self.known)
            if hidden:
                open_sums.append((hidden, low - rest, high - rest))
                first = root(next(iter(hidden)))
                for cell in hidden:
                    parent[root(cell)] = first
        grouped: dict[Cell, list[tuple[dict[Cell, int], float, float]]] = {}
        for one in open_sums:
            grouped.setdefault(root(next(iter(one[0]))), []).append(one)
        return [_Component(sums) for sums in grouped.values()]

    def exposed(self, least: int) -> dict[Cell, tuple[int, int]]:
        """Hidden counts that are known to be 1 to `least` - 1, with their bounds."""
        found: dict[Cell, tuple[int, int]] = {}
        for component in self.components():
            for cell in component.cells:
                high = component.bound(cell, most=True)
                if high is None or not 0 < high < least:
                    continue
                low = component.bound(cell, most=False)
                if low:
                    found[cell] = low, high
        return found


class _Component:
    """Sums over the same hidden counts."""

    def __init__(self, sums: list[tuple[dict[Cell, int], float, float]]) -> None:
        self.cells = list(dict.fromkeys(cell for terms, *_ in sums for cell in terms))
        places = {cell: n for n, cell in enumerate(self.cells)}
        rows = [n for n, (terms, *_) in enumerate(sums) for _ in terms]
        columns = [places[cell] for terms, *_ in sums for cell in terms]
        factors = [float(f) for terms, *_ in sums for f in terms.values()]
        matrix = csr_array((factors, (rows, columns)), shape=(len(sums), len(self.cells)))
        low, high = (np.array([s[n] for s in sums], float) for n in (1, 2))
        self._sums = LinearConstraint(matrix, low, high)  # type: ignore[arg-type]

    def bound(self, cell: Cell, *, most: bool) -> int | None:
        """The most or the least that a count can be; None if the sums contradict each other."""
        aim = np.zeros(len(self.cells))
        aim[self.cells.index(cell)] = -1.0 if most else 1.0
        found = milp(
            aim,
            integrality=np.ones(len(self.cells)),
            bounds=Bounds(0, _MOST),
            constraints=self._sums,
            options={"presolve": False},  # with it, HiGHS calls worse counts the most or the least
        )
        return None if found.x is None else round(abs(found.fun))
