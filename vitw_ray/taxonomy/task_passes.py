"""What is done where a share of the tasks is: each function reads its share block by block.

Texts and vectors do not leave the share. What a function returns is counts, sums, hashes, and the
few phrases that enough conversations have. Sums are integers, so no result depends on how tasks
are divided into shares.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vitw_ray.gate import may_be_shown
from vitw_ray.keys import id_hash
from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.naming.member_naming import PLAIN, content_words
from vitw_ray.taxonomy.task_support import Gate, Integers, SupportCounts
from vitw_ray.taxonomy.vectors.vector_files import Share, read_vectors

FIXED_POINT = 2.0**36  # ours: float32 above 2**-12 is exact; 2**27 rows do not overflow an int64
PENDING = 2**18  # ours: so many counted things are added up at once


def conversations_of(share: Share) -> Integers:
    """(n,) number of conversations of each task."""
    return share.conversations()


class RunningSum:
    """Adds up counts, many at once."""

    def __init__(self, most: int) -> None:
        self._most, self._pending, self._rows = most, list[SupportCounts](), 0

    def add(self, counts: SupportCounts) -> None:
        """Add what somebody else has counted."""
        self._pending.append(counts)
        self._rows += len(counts.keys)
        if self._rows > max(PENDING, 2 * len(self._pending[0].keys)):
            self._pending = [self.total()]
            self._rows = len(self._pending[0].keys)

    def total(self) -> SupportCounts:
        """What all have counted."""
        return SupportCounts.sum(self._pending, self._most)


def count_support(
    share: Share, clusters: Parents, most: int
) -> tuple[SupportCounts, SupportCounts]:
    """The support of the words of tasks, by their hashes, and of the clusters of tasks."""
    of_words, of_clusters = RunningSum(most), RunningSum(most)
    for place, table in share.texts():
        of_clusters.add(support_of_rows(table, clusters[place], most))
        of_words.add(_support_of_words(table, most))
    return of_words.total(), of_clusters.total()


def count_words(share: Share, most: int) -> SupportCounts:
    """The support of words alone."""
    found = RunningSum(most)
    for _, table in share.texts():
        found.add(_support_of_words(table, most))
    return found.total()


def count_clusters(share: Share, clusters: Parents, most: int) -> SupportCounts:
    """The support of the clusters of tasks alone."""
    found = RunningSum(most)
    for place, table in share.texts():
        found.add(support_of_rows(table, clusters[place], most))
    return found.total()


def support_of_rows(table: pa.Table, clusters: Parents, most: int) -> SupportCounts:
    """The support of the clusters of some tasks; the columns are those of a block."""
    rows, people = _accounts(table)
    cluster = clusters.astype(np.int64)
    conversations = table["conversations"].to_numpy()
    return SupportCounts.of(cluster, conversations, cluster[rows], people, most)


def _support_of_words(table: pa.Table, most: int) -> SupportCounts:
    rows, people = _accounts(table)
    lengths, words, _ = _words(table["text"].to_pylist())
    starts = np.cumsum(lengths) - lengths
    times = lengths[rows]
    offsets = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    owners = words[np.repeat(starts[rows], times) + offsets]
    conversations = np.repeat(table["conversations"].to_numpy(), lengths)
    return SupportCounts.of(words, conversations, owners, np.repeat(people, times), most)


def _accounts(table: pa.Table) -> tuple[Integers, Integers]:
    """Pairs (row, hash of an account)."""
    lists = table["accounts"].combine_chunks()
    rows = pc.call_function("list_parent_indices", [lists]).to_numpy().astype(np.int64)
    return rows, lists.flatten().to_numpy()


def _words(texts: Sequence[str]) -> tuple[Integers, Integers, dict[str, int]]:
    """Number of words of each text, the hashes of all of them, and those of each word."""
    hashes: dict[str, int] = {}
    lengths, words = np.empty(len(texts), np.int64), list[int]()
    for row, text in enumerate(texts):
        found = content_words(text)
        lengths[row] = len(found)
        for word in found:
            if word not in hashes:
                hashes[word] = id_hash(word)
            words.append(hashes[word])
    return lengths, np.array(words, np.int64), hashes


@dataclass(frozen=True, eq=False)
class Members:
    """What is known of the clusters of the first level from the tasks of a share.

    Attributes:
        sums: (k, d) sums of the vectors, times `FIXED_POINT`.
        counts: (k,) number of tasks.
        cells: conversations of (cluster, word), by cluster times the number of words plus word.
        words: the words seen, by number.
        phrases: the phrases that may be shown.
        rows: their places in the share.
        conversations: of each.
        sample: vectors of the rows of the sample that are in this share.
    """

    sums: Integers
    counts: Integers
    cells: SupportCounts
    words: dict[int, str]
    phrases: list[str]
    rows: Integers
    conversations: Integers
    sample: NDArray[np.float32]


def look_at_members(
    share: Share,
    clusters: Parents,
    size: int,
    public_words: Integers,
    gate: Gate,
    sample: Integers,
) -> Members:
    """Add up the members of each cluster.

    Args:
        share: of the tasks.
        clusters: (n,) the cluster of each of its tasks.
        size: number of clusters.
        public_words: hashes of the words that may be shown, sorted.
        gate: which phrases may be.
        sample: places in the share whose vectors are returned, sorted.
    """
    cells, words = RunningSum(0), dict[int, str]()
    sums, counts = np.empty((0, 0), np.int64), np.bincount(clusters, minlength=size)
    phrases, rows, numbers, drawn = list[str](), [], [], []
    for block, (place, table) in zip(share.blocks, share.texts(), strict=True):
        texts, conversations = table["text"].to_pylist(), table["conversations"].to_numpy()
        vectors = read_vectors(share.storage, block)
        sums = sums if sums.size else np.zeros((size, vectors.shape[1]), np.int64)
        _add_fixed(sums, clusters[place], vectors)
        drawn.append(vectors[sample[(sample >= place.start) & (sample < place.stop)] - place.start])
        passing = passing_rows(table, gate)
        passing = [row for row in passing if PLAIN.fullmatch(texts[row])]
        phrases += [texts[row] for row in passing]
        rows.append(np.array(passing, np.int64) + place.start)
        numbers.append(conversations[passing])
        found, weights, seen = _public(texts, conversations, clusters[place], public_words)
        words |= seen
        none = np.empty(0, np.int64)
        cells.add(SupportCounts.of(found, weights, none, none, 0))
    return Members(
        sums,
        counts.astype(np.int64),
        cells.total(),
        words,
        phrases,
        np.concatenate(rows),
        np.concatenate(numbers),
        np.concatenate(drawn),
    )


def _add_fixed(sums: Integers, clusters: Parents, vectors: NDArray[np.float32]) -> None:
    order = np.argsort(clusters, kind="stable")
    fixed = np.rint(vectors[order].astype(np.float64) * FIXED_POINT).astype(np.int64)
    present, starts = np.unique(clusters[order], return_index=True)
    sums[present] += np.add.reduceat(fixed, starts)


def passing_rows(table: pa.Table, gate: Gate) -> list[int]:
    """Rows whose text may be shown as it is."""
    accounts = None
    if gate.known:
        accounts = pc.call_function("list_value_length", [table["accounts"]]).to_numpy()
    conversations = table["conversations"].to_numpy()
    return np.flatnonzero(may_be_shown(conversations, accounts, gate.thresholds)).tolist()


def _public(
    texts: Sequence[str], conversations: Integers, clusters: Parents, public_words: Integers
) -> tuple[Integers, Integers, dict[int, str]]:
    """Numbers of (cluster, word) of the public words of texts, their conversations, the words."""
    lengths, hashes, of_word = _words(texts)
    row = np.repeat(np.arange(len(texts)), lengths)
    number = np.searchsorted(public_words, hashes)
    known = np.zeros(len(hashes), bool)
    inside = number < len(public_words)
    known[inside] = public_words[number[inside]] == hashes[inside]
    row, number = row[known], number[known]
    shown = set(public_words[np.unique(number)].tolist())
    words = {
        int(np.searchsorted(public_words, code)): word
        for word, code in of_word.items()
        if code in shown
    }
    return clusters[row].astype(np.int64) * len(public_words) + number, conversations[row], words


def score_phrases(
    share: Share,
    rows: Integers,
    nodes: Sequence[Parents],
    centres: Sequence[NDArray[np.float64]],
) -> NDArray[np.float64]:
    """(levels, m) cosines of some tasks with the centre of their cluster on each level, 0 or more.

    Args:
        share: of the tasks.
        rows: (m,) places in the share, sorted.
        nodes: for each level, (m,) the cluster of each of these tasks.
        centres: for each level, (k, d) the mean of each cluster.
    """
    found, end = np.empty((len(nodes), len(rows))), 0
    for block in share.blocks:
        start, end = end, end + block.texts
        low, high = np.searchsorted(rows, [start, end]).tolist()
        if low == high:
            continue
        points = read_vectors(share.storage, block)[rows[low:high] - start].astype(np.float64)
        for level, (node, centre) in enumerate(zip(nodes, centres, strict=True)):
            means = centre[node[low:high]]
            norms = np.maximum(np.linalg.norm(means, axis=1), 1e-12)
            found[level, low:high] = ((points * means).sum(axis=1) / norms).clip(min=0)
    return found
