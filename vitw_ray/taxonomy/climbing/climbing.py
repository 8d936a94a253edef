"""Build upper levels from the names of the clusters below (Clio, 5.1): `--climbing names`.

Level 1 is clustered by vectors and named. For each further level: (a) names and descriptions of the
level below are embedded; (b) they are clustered into neighbourhoods; (c) for each neighbourhood a
language model proposes wider groups; (d) the model removes duplicate proposals; (e) it assigns
every cluster to one of the remaining groups; (f) the groups are renamed from their members. The
result is always a tree: each cluster has one parent, and no parent is empty.
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
    """One new level, and how it was obtained.

    Attributes:
        parents: parent of each cluster below, numbered without gaps.
        wanted: target number of parents.
        neighbourhoods: number of neighbourhoods; if 0, all clusters have the same parent.
        proposed: number of proposed groups with distinct names.
        kept: number of groups after deduplication.
        steps: request counts of each step.
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
        """For the manifest; `filled` is the number of groups with at least one cluster."""
        return {
            "below": len(self.parents),
            "wanted": self.wanted,
            "neighbourhoods": self.neighbourhoods,
            "proposed": self.proposed,
            "kept": self.kept,
            "filled": int(self.parents.max()) + 1,
            **{step: counts.details() for step, counts in self.steps.items()},
        }


async def climb_facets(
    context: ClimbContext,
    facets: Mapping[ValueFacet, Clustered],
    sizes: Mapping[ValueFacet, Sequence[int]],
) -> ModelNames:
    """Name level 1 of the value facets; build and name the levels above.

    Args:
        context: the model, already open, and the other resources of a climb.
        facets: labels and level 1 of their clusters.
        sizes: target number of clusters on each level of each facet, from 1 up.

    Raises:
        StageFailed: the model gave no answer at all.
    """
    grown: dict[ValueFacet, Clustered] = dict(facets)
    found = ModelNames({facet: [] for facet in facets}, {})
    climbed: dict[str, list[dict[str, Any]]] = {facet: [] for facet in facets}
    for level in range(1, max(map(len, sizes.values()), default=0) + 1):
        present: list[ValueFacet] = [facet for facet in facets if len(sizes[facet]) >= level]
        if level > 1:
            added = await asyncio.gather(
                *(
                    add_level(facet, found.names[facet][-1], sizes[facet][level - 1], context)
                    for facet in present
                )
            )
            for facet, one in zip(present, added, strict=True):
                grown[facet] = replace(grown[facet], levels=[*grown[facet].levels, one.parents])
                climbed[facet].append(one.details())
        await name_level(context.model, {facet: grown[facet] for facet in present}, level, found)
        fail_if_unanswered(found)
    found.levels = {facet: list(clustered.levels) for facet, clustered in grown.items()}
    found.climbed, found.model = climbed, context.model.model.describe()
    return found


async def add_level(
    facet: ValueFacet, groups: Sequence[Named], size: int, context: ClimbContext
) -> NewLevel:
    """Build one more level above named clusters, with about `size` nodes.

    It has fewer nodes than there are clusters, unless there is only one cluster.
    """
    n = len(groups)
    added = NewLevel(np.zeros(n, np.int32), wanted=max(1, min(size, n - 1)))
    if added.wanted == 1:
        return added
    below = Below(facet, groups, context.vectors(groups), added.wanted)
    places = neighbourhoods_of(below, context)
    wider = await propose(below, places, context, added.steps["propose"])
    added.neighbourhoods, added.proposed = len(places), len(wider)
    # The proposals of a single neighbourhood come from one answer, so they need no deduplication.
    if len(places) > 1 and len(wider) > 1:
        wider = await deduplicate(below, wider, context, added.steps["deduplicate"])
    if len(wider) >= n:
        wider = [wider[row] for row in spread(context.vectors(wider), n - 1, context.kmeans)]
    added.kept = len(wider)
    if len(wider) > 1:
        chosen = await assign(below, wider, context, added.steps["assign"])
        added.parents = np.unique(chosen, return_inverse=True)[1].astype(np.int32)
    return added
