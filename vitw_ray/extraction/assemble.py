"""Builds the parts of `extractions` from committed answers.

Each part of `conversations` becomes one part of `extractions` with the same rows in the same order.
The bytes therefore depend on the answers only, not on which actor produced them or when.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray import cluster
from vitw_ray.errors import StageFailed
from vitw_ray.extraction.committed import Found, find_answers
from vitw_ray.extraction.screen.audit import is_audited
from vitw_ray.extraction.segments import AnswerFolder, places_of
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.keys import Keyed, message_bytes
from vitw_ray.progress import Progress
from vitw_ray.records import CONVERSATIONS, EXTRACTIONS, Conversation, Message
from vitw_ray.run_folder import FileEntry, read_part
from vitw_ray.stages import StageContext

REPAIRS = {"label_dropped": "labels_dropped", "list_cut": "lists_cut"}
"""What was odd in an answer and left out of it, and its column in the segments."""
COUNTED = {"cached_tokens": "cached_tokens", **REPAIRS}
SCREEN_COUNTS = ("screened", "audited", "audited_subjective", "kept_subjective", "skipped")
"""Counts over the rows of a screened run, beside those of every run."""


class AnswersMissing(StageFailed):
    """Conversations without an answer, as when a segment was damaged since it was written."""


@dataclass(frozen=True)
class Decided:
    """What a screen has decided in the reader's place; `name` is screen@key."""

    answers: AnswerFolder
    name: str


@dataclass(frozen=True)
class Assembled:
    """The parts of `extractions`, and counts over their rows."""

    files: list[FileEntry]
    counts: Counter[str]


def assemble(
    context: StageContext,
    answers: AnswerFolder,
    key: str,
    decided: Decided | None = None,
    anew: Collection[int] | None = None,
) -> Assembled:
    """Write all parts.

    Args:
        context: the stage.
        answers: of the reader.
        key: of the reader.
        decided: by a screen, if there is one. The reader's own answer comes first.
        anew: numbers of the parts with new answers; others that a killed attempt has written are
            kept. Default: all.
    """
    parts = context.tables["conversations"].files
    assembler = Assembler(context, answers, key, decided)
    files, counts = [], Counter[str]()
    rows = context.tables["conversations"].rows
    units = [{"part": n} for n in range(len(parts))]
    with Progress("extractions: put together", rows) as progress:
        for result in context.kept.stream(
            "put-together",
            units,
            assembler,
            lambda result: [result["file"].path],
            range(len(parts)) if anew is None else anew,
        ):
            files.append(result["file"])
            counts.update(result["counts"])
            progress.add(result["file"].rows)
    return Assembled(sorted(files, key=lambda file: file.path), counts)


class Assembler:
    """Builds one part of `extractions` from the answers of its range."""

    def __init__(
        self,
        context: StageContext,
        answers: AnswerFolder,
        key: str,
        decided: Decided | None = None,
    ) -> None:
        self.storage, self.folder = context.storage, context.folder
        self.parts, self.keyed = context.tables["conversations"].files, context.keyed
        self.subjective_from = context.config.extraction.subjective_from
        self.answers, self.decided, self.key = answers, decided, key.encode()
        self.extractor = f"{context.config.extraction.extractor}@{key}"

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        """Write the part that the unit names."""
        table = read_part(self.storage, self.parts[unit["part"]])
        conversations = as_conversations(table)
        keys = answer_keys(self.keyed, self.key, conversations)
        places = places_of(one.conversation_id for one in conversations)
        found = find_answers(self.answers, keys, places, columns=None)
        by_screen = None
        screened = np.zeros(len(keys), bool)
        if self.decided is not None:
            by_screen = find_answers(self.decided.answers, keys, places, columns=None)
            screened = ~by_screen.missing
        skipped = screened & found.unanswered
        missing = int((found.missing & ~skipped).sum())
        if missing:
            raise AnswersMissing(
                f"{missing} conversations of part {unit['part']} have no answer",
                "run again: committed answers are kept",
            )
        answers = found.take(~skipped)
        extractors = np.full(len(keys), self.extractor, dtype=object)
        if self.decided is not None and by_screen is not None:
            answers = _filled_in(answers, by_screen, skipped)
            extractors[skipped] = self.decided.name
        rows = extraction_rows(table, answers, extractors, self.subjective_from)
        file = self.folder.write_table("extractions", rows, unit["part"], private=True)
        counts = _count(rows)
        for name, column in COUNTED.items():
            counts[name] = int(answers[column].to_numpy().sum())
        if self.decided is not None:
            counts.update(self._count_screened(keys, rows, screened, skipped))
        return {"file": file, "counts": counts}

    def _count_screened(
        self, keys: Sequence[bytes], table: pa.Table, screened: np.ndarray, skipped: np.ndarray
    ) -> Counter[str]:
        """Counts for the audit, named in SCREEN_COUNTS."""
        subjective = table["is_subjective"].fill_null(False).to_numpy()
        chosen = np.fromiter((is_audited(self.keyed, key) for key in keys), bool, len(keys))
        audited = screened & ~skipped & chosen
        counted = (screened, audited, audited & subjective, ~screened & subjective, skipped)
        return Counter(dict(zip(SCREEN_COUNTS, (int(of.sum()) for of in counted), strict=True)))


def _filled_in(answers: pa.Table, by_screen: Found, skipped: np.ndarray) -> pa.Table:
    """The reader's answers, and between them those of the screen, in the order of the rows."""
    order = np.argsort(np.concatenate([np.flatnonzero(~skipped), np.flatnonzero(skipped)]))
    return pa.concat_tables([answers, by_screen.take(skipped)]).take(pa.array(order))


def extraction_rows(
    conversations: pa.Table,
    answers: pa.Table,
    extractor: str | np.ndarray,
    subjective_from: int,
) -> pa.Table:
    """Rows of `extractions`: the origin of each conversation, and its answer."""
    columns = {name: conversations[name] for name in CONVERSATIONS.names if name != "messages"}
    columns["extractor"] = pa.array(np.full(conversations.num_rows, extractor, object), pa.string())
    columns |= {name: answers[name] for name in EXTRACTIONS.names if name in answers.column_names}
    levels = answers["subjectivity"].to_pylist()
    columns["is_subjective"] = pa.array(
        [None if level is None else level >= subjective_from for level in levels], pa.bool_()
    )
    return pa.table({name: columns[name] for name in EXTRACTIONS.names}).cast(EXTRACTIONS)


def _count(table: pa.Table) -> Counter[str]:
    counts = Counter(f"error:{code}" for code in table["error"].to_pylist() if code is not None)
    for name in ("prompt_tokens", "output_tokens"):
        counts[name] = int(table[name].to_numpy().sum())
    subjective = table.filter(pc.field("is_subjective"))
    counts["subjective"] = subjective.num_rows
    for facet in VALUE_FACETS:
        sizes = [len(values) for values in subjective[facet].to_pylist()]
        counts[facet] = sum(sizes)
        counts[f"with_{facet}"] = sum(size > 0 for size in sizes)
    return counts


def answer_keys(
    keyed: Keyed, extractor_key: bytes, conversations: Sequence[Conversation]
) -> list[bytes]:
    """The key of each conversation's answer: an HMAC of its bytes and the extractor key."""
    return [
        keyed.digest("answer", extractor_key + b"\0" + message_bytes(conversation.messages))
        for conversation in conversations
    ]


def as_conversations(table: pa.Table) -> list[Conversation]:
    """Rows of `conversations` in the form that an extractor reads."""
    return [
        Conversation(
            row["conversation_id"],
            tuple(Message(message["role"], message["content"]) for message in row["messages"]),
        )
        for row in table.select(["conversation_id", "messages"]).to_pylist()
    ]
