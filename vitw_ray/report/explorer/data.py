"""Everything that the script of the page knows, as JSON for a `<script>` element."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.facts import RunFacts
from vitw_ray.report.explorer.compact import json_text
from vitw_ray.report.explorer.corrected import corrected
from vitw_ray.report.explorer.groups import answered, compared, counted, spoken, varied
from vitw_ray.report.explorer.nodes import ASSISTANTS, TYPES, Nodes
from vitw_ray.report.explorer.pairs import associated, together
from vitw_ray.report.explorer.sheets import sheets
from vitw_ray.side_by_side import Pair

MOST_BYTES = 630_000  # ours: with the page that reads without a script, below 1.5 MB
MOST_ASSISTANTS = 100  # ours: that have a card


def explorer_data(
    nodes: Nodes,
    tables: Mapping[str, pa.Table],
    public: Mapping[str, pa.Table],
    run: RunFacts,
    pairs: Sequence[Pair],
    alpha: float,
) -> str:
    """The JSON text. Its lists are cut by evidence; the `public` tables are added as they fit."""
    comparison = tables["model_comparison"]
    first, end = nodes.range_of(ASSISTANTS)
    assistants = [name for facet, name in list(nodes.places)[first:end] if facet == ASSISTANTS]
    periods = sorted(
        {pair.model_a for pair in pairs if pair.groups == "periods"}
        | {pair.model_b for pair in pairs if pair.groups == "periods"}
    )
    content: dict[str, Any] = {
        "subjective": run.totals.subjective,
        "nodes": _nodes(nodes),
        "answered": answered(tables["response_types"], nodes),
        "pairs": associated(tables["associations"], nodes),
        "together": together(tables["cooccurrence"], nodes, run.totals.subjective),
        "varied": varied(tables["variation"], nodes),
        "spoken": spoken(tables["explicitness"], nodes),
        "assistants": counted(comparison, nodes, "models", assistants),
        "periods": counted(comparison, nodes, "periods", periods),
        "compared": compared(pairs, nodes, alpha),
        "corrected": corrected(tables["corrected"], nodes),
    }
    left = MOST_BYTES - len(json_text(content).encode())
    return json_text(content | {"sheets": sheets(public, max(left, 0))})


def others(tables: Mapping[str, pa.Table]) -> dict[str, dict[str, int]]:
    """Conversations of response types, and of the assistants with most."""
    table = tables["response_types"]
    whole = table.filter(pc.field("over_facet").is_null())
    types = dict[str, int](dict.fromkeys(RESPONSE_TYPES, 0))
    for row in whole.filter(pc.field("model").is_null()).to_pylist():
        types[row["response_type"]] = row["conversations"]
    assistants = largest_assistants(table, MOST_ASSISTANTS)
    return {TYPES: types if whole.num_rows else {}, ASSISTANTS: assistants}


def largest_assistants(response_types: pa.Table, most: int) -> dict[str, int]:
    """Conversations of the assistants with most, the largest first."""
    mine = response_types.filter(pc.field("model").is_valid() & pc.field("over_facet").is_null())
    sums = mine.group_by("model").aggregate([("conversations", "sum")])
    order = [("conversations_sum", "descending"), ("model", "ascending")]
    rows = sums.sort_by(order).slice(0, most).to_pylist()
    return {row["model"]: row["conversations_sum"] for row in rows}


def _nodes(nodes: Nodes) -> dict[str, Any]:
    known = any(count is not None for count in nodes.accounts)
    return {
        "groups": [list(group) for group in nodes.groups],
        "names": nodes.names,
        "parents": nodes.parents,
        "conversations": nodes.conversations,
        "accounts": nodes.accounts if known else None,
    }
