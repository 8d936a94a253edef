"""Stage 6: tables and manifests -> `report.html`."""

from vitw_ray.facts import run_facts
from vitw_ray.report.page import render
from vitw_ray.run_folder import StageReport, read_table
from vitw_ray.stages import StageContext

TABLES = (
    "labels",
    "taxonomy",
    "response_types",
    "associations",
    "variation",
    "mirroring",
    "explicitness",
    "task_values",
    "cooccurrence",
    "model_comparison",
)
OPTIONAL = ("corrected", "certificate")
"""Of a run with a reviewed sample, and of one that was certified; their folders are in the key."""


def write_report(context: StageContext) -> StageReport:
    """Render the page from the manifests and the public tables of the previous stages."""
    present = (*TABLES, *(name for name in OPTIONAL if name in context.tables))
    read = {name: context.tables[name].public for name in present}
    tables = {name: read_table(context.storage, table) for name, table in read.items()}
    config = context.config
    page = render(tables, run_facts(context), config.report.top, config.statistics.alpha)
    return StageReport(
        files=[context.folder.write_text("report.html", page)],
        rows_in=sum(context.tables[name].rows for name in present),
        rows_out=1,
    )
