"""Names of clusters of tasks, from what their shares say of them; see `task_passes`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.naming.member_naming import Named, Showable, names_of
from vitw_ray.taxonomy.task_passes import FIXED_POINT, Members, RunningSum
from vitw_ray.taxonomy.task_support import Gated, Integers, SupportCounts


@dataclass(frozen=True, eq=False)
class Shown:
    """What may be shown of the tasks of a share; see `Members`."""

    phrases: list[str]
    rows: Integers
    conversations: Integers
    sample: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Merged:
    """What all shares say: sums and counts of the clusters of the first level, cells, words."""

    sums: Integers
    counts: Integers
    cells: SupportCounts
    words: dict[int, str]
    vocabulary: int
    of_shares: list[Shown]

    def centres(self, upper: Sequence[Parents]) -> list[NDArray[np.float64]]:
        """For each level, (k, d) the mean vector of each cluster."""
        found, sums, counts = [], self.sums, self.counts
        for parents in [None, *upper]:
            if parents is not None:
                sums, counts = _added(parents, sums), _added(parents, counts)
            found.append(sums / FIXED_POINT / counts[:, None])
        return found


def merged(of_shares: Iterable[Members], vocabulary: int) -> Merged:
    """Add up what the shares say, one after the other.

    `vocabulary`: how many words may be shown.
    """
    words, cells, shown = dict[int, str](), RunningSum(0), list[Shown]()
    sums, counts = np.empty((0, 0), np.int64), np.empty(0, np.int64)
    for one in of_shares:
        # Arrays from Ray cannot be written to.
        sums, counts = (
            (one.sums, one.counts) if not shown else (sums + one.sums, counts + one.counts)
        )
        words |= one.words
        cells.add(one.cells)
        shown.append(Shown(one.phrases, one.rows, one.conversations, one.sample))
    return Merged(sums, counts, cells.total(), words, vocabulary, shown)


def name_levels(
    found: Merged,
    gated: Gated,
    phrases: Sequence[tuple[str, int]],
    clusters: Parents,
    cosines: NDArray[np.float64],
    min_conversations: int,
) -> list[list[Named]]:
    """Name the clusters of all levels.

    Args:
        found: what the shares say.
        gated: the levels.
        phrases: those that may be shown, and their conversations.
        clusters: of the first level, of each phrase.
        cosines: (levels, phrases) with the centre of their cluster on each level.
        min_conversations: conversations that a word needs in its cluster.
    """
    size = max(1, found.vocabulary)
    cells = found.cells
    node, word, totals = cells.keys // size, cells.keys % size, cells.conversations
    named: list[list[Named]] = []
    scores = cosines * np.log1p([conversations for _, conversations in phrases])
    count = len(found.counts)
    for level, merged_here in enumerate(gated.merged):
        if level:
            parents = gated.upper[level - 1]
            count, clusters = int(parents.max()) + 1, parents[clusters]
            fused, place = np.unique(parents[node] * size + word, return_inverse=True)
            totals, node, word = _added(place, totals), fused // size, fused % size
        enough = np.flatnonzero(totals >= min_conversations)
        shown: list[dict[str, tuple[float, int]]] = [{} for _ in range(count)]
        words: list[list[tuple[int, str]]] = [[] for _ in range(count)]
        for row, cluster in enumerate(clusters.tolist()):
            phrase, conversations = phrases[row]
            shown[cluster][phrase] = float(scores[level, row]), conversations
        for cell in enough.tolist():
            words[node[cell]].append((-int(totals[cell]), found.words[int(word[cell])]))
        showable = [
            Showable({}, [])
            if number in merged_here
            else Showable(shown[number], [one for _, one in sorted(words[number])])
            for number in range(count)
        ]
        named.append(names_of(showable, noun="tasks"))
    return named


def _added(places: NDArray[np.integer], values: Integers) -> Integers:
    """Sum of the values with each place, from 0 without gaps."""
    found = np.zeros((int(places.max(initial=-1)) + 1, *values.shape[1:]), np.int64)
    np.add.at(found, places, values)
    return found
