"""The taxonomy as a tree, its counts, and the task cluster of every conversation."""

from collections import Counter, defaultdict
from typing import Any

from .expected import BOTTOM, NAME, PCT_TOLERANCE
from .problems import Problems, at, off
from .recounting import CheckedRun


def check_tree(run: CheckedRun) -> Problems:
    """Ids are unique; each node but the top has its parent one level up; no cluster is empty.

    Names of clusters are plain, and siblings bear different ones.
    """
    nodes = {(row["facet"], row["cluster_id"]): row for row in run.taxonomy}
    parents = {(row["facet"], row["parent_cluster_id"]) for row in run.taxonomy}
    siblings = Counter(_among_siblings(row) for row in run.taxonomy)
    top: dict[str, int] = {}
    for row in run.taxonomy:
        top[row["facet"]] = max(row["level"], top.get(row["facet"], 0))
    if len(nodes) < len(run.taxonomy):
        yield f"{len(run.taxonomy) - len(nodes)} cluster ids stand twice"
    for number, row in enumerate(run.taxonomy):
        facet, level = row["facet"], row["level"]
        parent = nodes.get((facet, row["parent_cluster_id"]))
        if facet not in BOTTOM or level < BOTTOM[facet]:
            yield f"row {number}: no such facet, or no such level of it"
        elif level > BOTTOM[facet] and (facet, row["cluster_id"]) not in parents:
            yield f"row {number}: a cluster without members"
        if level == top[facet] and row["parent_cluster_id"] is not None:
            yield f"row {number}: a parent above the top level"
        if level < top[facet] and (parent is None or parent["level"] != level + 1):
            yield f"row {number}: has no parent one level up"
        if not row["name"]:
            yield f"row {number}: has no name"
        if level > 0 and not NAME.fullmatch(row["name"]):
            yield f"row {number}: a name that is not plain, or of more than ten words"
        if level > 0 and siblings[_among_siblings(row)] > 1:
            yield f"row {number}: bears the name of a sibling"


def _among_siblings(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["facet"], row["level"], row["parent_cluster_id"], row["name"].casefold()


def check_taxonomy(run: CheckedRun) -> Problems:
    """Leaves are the kept labels with their counts, counts add up, percentages follow from them."""
    kept = {(r["facet"], r["label"]): r["conversations"] for r in run.labels if r["kept"]}
    leaves = [row for row in run.taxonomy if row["level"] == 0]
    if sorted((row["facet"], row["name"]) for row in leaves) != sorted(kept):
        yield f"{len(leaves)} labels in the tree, {len(kept)} kept, or others"
    below, total = Counter[tuple[str, str]](), Counter[tuple[str, int]]()
    for row in run.taxonomy:
        below[row["facet"], row["parent_cluster_id"]] += row["conversations"]
        total[row["facet"], row["level"]] += row["conversations"]
    for number, row in enumerate(run.taxonomy):
        facet, level, stated = row["facet"], row["level"], row["conversations"]
        found = kept.get((facet, row["name"])) if level == 0 else below[facet, row["cluster_id"]]
        if (facet, level) != ("tasks", 1):
            yield from off(f"row {number}: conversations", stated, found)
        pct = 100 * stated / total[facet, level] if total[facet, level] else 0.0
        if abs(row["pct_total_occurrences"] - pct) > PCT_TOLERANCE:
            yield f"row {number}: pct_total_occurrences {row['pct_total_occurrences']}, not {pct}"


def check_tasks(run: CheckedRun) -> Problems:
    """Each subjective conversation with a task has one level-1 cluster, as large as stated.

    Every cluster has the conversations and accounts that a label needs; where all tasks together
    have not, there is no tree. Beside a frozen tree so few may be in no cluster.
    """
    clusters = {
        row["cluster_id"]: row["conversations"]
        for row in run.taxonomy
        if row["facet"] == "tasks" and row["level"] == 1
    }
    counted, assigned, unnamed = Counter[str](), 0, Counter[bool]()
    accounts: dict[str | None, set[str]] = defaultdict(set)
    for row in run.subjective():
        if row["task"] is None and row["cluster"] is not None:
            yield f"{at(row)}: has a cluster and no task"
        if row["task"] is not None:
            unnamed[row["cluster"] is None] += 1
            _add(accounts[row["cluster"]], row["account_id"], run.setting("labels", "min_accounts"))
        if row["cluster"] is not None:
            assigned += 1
            counted[row["cluster"]] += 1
            if row["cluster"] not in clusters:
                yield f"{at(row)}: its cluster is not on level 1 of the tasks"
    rows = sum(1 for _ in run.rows("task_assignments"))
    yield from off("assignments of subjective conversations", rows, assigned)
    whole = clusters and "frozen" not in run.manifests["taxonomy"]["details"]
    if unnamed[True] and (whole or run.passes(unnamed[True], len(accounts[None]))):
        yield f"{unnamed[True]} conversations have a task and no cluster"
    for cluster, stated in clusters.items():
        yield from off(f"cluster {cluster}", stated, counted[cluster])
        if not run.passes(counted[cluster], len(accounts[cluster])):
            yield f"cluster {cluster}: too few conversations or accounts to be public"


def _add(held: set[str], account: str | None, most: int) -> None:
    if account is not None and len(held) < most:
        held.add(account)
