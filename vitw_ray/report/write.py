"""Stage 6: tables and manifests -> `report.html`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from vitw_ray.labels.counting import PAPER_MIN_CONVERSATIONS
from vitw_ray.report.facts import RunFacts, StageFacts, Totals
from vitw_ray.report.page import render
from vitw_ray.run_folder import StageReport, read_table
from vitw_ray.stages import StageContext
from vitw_ray.versions import versions

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
BASELINES = ("lexicon",)  # no language model, and called so wherever it shows


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


def run_facts(context: StageContext) -> RunFacts:
    """What the manifests say of the run so far."""
    read, extracted = context.manifests[0], context.manifests[1]
    details = extracted["details"]
    config = context.config
    return RunFacts(
        title="Values in the wild",
        created=datetime.now(UTC).date().isoformat(),
        sources=read["details"]["sources"],
        models=read["details"]["models"],
        note=support_note(config.labels.min_conversations, config.labels.min_accounts),
        extractor=extractor_name(config.extraction.extractor, details["settings"]),
        made_up=config.extraction.extractor == "simulated",
        baseline=config.extraction.extractor in BASELINES,
        totals=Totals(
            conversations=extracted["rows_out"],
            failed=sum(extracted["failed"].values()),
            subjective=details.get("subjective", 0),
            with_ai_values=details.get("with_ai_values", 0),
            with_human_values=details.get("with_human_values", 0),
            ai_values=details.get("ai_values", 0),
            human_values=details.get("human_values", 0),
        ),
        stages=tuple(_stage_facts(manifest) for manifest in context.manifests),
        versions=versions(),
    )


def extractor_name(extractor: str, settings: Mapping[str, Any]) -> str:
    """The extractor, with its model and revision where it has one; of a folder only the name."""
    model = settings.get("model")
    if model is None:
        return extractor
    name = PurePath(model).name if PurePath(model).is_absolute() else model
    revision = settings.get("revision")
    return f"{extractor}: {name}" + (f"@{revision}" if revision else "")


def support_note(min_conversations: int, min_accounts: int) -> str:
    """The support thresholds in a sentence."""
    note = f"A label is shown from {min_conversations} conversations"
    if min_accounts > 1:
        note += f" and, where accounts are known, {min_accounts} accounts"
    note += "."
    if min_conversations < PAPER_MIN_CONVERSATIONS:
        note += (
            f" That is scaled down: the paper's threshold is {PAPER_MIN_CONVERSATIONS} "
            "conversations of 308,210."
        )
    return note


def _stage_facts(manifest: Mapping[str, Any]) -> StageFacts:
    return StageFacts(
        **{
            name: manifest[name.replace("name", "stage")]
            for name in (
                "number",
                "name",
                "rows_in",
                "rows_out",
                "rejected",
                "failed",
                "seconds",
                "rows_per_s",
            )
        }
    )
