"""Ways to make the content of an invented run folder wrong, before it is sealed."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from invented_conversations import Row
from invented_tables import shares
from run_folder_maker import RunFolder

Damage = Callable[[RunFolder], Any]


def find(folder: RunFolder, table: str, **where: Any) -> Row:
    """The first row of a table with these columns; a function says whether a value will do."""
    for row in folder.all(table):
        wanted = ((w, row.get(name)) for name, w in where.items())
        if all(w(value) if callable(w) else w == value for w, value in wanted):
            return row
    raise LookupError(f"{table} has no such row")


def edit(table: str, column: str, value: Any, **where: Any) -> Damage:
    """Set or change a column of one row."""

    def damage(folder: RunFolder) -> None:
        row = find(folder, table, **where)
        row[column] = value(row[column]) if callable(value) else value

    return damage


def in_all(table: str, column: str, value: Any) -> Damage:
    """Set a column of all rows; `{n}` in a text is the number of the row."""

    def damage(folder: RunFolder) -> None:
        for n, row in enumerate(folder.all(table)):
            row[column] = value.format(n=n) if isinstance(value, str) else value

    return damage


def drop(table: str, **where: Any) -> Damage:
    """Lose one row."""

    def damage(folder: RunFolder) -> None:
        row = find(folder, table, **where)
        for part in folder.tables[table]:
            part[:] = [other for other in part if other is not row]

    return damage


def double(table: str, part: int = 0, **changes: Any) -> Damage:
    """Write the first row of a part twice, the second with these changes."""
    return lambda f: f.tables[table][part].insert(1, f.tables[table][part][0] | changes)


def together(*damages: Damage) -> Damage:
    """Several things, so that only one of their traces is left."""
    return lambda folder: [damage(folder) for damage in damages]


def rewrite(file: str, change: Callable[[str], str]) -> Damage:
    """Another text in a published file."""
    return lambda folder: folder.texts.update({file: change(folder.texts[file])})


def retype(table: str, field: pa.Field) -> Damage:
    """Another type for a column, or one column more."""

    def damage(folder: RunFolder) -> None:
        schema = folder.schemas[table]
        at = schema.get_field_index(field.name)
        folder.schemas[table] = schema.append(field) if at < 0 else schema.set(at, field)

    return damage


def swap_two_answers(folder: RunFolder) -> None:
    one = find(folder, "extractions", is_subjective=True, task="plan a trip")
    other = find(folder, "extractions", is_subjective=True, task="write a letter")
    for name in ("subjectivity", "task", "human_values", "ai_values", "response_type"):
        one[name], other[name] = other[name], one[name]


def put_one_conversation_into_two_parts(folder: RunFolder) -> None:
    for table in ("conversations", "extractions"):
        first, second = folder.tables[table]
        second.insert(0, first[0])


def unsort(*tables: str) -> Damage:
    def damage(folder: RunFolder) -> None:
        for table in tables:
            part = folder.tables[table][0]
            part[2], part[3] = part[3], part[2]

    return damage


def keep_a_rare_label(folder: RunFolder) -> None:
    row = folder.tables["labels"][1].pop()
    folder.tables["labels"][0].append({**row, "kept": True})


def count_one_more(folder: RunFolder) -> None:
    row = folder.tables["labels"][0][0]
    row["share"] *= (row["conversations"] + 1) / row["conversations"]
    row["conversations"] += 1


def add_an_empty_cluster(folder: RunFolder) -> None:
    top = find(folder, "taxonomy", cluster_id="ai_values:l2:0")
    empty = {"cluster_id": "ai_values:l2:1", "conversations": 0, "pct_total_occurrences": 0.0}
    folder.tables["taxonomy"][0].append({**top, **empty})


def fail_often(folder: RunFolder) -> None:
    answer = {"subjectivity": None, "is_subjective": None, "task": None, "response_type": None}
    for row in [row for row in folder.all("extractions") if row["subjectivity"] in (1, 2)][:5]:
        row.update(answer, human_values=[], ai_values=[], error="no_json")
        folder.failed["no_json"] += 1


def read_one_row_less(folder: RunFolder) -> None:
    folder.rows_in -= 1
    folder.rows_by_file["b.jsonl"] -= 1


def mirror_one_less(folder: RunFolder) -> None:
    row = find(folder, "mirroring", mirrored=some)
    row |= shares("mirrored", row["mirrored"] - 1, row["conversations"])
    row["lift"] = row["share"] / row["share_by_chance"]


def turn_an_interval_over(folder: RunFolder) -> None:
    row = folder.tables["associations"][0][0]
    row["low"], row["high"] = row["high"], row["low"]


def some(value: Any) -> bool:
    return bool(value)


def plus(n: float) -> Callable[[Any], Any]:
    return lambda value: value + n
