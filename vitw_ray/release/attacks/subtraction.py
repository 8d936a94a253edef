"""What the public tables give away by subtraction: parents, margins, cross tables."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from vitw_ray.release.attacks.findings import Outcome
from vitw_ray.release.attacks.folder import PublicFolder, Row
from vitw_ray.release.attacks.small_cells import Thresholds, is_count, number
from vitw_ray.release.attacks.solver import System

_IDS = ("cluster_id", "id", "cluster", "name")
_PARENTS = ("parent_cluster_id", "parent_id", "parent", "parent_name")
_MOST_CELLS = 5000  # ours: hidden cells that are solved for, a few milliseconds each


def attack_subtraction(folder: PublicFolder, thresholds: Thresholds) -> Outcome:
    """Solve for the hidden counts of every table that adds up."""
    outcome = Outcome("subtraction", unit="hidden counts")
    systems = [*_trees(folder.tables), *_of_a_run(folder.tables, _subjective(folder))]
    for name, system in systems:
        hidden = len(system.hidden)
        if outcome.looked_at + hidden > _MOST_CELLS:
            outcome.skipped = f"the first {outcome.looked_at:,} counts"
            break
        outcome.looked_at += hidden
        exposed = system.exposed(thresholds.conversations)
        if exposed:
            narrow = sum(low == high for low, high in exposed.values())
            outcome.found(name, f"{len(exposed)} hidden counts are small, {narrow} of them exact")
    return outcome


def _trees(tables: dict[str, list[Row]]) -> Iterator[tuple[str, System]]:
    """A node and its children: what no child accounts for is one more, hidden child."""
    for name, rows in tables.items():
        columns = set().union(*(row.keys() for row in rows[:50])) if rows else set()
        id_ = next((c for c in _IDS if c in columns), None)
        parent = next((c for c in _PARENTS if c in columns), None)
        counts = sorted(c for c in columns if isinstance(c, str) and is_count(c))
        if id_ is None or parent is None:
            continue
        for count in counts:
            system, children = System(), defaultdict[Any, list[Any]](list)
            for row in rows:
                n = number(row.get(count))
                if n is not None:
                    key = row.get("facet"), row[id_]
                    system.known[key] = n
                    children[row.get("facet"), row.get(parent)].append(key)
            for node, below in children.items():
                rest = system.known.get(node, 0) - sum(system.known[key] for key in below)
                if node in system.known and rest >= 0:  # else a count is in several children
                    system.add_equal([*below, (*node, "not shown")], node)
            yield f"{name}.{count}", system


def _subjective(folder: PublicFolder) -> int | None:
    """Conversations that the statistics are of, as `run.json` says."""
    stages = folder.documents.get("run.json", {}).get("stages", [])
    details = [stage.get("details", {}) for stage in stages if stage.get("name") == "labels"]
    return details[0].get("subjective_conversations") if details else None


def _of_a_run(
    tables: dict[str, list[Row]], conversations: int | None
) -> Iterator[tuple[str, System]]:
    """The tables of a run, whose sums are known."""
    if types := tables.get("response_types"):
        yield "response_types", _response_types(types)
    if rows := tables.get("explicitness"):
        yield "explicitness", _explicitness(rows)
    if tables.get("associations"):
        yield "associations", _associations(tables, conversations)


def _response_types(rows: Sequence[Row]) -> System:
    """Types add up to their group, and the groups of a facet to all conversations."""
    system, totals = System(), dict[tuple[Any, ...], int]()
    kinds = list(dict.fromkeys(row["response_type"] for row in rows))
    for row in rows:
        group = (row["model"], row["over_facet"], row["over"])
        system.known[*group, row["response_type"]] = row["conversations"]
        if row["share"]:
            totals[group] = round(row["conversations"] / row["share"])
    for group, total in totals.items():
        others = [(*group, kind) for kind in (*kinds, "of no shown type")]
        system.add(others, total, total)
    whole = (None, None, None)
    facets = {(g[0] is not None, g[1]) for g in totals} - {(False, None), (False, "human_values")}
    for is_model, facet in facets:
        groups = [g for g in totals if (g[0] is not None, g[1]) == (is_model, facet)]
        if whole not in totals:
            continue
        rest = totals[whole] - sum(totals[g] for g in groups)
        nowhere = (is_model, facet, "of no shown group")
        if 0 < rest < totals[whole]:  # such as conversations of an unknown assistant
            system.add([(*nowhere, kind) for kind in (*kinds, "of no shown type")], rest, rest)
        for kind in kinds:
            terms = {(*g, kind): 1 for g in groups} | {(*whole, kind): -1}
            terms |= {(*nowhere, kind): 1} if rest > 0 else {}
            system.add(terms, 0 if rest >= 0 else -math.inf, 0)
    return system


def _explicitness(rows: Sequence[Row]) -> System:
    """Both numbers of a label's types add up to no more than those over all types."""
    system = System()
    kinds = sorted({row["response_type"] for row in rows if row["response_type"] is not None})
    for row in rows:
        for said in ("explicit", "implicit"):
            system.known[row["label"], row["response_type"], said] = row[said]
    for label in dict.fromkeys(row["label"] for row in rows):
        for said in ("explicit", "implicit"):
            if (whole := (label, None, said)) in system.known:
                parts = [(label, kind, said) for kind in kinds]
                system.add({**dict.fromkeys(parts, 1), whole: -1}, -math.inf, 0)
    return system


def _associations(tables: dict[str, list[Row]], conversations: int | None) -> System:
    """The columns of a row lie in different conversations; levels of the tree bound each other."""
    system, rows = System(), tables["associations"]
    columns = defaultdict[str, set[str]](set)
    for row in rows:
        if row["column_facet"] in _EXCLUSIVE:
            columns[row["column_facet"]].add(row["column"])
            system.known[_key(row)] = row["observed"]
    labels = [r for r in tables.get("labels", ()) if r["facet"] == "ai_values"]
    types = [r for r in tables.get("response_types", ()) if r["model"] is r["over_facet"] is None]
    all_typed = sum(row["conversations"] for row in types) == conversations
    for row in labels:
        for facet, names in columns.items():
            line = (facet, 0, row["label"])
            cells: list[Any] = [(*line, name) for name in sorted(names)]
            cells += [] if all_typed and facet == "response_types" else [(*line, "no column")]
            system.add(cells, row["conversations"], row["conversations"])
    for parent, level, children in _families(tables.get("taxonomy", ())):
        for facet, names in columns.items():
            for name in sorted(names):
                whole = (facet, level, parent, name)
                parts = [(facet, level - 1, child, name) for child in children]
                system.add({**dict.fromkeys(parts, 1), whole: -1}, 0, math.inf)
                for part in parts:
                    system.add({whole: 1, part: -1}, 0, math.inf)
    return system


_EXCLUSIVE = ("tasks", "response_types")


def _key(row: Row) -> tuple[Any, ...]:
    return row["column_facet"], row["level"], row["row"], row["column"]


def _families(taxonomy: Sequence[Row]) -> Iterator[tuple[str, int, list[str]]]:
    """Clusters of AI values, with their level and what is right below."""
    below = defaultdict[str, list[str]](list)
    mine = [row for row in taxonomy if row["facet"] == "ai_values"]
    for row in mine:
        if row["parent_cluster_id"] is not None:
            name = row["cluster_id"] if row["level"] else row["name"]
            below[row["parent_cluster_id"]].append(name)
    for row in mine:
        if row["cluster_id"] in below:
            yield row["cluster_id"], row["level"], below[row["cluster_id"]]
