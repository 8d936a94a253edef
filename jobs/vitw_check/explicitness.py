"""AI values said outright and only shown, counted again."""

from collections import Counter

from .associations import signed_root_of_chi_square
from .problems import Problems, differ, off
from .recounting import CheckedRun

Cell = tuple[str, str | None]  # label, response type or all


class Split:
    """Conversations and accounts of each cell, explicit and implicit apart."""

    def __init__(self, run: CheckedRun) -> None:
        self.run, self.said, self.shown = run, Counter[Cell](), Counter[Cell]()
        self.accounts = run.cell_accounts()
        for row in run.subjective():
            labels = run.members(row, "ai_values")
            said = labels & row["said"]
            for kind in {None, row["response_type"]}:
                self.shown.update((label, kind) for label in labels)
                self.said.update((label, kind) for label in said)
                sides = [(label, kind, label in said) for label in labels]
                self.accounts.count(row["account_id"], sides)

    def sides(self, cell: Cell) -> tuple[int, int]:
        """Explicit and implicit conversations."""
        return self.said[cell], self.shown[cell] - self.said[cell]

    def few_accounts(self, cell: Cell) -> bool:
        """Whether one of the sides is not empty and of too few accounts."""
        explicit, implicit = self.sides(cell)
        return bool(
            (explicit and self.accounts.few((*cell, True)))
            or (implicit and self.accounts.few((*cell, False)))
        )

    def is_hidden(self, cell: Cell) -> bool:
        """Whether one of the sides is of too few conversations or accounts to be public."""
        return self.run.is_small(*self.sides(cell)) or self.few_accounts(cell)

    def residuals(self) -> dict[Cell, float | None]:
        """Of each cell, among the types of its label; of a sum, among the sums of all labels."""
        said, shown = Counter[tuple[str | None, bool]](), Counter[tuple[str | None, bool]]()
        for counts, sums in ((self.said, said), (self.shown, shown)):
            for cell, n in counts.items():
                sums[line_of(cell)] += n
        found = {}
        for cell, n in self.shown.items():
            line = line_of(cell)
            found[cell] = signed_root_of_chi_square(self.said[cell], n, said[line], shown[line])
        return found


def line_of(cell: Cell) -> tuple[str | None, bool]:
    """The line that a cell adds up in: the types of a label, or the sums of all labels."""
    label, kind = cell
    return (None, True) if kind is None else (label, False)


def check_explicitness(run: CheckedRun) -> Problems:
    """AI values said outright and only shown, by response type and in all, recounted."""
    split = Split(run)
    residuals, seen = split.residuals(), set[Cell]()
    summed = {row["label"] for row in run.rows("explicitness") if row["response_type"] is None}
    for number, row in enumerate(run.rows("explicitness")):
        cell, sides = (row["label"], row["response_type"]), ("explicit", "implicit")
        for side, counted in zip(sides, split.sides(cell), strict=True):
            yield from off(f"row {number}: {side}", row[side], counted)
        # without the sum it would tell the sum
        expected = residuals.get(cell) if row["label"] in summed else None
        yield from differ(f"row {number}", row, {"residual": expected})
        if run.is_small(row["explicit"], row["implicit"]):
            yield f"row {number}: too few conversations to be public"
        if split.few_accounts(cell):
            yield f"row {number}: too few accounts to be public"
        if cell in seen:
            yield f"row {number}: the same label and response type a second time"
        seen.add(cell)
    if missing := _needless(split, seen):
        yield f"{missing} labels or response types that occur have no row"


def _needless(split: Split, seen: set[Cell]) -> int:
    """Missing rows that are neither hidden nor the smallest of a line in which one is."""
    hidden = {cell for cell in split.shown if split.is_hidden(cell)}
    # a sum that is hidden hides types of its label, and other sums
    lines = {line_of(cell) for cell in hidden} | {(label, False) for label, _ in hidden}
    least: dict[tuple[str | None, bool], int] = {}
    for cell in seen:
        if n := split.shown[cell]:
            least[line_of(cell)] = min(n, least.get(line_of(cell), n))
    return sum(
        line_of(cell) not in lines or n > least.get(line_of(cell), n)
        for cell, n in split.shown.items()
        if cell not in seen and cell not in hidden
    )
