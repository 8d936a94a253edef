"""Degenerate runs: all tables are written, and undefined numbers are null, without warnings."""

import logging
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from vitw_ray.config import LabelsConfig
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.records import EXTRACTIONS, TABLES, TASK_ASSIGNMENTS
from vitw_ray.statistics.block import ConversationBlock, period_codes, period_name, values_of
from vitw_ray.statistics.codebook import Codebook
from vitw_ray.statistics.details import details_of
from vitw_ray.statistics.partials import count_block, pack, unpack
from vitw_ray.statistics.tables import compute

pytestmark = pytest.mark.filterwarnings("error")

AI, HUMAN = ["care", "clarity", "honesty"], ["honesty", "speed"]


def vocabulary(ai: list[str] = AI, human: list[str] = HUMAN, **changes) -> Codebook:
    labels = {"ai_values": ai, "human_values": human}
    known = {
        "labels": labels,
        "codes": {f: {name: code for code, name in enumerate(labels[f])} for f in labels},
        "ai_levels": [AI, ["x:l1:a", "x:l1:b"]],
        "ai_ancestors": [np.array([0, 1, 2], np.int32), np.array([0, 1, 1], np.int32)],
        "tasks": ["tasks:l1:a", "tasks:l1:b"],
        "models": ["m", "n"],
    }
    return Codebook(**(known | changes))


def value(label: str, explicit: bool = True, salience: int | None = None) -> dict:
    return {"label": label, "explicit": explicit, "salience": salience}


def rows(n: int = 40, **changes) -> list[dict]:
    """Conversations with every facet; `changes` are functions of the row number."""
    made = []
    for i in range(n):
        row = {
            "conversation_id": f"c{i}",
            "prompt_id": f"p{i // 2}",
            "account_id": f"account {i % 7}",
            "model": "mn"[i % 2],
            "source": "test",
            "language": "en",
            "created_at": datetime(2025, 2, 18, tzinfo=UTC) + timedelta(days=i),
            "extractor": "test",
            "is_subjective": True,
            "task": "a",
            "human_values": [value(HUMAN[i % 2])],
            "ai_values": [value(AI[i % 3], i % 2 == 0), value(AI[(i // 2) % 3])],
            "response_type": RESPONSE_TYPES[i % 6],
            "prompt_tokens": 0,
            "output_tokens": 0,
            "truncated_share": 0.0,
        }
        made.append(row | {name: change(i) for name, change in changes.items()})
    return made


def made(found: list[dict], known: Codebook) -> tuple[dict[str, pa.Table], dict]:
    tasks = [
        {"conversation_id": r["conversation_id"], "cluster_id": f"tasks:l1:{r['task']}"}
        for r in found
        if r["task"] and r["is_subjective"]
    ]
    block = ConversationBlock.of(
        pa.Table.from_pylist(found, EXTRACTIONS),
        pa.Table.from_pylist(tasks, TASK_ASSIGNMENTS),
        known,
    )
    with np.errstate(all="raise"):
        merged = unpack(pack(count_block(block)))
        return compute(merged, {}, known, 0.05), details_of(merged, known)


FAILED = {
    "is_subjective": lambda i: None,
    "human_values": lambda i: [],
    "ai_values": lambda i: [],
    "response_type": lambda i: None,
    "task": lambda i: None,
}
ODD = {
    "something of everything": (rows(), vocabulary()),
    "one model": (rows(model=lambda i: "m"), vocabulary(models=["m"])),
    "no model": (rows(model=lambda i: None), vocabulary(models=[])),
    "one task": (rows(), vocabulary(tasks=["tasks:l1:a"])),
    "no task": (rows(task=lambda i: None), vocabulary(tasks=[])),
    "no date": (rows(created_at=lambda i: None), vocabulary()),
    "no human value": (rows(human_values=lambda i: []), vocabulary(human=[])),
    "no AI value": (
        rows(ai_values=lambda i: []),
        vocabulary(ai=[], ai_levels=[[]], ai_ancestors=[np.zeros(0, np.int32)]),
    ),
    "no response type": (rows(response_type=lambda i: None), vocabulary()),
    "all rows failed": (rows(**FAILED), vocabulary()),
    "one conversation": (rows(1), vocabulary()),
    "no conversation": ([], vocabulary()),
    "a value in every conversation": (
        rows(ai_values=lambda i: [value("care"), value(AI[i % 3])]),
        vocabulary(),
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_every_table_is_complete_and_computed_without_a_warning(name, caplog):
    with caplog.at_level(logging.WARNING):
        tables, _ = made(*ODD[name])
    assert not caplog.records
    for table, content in tables.items():
        assert content.schema == TABLES[table]
        content.validate(full=True)
        for column in content.columns:
            if pa.types.is_floating(column.type):
                assert not np.isnan(column.drop_null().to_numpy()).any()


def associations(name):
    return {(r["row"], r["column"]): r for r in made(*ODD[name])[0]["associations"].to_pylist()}


def test_a_value_in_every_conversation_has_counts_and_a_reason_for_the_missing_test():
    row = associations("a value in every conversation")["care", "honesty"]
    assert (row["observed"], row["residual"], row["reason"]) == (20, None, "row_always")
    assert row["significant"] is False


def test_with_a_single_task_no_value_varies_over_tasks():
    row = associations("one task")["care", "tasks:l1:a"]
    assert (row["residual"], row["reason"]) == (None, "column_always")
    variation = made(*ODD["one task"])[0]["variation"].to_pylist()
    over = [r for r in variation if r["over_facet"] == "tasks"]
    assert [r["coefficient_of_variation"] for r in over] == [None] * len(over)


def test_details_of_the_manifest_do_not_tell_cells_that_are_not_shown():
    least = LabelsConfig(min_conversations=15, min_accounts=1)
    seen = {}
    for few in (1, 2, 3):
        found = rows(
            100,
            human_values=lambda i: [value("honesty")] if i < 50 else [],
            response_type=lambda i, few=few: ["reframing", "no_values"][i in range(50 - few, 80)],
            model=lambda i: "mn"[i % 2],
        )
        tables, said = made(found, vocabulary(thresholds=least))
        seen[few] = {
            "silent": said["answered_no_values_with_a_human_value"],
            "tables": said["tables"]["types x stated"],
        }
        cells = tables["response_types"].to_pylist()
        assert not any(r["conversations"] == few for r in cells)
        shown = made(found, vocabulary())[1]
        assert shown["answered_no_values_with_a_human_value"] == few
        assert "chi_square" in shown["tables"]["types x stated"]
    assert seen[1]["silent"] is None
    assert seen[1] == seen[2] | {"tables": seen[1]["tables"]}
    assert all("chi_square" not in one["tables"] for one in seen.values())


@pytest.mark.parametrize("name", ["one model", "no model"])
def test_with_a_single_assistant_only_weeks_are_compared(name):
    comparison = made(*ODD[name])[0]["model_comparison"]
    assert set(comparison["groups"].to_pylist()) == {"periods"}


def test_both_disagreements_about_human_values_are_counted():
    found = rows(
        human_values=lambda i: [value("honesty")] if i < 10 else [],
        response_type=lambda i: "no_values" if 7 <= i < 30 else "reframing",
    )
    tables, said = made(found, vocabulary())
    assert said["answered_no_values_with_a_human_value"] == 3
    assert said["answered_a_value_without_a_human_value"] == 10
    shares = {
        (r["over"], r["response_type"]): r["conversations"]
        for r in tables["response_types"].to_pylist()
        if r["over_facet"] == "any_human_value"
    }
    assert (shares["stated", "no_values"], shares["none", "reframing"]) == (3, 10)


def test_values_below_the_minimum_salience_are_not_counted_and_those_without_salience_are():
    column = pa.chunked_array(
        [[[value("care", salience=2), value("clarity", salience=3), value("honesty")], []]],
        EXTRACTIONS.field("ai_values").type,
    )
    codes = vocabulary().codes["ai_values"]
    kept = {least: values_of(column, codes, 3, least).codes.tolist() for least in (1, 3, 5)}
    assert kept == {1: [0, 1, 2], 3: [1, 2], 5: [2]}


def test_periods_are_days_weeks_from_monday_or_months():
    moments = pa.chunked_array(
        [[datetime(2024, 12, 30, tzinfo=UTC), datetime(2025, 1, 5, 23, tzinfo=UTC), None]],
        EXTRACTIONS.field("created_at").type,
    )
    names = {}
    for period in ("day", "week", "month"):
        codes = period_codes(moments, period)
        assert codes[2] == -1
        names[period] = [period_name(int(code), period) for code in codes[:2]]
    assert names == {
        "day": ["2024-12-30", "2025-01-05"],
        "week": ["2025-W01", "2025-W01"],
        "month": ["2024-12", "2025-01"],
    }
