"""The answered sample: what trains and certifies the screen."""

from dataclasses import dataclass

import numpy as np

from vitw_ray import cluster
from vitw_ray.errors import StageFailed
from vitw_ray.extraction.assemble import answer_keys
from vitw_ray.extraction.committed import STATUS, find_answers
from vitw_ray.extraction.screen.features import features_of
from vitw_ray.extraction.screen.ranges import Ranges
from vitw_ray.extraction.segments import AnswerFolder, places_of
from vitw_ray.extraction.unit_extractor import read_unit
from vitw_ray.inference.embedder import load_embedder
from vitw_ray.stages import StageContext

_UNIT_ROWS = 128  # ours: half a minute of one core


@dataclass(frozen=True)
class Sample:
    """Answered rows of the sample, in the order of the table."""

    features: np.ndarray  # (n, features) float32
    subjective: np.ndarray  # (n,) bool


def read_sample(
    context: StageContext, ranges: Ranges, answers: AnswerFolder, reader_key: str
) -> Sample:
    """Features of the sample and what the reader says of it; rows that failed are left out."""
    units = [
        {"part": part, "start": first, "stop": min(first + _UNIT_ROWS, stop)}
        for part, of_part in enumerate(ranges)
        for start, stop in of_part
        for first in range(start, stop, _UNIT_ROWS)
    ]
    gather = _Gather(context, answers, reader_key)
    found = sorted(cluster.stream(units, gather), key=lambda one: (one["part"], one["start"]))
    if not found:
        return Sample(np.empty((0, 1), np.float32), np.empty(0, bool))
    return Sample(
        np.concatenate([one["features"] for one in found]),
        np.concatenate([one["subjective"] for one in found]),
    )


class _Gather:
    """Computes features of one unit, next to its answers."""

    def __init__(self, context: StageContext, answers: AnswerFolder, reader_key: str) -> None:
        self.storage, self.keyed = context.storage, context.keyed
        self.parts = context.tables["conversations"].files
        self.answers, self.reader_key = answers, reader_key.encode()
        self.embedder = context.config.extraction.screen_embedder
        self.subjective_from = context.config.extraction.subjective_from

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        conversations, _ = read_unit(self.storage, self.parts[unit["part"]], unit)
        keys = answer_keys(self.keyed, self.reader_key, conversations)
        places = places_of(one.conversation_id for one in conversations)
        found = find_answers(self.answers, keys, places, (*STATUS, "subjectivity"))
        if found.missing.any():
            raise StageFailed(
                f"{int(found.missing.sum())} conversations of part {unit['part']} have no answer",
                "run again: committed answers are kept",
            )
        answered = np.flatnonzero(~found.unanswered)
        levels = found.take(answered)["subjectivity"].to_numpy()
        embedder = load_embedder(self.embedder)
        return {
            "part": unit["part"],
            "start": unit["start"],
            "features": features_of(embedder, [conversations[n] for n in answered]),
            "subjective": levels >= self.subjective_from,
        }
