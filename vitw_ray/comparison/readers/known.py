"""Conversations of which something is known: planted ones, labelled ones, outside checks.

They are read together with the sample, by every reader. Their ids begin with `known:` and the name
of the set, so they can be told from the sample afterwards.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitw_ray.comparison.readers.mapping import MAPPING
from vitw_ray.conversations.sampling import sample_hash
from vitw_ray.errors import InputError
from vitw_ray.evaluation.planted import plant
from vitw_ray.evaluation.planted_truth import PlantedConfig

PREFIX = "known:"
PLANTED_SEED = 1  # ours: not the seed of the packaged sample
Record = dict[str, Any]
LABELS = ("conversation_id", "subjectivity", "task", "human_values", "ai_values", "response_type")


@dataclass(frozen=True)
class Known:
    """One set: conversations in the package's own shape, and for each what is known of it."""

    name: str
    conversations: tuple[Record, ...]
    truth: tuple[Record, ...]
    missing: int = 0
    """Labelled conversations that are not in the input."""

    def truth_by_id(self) -> dict[str, Record]:
        """What is known, by the id that the conversation was read under."""
        ids = (conversation["conversation_id"] for conversation in self.conversations)
        return dict(zip(ids, self.truth, strict=True))


def planted(count: int) -> Known:
    """Synthetic conversations with their truth."""
    rows = list(plant(PlantedConfig(conversations=count, seed=PLANTED_SEED)))
    return _known("planted", rows)


def labelled(path: str, conversations: Iterable[Mapping[str, Any]]) -> Known:
    """Conversations that people labelled.

    Args:
        path: JSON Lines, a row per conversation: conversation_id, subjectivity, task, human_values,
            ai_values, response_type, and optionally messages.
        conversations: rows of the input, in which the others are looked up.

    Raises:
        InputError: a row without a field, or no conversation that is labelled.
    """
    labels = {str(row["conversation_id"]): row for row in read_rows(path, "--labelled", LABELS)}
    own = [(row, row) for row in labels.values() if row.get("messages")]
    wanted = labels.keys() - {str(row["conversation_id"]) for row, _ in own}
    found = [
        (row, labels[row["conversation_id"]])
        for row in conversations
        if row["conversation_id"] in wanted
    ]
    if not own and not found:
        raise InputError(
            f"--labelled {path}: none of its {len(labels)} conversations is in the input",
            "give the --input that holds them, with the same ids, or rows with messages",
        )
    return _known("labelled", [*own, *found], len(wanted) - len(found))


def valueeval(path: str, rows: int) -> Known:
    """Arguments with value categories, as a user's message."""
    return _asserted("valueeval", path, ("id", "conclusion", "stance", "text", "values"), rows)


def valuebench(path: str, rows: int) -> Known:
    """Survey items, each of one value, as a user's message."""
    return _asserted("valuebench", path, ("id", "text", "value", "agreement"), rows)


def xstest(path: str, rows: int) -> Known:
    """Conversations of XSTest with a human label of refusal."""
    return _conversations("xstest", path, "refusal_human", rows)


def political_compass(path: str, rows: int) -> Known:
    """Answers to propositions with a human label of the stance."""
    return _conversations("political_compass", path, "stance_human", rows)


def _asserted(name: str, path: str, fields: tuple[str, ...], rows: int) -> Known:
    flag, form = f"--{name}", MAPPING[name]
    chosen = _drawn(read_rows(path, flag, fields), "id", rows)
    talks = [
        {
            "conversation_id": str(row["id"]),
            "source": name,
            "language": "en",
            "messages": [
                {"role": "user", "content": form["message"].format(**row)},
                {"role": "assistant", "content": form["reply"]},
            ],
        }
        for row in chosen
    ]
    return _known(name, list(zip(talks, chosen, strict=True)))


def _conversations(name: str, path: str, label: str, rows: int) -> Known:
    flag = "--" + name.replace("_", "-")
    labelled_rows = [
        row
        for row in read_rows(path, flag, ("conversation_id", "messages", "labels"))
        if (row["labels"] or {}).get(label)
    ]
    if not labelled_rows:
        raise InputError(f"{flag} {path}: no row has labels.{label}", "give the labelled file")
    chosen = _drawn(labelled_rows, "conversation_id", rows)
    return _known(name, [(row, {label: row["labels"][label]}) for row in chosen])


def _drawn(rows: Sequence[Record], identity: str, most: int) -> list[Record]:
    """The rows whose ids hash lowest: the same ones whatever the order of the file."""
    return sorted(rows, key=lambda row: (sample_hash(str(row[identity]), 0), str(row[identity])))[
        :most
    ]


def _known(name: str, rows: Sequence[tuple[Any, Any]], missing: int = 0) -> Known:
    kept = ("account_id", "model", "source", "language", "messages")
    talks = tuple(
        {"conversation_id": f"{PREFIX}{name}:{talk['conversation_id']}"}
        | {field: talk[field] for field in kept if talk.get(field) is not None}
        for talk, _ in rows
    )
    return Known(name, talks, tuple(dict(truth) for _, truth in rows), missing)


def read_rows(path: str, flag: str, fields: Sequence[str]) -> list[Record]:
    """Rows of a JSON Lines file, plain or gzip.

    Raises:
        InputError: it cannot be read, or a row lacks a field.
    """
    try:
        rows = list(_lines(Path(path)))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{flag} {path} cannot be read ({type(error).__name__})",
            "give a JSON Lines file, plain or .gz",
        ) from None
    for number, row in enumerate(rows, 1):
        lacking = [f for f in fields if not isinstance(row, dict) or f not in row]
        if lacking:
            raise InputError(
                f"{flag} {path}: line {number} has no {', '.join(lacking)}",
                f"each line needs {', '.join(fields)}",
            )
    return rows


def _lines(path: Path) -> Iterator[Any]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def as_gzip(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as a gzip file whose bytes depend on the rows alone."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return gzip.compress(text.encode("utf-8", "surrogatepass"), 1, mtime=0)
