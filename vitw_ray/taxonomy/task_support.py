"""The support of tasks: which phrases, words and clusters of tasks may be shown.

A task is free text, so a cluster of tasks, its name and every word of its name pass the gate in
conversations and in accounts. Clusters that do not pass are merged with the others of their parent,
so that counts still add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vitw_ray.config import LabelsConfig
from vitw_ray.gate import may_be_shown, shown_beside_the_rest
from vitw_ray.keys import id_hash
from vitw_ray.run_folder import FileEntry, read_part
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.hierarchy import Parents, nodes_of_leaves
from vitw_ray.taxonomy.naming.member_naming import content_words

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TaskSupport:
    """Conversations of each task, and the distinct pairs (task, account); all are indices.

    `pairs` is None where no conversation of the run names its account.
    """

    texts: Sequence[str]
    conversations: Integers
    thresholds: LabelsConfig
    pairs: tuple[Integers, Integers] | None = None

    @cached_property
    def phrases(self) -> set[str]:
        """Tasks that pass as they are."""
        accounts = None
        if self.pairs is not None:
            accounts = np.bincount(self.pairs[0], minlength=len(self.texts))
        passes = may_be_shown(self.conversations, accounts, self.thresholds)
        return {self.texts[n] for n in np.flatnonzero(passes).tolist()}

    @cached_property
    def words(self) -> set[str]:
        """Words that pass, wherever they occur."""
        numbers: dict[str, int] = {}
        of_text = [
            [numbers.setdefault(word, len(numbers)) for word in sorted(content_words(text))]
            for text in self.texts
        ]
        lengths = np.array([len(found) for found in of_text], np.int64)
        flat = np.array([word for found in of_text for word in found], np.int64)
        totals = np.bincount(flat, np.repeat(self.conversations, lengths), minlength=len(numbers))
        accounts = None
        if self.pairs is not None:
            starts = np.cumsum(lengths) - lengths
            texts, people = self.pairs
            times = lengths[texts]
            offsets = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
            words = flat[np.repeat(starts[texts], times) + offsets]
            distinct = _distinct(words, np.repeat(people, times))[0]
            accounts = np.bincount(distinct, minlength=len(numbers))
        passes = may_be_shown(totals, accounts, self.thresholds)
        return {word for word, number in numbers.items() if passes[number]}

    def only(self, chosen: NDArray[np.bool_]) -> "TaskSupport":
        """The support of the tasks in a mask (n,)."""
        texts = [text for text, one in zip(self.texts, chosen.tolist(), strict=True) if one]
        pairs = None
        if self.pairs is not None:
            inside = chosen[self.pairs[0]]
            pairs = (np.cumsum(chosen) - 1)[self.pairs[0][inside]], self.pairs[1][inside]
        return TaskSupport(texts, self.conversations[chosen], self.thresholds, pairs)

    def of_nodes(self, nodes: Parents) -> tuple[list[int], list[set[int]] | None]:
        """Conversations of the clusters of a level, and as many accounts of each as decide."""
        size = int(nodes.max(initial=-1)) + 1
        conversations = np.bincount(nodes, self.conversations, minlength=size).astype(np.int64)
        if self.pairs is None:
            return conversations.tolist(), None
        node, people = _distinct(nodes[self.pairs[0]].astype(np.int64), self.pairs[1])
        starts = np.searchsorted(node, np.arange(size + 1))
        most = self.thresholds.min_accounts
        accounts = [
            set(people[low : min(low + most, high)].tolist())
            for low, high in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
        ]
        return conversations.tolist(), accounts


def read_support(
    storage: Storage,
    parts: Sequence[FileEntry],
    texts: Sequence[str],
    conversations: Integers,
    thresholds: LabelsConfig,
) -> TaskSupport:
    """The support of tasks with the accounts that `parts` of `extractions` name."""
    known, hashes = pa.array(texts, pa.string()), dict[str, int]()
    found: list[tuple[Integers, Integers]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for part in parts:
        table = read_part(storage, part, ["is_subjective", "task", "account_id"])
        table = table.filter(
            pc.field("is_subjective")
            & ~pc.field("task").is_null()
            & ~pc.field("account_id").is_null()
        )
        places = (
            pc.call_function("index_in", [table["task"]], pc.SetLookupOptions(known))
            .to_numpy()
            .astype(np.int64)
        )
        people = [
            hashes.setdefault(account, id_hash(account))
            for account in table["account_id"].to_pylist()
        ]
        found.append((places, np.array(people, np.int64)))
    places, people = (np.concatenate(column) for column in zip(*found, strict=True))
    people = np.unique(people, return_inverse=True)[1].astype(np.int64)
    return TaskSupport(texts, conversations, thresholds, _distinct(places, people))


@dataclass(frozen=True)
class Gated:
    """Levels in which every cluster passes, and on each the clusters that were merged."""

    levels: list[Parents]
    merged: list[set[int]]


def merge_rare(levels: Sequence[Parents], support: TaskSupport) -> Gated | None:
    """Merge the clusters that do not pass, per parent and from the top down; None if none passes.

    A merged cluster passes too: if the rare ones of a parent do not pass together, the smallest of
    the others joins them.
    """
    nodes = nodes_of_leaves(levels)
    family = np.zeros(int(nodes[-1].max(initial=-1)) + 1, np.int64)
    found: list[tuple[NDArray[np.int64], set[int]]] = []
    for level in reversed(range(len(levels))):
        conversations, accounts = support.of_nodes(nodes[level])
        new, merged = _merged_within(family, conversations, accounts, support.thresholds)
        if level == len(levels) - 1 and not _passes(new, conversations, accounts, support):
            return None
        found.append((new, merged))
        if level:
            family = new[levels[level]]
    found.reverse()
    gated = [found[0][0][levels[0]].astype(np.int32)]
    for level in range(1, len(levels)):
        below, above = found[level - 1][0], found[level][0]
        parents = np.zeros(int(below.max()) + 1, np.int32)
        parents[below] = above[levels[level]]
        gated.append(parents)
    return Gated(gated, [merged for _, merged in found])


def _passes(
    new: Integers,
    conversations: Sequence[int],
    accounts: Sequence[set[int]] | None,
    support: TaskSupport,
) -> bool:
    """Whether all clusters of the top level together pass; with one of them shown, they do."""
    if not len(new):
        return False
    people = None if accounts is None else len(set[int]().union(*accounts))
    return bool(may_be_shown(sum(conversations), people, support.thresholds))


def _merged_within(
    family: Integers,
    conversations: Sequence[int],
    accounts: Sequence[set[int]] | None,
    thresholds: LabelsConfig,
) -> tuple[Integers, set[int]]:
    """New numbers of the clusters of a level, and which of them stand for merged clusters.

    A parent whose clusters are all merged has one cluster, which is itself: it is not among these.
    """
    new, merged, number = np.empty(len(family), np.int64), set[int](), 0
    for parent in range(int(family.max(initial=-1)) + 1):
        children = np.flatnonzero(family == parent).tolist()
        shown = shown_beside_the_rest(
            [conversations[child] for child in children],
            None if accounts is None else [accounts[child] for child in children],
            thresholds,
        )
        for child, one in zip(children, shown, strict=True):
            if one:
                new[child], number = number, number + 1
        rest = [child for child, one in zip(children, shown, strict=True) if not one]
        if rest:
            new[rest] = number
            if any(shown):
                merged.add(number)
            number += 1
    return new, merged


def _distinct(keys: Integers, values: Integers) -> tuple[Integers, Integers]:
    """The distinct pairs, sorted; `values` are indices from 0."""
    width = int(values.max(initial=0)) + 1
    fused = np.unique(keys * width + values)
    return fused // width, fused % width
