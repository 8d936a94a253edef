"""The codebook of the counts: labels, their ancestors, tasks and assistants of a run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vitw_ray.config import LabelsConfig, Period, RunConfig
from vitw_ray.facets import VALUE_FACETS, ValueFacet
from vitw_ray.run_folder import TableRef, read_table
from vitw_ray.statistics.task_values import MOST_TASKS
from vitw_ray.storage import Storage
from vitw_ray.trees import ancestors

EVERYTHING = LabelsConfig(min_conversations=1, min_accounts=1)


@dataclass(frozen=True)
class Codebook:
    """Names by code, and codes by the reader's spelling. Names are sorted; only kept labels."""

    labels: Mapping[ValueFacet, Sequence[str]]
    codes: Mapping[ValueFacet, Mapping[str, int]]  # of each facet: spelling -> code of its label
    ai_levels: Sequence[Sequence[str]]  # per level of the tree: labels at 0, cluster ids above
    ai_ancestors: Sequence[NDArray[np.int32]]  # per level: code of each label's ancestor
    tasks: Sequence[str]  # clusters of level 1
    models: Sequence[str]  # assistants
    min_salience: int = 1  # values below it are not counted
    period: Period = "week"
    thresholds: LabelsConfig = EVERYTHING  # of what is written
    languages: Sequence[str] = ()  # to compare; only with a reviewed sample
    main_tasks: Sequence[int] = ()  # codes of the most frequent tasks

    @property
    def human(self) -> Sequence[str]:
        """Labels of human values."""
        return self.labels["human_values"]

    @property
    def ai_parents(self) -> list[NDArray[np.int32]]:
        """Per level but the top one: code of each node's parent on the next level."""
        parents = []
        for level, above in enumerate(self.ai_ancestors[1:]):
            parent = np.zeros(len(self.ai_levels[level]), np.int32)
            parent[self.ai_ancestors[level]] = above
            parents.append(parent)
        return parents

    def ai_twins_of_human(self, level: int) -> NDArray[np.int32]:
        """For each human label, the AI label of the same name or its ancestor; -1 if none."""
        code_of = {name: code for code, name in enumerate(self.ai_levels[0])}
        above = self.ai_ancestors[level]
        twins = [code_of.get(name, -1) for name in self.human]
        return np.array([above[code] if code >= 0 else -1 for code in twins], dtype=np.int32)


def read_codebook(
    storage: Storage, tables: Mapping[str, TableRef], config: RunConfig, models: Iterable[str]
) -> Codebook:
    """Collect the vocabulary of a run from its small tables; `models` are the assistants."""
    labels = read_table(storage, tables["labels"], ["facet", "label", "kept"])
    merges = read_table(storage, tables["merges"], ["facet", "variant", "label"])
    taxonomy = read_table(storage, tables["taxonomy"])
    kept = {facet: _kept(labels, facet) for facet in VALUE_FACETS}
    ai_levels, ai_ancestors = _levels(kept["ai_values"], ancestors(taxonomy, "ai_values"))
    tasks = sorted(ancestors(taxonomy, "tasks"))
    return Codebook(
        labels=kept,
        codes={facet: _codes(kept[facet], merges, facet) for facet in VALUE_FACETS},
        ai_levels=ai_levels,
        ai_ancestors=ai_ancestors,
        tasks=tasks,
        models=sorted(models),
        min_salience=config.labels.min_salience,
        period=config.statistics.period,
        thresholds=config.labels,
        main_tasks=_most_frequent(taxonomy, tasks),
    )


def _most_frequent(taxonomy: pa.Table, tasks: Sequence[str]) -> list[int]:
    """Codes of the tasks with most conversations, in their order."""
    ids, sizes = (taxonomy[name].to_pylist() for name in ("cluster_id", "conversations"))
    size = dict(zip(ids, sizes, strict=True))
    order = sorted(range(len(tasks)), key=lambda code: (-size[tasks[code]], code))
    return sorted(order[:MOST_TASKS])


def _kept(labels: pa.Table, facet: ValueFacet) -> list[str]:
    kept = labels.filter((pc.field("facet") == facet) & pc.field("kept"))
    return sorted(kept["label"].to_pylist())


def _codes(names: Sequence[str], merges: pa.Table, facet: ValueFacet) -> dict[str, int]:
    codes = {name: code for code, name in enumerate(names)}
    merged = merges.filter(pc.field("facet") == facet)
    pairs = zip(merged["variant"].to_pylist(), merged["label"].to_pylist(), strict=True)
    return codes | {variant: codes[label] for variant, label in pairs if label in codes}


def _levels(
    labels: Sequence[str], above: dict[str, tuple[str, ...]]
) -> tuple[list[list[str]], list[NDArray[np.int32]]]:
    height = len(next(iter(above.values()))) if above else 1
    levels, codes = [], []
    for level in range(height):
        names = sorted({above[label][level] for label in labels}) if above else list(labels)
        code_of = {name: code for code, name in enumerate(names)}
        levels.append(names)
        codes.append(np.array([code_of[above[label][level]] for label in labels], dtype=np.int32))
    return levels, codes
