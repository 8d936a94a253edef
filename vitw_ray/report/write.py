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
    """Render the page from the manifests and the public tables of the previous stages."""
    read = {name: context.tables[name].public for name in TABLES}
    tables = {name: read_table(context.storage, table) for name, table in read.items()}
    config = context.config
    page = render(tables, run_facts(context), config.report.top, config.statistics.alpha)
    return StageReport(
        files=[context.folder.write_text("report.html", page)],
        rows_in=sum(context.tables[name].rows for name in TABLES),
        rows_out=1,
    )
