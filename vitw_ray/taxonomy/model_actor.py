"""Where the naming by a language model runs: in an actor with an extractor's resources.

What goes there is labels with their vectors, counts and clusters: all of them released terms. When
levels grow from names, they grow there too, with the embedder of the run beside the model.
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

CHARACTERS_PER_TOKEN = 3  # ours: plain English has four and more, so a list that fits does fit
MakeModel = Callable[[RunConfig], LanguageModel]


def model_of_run(config: RunConfig) -> LanguageModel:
    """The language model of the extraction, made for the questions about clusters."""
    questions = [group_question(facet) for facet in LABEL_TREES]
    if config.taxonomy.climbing == "names":
        questions += climb_questions()
    return make_language_model(config, questions)


class ClusterNamer:
    """Holds the language model; one unit is all that it has to say about a run."""

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
        """Name the clusters of a unit's facets; raise those above level 1 where that is set."""
        return asyncio.run(self._name({facet: self._facets[facet] for facet in unit["facets"]}))

    async def _name(self, facets: Mapping[ValueFacet, Clustered]) -> ModelNames:
        try:
            await self._model.open()
            asked = BoundedModel(self._model, at_once=self._config.execution.requests_at_once)
            if self._config.taxonomy.climbing == "vectors":
                return await name_facets(asked, facets)
            return await climb_facets(self._means(asked), facets, self._sizes(facets))
        finally:
            self._model.close()

    def _means(self, asked: BoundedModel) -> ClimbContext:
        settings = self._config.taxonomy
        # On the CPU: names are few, and an engine leaves no room on its GPU.
        revision = describe_embedder(self._config).get("revision")
        embedder = load_embedder(settings.embedder, "cpu", revision)
        return ClimbContext(
            asked,
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
    """Name the clusters of the value facets where the model may run: in an extractor's actor.

    Args:
        config: the run; where it climbs by names, levels above the first are raised there too.
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
            "shared": [cluster.put_shared(dict(facets))],
            "make_model": make_model,
        },
        execution=config.execution,
    )
    return names
