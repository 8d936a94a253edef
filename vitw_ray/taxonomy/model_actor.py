"""Naming by a language model, in an actor with the resources of an extractor.

The actor receives labels with their vectors, counts and clusters, and no conversation text. If
levels are built from names, this happens in the same actor, which then also loads the embedder.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from vitw_ray import cluster
from vitw_ray.config import RunConfig
from vitw_ray.facets import LABEL_TREES, ValueFacet
from vitw_ray.inference.embedder import embed_unique, load_embedder
from vitw_ray.inference.embedder_files import describe_embedder
from vitw_ray.inference.language_model import LanguageModel
from vitw_ray.inference.make import make_language_model
from vitw_ray.taxonomy.climbing.climbing import climb_facets
from vitw_ray.taxonomy.climbing.questions import climb_questions
from vitw_ray.taxonomy.climbing.steps import ClimbContext
from vitw_ray.taxonomy.hierarchy import configured_sizes, level_sizes
from vitw_ray.taxonomy.naming.group_question import group_question
from vitw_ray.taxonomy.naming.group_requests import BoundedModel
from vitw_ray.taxonomy.naming.listing import Clustered
from vitw_ray.taxonomy.naming.model_naming import ModelNames, name_facets
from vitw_ray.taxonomy.neighbourhoods import KMeansSettings

CHARACTERS_PER_TOKEN = 3  # ours: conservative, plain English has four and more
MakeModel = Callable[[RunConfig], LanguageModel]


def model_of_run(config: RunConfig) -> LanguageModel:
    """The language model of the extraction, created for the questions about clusters."""
    questions = [group_question(facet) for facet in LABEL_TREES]
    if config.taxonomy.climbing == "names":
        questions += climb_questions()
    return make_language_model(config, questions)


class ClusterNamer:
    """Holds the language model; processes one unit per run."""

    def __init__(
        self,
        *,
        config: RunConfig,
        shared: Sequence[Any],
        make_model: MakeModel = model_of_run,
    ) -> None:
        self._config = config
        self._facets: Mapping[ValueFacet, Clustered] = cluster.get_shared(shared[0])
        self._model = make_model(config)

    def __call__(self, unit: cluster.Unit) -> ModelNames:
        """Name the clusters of a unit's facets; when climbing by names, build the upper levels."""
        return asyncio.run(self._name({facet: self._facets[facet] for facet in unit["facets"]}))

    async def _name(self, facets: Mapping[ValueFacet, Clustered]) -> ModelNames:
        try:
            await self._model.open()
            model = BoundedModel(self._model, at_once=self._config.execution.requests_at_once)
            if self._config.taxonomy.climbing == "vectors":
                return await name_facets(model, facets)
            return await climb_facets(self._climb_context(model), facets, self._sizes(facets))
        finally:
            self._model.close()

    def _climb_context(self, model: BoundedModel) -> ClimbContext:
        settings = self._config.taxonomy
        # On the CPU: names are few, and the engine uses the whole GPU memory.
        revision = describe_embedder(self._config).get("revision")
        embedder = load_embedder(settings.embedder, "cpu", revision)
        return ClimbContext(
            model,
            embed=partial(embed_unique, embedder),
            kmeans=KMeansSettings(settings.taxonomy_seed, settings.kmeans_iterations),
            room=CHARACTERS_PER_TOKEN * self._config.extraction.transcript_tokens,
        )

    def _sizes(self, facets: Mapping[ValueFacet, Clustered]) -> dict[ValueFacet, tuple[int, ...]]:
        return {
            facet: level_sizes(
                len(clustered.labels), configured_sizes(self._config.taxonomy, facet)
            )
            for facet, clustered in facets.items()
        }


def name_by_model(
    config: RunConfig,
    facets: Mapping[ValueFacet, Clustered],
    make_model: MakeModel = model_of_run,
) -> ModelNames:
    """Name the clusters of the value facets in an actor with an extractor's resources.

    Args:
        config: the run; when climbing by names, the actor also builds levels above the first.
        facets: labels and their clusters.
        make_model: called inside the actor; default: the language model of the extraction.

    Raises:
        StageFailed: the model cannot be opened, or gives no valid answer.
    """
    (names,) = cluster.stream_through_actors(
        [{"facets": list(facets)}],
        ClusterNamer,
        arguments={
            "config": config,
            "shared": [cluster.put_shared(dict(facets))],
            "make_model": make_model,
        },
        execution=config.execution,
    )
    return names
