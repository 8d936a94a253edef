"""The drift alarm of a run: its reference, and what it says of the runs after it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.config import LabelsConfig
from vitw_ray.facets import LABEL_TREES
from vitw_ray.gate import may_be_shown
from vitw_ray.run_folder import read_table
from vitw_ray.stages import StageContext
from vitw_ray.taxonomy.frozen.drift import ALARM, ALPHA, Interval, Watched, interval_of, watch
from vitw_ray.taxonomy.frozen.state import FrozenTree, KnownClusters
from vitw_ray.taxonomy.frozen.watching import (
    EVER,
    MOST_ROWS,
    NEVER,
    Cells,
    Hashes,
    LabelCodes,
    Series,
    shares_of,
    watched_accounts,
)

Clusters = tuple[np.ndarray, np.ndarray, np.ndarray] | None
"""Sorted hashes of tasks, and the cluster and the cell of each"""


def reference_of(
    context: StageContext, known: Mapping[str, KnownClusters], clusters: Clusters, hashes: Hashes
) -> dict[str, Any]:
    """What later runs are compared with; for the files of the tree."""
    rows = context.manifests["labels"]["details"].get("subjective_conversations", 0)
    halvings = max(0, (-(-rows // MOST_ROWS) - 1).bit_length())
    ids = {facet: list(found.nodes.ids[-1]) for facet, found in known.items()}
    cells = _cells(context, known, ids, clusters, own=True)
    series = watched_accounts(context, cells, halvings, hashes)
    facets = {}
    for facet in ids:
        shares, _ = shares_of(series, cells, facet)
        bounds = interval_of(shares)
        facets[facet] = {
            "cells": ids[facet],
            "accounts": len(shares),
            "seen": (shares > 0).sum(axis=0).tolist(),
            **{name: getattr(bounds, name).tolist() for name in ("mean", "low", "high")},
        }
    return {"halvings": halvings, "facets": facets}


def alarm_of(
    context: StageContext,
    tree: FrozenTree,
    clusters: Clusters,
    hashes: Hashes,
    taxonomy: pa.Table,
) -> dict[str, Any]:
    """Per facet: capital of the bets, whether and when it raised the alarm, and what moved."""
    facets = tree.reference.get("facets", {})
    ids = {facet: found["cells"] for facet, found in facets.items()}
    cells = _cells(context, tree.facets, ids, clusters, own=False)
    series = watched_accounts(context, cells, tree.reference.get("halvings", 0), hashes)
    names = dict(zip(taxonomy["cluster_id"].to_pylist(), taxonomy["name"].to_pylist(), strict=True))
    return {
        facet: _said(context.config.labels, before, series, cells, facet, names)
        for facet, before in facets.items()
    }


def _cells(
    context: StageContext,
    known: Mapping[str, KnownClusters],
    ids: Mapping[str, Sequence[str]],
    clusters: Clusters,
    *,
    own: bool,
) -> Cells:
    """Cells by id; `own`: the run is the one that the tree was made from."""
    thresholds = context.config.labels
    rows = read_table(context.storage, context.tables["labels"])
    merges = read_table(context.storage, context.tables["merges"])
    labels = {}
    for facet in LABEL_TREES:
        if facet not in ids:
            continue
        cell_of = _cell_of_node(known[facet], ids[facet])
        support = {
            row["label"]: _spare(row, thresholds)
            for row in (rows.filter(pc.field("facet") == facet).to_pylist() if own else ())
        }
        leaves = known[facet].leaves
        codes = {leaf.decode(): code for code, leaf in enumerate(leaves.keys.tolist())}
        spare = [support.get(label, EVER) if own else EVER for label in codes]
        variants = merges.filter(pc.field("facet") == facet).to_pylist()
        spellings = {r["variant"]: codes[r["label"]] for r in variants if r["label"] in codes}
        of_code = cell_of[leaves.nodes]
        labels[facet] = LabelCodes({**codes, **spellings}, of_code, np.array(spare, np.int64))
    keys, cells = np.empty(0, "S16"), np.empty(0, np.int64)
    if clusters is not None and "tasks" in ids:
        number = _numbers(known["tasks"].nodes.ids[-1], ids["tasks"])
        keys, cells = clusters[0], np.append(number, NEVER)[clusters[2]]
    return Cells(ids, labels, keys, cells)


def _spare(row: Mapping[str, Any], thresholds: LabelsConfig) -> int:
    """Conversations of one account without which a label would still be kept."""
    if row["accounts"] is not None and row["accounts"] <= thresholds.min_accounts:
        return NEVER
    return row["conversations"] - thresholds.min_conversations


def _cell_of_node(known: KnownClusters, ids: Sequence[str]) -> np.ndarray:
    return _numbers(known.nodes.ids[-1], ids)[known.nodes.tops]


def _numbers(tops: Sequence[str], ids: Sequence[str]) -> np.ndarray:
    """The place of each top cluster among the cells; `NEVER` of one that was grown later."""
    place = {one: n for n, one in enumerate(ids)}
    return np.array([place.get(one, NEVER) for one in tops], np.int64)


def _said(
    thresholds: LabelsConfig,
    before: Mapping[str, Any],
    series: Series,
    cells: Cells,
    facet: str,
    names: Mapping[str, str],
) -> dict[str, Any]:
    """What the manifest says of a facet; shares that rest on too few accounts are null."""
    shares, months = shares_of(series, cells, facet)
    bounds = Interval(*(np.array(before[name]) for name in ("mean", "low", "high")))
    unknown = len(before["cells"])
    found = watch(shares, bounds, only_above=unknown)

    def enough(accounts: int) -> bool:
        return accounts == 0 or bool(may_be_shown(accounts, accounts, thresholds))

    def share(cell: int) -> dict[str, float | None]:
        seen = int((shares[:, cell] > 0).sum())
        now = float(shares[:, cell].mean()) if len(shares) and enough(seen) else None
        had = before["mean"][cell] if enough(before["seen"][cell]) else None
        return {"before": _rounded(had), "now": _rounded(now)}

    moved = [cell for cell in np.flatnonzero(found.moved[:unknown]).tolist()]
    shown = [cell for cell in moved if before["cells"][cell] in names]
    return {
        "accounts": len(shares),
        "e_value": float(f"{found.largest:.4g}"),
        "alarm_from": ALARM,
        "alpha": ALPHA,
        "alarm": found.crossed is not None,
        "first_crossed": _when(found, months, enough),
        "unknown": share(unknown) | {"moved": int(found.moved[unknown])},
        "moved": [
            {"cluster_id": before["cells"][cell], "name": names[before["cells"][cell]]}
            | share(cell)
            for cell in shown
        ],
        "moved_and_not_shown": len(moved) - len(shown),
    }


def _when(
    found: Watched, months: Sequence[int], enough: Callable[[int], bool]
) -> dict[str, Any] | None:
    """After how many accounts the alarm was raised, and in which month."""
    if found.crossed is None:
        return None
    month = months[found.crossed]
    dated = month > NEVER and enough(sum(one == month for one in months))
    name = str(np.datetime64(month, "M")) if dated else None
    return {"accounts": found.crossed + 1, "month": name}


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
