"""The steps from one level to the next by a language model: propose, deduplicate, assign.

Each step sends all its questions concurrently. If the model gives no valid answer in two attempts,
the embeddings decide, so every step always has a result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from vitw_ray.facets import ValueFacet
from vitw_ray.taxonomy.climbing.questions import (
    MOST_LISTED,
    MOST_PROPOSED,
    assign_question,
    deduplicate_question,
    propose_question,
)
from vitw_ray.taxonomy.naming.group_requests import BoundedModel, RequestCounts, ask_twice
from vitw_ray.taxonomy.naming.listing import list_groups
from vitw_ray.taxonomy.naming.member_naming import Named
from vitw_ray.taxonomy.neighbourhoods import (
    KMeansSettings,
    Neighbourhood,
    divide,
    neighbourhoods,
    spread,
)

MEMBERS = 40  # Clio, 5.1: approximate number of clusters in a neighbourhood
MOST_MEMBERS = 60  # ours: half as many again; larger neighbourhoods are divided
LEAST, MOST = 0.5, 1.5  # Clio, 5.1: allowed range, as multiples of the number wanted


@dataclass(frozen=True)
class ClimbContext:
    """The resources and settings of the steps.

    Attributes:
        model: the language model.
        embed: maps texts to unit vectors.
        kmeans: settings for neighbourhoods; its seed is used for all random choices.
        room: limit on the characters of a list; longer lists show names without descriptions.
    """

    model: BoundedModel
    embed: Callable[[Sequence[str]], NDArray[np.float32]]
    kmeans: KMeansSettings
    room: int

    def vectors(self, groups: Sequence[Named]) -> NDArray[np.float64]:
        """(n, d) vectors of names and descriptions."""
        texts = [f"{name}: {description}" for name, description in groups]
        return self.embed(texts).astype(np.float64)


@dataclass(frozen=True)
class Below:
    """The clusters of one level of a facet, and the size of the level to build above.

    Attributes:
        facet: facet of the clusters.
        groups: (n,) names and descriptions of the clusters.
        vectors: (n, d) vectors of these.
        wanted: target number of clusters on the level above, less than n.
    """

    facet: ValueFacet
    groups: Sequence[Named]
    vectors: NDArray[np.float64]
    wanted: int


def bounds(share: float, limit: int) -> tuple[int, int]:
    """Minimum and maximum number of groups, for a target of `share` and an upper `limit`."""
    most = max(1, min(floor(MOST * share), limit))
    return max(1, min(ceil(LEAST * share), most)), most


def neighbourhoods_of(below: Below, context: ClimbContext) -> list[Neighbourhood]:
    """Neighbourhoods of about 40 clusters, or fewer if that needs too many proposals in each."""
    parts = max(
        round(len(below.groups) / MEMBERS), ceil(MOST * below.wanted / MOST_PROPOSED)
    )  # with parts of equal size, the proposals of each fit into one answer
    return neighbourhoods(below.vectors, parts, MOST_MEMBERS, context.kmeans)


async def propose(
    below: Below, places: Sequence[Neighbourhood], context: ClimbContext, counts: RequestCounts
) -> list[Named]:
    """Wider groups proposed for all neighbourhoods, each name once.

    Without an answer, representative clusters of the neighbourhood are the proposals.
    """
    share = below.wanted / len(below.groups)
    requests = []
    for place in places:
        shown = {"Groups": place.members, "Groups nearby": place.outside}
        text = list_groups(
            {heading: [below.groups[row] for row in rows] for heading, rows in shown.items()},
            room=context.room,
        )
        limit = min(MOST_PROPOSED, len(place.members) - 1)
        allowed = bounds(share * len(place.members), limit)
        requests.append((text, propose_question(below.facet, *allowed)))
    found: dict[str, Named] = {}
    answers = await ask_twice(context.model, requests, counts)
    for place, answer in zip(places, answers, strict=True):
        if answer is None:
            rows = np.array(place.members)
            kept = spread(below.vectors[rows], round(share * len(rows)), context.kmeans)
            groups = [below.groups[row] for row in rows[kept]]
        else:
            groups = [(group["name"], group["description"]) for group in answer["groups"]]
        for name, description in groups:
            found.setdefault(name.casefold(), (name, description))
    return list(found.values())


async def deduplicate(
    below: Below, proposals: Sequence[Named], context: ClimbContext, counts: RequestCounts
) -> list[Named]:
    """The proposals to keep; without an answer, representative ones.

    In Clio the model writes a new list. Here it selects from the list, so that answers are short
    and contain no free text. Long lists are divided so that similar proposals are in one request.
    """
    vectors, share = context.vectors(proposals), below.wanted / len(proposals)
    divided = divide(vectors, 1, MOST_LISTED, context.kmeans)
    requests = []
    for rows in divided:
        shown = {"Proposals": [proposals[row] for row in rows]}
        text = list_groups(shown, room=context.room, numbered="Proposals")
        allowed = bounds(share * len(rows), len(rows))
        requests.append((text, deduplicate_question(below.facet, len(rows), *allowed)))
    kept: list[Named] = []
    answers = await ask_twice(context.model, requests, counts)
    for rows, answer in zip(divided, answers, strict=True):
        if answer is None:
            chosen = spread(vectors[rows], round(share * len(rows)), context.kmeans)
        else:
            chosen = [number - 1 for number in answer["kept"]]
        kept += [proposals[row] for row in rows[chosen]]
    return kept


async def assign(
    below: Below, wider: Sequence[Named], context: ClimbContext, counts: RequestCounts
) -> NDArray[np.int64]:
    """(n,) index of the wider group of each cluster; without an answer, of the nearest group."""
    closeness = below.vectors @ context.vectors(wider).T
    nearest = np.argsort(-closeness, axis=1, kind="stable")[:, :MOST_LISTED]
    # Shuffled for each cluster (Clio, 5.1), to avoid position bias.
    lists = np.random.default_rng(context.kmeans.seed).permuted(nearest, axis=1)
    requests = []
    for group, numbers in zip(below.groups, lists, strict=True):
        shown = {"Group": [group], "Wider groups": [wider[number] for number in numbers]}
        text = list_groups(shown, room=context.room, numbered="Wider groups")
        requests.append((text, assign_question(below.facet, len(numbers))))
    chosen = nearest[:, 0].copy()
    for row, answer in enumerate(await ask_twice(context.model, requests, counts)):
        if answer is not None:
            chosen[row] = lists[row, answer["number"] - 1]
    return chosen
