"""One of two finished runs, as it is compared: its facts, its settings and its public tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.errors import OutputError
from vitw_ray.facts import RunFacts, run_facts
from vitw_ray.run_folder import TableRef, read_part, read_table
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage

TABLES = ("labels", "taxonomy", "response_types")
ANSWERS = ("subjectivity", "task", "human_values", "ai_values", "response_type")
ANSWER_COLUMNS = ("conversation_id", *ANSWERS, "error", "confidence")

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Side:
    """A run: facts and public tables; `extractions` are there unless they were purged."""

    facts: RunFacts
    subjective_from: int
    tables: Mapping[str, pa.Table]
    storage: Storage
    extractions: TableRef | None

    def ids(self) -> set[str]:
        """Ids of all conversations of the run; empty after a purge."""
        parts = self.extractions.files if self.extractions else ()
        found = (read_part(self.storage, part, ["conversation_id"]) for part in parts)
        return {one for part in found for one in part["conversation_id"].to_pylist()}

    def answers(self, ids: pa.Array) -> dict[str, Row]:
        """What the reader found in some conversations, by id."""
        found: dict[str, Row] = {}
        for part in self.extractions.files if self.extractions else ():
            table = read_part(self.storage, part, ANSWER_COLUMNS)
            mine = table.filter(pc.field("conversation_id").isin(ids))
            found |= {row["conversation_id"]: row for row in mine.to_pylist()}
        return found


def side_of(context: StageContext) -> Side:
    """Open one side.

    Raises:
        OutputError: the run ended before it had all tables that are compared.
    """
    tables = context.tables
    if missing := [name for name in TABLES if name not in tables]:
        raise OutputError(
            f"{context.storage.root} has no {' and no '.join(missing)}, so it cannot be compared",
            "run it on with vitw run --until statistics and its own settings",
        )
    private = tables["extractions"]
    there = all(context.storage.exists(file.path) for file in private.files)
    return Side(
        facts=run_facts(context),
        subjective_from=context.config.extraction.subjective_from,
        tables={name: read_table(context.storage, tables[name].public) for name in TABLES},
        storage=context.storage,
        extractions=private if there else None,
    )
