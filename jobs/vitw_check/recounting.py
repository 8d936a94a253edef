"""What a conversation counts towards: its labels, clusters and other categories."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from .accounts import CellAccounts
from .expected import BOTTOM, VALUE_FACETS
from .reading import Row, RunFolder

Cell = tuple[str, str, str, str]  # two facets, each followed by its category


class CheckedRun(RunFolder):
    """A run folder, and what its small tables say about every conversation."""

    @cached_property
    def labels(self) -> list[Row]:
        """The labels table: small. After a purge only the labels with enough support."""
        readable = [entry for entry in self.entries("labels") if not self.is_gone(entry)]
        return [row for entry in readable for row in self.part(entry["path"])]

    @cached_property
    def kept(self) -> dict[str, set[str]]:
        """Facet -> labels with enough support."""
        kept = [row for row in self.labels if row["kept"]]
        return {f: {row["label"] for row in kept if row["facet"] == f} for f in VALUE_FACETS}

    @cached_property
    def merged(self) -> dict[tuple[str, str], str]:
        """(facet, label as written) -> label as counted; what is not here counts as written."""
        return {(row["facet"], row["variant"]): row["label"] for row in self.rows("merges")}

    @cached_property
    def taxonomy(self) -> list[Row]:
        """The taxonomy table: small."""
        return list(self.rows("taxonomy"))

    @cached_property
    def above(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """(facet, label or lowest task cluster) -> its name, and the ids above it, by level."""
        nodes = {(row["facet"], row["cluster_id"]): row for row in self.taxonomy}
        paths = {}
        for row in self.taxonomy:
            if row["level"] == BOTTOM[row["facet"]]:
                path = [row["cluster_id"] if row["level"] else row["name"]]
                node = nodes.get((row["facet"], row["parent_cluster_id"]))
                while node is not None and len(path) < len(nodes):  # a circle is for check_tree
                    path.append(node["cluster_id"])
                    node = nodes.get((row["facet"], node["parent_cluster_id"]))
                paths[row["facet"], path[0]] = tuple(path)
        return paths

    @cached_property
    def knows_accounts(self) -> bool:
        """Whether any conversation names its account."""
        return any(row["accounts"] is not None for row in self.labels)

    def passes(self, conversations: int, accounts: int) -> bool:
        """Whether so much support may be public; accounts count if any label has some."""
        return conversations >= self.setting("labels", "min_conversations") and (
            not self.knows_accounts or accounts >= self.setting("labels", "min_accounts")
        )

    def is_small(self, *counts: int) -> bool:
        """Whether a count is of some conversations, and of too few to be public."""
        return any(0 < n < self.setting("labels", "min_conversations") for n in counts)

    def cell_accounts(self) -> CellAccounts:
        """An empty table of the accounts of cells, as far as accounts count in this run."""
        most = self.setting("labels", "min_accounts")
        return CellAccounts(most if most > 1 and self.knows_accounts else 0)

    @cached_property
    def grid(self) -> "Grid":
        """The counts that associations and variation are made of."""
        return Grid.of(self)

    def subjective(self) -> Iterator[Row]:
        """Subjective conversations without error: what every share is a share of.

        Adds `written` and `values` (facet -> labels as written, as counted), `said` (those of the
        AI values that are explicit) and `cluster` (level 1 of the tasks, or None). Values that are
        not salient enough are not there.
        """
        columns = ("conversation_id", "account_id", "model", "is_subjective", "error", "task")
        columns += ("prompt_id", "created_at")
        least = self.setting("labels", "min_salience")
        shown = self.manifests.get("labels", {}).get("details", {}).get("models")
        extractions = ("extractions", (*columns, *VALUE_FACETS, "response_type"))
        if "taxonomy" in self.manifests:
            pairs = self.beside(extractions, ("task_assignments", None))
        else:
            pairs = ((row, None) for row in self.rows(*extractions))
        for row, task in pairs:
            if row is None or row["error"] is not None or not row["is_subjective"]:
                continue
            counted = {
                f: [v for v in row[f] if v["salience"] is None or v["salience"] >= least]
                for f in VALUE_FACETS
            }
            row["written"] = {f: {value["label"] for value in counted[f]} for f in VALUE_FACETS}
            said = {value["label"] for value in counted["ai_values"] if value["explicit"]}
            row["said"] = {self.merged.get(("ai_values", label), label) for label in said}
            row["values"] = {
                facet: {self.merged.get((facet, label), label) for label in labels}
                for facet, labels in row["written"].items()
            }
            row["cluster"] = task and task["cluster_id"]
            if shown is not None and row["model"] is not None and row["model"] not in shown:
                row["model"] = "other"
            yield row

    def members(self, row: Row, facet: str) -> set[str]:
        """The categories of a facet that a conversation is in: kept labels, or the one category."""
        if facet in VALUE_FACETS:
            return row["values"][facet] & self.kept[facet]
        if facet == "any_human_value":
            return {"stated" if row["written"]["human_values"] else "none"}
        if facet == "periods":
            name = period_of(row, self.setting("statistics", "period"))
            return set() if name is None else {name}
        name = row["cluster" if facet == "tasks" else facet.removesuffix("s")]
        return set() if name is None else {name}


@dataclass
class Grid:
    """Conversations in both of two categories, in each, and in all; accounts of the first."""

    both: Counter[Cell]
    one: Counter[tuple[str, str]]
    total: int
    accounts: CellAccounts  # of `both`

    def is_hidden(self, run: CheckedRun, cell: Cell) -> bool:
        """Whether a cell of `both` is of too few conversations or accounts to be public."""
        n = self.both[cell]
        return run.is_small(n) or (n > 0 and self.accounts.few(cell))

    def is_rare(self, run: CheckedRun, category: tuple[str, str]) -> bool:
        """Whether a period is of too few conversations or accounts to be public."""
        return run.is_small(self.one[category]) or self.accounts.few(category)

    @staticmethod
    def of(run: CheckedRun) -> "Grid":
        """Count labels and the clusters above them by the lowest categories of other facets."""
        ends = ("row_facet", "column_facet")
        pairs = {(row[ends[0]], row[ends[1]]) for row in run.rows("associations", ends)}
        pairs |= {(row["facet"], row["over_facet"]) for row in run.rows("variation")}
        grid = Grid(Counter(), Counter(), 0, run.cell_accounts())
        for row in run.subjective():
            grid.total += 1
            low = {facet: run.members(row, facet) for pair in pairs for facet in pair}
            high = {f: {n for x in low[f] for n in run.above.get((f, x), (x,))} for f in low}
            grid.one.update((facet, name) for facet in high for name in high[facet])
            cells = [(a, x, b, y) for a, b in pairs for x in high[a] for y in low[b]]
            grid.both.update(cells)
            periods = [("periods", name) for name in low.get("periods", ())]
            grid.accounts.count(row["account_id"], [*cells, *periods])
        return grid


def period_of(row: Row, period: str) -> str | None:
    """The day, week or month of a conversation."""
    moment: datetime | None = row["created_at"]
    if moment is None:
        return None
    if period == "week":
        year, week, _ = moment.isocalendar()
        return f"{year}-W{week:02d}"
    return moment.date().isoformat()[: 10 if period == "day" else 7]
