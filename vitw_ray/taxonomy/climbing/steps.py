"""The steps from one level to the next that a language model takes: propose, deduplicate, assign.

Each step puts all its questions at once. Where the model gives no answer of the form, twice, the
embeddings decide, so that every step always has a result.
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

MEMBERS = 40  # Clio, 5.1: clusters in a neighbourhood, about
MOST_MEMBERS = 60  # ours: half as many again; larger ones are divided
LEAST, MOST = 0.5, 1.5  # Clio, 5.1: so many times the number that is wanted are allowed


@dataclass(frozen=True)
class ClimbContext:
    """What the steps work with.

    Attributes:
        asked: the language model.
        embed: unit vectors of texts.
        kmeans: how neighbourhoods are found, and the seed of all else.
        room: characters of a list; longer ones show names alone.
    """

    asked: BoundedModel
    embed: Callable[[Sequence[str]], NDArray[np.float32]]
    kmeans: KMeansSettings
    room: int

    def vectors(self, groups: Sequence[Named]) -> NDArray[np.float64]:
        """(n, d) of names and descriptions."""
        texts = [f"{name}: {description}" for name, description in groups]
        return self.embed(texts).astype(np.float64)


@dataclass(frozen=True)
class Below:
    """The clusters of one level of a facet, and how many are wanted above them.

    Attributes:
        facet: theirs.
        groups: (n,) their names and descriptions.
        vectors: (n, d) of these.
        wanted: clusters of the level above, fewer than n.
    """

    facet: ValueFacet
    groups: Sequence[Named]
    vectors: NDArray[np.float64]
    wanted: int


def bounds(share: float, limit: int) -> tuple[int, int]:
    """Fewest and most groups that are allowed where `share` is wanted and `limit` make sense."""
    most = max(1, min(floor(MOST * share), limit))
    return max(1, min(ceil(LEAST * share), most)), most


def neighbourhoods_of(below: Below, means: ClimbContext) -> list[Neighbourhood]:
    """Neighbourhoods of about 40 clusters, or of fewer where that asks for too many proposals."""
    parts = max(
        round(len(below.groups) / MEMBERS), ceil(MOST * below.wanted / MOST_PROPOSED)
    )  # of equal size, each would propose what fits an answer
    return neighbourhoods(below.vectors, parts, MOST_MEMBERS, means.kmeans)


async def propose(
    below: Below, places: Sequence[Neighbourhood], means: ClimbContext, tally: RequestCounts
) -> list[Named]:
    """Wider groups from all neighbourhoods, each name once.

    A neighbourhood without an answer proposes those of its own clusters that stand for all.
    """
    share = below.wanted / len(below.groups)
    requests = []
    for place in places:
        shown = {"Groups": place.members, "Groups nearby": place.outside}
        text = list_groups(
            {heading: [below.groups[row] for row in rows] for heading, rows in shown.items()},
            room=means.room,
        )
        limit = min(MOST_PROPOSED, len(place.members) - 1)
        allowed = bounds(share * len(place.members), limit)
        requests.append((text, propose_question(below.facet, *allowed)))
    found: dict[str, Named] = {}
    answers = await ask_twice(means.asked, requests, tally)
    for place, answer in zip(places, answers, strict=True):
        if answer is None:
            rows = np.array(place.members)
            stand = spread(below.vectors[rows], round(share * len(rows)), means.kmeans)
            groups = [below.groups[row] for row in rows[stand]]
        else:
            groups = [(group["name"], group["description"]) for group in answer["groups"]]
        for name, description in groups:
            found.setdefault(name.casefold(), (name, description))
    return list(found.values())


async def deduplicate(
    below: Below, proposals: Sequence[Named], means: ClimbContext, tally: RequestCounts
) -> list[Named]:
    """The proposals that stay; without an answer, those that stand for all.

    Clio lets the model write the list anew. Here it chooses, so that no answer is long or holds
    words of its own; and of very many proposals those that lie close together are seen at once.
    """
    vectors, share = means.vectors(proposals), below.wanted / len(proposals)
    divided = divide(vectors, 1, MOST_LISTED, means.kmeans)
    requests = []
    for rows in divided:
        shown = {"Proposals": [proposals[row] for row in rows]}
        text = list_groups(shown, room=means.room, numbered="Proposals")
        allowed = bounds(share * len(rows), len(rows))
        requests.append((text, deduplicate_question(below.facet, len(rows), *allowed)))
    kept: list[Named] = []
    answers = await ask_twice(means.asked, requests, tally)
    for rows, answer in zip(divided, answers, strict=True):
        if answer is None:
            stay = spread(vectors[rows], round(share * len(rows)), means.kmeans)
        else:
            stay = [number - 1 for number in answer["kept"]]
        kept += [proposals[row] for row in rows[stay]]
    return kept


async def assign(
    below: Below, wider: Sequence[Named], means: ClimbContext, tally: RequestCounts
) -> NDArray[np.int64]:
    """(n,) number of the wider group of each cluster; without an answer, that of the nearest."""
    closeness = below.vectors @ means.vectors(wider).T
    nearest = np.argsort(-closeness, axis=1, kind="stable")[:, :MOST_LISTED]
    # Shuffled for each cluster anew (Clio, 5.1): no place in the list is better than another.
    lists = np.random.default_rng(means.kmeans.seed).permuted(nearest, axis=1)
    requests = []
    for group, numbers in zip(below.groups, lists, strict=True):
        shown = {"Group": [group], "Wider groups": [wider[number] for number in numbers]}
        text = list_groups(shown, room=means.room, numbered="Wider groups")
        requests.append((text, assign_question(below.facet, len(numbers))))
    chosen = nearest[:, 0].copy()
    for row, answer in enumerate(await ask_twice(means.asked, requests, tally)):
        if answer is not None:
            chosen[row] = lists[row, answer["number"] - 1]
    return chosen
