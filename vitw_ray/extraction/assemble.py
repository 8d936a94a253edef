"""Builds the parts of `extractions` from committed answers.

Each part of `conversations` becomes one part of `extractions` with the same rows in the same order.
The bytes therefore depend on the answers only, not on which actor produced them or when.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray import cluster
from vitw_ray.errors import StageFailed
from vitw_ray.extraction.segments import AnswerIndex, as_keys, read_answers
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.keys import Keyed, message_bytes
from vitw_ray.progress import Progress
from vitw_ray.records import CONVERSATIONS, EXTRACTIONS, Conversation, Message
from vitw_ray.run_folder import FileEntry, read_part
from vitw_ray.stages import StageContext

REPAIRS = {"label_dropped": "labels_dropped", "list_cut": "lists_cut"}
"""What was odd in an answer and left out of it, and its column in the segments."""
COUNTED = {"cached_tokens": "cached_tokens", **REPAIRS}


def assemble(
    context: StageContext, index: AnswerIndex, extractor: str
) -> tuple[list[FileEntry], Counter[str]]:
    """Write all parts; return their files, and counts over their rows."""
    parts = context.tables["conversations"].files
    assembler = _Assembler(context, [cluster.put_shared(index)], extractor)
    files, counts = [], Counter[str]()
    rows = context.tables["conversations"].rows
    with Progress("extractions: put together", rows) as progress:
        for result in cluster.stream([{"part": n} for n in range(len(parts))], assembler):
            files.append(result["file"])
            counts.update(result["counts"])
            progress.add(result["file"].rows)
    return sorted(files, key=lambda file: file.path), counts


class _Assembler:
    """Builds one part of `extractions`."""

    def __init__(self, context: StageContext, index: list[Any], extractor: str) -> None:
        self.storage, self.folder = context.storage, context.folder
        self.parts, self.keyed = context.tables["conversations"].files, context.keyed
        self.subjective_from = context.config.extraction.subjective_from
        self.index, self.extractor = index, extractor

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        conversations = read_part(self.storage, self.parts[unit["part"]])
        key = self.extractor.rsplit("@", 1)[1].encode()
        keys = as_keys(answer_keys(self.keyed, key, as_conversations(conversations)))
        index: AnswerIndex = cluster.get_shared(self.index[0])
        places = index.find(keys)
        if (places < 0).any():
            raise StageFailed(
                f"{int((places < 0).sum())} conversations of part {unit['part']} have no answer",
                "run again: committed answers are kept",
            )
        answers = read_answers(self.storage, index, places)
        table = extraction_rows(conversations, answers, self.extractor, self.subjective_from)
        file = self.folder.write_table("extractions", table, unit["part"], private=True)
        counts = _count(table)
        for name, column in COUNTED.items():
            counts[name] = int(answers[column].to_numpy().sum())
        return {"file": file, "counts": counts}


def extraction_rows(
    conversations: pa.Table, answers: pa.Table, extractor: str, subjective_from: int
) -> pa.Table:
    """Rows of `extractions`: the origin of each conversation, and its answer."""
    columns = {name: conversations[name] for name in CONVERSATIONS.names if name != "messages"}
    columns["extractor"] = pa.array([extractor] * conversations.num_rows, pa.string())
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
