"""Of rows that were left out as superseded: what stayed instead, by content, not only by id.

From the first rows of the input files, read plainly. A superseded row has either a row with its id
that is at least as late and, if there is no telling, at least as long; or, where growing histories
are on, a conversation of the same account and assistant that begins with all its messages.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .problems import Note, Problems
from .raw_rows import raw_rows
from .reading import Row
from .recounting import CheckedRun

IDS = ("conversation_id", "conversation_hash", "id")
MESSAGES = ("messages", "conversation", "conversations", "items")
ACCOUNTS = ("account_id", "hashed_ip", "user_id")
TIMES = ("updated_at", "created_at", "timestamp")
ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant"}
ROLES |= {"system": "system"}  # of which only a mark is kept
MOST = 20_000  # ours: input rows that are compared
MARKED = ("<", "[")  # an assistant's text with one of these may be shortened by marks
DRAWN = {"not_sampled", "over_account_cap"}  # reasons of rows that stayed before the sample

Place = tuple[str, int]


@dataclass(frozen=True)
class _Version:
    """A row of the input, or a conversation."""

    place: Place | None  # None: a row of `conversations`
    name: str | None
    between: tuple[Any, Any]  # account and assistant; the account of `conversations` is a hash
    moment: datetime | None
    told: tuple[int, ...]  # hashes of what is said up to each message, as far as it is plain text
    turns: int
    chars: int | None  # None: not all is plain text, and marks may change the length

    def before(self, other: "_Version") -> bool:
        """Whether another row with the same id is later, or else longer, than this one."""
        if self.moment != other.moment:
            return other.moment is not None and (self.moment is None or self.moment < other.moment)
        if self.turns != other.turns:
            return self.turns < other.turns
        return self.chars is not None and other.chars is not None and self.chars < other.chars

    def begins(self, other: "_Version") -> bool:
        """Whether another conversation holds all messages of this one, and more."""
        (account, model), (its_account, its_model) = self.between, other.between
        same = None in (model, its_model) or model == its_model
        same = same and (other.place is None or account == its_account)
        another = self.name is None or self.name != other.name
        goes_on = other.turns > self.turns and len(other.told) >= self.turns
        return same and another and goes_on and other.told[self.turns - 1] == self.told[-1]


def check_successors(run: CheckedRun) -> Problems:
    """What stayed in place of a superseded row is its latest version, else the longest."""
    versions: dict[Place | None, _Version] = {}
    rows = sum(_add_versions(source, versions) for source in run.inputs)
    reasons = _reasons(run, versions)
    superseded = [
        version
        for place, version in versions.items()
        if reasons.get(place) == "superseded" and len(version.told) == version.turns
    ]
    if not superseded:
        return
    by_id: dict[str, list[_Version]] = defaultdict(list)
    stayed = []
    for place, version in versions.items():
        if reasons.get(place, "not_sampled") in DRAWN:
            stayed.append(version)
            by_id[version.name or ""].append(version)
    settings = run.run["config"]["conversations"]
    histories = settings.get("growing_histories", "all") != "all"
    drawn = settings.get("sample") is not None or settings.get("max_per_account") is not None
    is_whole = (len(versions) if drawn else rows) == sum(run.rows_by_file.values())
    others = [*stayed, *_conversations(run, {v.told[0] for v in superseded})] if histories else []
    by_start: dict[int, list[_Version]] = defaultdict(list)
    for version in (*others, *(superseded if histories else [])):
        by_start[version.told[0]].append(version)
    unseen = 0
    for row in superseded:
        its = by_id.get(row.name, []) if row.name is not None else []
        if its and not any(one.before(row) for one in its):
            continue
        if any(row.begins(other) for other in by_start.get(row.told[0], ())):
            continue
        file, number = row.place or ("", 0)
        if its:
            yield f"{file} row {number}: superseded, and what stayed is an older or shorter version"
        elif is_whole:
            yield f"{file} row {number}: superseded, and no conversation holds its messages"
        else:
            unseen += 1
    if unseen:
        yield Note(f"of {unseen} superseded rows the successor lies beyond the rows compared")


def _add_versions(source: Row, versions: dict[Place | None, _Version]) -> int:
    """Add the conversations of a file; the number of its rows that were read."""
    rows = 0
    for number, raw in raw_rows(source):
        if len(versions) >= MOST:
            break
        rows += 1
        messages = next((raw[name] for name in MESSAGES if raw and raw.get(name)), None)
        told, chars = _told(messages)
        if raw is None or not told:
            continue
        name = next((str(raw[key]) for key in IDS if raw.get(key) not in (None, "")), None)
        account = next((raw[key] for key in ACCOUNTS if raw.get(key)), None)
        times = (_moment(raw[key]) for key in TIMES if raw.get(key) is not None)
        model = raw.get("model")
        place, between = (source["name"], number), (account, model if _is_name(model) else None)
        moment, turns = next(times, None), len(messages or ())
        versions[place] = _Version(place, name, between, moment, told, turns, chars)
    return rows


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _told(messages: Any) -> tuple[tuple[int, ...], int | None]:
    """Hashes of the beginnings of a conversation, up to the first message that is no plain text."""
    running, hashes, chars, is_plain = hashlib.blake2b(digest_size=8), list[int](), 0, True
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            return tuple(hashes), None
        role = ROLES.get(str(message.get("role") or message.get("from")))
        text = message.get("content", message.get("value"))
        if role is None or not isinstance(text, str) or message.get("tool_calls"):
            return tuple(hashes), None
        if role == "system" or (role == "assistant" and any(mark in text for mark in MARKED)):
            is_plain, text = False, ""
        try:
            data = text.encode()
        except UnicodeEncodeError:
            return tuple(hashes), None
        running.update(f"{role} {len(data)}\n".encode() + data)
        hashes.append(int.from_bytes(running.digest(), "big"))
        chars += len(text)
    return tuple(hashes), chars if is_plain else None


def _moment(value: Any) -> datetime | None:
    """A time that is written as such; others are not compared."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _reasons(run: CheckedRun, versions: dict[Place | None, _Version]) -> dict[Place | None, str]:
    """Why rows of the input are no conversations."""
    rejects = run.rows("rejects", ("file", "row", "reason"))
    found = (((row["file"], row["row"]), row["reason"]) for row in rejects)
    return {place: reason for place, reason in found if place in versions}


def _conversations(run: CheckedRun, starts: set[int]) -> Iterator[_Version]:
    """Conversations that begin as a superseded row does."""
    for row in run.rows("conversations", ("conversation_id", "model", "messages")):
        told, chars = _told(row["messages"])
        if told and told[0] in starts:
            between, turns = (None, row["model"]), len(row["messages"])
            yield _Version(None, row["conversation_id"], between, None, told, turns, chars)
