"""Make the screen of a run: a sample that the model reads, a head, a certificate.

The sample is a contiguous range of rows. The table `conversations` is sorted by a hash of the id,
so any range of it is a random sample, and it is read and answered in units as all rows are. Where
the range starts is decided by the secret. Every other row trains the head, the others certify it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from vitw_ray import cluster
from vitw_ray.config import RunConfig
from vitw_ray.errors import StageFailed
from vitw_ray.extraction.assemble import answer_keys
from vitw_ray.extraction.screen.certify import certify
from vitw_ray.extraction.screen.features import features_of
from vitw_ray.extraction.screen.head import fit_binary, undecided
from vitw_ray.extraction.screen.stored import Screen, distilled_head
from vitw_ray.extraction.segments import AnswerIndex, as_keys, read_answers
from vitw_ray.inference.embedder import load_embedder
from vitw_ray.keys import Keyed
from vitw_ray.records import Conversation
from vitw_ray.run_folder import FileEntry
from vitw_ray.storage import Storage

SAMPLE_SHARE = 1 / 3  # ours: beyond that the sample costs more than the screen saves

ReadUnit = Callable[[Storage, FileEntry, cluster.Unit], list[Conversation]]


def split_units(
    units: Sequence[cluster.Unit], size: int, keyed: Keyed
) -> tuple[list[cluster.Unit], list[cluster.Unit]]:
    """Cut units into those of the sample and the others.

    Args:
        units: of all rows, in the order of the rows.
        size: rows of the sample, as far as there are enough.
        keyed: decides where the sample starts.
    """
    rows = sum(unit["stop"] - unit["start"] for unit in units)
    size = min(size, int(rows * SAMPLE_SHARE))
    first = int.from_bytes(keyed.digest("screen sample", b"")[:8], "big") % max(rows, 1)
    sample: list[cluster.Unit] = []
    others: list[cluster.Unit] = []
    position = 0  # of the unit's first row among all rows
    for unit in units:
        length = unit["stop"] - unit["start"]
        inside = ((edge - position) % rows for edge in (first, first + size))
        cuts = sorted({0, length, *(cut for cut in inside if cut < length)})
        for start, stop in pairwise(cuts):
            chosen = (position + start - first) % rows < size
            piece = {**unit, "start": unit["start"] + start, "stop": unit["start"] + stop}
            (sample if chosen else others).append(piece | {"screened": not chosen})
        position += length
    return sample, others


@dataclass(frozen=True)
class Sample:
    """Answered rows of the sample, in the order of the table."""

    features: np.ndarray  # (n, features) float32
    subjective: np.ndarray  # (n,) bool


def read_sample(
    units: Sequence[cluster.Unit],
    *,
    read: ReadUnit,
    storage: Storage,
    parts: Sequence[FileEntry],
    index: AnswerIndex,
    config: RunConfig,
    keyed: Keyed,
    reader_key: str,
) -> Sample:
    """Features of the sample and what the reader says of it; rows that failed are left out."""
    gather = _Gather(
        read, storage, parts, [cluster.put_shared(index)], config, keyed, reader_key.encode()
    )
    found = sorted(cluster.stream(units, gather), key=lambda one: (one["part"], one["start"]))
    if not found:
        return Sample(np.empty((0, 1), np.float32), np.empty(0, bool))
    return Sample(
        np.concatenate([one["features"] for one in found]),
        np.concatenate([one["subjective"] for one in found]),
    )


class _Gather:
    """Computes features of one unit, next to its answers."""

    def __init__(
        self,
        read: ReadUnit,
        storage: Storage,
        parts: Sequence[FileEntry],
        index: list[Any],
        config: RunConfig,
        keyed: Keyed,
        reader_key: bytes,
    ) -> None:
        self.read, self.storage, self.parts, self.index = read, storage, parts, index
        self.keyed, self.reader_key = keyed, reader_key
        self.embedder = config.extraction.screen_embedder
        self.subjective_from = config.extraction.subjective_from

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        conversations = self.read(self.storage, self.parts[unit["part"]], unit)
        index: AnswerIndex = cluster.get_shared(self.index[0])
        places = index.find(as_keys(answer_keys(self.keyed, self.reader_key, conversations)))
        if (places < 0).any():
            raise StageFailed(
                f"{int((places < 0).sum())} conversations of part {unit['part']} have no answer",
                "run again: committed answers are kept",
            )
        answered = np.flatnonzero(~index.failed[places])
        levels = read_answers(self.storage, index, places[answered])["subjectivity"].to_numpy()
        embedder = load_embedder(self.embedder)
        return {
            "part": unit["part"],
            "start": unit["start"],
            "features": features_of(embedder, [conversations[n] for n in answered]),
            "subjective": levels >= self.subjective_from,
        }


def make_screen(sample: Sample, config: RunConfig) -> Screen:
    """Train a head on every other row, or take the one that the settings name, and certify it."""
    head = distilled_head(config)
    loss = config.extraction.screen_loss
    held_out = np.arange(len(sample.subjective)) % 2 == 1
    if head is not None:
        held_out[:] = True
    elif len(set(sample.subjective[~held_out].tolist())) < 2:
        head = undecided(sample.features.shape[1])  # one kind of answer trains no head
    else:
        head = fit_binary(sample.features[~held_out], sample.subjective[~held_out])
    scores = head.scores(sample.features[held_out])[:, 0]
    certificate = certify(scores, sample.subjective[held_out], loss)
    return Screen(head=head, certificate=certificate, trained=int((~held_out).sum()))
