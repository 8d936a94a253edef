"""Stage 6: the tables of a run as one self-contained HTML page.

The page loads nothing, and its content security policy forbids it; the one script that the policy
allows is ours. Without it the page still reads. All text passes `inert` and then the escaping of
jinja2, because names come from conversations, which are untrusted input. The script makes text
nodes of the names in its data, and nothing else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.facets import RESPONSE_TYPES, TREE_FACETS, VALUE_FACETS
from vitw_ray.facts import RunFacts
from vitw_ray.records import TABLES
from vitw_ray.report import sections, tree_view
from vitw_ray.report.assistants_view import view_of
from vitw_ray.report.certificate_view import certificate_view
from vitw_ray.report.companions import spoken, together
from vitw_ray.report.corrected_view import corrected_view
from vitw_ray.report.explorer.data import explorer_data, largest_assistants, others
from vitw_ray.report.explorer.nodes import nodes_of
from vitw_ray.report.html import SCRIPTS, environment, scripted_page
from vitw_ray.report.in_short import in_short
from vitw_ray.report.pairings import pairings
from vitw_ray.report.resistance import resistance, shown_in_tasks
from vitw_ray.side_by_side import Pair, pairs

FEW = 10  # ours: rows shown before a fold
MOST = 50  # ours: assistants, and pairs of them, that the page names without its script
MOST_TASKS = 200  # ours: tasks in a list; the script finds all
PAPER = "https://arxiv.org/abs/2504.15236"


def render(
    tables: Mapping[str, pa.Table], run: RunFacts, top: int = 30, alpha: float = 0.05
) -> str:
    """The whole page.

    Args:
        tables: By name, with the schemas of `vitw_ray.records.TABLES`: labels, taxonomy,
            response_types, associations, variation, mirroring, explicitness, cooccurrence,
            model_comparison. For an empty or absent table the page has a sentence that says so.
            Labels without enough support are counted by `run`, and never named.
        run: Facts of the run.
        top: Rows of each ranked list.
        alpha: Differences between assistants are shown if their adjusted p-value is below it.

    Returns:
        HTML, UTF-8, the same text for the same arguments.
    """
    known = {name: tables.get(name, schema.empty_table()) for name, schema in TABLES.items()}
    public = {name: table for name, table in known.items() if name in tables}
    nodes = nodes_of(known["labels"], known["taxonomy"].to_pylist(), others(known))
    compared = pairs(known["model_comparison"], alpha)
    shown = _sections(known, run, compared, top) | {"places": nodes.places}
    data = explorer_data(nodes, known, public, run, compared, alpha)
    return scripted_page(environment(), "page.html", shown, data, SCRIPTS)


def _sections(
    known: Mapping[str, pa.Table], run: RunFacts, compared: Sequence[Pair], top: int
) -> dict[str, Any]:
    """What the sections show, but for the script's data."""
    labels, taxonomy = known["labels"], known["taxonomy"].to_pylist()
    answered = _of_largest_assistants(known["response_types"]).to_pylist()
    trees, names = tree_view.trees(taxonomy), tree_view.names_of(taxonomy)
    rankings = {facet: sections.top_values(labels, facet, run, top) for facet in VALUE_FACETS}
    spreads = sections.variation(known["variation"].to_pylist(), top)
    found = pairings(known["associations"], names, top)
    resists = resistance(answered, known["associations"], names, top)
    beside = together(known["cooccurrence"], labels, "ai_values", run.totals.subjective, top)
    return {
        "run": run,
        "paper": PAPER,
        "few": FEW,
        "most": MOST,
        "most_tasks": MOST_TASKS,
        "short": in_short(rankings, spreads, found, resists, compared),
        "tiles": sections.headline(labels, run.totals),
        "rankings": rankings,
        "paper_shares": sections.PAPER_SHARES,
        "trees": {facet: trees[facet] for facet in TREE_FACETS if facet in trees},
        "icicle": tree_view.draw(trees.get("ai_values", []), "ai_values"),
        "response_types": RESPONSE_TYPES,
        "overall": sections.overall_response_types(answered),
        "by_model": sections.by_model(answered),
        "by_task": sections.by_task(answered, names),
        "resists": resists,
        "resisted_in_tasks": shown_in_tasks(known["task_values"], names, top),
        "pairings": found,
        "mirroring": sections.mirroring(known["mirroring"].to_pylist()),
        "silence": sections.silence(answered),
        "spoken": spoken(known["explicitness"], FEW),
        "together": beside,
        "models": view_of(compared, FEW),
        "spreads": spreads,
        "confidence": sections.confidence(run),
        "corrected": corrected_view(known["corrected"], names, top),
        "certificate": certificate_view(known["certificate"], names),
    }


def _of_largest_assistants(table: pa.Table) -> pa.Table:
    """Rows of all assistants together, and of each of the `MOST` with most conversations."""
    largest = pa.array(largest_assistants(table, MOST), pa.string())
    return table.filter(pc.field("model").is_null() | pc.field("model").isin(largest))
