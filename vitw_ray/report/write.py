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
    "cooccurrence",
    "model_comparison",
)


def write_report(context: StageContext) -> StageReport:
    """Render the page from what the stages before it left."""
    tables = {name: read_table(context.storage, context.tables[name]) for name in TABLES}
    config = context.config
    page = render(tables, run_facts(context), config.report.top, config.statistics.alpha)
    return StageReport(
        files=[context.folder.write_text("report.html", page)],
        rows_in=sum(table.num_rows for table in tables.values()),
        rows_out=1,
    )
