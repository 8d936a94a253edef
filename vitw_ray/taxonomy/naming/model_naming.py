"""Names and descriptions of value clusters by a language model.

Levels are named from the bottom up, because the prompt of a level has the names of the level below.
All clusters of a level are requested concurrently. Names are unique within a level of a facet. If
an answer is missing, invalid or a name that is taken, the request is retried once, and then the
cluster is named by its members.

A name is invalid if a word of it is neither of a kept label nor of a fixed list, so a model cannot
carry into a name what few conversations hold.

Tasks are not named here. Their texts are private, and no threshold applies to them before they
would reach the model. Naming by members only uses what enough conversations share.
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
from vitw_ray.taxonomy.naming.known_words import is_of_known_words, words_of
from vitw_ray.taxonomy.naming.listing import Clustered, Shown, listing, show_level
from vitw_ray.taxonomy.naming.member_naming import Named, describe, name_clusters

Place = tuple[ValueFacet, int]
"""A cluster of the current level: facet and index."""
Reply = Named | str
"""A valid answer, or a short code if there is none."""
DUPLICATE = "duplicate"
UNKNOWN_WORDS = "unknown_words"


@dataclass
class ModelNames:
    """Names of all levels, and how they were obtained.

    Attributes:
        names: for each facet and level from 1 up, name and description of each cluster.
        levels: the named levels, as returned by `build_levels`.
        clusters: number of clusters.
        asked_again: clusters whose request was retried.
        by_members: clusters named by their members.
        refused: rejected answers by short code.
        climbed: details of levels that the model built, if any.
        model: resolved settings of the model.
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
        """The entry on naming in the stage's manifest."""
        return {
            "clusters": self.clusters,
            "asked_again": self.asked_again,
            "by_members": self.by_members,
            "refused": dict(sorted(self.refused.items())),
            **({"climbed": dict(self.climbed)} if self.climbed else {}),
            "model": dict(self.model),
        }


def give_names(
    replies: Mapping[Place, Reply], already: Mapping[Place, Named]
) -> tuple[dict[Place, Named], dict[Place, str]]:
    """Give each name to the first cluster of a facet that claims it, ignoring case.

    Args:
        replies: of one level, in order.
        already: names already accepted for other clusters of the level.

    Returns:
        All accepted names, and a short code for each rejected reply.
    """
    accepted, refused = dict(already), dict[Place, str]()
    taken = {(facet, name.casefold()) for (facet, _), (name, _) in already.items()}
    for place, reply in replies.items():
        if isinstance(reply, str):
            refused[place] = reply
        elif (claim := (place[0], reply[0].casefold())) in taken:
            refused[place] = DUPLICATE
        else:
            accepted[place] = reply
            taken.add(claim)
    return accepted, refused


def names_to_avoid(
    place: Place, shown: Shown, reply: Reply, accepted: Mapping[Place, Named]
) -> list[str]:
    """Names that a retry must not use: the rejected name, then those of the neighbours."""
    refused = [] if isinstance(reply, str) else [reply[0]]
    near = [accepted[place[0], n][0] for n in shown.neighbours if (place[0], n) in accepted]
    return refused + [name for name in near if name not in refused]


def name_the_rest(clustered: Clustered, level: int, accepted: Mapping[int, Named]) -> list[Named]:
    """All names of a level in order: the accepted ones, and the others by members."""
    clusters = nodes_of_leaves(clustered.levels[:level])[-1]
    rest = np.setdiff1d(clusters, list(accepted))
    rows = np.flatnonzero(np.isin(clusters, rest))
    by_members = name_clusters(
        [clustered.labels[row] for row in rows.tolist()],
        clustered.vectors[rows],
        clustered.conversations[rows],
        np.searchsorted(rest, clusters[rows]).astype(np.int32),
        noun="values",
        taken=[name for name, _ in accepted.values()],
    )
    named = {**accepted, **dict(zip(rest.tolist(), by_members, strict=True))}
    return [named[number] for number in sorted(named)]


async def name_facets(model: BoundedModel, facets: Mapping[ValueFacet, Clustered]) -> ModelNames:
    """Name every cluster of the value facets.

    Args:
        model: the model, already open.
        facets: labels and their clusters.

    Raises:
        StageFailed: the model gave no answer at all.
    """
    found = ModelNames(
        names={facet: [] for facet in facets},
        levels={facet: list(clustered.levels) for facet, clustered in facets.items()},
    )
    for level in range(1, max((len(c.levels) for c in facets.values()), default=0) + 1):
        present: dict[ValueFacet, Clustered] = {
            facet: c for facet, c in facets.items() if len(c.levels) >= level
        }
        await name_level(model, present, level, found)
        fail_if_unanswered(found)
    found.model = model.model.describe()
    return found


def fail_if_unanswered(found: ModelNames) -> None:
    """Fail if the model gave no answer at all, not even an invalid one.

    Raises:
        StageFailed: every request failed.
    """
    no_names = found.refused and found.clusters == found.by_members
    if no_names and not found.refused.keys() & {INVALID, DUPLICATE, UNKNOWN_WORDS}:
        codes = ", ".join(f"{code} {n}" for code, n in sorted(found.refused.items()))
        raise StageFailed(
            f"the model gave no answer for any of {found.clusters} clusters ({codes})",
            "fix the cause that the codes name and run again, or choose --naming members",
        )


async def name_level(
    model: BoundedModel, facets: Mapping[ValueFacet, Clustered], level: int, found: ModelNames
) -> None:
    """Name one level of some facets; levels below must be named. Adds names and counts to `found`.

    There are two rounds of requests. Clusters that then have no name are named by their members.
    """
    shown: dict[Place, Shown] = {}
    for facet, clustered in facets.items():
        below = [name for name, _ in found.names[facet][-1]] if level > 1 else []
        for number, one in enumerate(show_level(clustered, level, below)):
            shown[facet, number] = one
    listings = {place: listing(one) for place, one in shown.items() if one.members or one.groups}
    known = {facet: words_of(clustered.labels) for facet, clustered in facets.items()}
    first = _checked(await _ask_all(model, listings, attempt=0), known, shown)
    accepted, refused = give_names(first, {})
    again = {
        place: listing(shown[place], names_to_avoid(place, shown[place], first[place], accepted))
        for place in refused
    }
    second = _checked(await _ask_all(model, again, attempt=1), known, shown)
    accepted, refused_again = give_names(second, accepted)
    for facet, clustered in facets.items():
        of_facet = {number: named for (other, number), named in accepted.items() if other == facet}
        found.names[facet].append(name_the_rest(clustered, level, of_facet))
    found.clusters += len(shown)
    found.asked_again += len(again)
    found.by_members += len(shown) - len(accepted)
    found.refused.update([*refused.values(), *refused_again.values()])


def _checked(
    replies: Mapping[Place, Reply],
    known: Mapping[ValueFacet, frozenset[str]],
    shown: Mapping[Place, Shown],
) -> dict[Place, Reply]:
    """Replies whose names have only known words; another description is one of the labels."""
    checked = dict[Place, Reply]()
    for place, reply in replies.items():
        if isinstance(reply, str):
            checked[place] = reply
        elif not is_of_known_words(reply[0], known[place[0]]):
            checked[place] = UNKNOWN_WORDS
        elif is_of_known_words(reply[1], known[place[0]]):
            checked[place] = reply
        else:
            checked[place] = reply[0], describe(shown[place].members, "values")
    return checked


async def _ask_all(
    model: BoundedModel, listings: Mapping[Place, str], attempt: int
) -> dict[Place, Reply]:
    """Send one request for each listing, in order."""

    async def ask(facet: ValueFacet, text: str) -> Reply:
        answer = await model.ask(text, group_question(facet), attempt)
        return answer if isinstance(answer, str) else (answer["name"], answer["description"])

    replies = await asyncio.gather(*(ask(facet, text) for (facet, _), text in listings.items()))
    return dict(zip(listings, replies, strict=True))
