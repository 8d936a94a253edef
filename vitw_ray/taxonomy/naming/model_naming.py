"""Names and descriptions of value clusters by a language model.

Levels are named from the bottom up, since the names of one are shown to the next; all clusters of a
level are asked about at once. No two clusters of a facet's level share a name. A cluster whose
answer is missing, malformed or a name already taken is asked about once more, and then named by its
members.

Tasks are not named here. Their texts are private, often one person's own words, and no threshold
stands between them and the model; the naming by members shows only what enough conversations share.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vitw_ray.errors import StageFailed
from vitw_ray.facets import ValueFacet
from vitw_ray.taxonomy.hierarchy import Parents, nodes_of_leaves
from vitw_ray.taxonomy.naming.group_question import group_question
from vitw_ray.taxonomy.naming.group_requests import INVALID, BoundedModel
from vitw_ray.taxonomy.naming.listing import Clustered, Shown, listing, show_level
from vitw_ray.taxonomy.naming.member_naming import Named, name_clusters

Place = tuple[ValueFacet, int]
"""A cluster of the level at hand."""
Reply = Named | str
"""An answer of the right form, or the short code of why there is none."""
DUPLICATE = "duplicate"


@dataclass
class ModelNames:
    """Names of all levels, and how they were come by.

    Attributes:
        names: for each facet and level from 1 up, what each cluster is called.
        levels: the clusters that have these names, as `build_levels` gives them.
        clusters: how many there are.
        asked_again: those whose first answer could not stand.
        by_members: those that had to be named by their members.
        refused: answers that could not stand, by the short code of why.
        climbed: how levels above the first were raised, where the model had a part in that.
        model: its settings as they were resolved.
    """

    names: dict[ValueFacet, list[list[Named]]]
    levels: dict[ValueFacet, list[Parents]]
    clusters: int = 0
    asked_again: int = 0
    by_members: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    climbed: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)

    def details(self) -> dict[str, Any]:
        """What the stage's manifest says of the naming."""
        return {
            "clusters": self.clusters,
            "asked_again": self.asked_again,
            "by_members": self.by_members,
            "refused": dict(sorted(self.refused.items())),
            **({"climbed": dict(self.climbed)} if self.climbed else {}),
            "model": dict(self.model),
        }


def give_names(
    replies: Mapping[Place, Reply], standing: Mapping[Place, Named]
) -> tuple[dict[Place, Named], dict[Place, str]]:
    """Give each name to the first cluster of a facet that claims it, capitals aside.

    Args:
        replies: of one level, in order.
        standing: names that other clusters of the level have already.

    Returns:
        All names that stand now, and the short code of each reply that does not.
    """
    stand, refused = dict(standing), dict[Place, str]()
    taken = {(facet, name.casefold()) for (facet, _), (name, _) in standing.items()}
    for place, reply in replies.items():
        if isinstance(reply, str):
            refused[place] = reply
        elif (claim := (place[0], reply[0].casefold())) in taken:
            refused[place] = DUPLICATE
        else:
            stand[place] = reply
            taken.add(claim)
    return stand, refused


def names_to_avoid(
    place: Place, shown: Shown, reply: Reply, stand: Mapping[Place, Named]
) -> list[str]:
    """What a second answer may not be: the refused name, then those of the neighbours."""
    refused = [] if isinstance(reply, str) else [reply[0]]
    near = [stand[place[0], n][0] for n in shown.neighbours if (place[0], n) in stand]
    return refused + [name for name in near if name not in refused]


def name_the_rest(clustered: Clustered, level: int, stand: Mapping[int, Named]) -> list[Named]:
    """All names of a level in order: those that stand, the others by the clusters' members."""
    clusters = nodes_of_leaves(clustered.levels[:level])[-1]
    rest = np.setdiff1d(clusters, list(stand))
    rows = np.flatnonzero(np.isin(clusters, rest))
    by_members = name_clusters(
        [clustered.labels[row] for row in rows.tolist()],
        clustered.vectors[rows],
        clustered.conversations[rows],
        np.searchsorted(rest, clusters[rows]).astype(np.int32),
        noun="values",
        taken=[name for name, _ in stand.values()],
    )
    named = {**stand, **dict(zip(rest.tolist(), by_members, strict=True))}
    return [named[number] for number in sorted(named)]


async def name_facets(asked: BoundedModel, facets: Mapping[ValueFacet, Clustered]) -> ModelNames:
    """Name every cluster of the value facets.

    Args:
        asked: the model; is open.
        facets: labels and their clusters.

    Raises:
        StageFailed: the model answered no request of the first level.
    """
    found = ModelNames(
        names={facet: [] for facet in facets},
        levels={facet: list(clustered.levels) for facet, clustered in facets.items()},
    )
    for level in range(1, max((len(c.levels) for c in facets.values()), default=0) + 1):
        there: dict[ValueFacet, Clustered] = {
            facet: c for facet, c in facets.items() if len(c.levels) >= level
        }
        await name_level(asked, there, level, found)
        fail_if_unanswered(found)
    found.model = asked.model.describe()
    return found


def fail_if_unanswered(found: ModelNames) -> None:
    """Fail where a model said nothing at all, not even something that could not stand."""
    silent = found.refused and found.clusters == found.by_members
    if silent and not found.refused.keys() & {INVALID, DUPLICATE}:
        codes = ", ".join(f"{code} {n}" for code, n in sorted(found.refused.items()))
        raise StageFailed(
            f"the model answered about none of {found.clusters} clusters ({codes})",
            "look into the codes and run again, or choose --naming members",
        )


async def name_level(
    asked: BoundedModel, facets: Mapping[ValueFacet, Clustered], level: int, found: ModelNames
) -> None:
    """Name one level of some facets, those below being named: `found` gets the names and counts.

    Two rounds of questions; what then has no name gets that of its members.
    """
    shown: dict[Place, Shown] = {}
    for facet, clustered in facets.items():
        below = [name for name, _ in found.names[facet][-1]] if level > 1 else []
        for number, one in enumerate(show_level(clustered, level, below)):
            shown[facet, number] = one
    speaking = {place: listing(one) for place, one in shown.items() if one.members or one.groups}
    first = await _ask_all(asked, speaking, attempt=0)
    stand, refused = give_names(first, {})
    again = {
        place: listing(shown[place], names_to_avoid(place, shown[place], first[place], stand))
        for place in refused
    }
    second = await _ask_all(asked, again, attempt=1)
    stand, refused_again = give_names(second, stand)
    for facet, clustered in facets.items():
        of_facet = {number: named for (other, number), named in stand.items() if other == facet}
        found.names[facet].append(name_the_rest(clustered, level, of_facet))
    found.clusters += len(shown)
    found.asked_again += len(again)
    found.by_members += len(shown) - len(stand)
    found.refused.update([*refused.values(), *refused_again.values()])


async def _ask_all(
    asked: BoundedModel, listings: Mapping[Place, str], attempt: int
) -> dict[Place, Reply]:
    """One request for each listing, begun in their order."""

    async def ask(facet: ValueFacet, text: str) -> Reply:
        answer = await asked.ask(text, group_question(facet), attempt)
        return answer if isinstance(answer, str) else (answer["name"], answer["description"])

    replies = await asyncio.gather(*(ask(facet, text) for (facet, _), text in listings.items()))
    return dict(zip(listings, replies, strict=True))
