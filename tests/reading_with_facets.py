"""Reads one conversation with all facets of the package; prints what each step makes of it.

Runs in its own process: `python reading_with_facets.py FOLDER REPLY ...`, where a REPLY is the JSON
that the model writes, and FOLDER takes the answers. Prints a JSON list with one entry per reply.
"""

import asyncio
import hashlib
import json
import sys
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
from scripted_model import ScriptedModel, completion

from vitw_ray.config import ExtractionConfig, LabelsConfig
from vitw_ray.extraction.asking import extract_one
from vitw_ray.extraction.assemble import extraction_rows
from vitw_ray.extraction.committed import find_answers
from vitw_ray.extraction.questions import questions_for
from vitw_ray.extraction.segments import SegmentWriter, open_answers, places_of
from vitw_ray.facets import LABEL_TREES, TREE_FACETS, VALUE_FACETS
from vitw_ray.labels.counting import label_rows, spellings_of
from vitw_ray.records import CONVERSATIONS, EXTRACTIONS, Message
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.naming.group_question import group_question
from vitw_ray.wording import facet_name, facet_noun

MESSAGES = (
    Message("user", "I am afraid that my job will not last. Should I move?"),
    Message("assistant", "Be careful: keep the job until the new one is certain."),
)


SEPARATE = questions_for(ExtractionConfig(questions="separate"))


def read(folder: str, reply: str) -> dict:
    """What becomes of a model's reply, from the question to the counted labels."""
    questions = questions_for(ExtractionConfig(questions="one_pass", evidence=True))
    (question,) = questions.all
    model = ScriptedModel(lambda *_: completion(reply))
    found = asyncio.run(extract_one(model, model.read(MESSAGES), questions, gate=3))
    key = hashlib.md5(reply.encode()).digest()
    folder_of_answers, places = open_answers(Storage(folder), "answers", 1), places_of("c")
    writer = SegmentWriter(folder_of_answers, epoch=1, rows=1, seconds=60.0)
    writer.add(key, int(places[0]), found)
    answers = find_answers(folder_of_answers, [key], places, columns=None).answers
    origin = {"conversation_id": "c", "source": "s", "messages": []}
    table = extraction_rows(pa.Table.from_pylist([origin], CONVERSATIONS), answers, "x@y", 3)
    some = table.filter(pc.field("is_subjective"))
    spellings = Counter()
    for facet in VALUE_FACETS:
        spellings.update(spellings_of(some, facet, 1).counts(facet))
    labels = label_rows(spellings, None, 1, LabelsConfig(min_conversations=1))
    return {
        "error": found.error,
        "asked": question.before,
        "schema": question.schema,
        "separately": [q.name for q in SEPARATE.all],
        "columns": EXTRACTIONS.names,
        "row": {name: table[name][0].as_py() for name in EXTRACTIONS.names[7:]},
        "labels": [(row["facet"], row["label"]) for row in labels.to_pylist()],
        "trees": TREE_FACETS,
        "named": {facet: group_question(facet).before for facet in LABEL_TREES},
        "words": {facet: (facet_name(facet), facet_noun(facet)) for facet in ("concerns", "tones")},
    }


if __name__ == "__main__":
    folder, *replies = sys.argv[1:]
    sys.stdout.write(json.dumps([read(folder, reply) for reply in replies]))
