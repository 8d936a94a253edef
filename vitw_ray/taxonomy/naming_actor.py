"""Where the naming by a language model runs: in an actor with an extractor's resources.

What goes there is labels with their vectors, counts and clusters: all of them released terms.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vitw_ray import cluster
from vitw_ray.config import RunConfig
from vitw_ray.extraction.language_model import LanguageModel
from vitw_ray.records import ValueFacet
from vitw_ray.taxonomy.listing import Clustered
from vitw_ray.taxonomy.model_naming import ModelNames, name_facets

MakeModel = Callable[[RunConfig], LanguageModel]


def _model_of_run(config: RunConfig) -> LanguageModel:
    from vitw_ray.extraction.models import make_language_model

    return make_language_model(config)


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
        facets = {facet: self._facets[facet] for facet in unit["facets"]}
        try:
            return asyncio.run(name_facets(self._model, facets, at_once=self._at_once))
        finally:
            self._model.close()


def name_by_model(
    config: RunConfig,
    facets: Mapping[ValueFacet, Clustered],
    make_model: MakeModel = _model_of_run,
) -> ModelNames:
    """Name the clusters of the value facets where the model may run: in an extractor's actor."""
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
