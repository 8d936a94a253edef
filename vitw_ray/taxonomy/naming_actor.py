"""Where the naming by a language model runs: in an actor with an extractor's resources.

What goes there is labels with their vectors, counts and clusters: all of them released terms.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vitw_ray import cluster
from vitw_ray.config import RunConfig
from vitw_ray.extraction.language_model import LanguageModel
from vitw_ray.extraction.models import make_language_model
from vitw_ray.records import VALUE_FACETS, ValueFacet
from vitw_ray.taxonomy.group_question import group_question
from vitw_ray.taxonomy.listing import Clustered
from vitw_ray.taxonomy.model_naming import ModelNames, name_facets

MakeModel = Callable[[RunConfig], LanguageModel]


def _model_of_run(config: RunConfig) -> LanguageModel:
    return make_language_model(config, [group_question(facet) for facet in VALUE_FACETS])


class ClusterNamer:
    """Holds the language model; one unit is the naming of a whole run."""

    def __init__(
        self,
        *,
        config: RunConfig,
        shared: Sequence[Any],
        make_model: MakeModel = _model_of_run,
    ) -> None:
        self._at_once = config.execution.max_num_seqs
        self._facets: Mapping[ValueFacet, Clustered] = cluster.shared(shared[0])
        self._model = make_model(config)

    def __call__(self, unit: cluster.Unit) -> ModelNames:
        """Name the clusters of a unit's facets."""
        return asyncio.run(self._name({facet: self._facets[facet] for facet in unit["facets"]}))

    async def _name(self, facets: Mapping[ValueFacet, Clustered]) -> ModelNames:
        try:
            await self._model.open()
            return await name_facets(self._model, facets, at_once=self._at_once)
        finally:
            self._model.close()


def name_by_model(
    config: RunConfig,
    facets: Mapping[ValueFacet, Clustered],
    make_model: MakeModel = _model_of_run,
) -> ModelNames:
    """Name the clusters of the value facets where the model may run: in an extractor's actor.

    Args:
        config: the run.
        facets: labels and their clusters.
        make_model: called inside the actor; default: the language model of the extraction.

    Raises:
        StageFailed: the model cannot be opened, or answers nothing.
    """
    (names,) = cluster.stream_through_actors(
        [{"facets": list(facets)}],
        ClusterNamer,
        arguments={
            "config": config,
            "shared": [cluster.share(dict(facets))],
            "make_model": make_model,
        },
        execution=config.execution,
    )
    return names
