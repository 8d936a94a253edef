"""Stage 6: the tables of a run as one self-contained HTML page.

The page has no script and loads nothing; its content security policy forbids both. All text passes
`inert` and then the escaping of jinja2, because names come from conversations, which are untrusted
input.
"""

from collections.abc import Mapping

import pyarrow as pa

from vitw_ray.facets import RESPONSE_TYPES, TREE_FACETS, VALUE_FACETS
from vitw_ray.facts import RunFacts
from vitw_ray.records import TABLES
from vitw_ray.report import sections, tree_view
from vitw_ray.report.assistants_view import assistants_view
from vitw_ray.report.companions import spoken, together
from vitw_ray.report.corrected_view import corrected_view
from vitw_ray.report.html import environment
from vitw_ray.report.pairings import pairings

FEW = 10  # ours: rows shown before a fold
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

    def table(name: str) -> pa.Table:
        return tables[name] if name in tables else TABLES[name].empty_table()

    taxonomy, answered = table("taxonomy").to_pylist(), table("response_types").to_pylist()
    trees, names = tree_view.trees(taxonomy), tree_view.names_of(taxonomy)
    subjective = run.totals.subjective
    page = environment().get_template("page.html")
    return page.render(
        run=run,
        paper=PAPER,
        few=FEW,
        tiles=sections.headline(table("labels"), run.totals),
        rankings={
            facet: sections.top_values(table("labels"), facet, run, top) for facet in VALUE_FACETS
        },
        paper_shares=sections.PAPER_SHARES,
        trees={facet: trees[facet] for facet in TREE_FACETS if facet in trees},
        icicle=tree_view.draw(trees.get("ai_values", []), "ai_values"),
        response_types=RESPONSE_TYPES,
        overall=sections.overall_response_types(answered),
        by_model=sections.by_model(answered),
        by_task=sections.by_task(answered, names),
        pairings=pairings(table("associations"), names, top),
        mirroring=sections.mirroring(table("mirroring").to_pylist()),
        silence=sections.silence(answered),
        spoken=spoken(table("explicitness"), FEW),
        together=together(table("cooccurrence"), table("labels"), "ai_values", subjective, top),
        models=assistants_view(table("model_comparison"), alpha, FEW),
        spreads=sections.variation(table("variation").to_pylist(), top),
        corrected=corrected_view(table("corrected"), names, top),
    )
