"""The second way to climb: levels from what the clusters below are called (Clio, 5.1).

Level 1 is clustered by vectors and named. For each further level, names and descriptions of the
level below are embedded (a) and fall into neighbourhoods (b); for each of these a language model
proposes wider groups (c); of those that several propose, one stays (d); every cluster is put into
one of those that stay (e); and what was put together is named anew, by what it came to hold (f), as
every cluster is. There is always a tree: each cluster has one parent, and no parent is empty.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vitw_ray.facets import ValueFacet
from vitw_ray.taxonomy.climbing.questions import STEPS
from vitw_ray.taxonomy.climbing.steps import (
    Below,
    ClimbContext,
    assign,
    deduplicate,
    neighbourhoods_of,
    propose,
)
from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.naming.group_requests import RequestCounts
from vitw_ray.taxonomy.naming.listing import Clustered
from vitw_ray.taxonomy.naming.member_naming import Named
from vitw_ray.taxonomy.naming.model_naming import ModelNames, fail_if_unanswered, name_level
from vitw_ray.taxonomy.neighbourhoods import spread


@dataclass
class NewLevel:
    """One level above another, and how it was come by.

    Attributes:
        parents: of the clusters below, without gaps.
        wanted: how many there should be.
        neighbourhoods: in which groups were proposed; without any, all clusters have one parent.
        proposed: groups of different names.
        kept: those that clusters could be put into.
        steps: what became of the requests of each step.
    """

    parents: Parents
    wanted: int
    neighbourhoods: int = 0
    proposed: int = 0
    kept: int = 1
    steps: dict[str, RequestCounts] = field(
        default_factory=lambda: {step: RequestCounts() for step in STEPS}
    )

    def details(self) -> dict[str, Any]:
        """For the manifest; `filled` counts the groups that clusters were put into."""
        return {
            "below": len(self.parents),
            "wanted": self.wanted,
            "neighbourhoods": self.neighbourhoods,
            "proposed": self.proposed,
            "kept": self.kept,
            "filled": int(self.parents.max()) + 1,
            **{step: tally.details() for step, tally in self.steps.items()},
        }


async def climb_facets(
    means: ClimbContext,
    facets: Mapping[ValueFacet, Clustered],
    sizes: Mapping[ValueFacet, Sequence[int]],
) -> ModelNames:
    """Name level 1 of the value facets; raise and name those above it.

    Args:
        means: the model, open, and what else it takes.
        facets: labels and level 1 of their clusters.
        sizes: clusters wanted on each level of each facet, from 1 up.

    Raises:
        StageFailed: the model answered no request of the first level.
    """
    grown: dict[ValueFacet, Clustered] = dict(facets)
    found = ModelNames({facet: [] for facet in facets}, {})
    climbed: dict[str, list[dict[str, Any]]] = {facet: [] for facet in facets}
    for level in range(1, max(map(len, sizes.values()), default=0) + 1):
        there: list[ValueFacet] = [facet for facet in facets if len(sizes[facet]) >= level]
        if level > 1:
            raised = await asyncio.gather(
                *(
                    raise_level(facet, found.names[facet][-1], sizes[facet][level - 1], means)
                    for facet in there
                )
            )
            for facet, one in zip(there, raised, strict=True):
                grown[facet] = replace(grown[facet], levels=[*grown[facet].levels, one.parents])
                climbed[facet].append(one.details())
        await name_level(means.asked, {facet: grown[facet] for facet in there}, level, found)
        fail_if_unanswered(found)
    found.levels = {facet: list(clustered.levels) for facet, clustered in grown.items()}
    found.climbed, found.model = climbed, means.asked.model.describe()
    return found


async def raise_level(
    facet: ValueFacet, groups: Sequence[Named], size: int, means: ClimbContext
) -> NewLevel:
    """One more level above named clusters, of about this size.

    It has fewer nodes than there are clusters, unless there is but one.
    """
    n = len(groups)
    raised = NewLevel(np.zeros(n, np.int32), wanted=max(1, min(size, n - 1)))
    if raised.wanted == 1:
        return raised
    below = Below(facet, groups, means.vectors(groups), raised.wanted)
    places = neighbourhoods_of(below, means)
    wider = await propose(below, places, means, raised.steps["propose"])
    raised.neighbourhoods, raised.proposed = len(places), len(wider)
    # One neighbourhood's proposals were made in sight of one another.
    if len(places) > 1 and len(wider) > 1:
        wider = await deduplicate(below, wider, means, raised.steps["deduplicate"])
    if len(wider) >= n:
        wider = [wider[row] for row in spread(means.vectors(wider), n - 1, means.kmeans)]
    raised.kept = len(wider)
    if len(wider) > 1:
        chosen = await assign(below, wider, means, raised.steps["assign"])
        raised.parents = np.unique(chosen, return_inverse=True)[1].astype(np.int32)
    return raised
