"""Conversations, rejects and extractions: every row read is somewhere, once, and well formed."""

import heapq
from collections import Counter
from collections.abc import Iterator
from typing import cast

from .expected import CODE, MADE_BY, ORIGIN, RESPONSE_TYPES, ROLES, SCREENED, VALUE_FACETS
from .problems import Problems, at, off
from .reading import Row, place
from .recounting import CheckedRun


def check_conversations(run: CheckedRun) -> Problems:
    """Every conversation has an id, known roles and something said."""
    for row in run.rows("conversations", ("conversation_id", "messages")):
        messages = row["messages"]
        if not row["conversation_id"]:
            yield "a conversation without an id"
        if not any(message["content"].strip() for message in messages):
            yield f"{at(row)}: nothing is said"
        if any(message["role"] not in ROLES for message in messages):
            yield f"{at(row)}: a role that is none of {len(ROLES)}"


def check_order(run: CheckedRun) -> Problems:
    """Ids are unique, parts are ranges of the hash that do not overlap, rows are sorted within.

    Where files were added with `--keep-parts`, that holds for the parts of each pass, and ids are
    unique over all passes.
    """
    sorted_tables = ("conversations", "extractions", "task_assignments")
    passes = run.manifests["conversations"]["details"].get("kept_parts", {}).get("layers", 1)
    for table in (table for table in sorted_tables if MADE_BY[table] in run.manifests):
        before = (-1, "")
        rising: list[list[str]] = [[]]  # paths of parts, each behind the one before
        for entry in run.entries(table):
            for number, row in enumerate(run.part(entry["path"], ("conversation_id",))):
                here = place(row)
                if here <= before and number == 0 and len(rising) < passes:
                    rising.append([])
                elif here <= before:
                    what = "a second time" if here == before else "before its place"
                    yield f"{entry['path']} row {number}: {at(row)} stands {what}"
                before = here
            rising[-1].append(entry["path"])
        if len(rising) > 1:
            yield from _twice(run, rising)


def _twice(run: CheckedRun, rising: list[list[str]]) -> Problems:
    """Conversations that stand in the parts of two passes."""

    def places(paths: list[str]) -> Iterator[tuple[int, str]]:
        for path in paths:
            yield from map(place, run.part(path, ("conversation_id",)))

    before = None
    for here in heapq.merge(*map(places, rising)):
        if here == before:
            yield f"conversation {here[1]} stands in two parts"
        before = here


def check_rejects(run: CheckedRun) -> Problems:
    """Rejects are sorted, name a row that was read, each once, and give a short code."""
    read = run.rows_by_file
    taken: dict[str, bytearray] = {name: bytearray(rows) for name, rows in read.items()}
    again = further_answers(run)
    for entry in run.entries("rejects"):
        before = ("", -1)
        for number, row in enumerate(run.part(entry["path"])):
            where, here = f"{entry['path']} row {number}", (row["file"], row["row"])
            if not 0 <= row["row"] < read.get(row["file"], 0):
                yield f"{where}: a row that was not read"
            elif taken[row["file"]][row["row"]]:
                again -= 1
                if again < 0:
                    yield f"{where}: the same row of the same file a second time"
            else:
                taken[row["file"]][row["row"]] = 1
            if here < before:
                yield f"{where}: stands before its place"
            if not CODE.fullmatch(row["reason"]):
                yield f"{where}: the reason is no short code"
            before = here


def further_answers(run: CheckedRun) -> int:
    """Answers beside the first one of a row, each of which is a conversation or a reject."""
    return run.manifests["conversations"]["details"].get("further_answers", 0)


def check_conservation(run: CheckedRun) -> Problems:
    """Rows and further answers read = conversations + rejects, by reason; nothing is lost."""
    first, second = run.manifests["conversations"], run.manifests["extractions"]
    conversations = sum(1 for _ in run.rows("conversations", ("conversation_id",)))
    reasons = Counter(row["reason"] for row in run.rows("rejects"))
    made = first["rows_in"] + further_answers(run)
    yield from off("rows and further answers", made, conversations + reasons.total())
    yield from off("conversations", first["rows_out"], conversations)
    yield from off("rejects by reason", first["rejected"], dict(reasons))
    by_file = first["details"]["rows_by_file"]
    read = sum(by_file.values() if isinstance(by_file, dict) else by_file)
    yield from off("rows of all files", read, first["rows_in"])
    yield from off("extractions: rows in", second["rows_in"], conversations)
    extractions = sum(1 for _ in run.rows("extractions", ("conversation_id",)))
    yield from off("extractions: rows out", second["rows_out"], extractions)
    yield from off("extractions of all conversations", extractions, conversations)


def check_carried(run: CheckedRun) -> Problems:
    """Every conversation is extracted exactly once, and its origin is carried unchanged."""
    columns = [text.split()[0] for text in ORIGIN.strip("; ").split("; ")]
    for conversation, extraction in run.beside(
        ("conversations", columns), ("extractions", columns)
    ):
        if extraction is None:
            yield f"{at(cast(Row, conversation))}: has no extraction"
        elif conversation is None:
            yield f"{at(extraction)}: an extraction of no conversation, or a second one"
        else:
            for name in columns:
                if conversation[name] != extraction[name]:
                    yield f"{at(extraction)}: another {name}"


def extraction_problems(row: Row, subjective_from: int) -> Problems:
    """What is wrong with one extraction."""
    answer = ("subjectivity", "is_subjective", "confidence", "task", "response_type")
    level = row["subjectivity"]
    if row["error"] is not None:
        if any(row[name] is not None for name in answer) or any(row[f] for f in VALUE_FACETS):
            yield "failed, and has an answer"
        if not CODE.fullmatch(row["error"]):
            yield "the error is no short code"
    elif level is None or not 1 <= level <= 4:
        yield f"subjectivity {level}"
    elif row["is_subjective"] is not (level >= subjective_from):
        yield f"is_subjective {row['is_subjective']} at level {level}"
    if row["confidence"] is not None and not 0.5 <= row["confidence"] <= 1:
        yield f"confidence {row['confidence']} is no probability of the likelier side"
    if row["response_type"] is not None and row["response_type"] not in RESPONSE_TYPES:
        yield "a response type that is none of the seven"
    if not 0 <= row["truncated_share"] <= 1:
        yield f"truncated_share {row['truncated_share']}"
    if row["prompt_tokens"] < 0 or row["output_tokens"] < 0:
        yield "a negative number of tokens"
    for value in (value for facet in VALUE_FACETS for value in row[facet]):
        if value["salience"] is not None and not 1 <= value["salience"] <= 5:
            yield f"salience {value['salience']}"


def check_extractions(run: CheckedRun) -> Problems:
    """Every answer keeps the rules, failed rows hold none, and failures are counted by code."""
    gate = run.setting("extraction", "subjective_from")
    failed, extractors, rows, skipped = Counter[str](), set[str](), 0, 0
    for row in run.rows("extractions"):
        rows += 1
        if row["extractor"].startswith(SCREENED):
            skipped += 1
            if row["is_subjective"] is not False or any(row[f] for f in VALUE_FACETS):
                yield f"{at(row)}: screened out, and not an objective conversation without values"
        else:
            extractors.add(row["extractor"])
        if row["error"] is not None:
            failed[row["error"]] += 1
        for problem in extraction_problems(row, gate):
            yield f"{at(row)}: {problem}"
    yield from off("failed rows by code", run.manifests["extractions"]["failed"], dict(failed))
    told = run.manifests["extractions"]["details"].get("screen", {})
    yield from off("screened conversations", told.get("skipped", 0), skipped)
    if len(extractors) > 1:
        yield f"{len(extractors)} extractors in one table"
    if failed.total() > run.setting("extraction", "max_error_share") * rows:
        yield f"{failed.total()} of {rows} rows failed: more than allowed"
