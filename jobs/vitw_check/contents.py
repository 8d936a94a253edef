"""What is in the rows, against the input files: ids, accounts, assistants, times and versions."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .problems import Note, Problems, at
from .raw_rows import raw_rows
from .reading import Row
from .recounting import CheckedRun

FIRST_YEAR = 2015  # ours: nobody talked to a language model before
FEWEST = 5  # ours: rows of a file before a share of them says anything
HASHED = 1_000_000  # ours: conversations whose messages are compared at a time
MARKS = re.compile(
    r"(\[(\d+ )?(image|audio|video|file|attachment|thinking|tool call|tool message)s?\]|\s)*"
)
IDS = ("conversation_id", "conversation_hash", "id")
MESSAGES = ("messages", "conversation", "conversations", "items")
ANSWERS = ("completions", "answers")
MOST_ANSWERS = 256  # of one row; more are a reject
FIELDS = {  # column of `conversations` -> names under which input files hold it
    "account_id": ("account_id", "hashed_ip"),
    "model": ("model",),
    "language": ("language",),
    "created_at": ("created_at", "timestamp"),
}


def check_spoken(run: CheckedRun) -> Problems:
    """No response type and no AI value where the assistant says nothing."""
    judged = ("conversation_id", "ai_values", "response_type")
    said = ("conversation_id", "messages")
    for row, answer in run.beside(("conversations", said), ("extractions", judged)):
        if row is None or answer is None:  # for check_carried
            continue
        spoken = (m["content"] for m in row["messages"] if m["role"] == "assistant")
        if any(not MARKS.fullmatch(text) for text in spoken):
            continue
        if answer["ai_values"] or answer["response_type"] is not None:
            yield f"{at(row)}: the assistant says nothing, and is judged"


def check_times(run: CheckedRun) -> Problems:
    """Every time lies between 2015 and the end of next year."""
    last = datetime.now(UTC).year + 1
    for row in run.rows("conversations", ("conversation_id", "created_at")):
        made = row["created_at"]
        if made is not None and not FIRST_YEAR <= made.year <= last:
            yield f"{at(row)}: is of the year {made.year}"


def check_versions(run: CheckedRun) -> Problems:
    """A copy or an older version is left out only where the conversation itself was read."""
    without: set[str] = set()
    elsewhere: set[str] = set()
    settings = run.run["config"]["conversations"]
    codes = {"identical"}
    if settings.get("growing_histories", "all") == "all":  # else the successor has another id
        codes.add("superseded")
    for row in run.rows("rejects", ("conversation_id", "reason")):
        if row["reason"] in codes and len(without) < HASHED:
            without.add(row["conversation_id"])
        elif row["conversation_id"] is not None and row["reason"] not in codes:
            elsewhere.add(row["conversation_id"])
    without -= elsewhere
    for row in run.rows("conversations", ("conversation_id",)) if without else ():
        without.discard(row["conversation_id"])
    for name in sorted(map(str, without)):
        yield f"conversation {name}: all its rows were left out as copies or older versions"


def check_answers(run: CheckedRun) -> Problems:
    """Of rows with several answers, each answer is counted."""
    stated = run.manifests["conversations"]["details"].get("further_answers", 0)
    sources = [source for source in run.inputs if source.get("shape") == "several-answers"]
    found = rows = 0
    for source in sources:
        for _, raw in raw_rows(source):
            rows += 1
            lists = [raw[name] for name in ANSWERS if raw and isinstance(raw.get(name), list)]
            if lists and len(lists[0]) <= MOST_ANSWERS:
                found += max(0, len(lists[0]) - 1)
    is_whole = rows == sum(run.rows_by_file.get(source["name"], 0) for source in sources)
    if found > stated or (is_whole and found != stated):
        yield f"{found} answers stand beside the first one of their row, and {stated} are counted"


def check_duplicates(run: CheckedRun) -> Problems:
    """As many conversations repeat another's messages as the manifest says, at most."""
    details = run.manifests["conversations"]["details"]
    if "same_messages" not in details:
        yield Note("the manifest does not count conversations with the same messages")
        return
    stated = details["same_messages"] + details["identical"]
    rows = run.manifests["conversations"]["rows_out"]
    step = 1 + rows // HASHED  # of many conversations, those of a share of the hashes
    seen: set[int] = set()
    found = 0
    for row in run.rows("conversations", ("messages",)):
        digest = hashlib.blake2b(digest_size=8)
        for message in row["messages"]:
            text = message["content"].encode()
            digest.update(f"{message['role']} {len(text)} ".encode() + text)
        key = int.from_bytes(digest.digest(), "big")
        if key % step == 0:
            found += key in seen
            seen.add(key)
    if found > stated:
        yield f"{found} conversations repeat the messages of another, and {stated} are counted"


@dataclass
class _Sampled:
    """One raw row with an id."""

    file: str
    values: Row
    seen: int = 1  # rows with this id
    fate: str = "lost"
    found: Row = field(default_factory=dict)


def check_raw(run: CheckedRun) -> Problems:
    """Ids, accounts, assistants, languages and times of sampled input rows are in the tables."""
    sampled = dict(_sample(run))
    if not sampled:
        yield Note("no input file is there that can be compared")
        return
    for row in run.rows("rejects", ("conversation_id",)):
        if (found := sampled.get(row["conversation_id"])) is not None:
            found.fate = "rejected"
    for row in run.rows("conversations", ("conversation_id", *FIELDS)):
        found = sampled.get(row["conversation_id"])
        if found is not None and found.fate == "lost":
            found.fate, found.found = "kept", row
    skipped = set(run.manifests["conversations"]["details"].get("not_read", ()))
    read = run.rows_by_file
    by_file: dict[str, list[_Sampled]] = defaultdict(list)
    for row in sampled.values():
        by_file[row.file].append(row)
    for name, of_file in sorted(by_file.items()):
        lost = sum(row.fate == "lost" for row in of_file)
        if len(of_file) >= FEWEST and 2 * lost > len(of_file) and read.get(name):
            yield f"{name}: {lost} of {len(of_file)} sampled ids are in no table"
        kept = [row for row in of_file if row.fate == "kept" and row.seen == 1]
        for column, names in FIELDS.items():
            yield from _compared(name, column, [n for n in names if n not in skipped], kept)
    if skipped:
        yield Note(f"columns not read: {', '.join(sorted(skipped))}")


def _sample(run: CheckedRun) -> Iterator[tuple[str, _Sampled]]:
    taken: dict[str, _Sampled] = {}
    for source in run.inputs:
        for _, raw in raw_rows(source):
            if raw is None:
                continue
            names = [str(value) for value in map(_plain_id, map(raw.get, IDS)) if value is not None]
            if not names or not any(isinstance(raw.get(name), list) for name in MESSAGES):
                continue
            row = _Sampled(source["name"], {n: raw.get(n) for ns in FIELDS.values() for n in ns})
            if names[0] in taken:
                taken[names[0]].seen += 1
            else:
                taken[names[0]] = row
    yield from taken.items()


def _plain_id(value: Any) -> str | int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return value if value != "" else None


def _compared(file: str, column: str, names: list[str], rows: list[_Sampled]) -> Problems:
    """One column of the rows of a file: not null where the file has it, and of the same value."""
    held = [(row, [v for n in names if (v := row.values[n]) not in (None, "")]) for row in rows]
    there = [(row, values[0]) for row, values in held if values]
    null = sum(row.found[column] is None for row, _ in there)
    if len(there) >= FEWEST and 2 * null > len(there):
        yield f"{file}: {column} is null in {null} of {len(there)} rows that have it"
    if column == "account_id":
        hashes: dict[str, set[str]] = defaultdict(set)
        for row, value in there:
            if row.found[column] is not None:
                hashes[str(value)].add(row.found[column])
        counts = Counter(name for of_account in hashes.values() for name in of_account)
        if any(len(of) > 1 for of in hashes.values()) or any(n > 1 for n in counts.values()):
            yield f"{file}: accounts are merged or split"
        return
    other = sum(_differs(row.found[column], value) for row, value in there)
    if other:
        yield f"{file}: {column} is another in {other} of {len(there)} rows"


def _differs(found: Any, value: Any) -> bool:
    if found is None or not isinstance(value, str):
        return False
    if isinstance(found, datetime):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return False
        return found != (moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return found != value
