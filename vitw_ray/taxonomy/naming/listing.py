"""The part of a prompt that lists a cluster: only its labels and names.

Labels have passed their threshold and will be published. Conversations and task texts never get
here. A label was written by a reader of untrusted text, so only plain labels are listed: they have
no line breaks and no characters of headings or fences. Names are always plain. A description is
listed only if it is plain up to its full stop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.hierarchy import Parents, nodes_of_leaves
from vitw_ray.taxonomy.naming.member_naming import PLAIN, Named
from vitw_ray.taxonomy.neighbourhoods import centres, nearest_first

SHOWN = 50  # Clio, 5.1: 50 members and the 50 nearest others; here the nearest members


@dataclass(frozen=True)
class Clustered:
    """Labels of one facet and the levels above them.

    Attributes:
        labels: n unique labels; if equally near, the earlier label is listed first.
        conversations: (n,) number of conversations of each label.
        vectors: (n, d) unit vectors of the labels.
        levels: as returned by `build_levels`.
    """

    labels: Sequence[str]
    conversations: NDArray[np.int64]
    vectors: NDArray[np.float32]
    levels: Sequence[Parents]


@dataclass(frozen=True)
class Shown:
    """What a prompt shows of one cluster; each part is sorted by distance to its centre.

    Attributes:
        members: labels of the cluster.
        groups: names of its child clusters on the level below.
        outside: labels of other clusters.
        neighbours: indices of other clusters of the level, whose names are already taken.
    """

    members: tuple[str, ...]
    groups: tuple[str, ...]
    outside: tuple[str, ...]
    neighbours: tuple[int, ...]


def show_level(clustered: Clustered, level: int, names_below: Sequence[str]) -> list[Shown]:
    """What to show of every cluster of one level, in order of their indices.

    Args:
        clustered: the facet.
        level: from 1 up.
        names_below: names of the clusters of the level below; empty for level 1.
    """
    above = nodes_of_leaves(clustered.levels[:level])
    clusters, vectors = above[-1], clustered.vectors.astype(np.float64)
    middle = centres(vectors, clusters)
    middle_below = centres(vectors, above[-2]) if names_below else np.empty((0, len(vectors.T)))
    parents = clustered.levels[level - 1] if names_below else np.empty(0, np.int32)
    shown: list[Shown] = []
    for number, centre in enumerate(middle):
        to_labels, inside = vectors @ centre, clusters == number
        others = np.arange(len(middle)) != number
        shown.append(
            Shown(
                members=_plain(clustered.labels, nearest_first(to_labels, inside)),
                groups=_plain(names_below, nearest_first(middle_below @ centre, parents == number)),
                outside=_plain(clustered.labels, nearest_first(to_labels, ~inside)),
                neighbours=tuple(nearest_first(middle @ centre, others)[:SHOWN]),
            )
        )
    return shown


def listing(shown: Shown, taken: Sequence[str] = ()) -> str:
    """The text between the fences of a question: headings, and one item per line."""
    parts = {
        "Values inside": shown.members,
        "Groups inside": shown.groups,
        "Values outside": shown.outside,
        "Names taken": taken,
    }
    return "\n\n".join(
        "\n".join([f"{heading}:", *(f"- {item}" for item in items)])
        for heading, items in parts.items()
        if items
    )


def list_groups(parts: Mapping[str, Sequence[Named]], *, room: int, numbered: str = "") -> str:
    """Groups under headings, by name and description, one per line.

    Args:
        parts: named groups by heading.
        room: limit on characters; above it, descriptions are left out.
        numbered: the heading whose groups are numbered from 1.
    """
    full = _list_groups(parts, numbered, described=True)
    return full if len(full) <= room else _list_groups(parts, numbered, described=False)


def _list_groups(parts: Mapping[str, Sequence[Named]], numbered: str, *, described: bool) -> str:
    blocks: list[str] = []
    for heading, groups in parts.items():
        lines = [_line(group, described=described) for group in groups]
        if heading == numbered:
            lines = [f"{number}. {line}" for number, line in enumerate(lines, 1)]
        else:
            lines = [f"- {line}" for line in lines]
        blocks += ["\n".join([f"{heading}:", *lines])] if lines else []
    return "\n\n".join(blocks)


def _line(group: Named, *, described: bool) -> str:
    name, description = group
    plain = PLAIN.fullmatch(description.removesuffix("."))
    return f"{name}: {description}" if described and plain else name


def _plain(texts: Sequence[str], order: Sequence[int]) -> tuple[str, ...]:
    """The first plain texts in this order, at most `SHOWN`."""
    return tuple(islice((texts[i] for i in order if PLAIN.fullmatch(texts[i])), SHOWN))
