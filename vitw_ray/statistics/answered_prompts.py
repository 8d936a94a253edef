"""Answers of several assistants to one prompt are brought together through storage, by hash.

Workers write answers as sorted runs. All answers to a prompt lie in one bucket of hashes, and a
bucket is counted alone. What is read and opened for each row is the same at any size.
"""

from dataclasses import dataclass, field

import pyarrow as pa

from vitw_ray import cluster
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.hash_buckets import bucket_count, power_of_two, write_buckets
from vitw_ray.hash_runs import write_sorted_run
from vitw_ray.statistics.codebook import Codebook
from vitw_ray.statistics.paired import ANSWERS, count_paired
from vitw_ray.statistics.partials import Partial, add_to, pack, unpack
from vitw_ray.storage import Storage

ANSWER_RUN_ROWS = 131_072  # ours: answers that a worker holds, some 20 MB
MOST_BUCKETS = 4096  # ours: more than needed, as a bucket has at least a twentieth of a run


@dataclass
class AnswerRuns:
    """Sorted runs of answers, and how many full ones they would be; `write` adds to them."""

    storage: Storage
    folder: str
    runs: list[str] = field(default_factory=list)
    size: float = 0.0
    _held: list[pa.Table] = field(default_factory=list)

    def write(self, answers: pa.Table) -> None:
        """Hold answers until they fill a run."""
        self._held.append(answers)
        if sum(table.num_rows for table in self._held) >= ANSWER_RUN_ROWS:
            self.flush()

    def flush(self) -> "AnswerRuns":
        """Write what is held; returns the runs."""
        table = pa.concat_tables([ANSWERS.empty_table(), *self._held])
        self._held = []
        if table.num_rows:
            self.runs.append(write_sorted_run(self.storage, f"{self.folder}/runs", table))
            self.size += table.num_rows / ANSWER_RUN_ROWS
        return self

    def add(self, other: "AnswerRuns") -> None:
        """Take over the runs of a worker."""
        self.runs += other.runs
        self.size += other.size


def count_prompts(answers: AnswerRuns, vocabulary: Codebook) -> Partial:
    """Paired counts of all prompts; deletes the runs."""
    models, types = len(vocabulary.models), len(RESPONSE_TYPES)
    ancestors = zip(vocabulary.ai_ancestors, vocabulary.ai_levels, strict=True)
    levels = {level: (codes, len(names)) for level, (codes, names) in enumerate(ancestors)}
    most = min(power_of_two(answers.size), MOST_BUCKETS)
    count = bucket_count(len(answers.runs), answers.size, most)
    folder = f"{answers.folder}/buckets"
    buckets = write_buckets(answers.storage, folder, answers.runs, answers.size, count)

    def count_bucket(unit: cluster.Unit) -> bytes:
        return pack(count_paired(buckets.read(unit["bucket"], ANSWERS), models, types, levels))

    merged: Partial = {}
    for packed in cluster.stream(buckets.units() if answers.runs else [], count_bucket):
        add_to(merged, unpack(packed))
    answers.storage.delete_prefix(answers.folder)
    return merged
