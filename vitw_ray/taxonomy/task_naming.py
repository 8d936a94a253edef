"""Names of clusters of tasks, from what their shares say of them; see `task_passes`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.naming.member_naming import Named, Showable, names_of
from vitw_ray.taxonomy.task_passes import FIXED_POINT, Members
from vitw_ray.taxonomy.task_support import Gated, Integers


@dataclass(frozen=True, eq=False)
class Merged:
    """What all shares say: sums and counts of the clusters of the first level, cells, words."""

    sums: Integers
    counts: Integers
    cells: Integers
    cell_counts: Integers
    words: dict[int, str]
    vocabulary: int

    def centres(self, upper: Sequence[Parents]) -> list[NDArray[np.float64]]:
        """For each level, (k, d) the mean vector of each cluster."""
        found, sums, counts = [], self.sums, self.counts
        for parents in [None, *upper]:
            if parents is not None:
                sums, counts = _added(parents, sums), _added(parents, counts)
            found.append(sums / FIXED_POINT / counts[:, None])
        return found


def merged(of_shares: Sequence[Members], vocabulary: int) -> Merged:
    """Add up what the shares say; `vocabulary`: how many words may be shown."""
    words: dict[int, str] = {}
    for one in of_shares:
        words |= one.words
    cells, place = np.unique(np.concatenate([one.cells for one in of_shares]), return_inverse=True)
    totals = np.zeros(len(cells), np.int64)
    np.add.at(totals, place, np.concatenate([one.cell_counts for one in of_shares]))
    sums, counts = of_shares[0].sums.copy(), of_shares[0].counts.copy()
    for one in of_shares[1:]:
        sums += one.sums
        counts += one.counts
    return Merged(sums, counts, cells, totals, words, vocabulary)


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
    node, word, totals = found.cells // size, found.cells % size, found.cell_counts
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
