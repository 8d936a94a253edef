"""Stage 7: `labels` and `taxonomy` -> a folder to publish: two CSV files and a data set card."""

from vitw_ray.facts import run_facts
from vitw_ray.release import card
from vitw_ray.release.tables import values_frequencies, values_tree
from vitw_ray.run_folder import StageReport, read_table
from vitw_ray.stages import StageContext


def publish(context: StageContext) -> StageReport:
    """Write the released tables and the card that describes them."""
    tables = {n: read_table(context.storage, context.tables[n]) for n in ("labels", "taxonomy")}
    frequencies, tree = values_frequencies(tables), values_tree(tables)
    config = context.config
    text = card.render(run_facts(context), config.labels, config.release, frequencies, tree)
    withheld = {
        "values_frequencies": dict(frequencies.withheld),
        "values_tree": dict(tree.withheld),
    }
    return StageReport(
        files=[
            context.folder.write_text("values_frequencies.csv", frequencies.text, frequencies.rows),
            context.folder.write_text("values_tree.csv", tree.text, tree.rows),
            context.folder.write_text("README.md", text),
        ],
        rows_in=sum(table.num_rows for table in tables.values()),
        rows_out=frequencies.rows + tree.rows,
        details={"withheld": withheld},
    )
