"""Counts of all conversations -> the tables of stage 5. Floats are computed here, once."""

from collections.abc import Iterator
from functools import partial as bind
from typing import Any

import pyarrow as pa

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.records import TABLES
from vitw_ray.statistics.assistants import (
    Hidden,
    compare,
    compare_paired,
    groups_of_assistants,
    groups_of_periods,
    hidden_labels,
    task_mix,
)
from vitw_ray.statistics.block import STATED, period_name
from vitw_ray.statistics.codebook import Codebook
from vitw_ray.statistics.contingency import Axis, Counts
from vitw_ray.statistics.cooccurrence import cooccurrence
from vitw_ray.statistics.explicitness import explicitness
from vitw_ray.statistics.mirroring import mirroring
from vitw_ray.statistics.paired import PairedCounts
from vitw_ray.statistics.partials import Partial
from vitw_ray.statistics.replication import replicated
from vitw_ray.statistics.residuals import associations, tests_of_tree, whole_table
from vitw_ray.statistics.response_types import by_category, by_model
from vitw_ray.statistics.suppression import hide_parts
from vitw_ray.statistics.variation import variation

TYPES = Axis("response_types", RESPONSE_TYPES)
COLUMN_NAMES = ("tasks", "human", "types")
# A conversation is in at most one row and one column of these.
EXCLUSIVE = ("types x models", "types x tasks", "types x stated")


def compute(
    merged: Partial, paired: dict[str, PairedCounts], vocabulary: Codebook, alpha: float
) -> dict[str, pa.Table]:
    """All tables of the stage, from the counts of all parts and of all prompts."""
    label = Axis("ai_values", vocabulary.ai_levels[0])
    human, tasks = Axis("human_values", vocabulary.human), Axis("tasks", vocabulary.tasks)
    least = vocabulary.thresholds.min_conversations
    stated = merged["types x stated"]
    said = hide_parts(stated.rows, stated.both, least)[:, STATED.index("stated")]
    found: dict[str, list[pa.Table]] = {
        "response_types": [
            by_model(merged["types x models"], TYPES, Axis("models", vocabulary.models), least),
            by_category(merged["types x tasks"], TYPES, tasks, least, exclusive=True),
            by_category(merged["types x human"], TYPES, human, least),
            by_category(stated, TYPES, Axis("any_human_value", STATED), least, exclusive=True),
        ],
        "associations": list(_associations(merged, vocabulary, alpha)),
        "cooccurrence": [
            cooccurrence(merged[f"{facet} pairs"], facet, labels, least)
            for facet, labels in vocabulary.labels.items()
        ],
        "variation": [
            variation(merged["ai_0 x tasks"], label, tasks),
            variation(merged["ai_0 x human"], label, human),
            variation(merged["human x tasks"], human, tasks),
        ],
        "mirroring": [
            mirroring(
                merged[f"mirroring_{level}"],
                Axis(TYPES.facet, TYPES.names, level),
                len(names),
                least,
                said,
            )
            for level, names in enumerate(vocabulary.ai_levels)
        ],
        "explicitness": [
            explicitness(
                merged["ai_0 x types"], merged["explicit x types"], TYPES, label.names, least
            )
        ],
        "model_comparison": list(_comparisons(merged, paired, vocabulary)),
    }
    return {
        name: pa.concat_tables([TABLES[name].empty_table(), *parts])
        for name, parts in found.items()
    }


def column_axis(name: str, vocabulary: Codebook) -> Axis:
    """The column axis of an association matrix, by its short name."""
    axes = {
        "tasks": Axis("tasks", vocabulary.tasks),
        "human": Axis("human_values", vocabulary.human),
        "types": TYPES,
    }
    return axes[name]


def _associations(merged: Partial, vocabulary: Codebook, alpha: float) -> Iterator[pa.Table]:
    """By level, from the labels up, and within a level by column facet."""
    levels = range(len(vocabulary.ai_levels))
    found = {}
    for name in COLUMN_NAMES:
        counts = [merged[f"ai_{level} x {name}"] for level in levels]
        tests = tests_of_tree(counts, vocabulary.ai_parents)
        for level in levels:
            names = vocabulary.ai_levels[level]
            found[level, name] = associations(
                counts[level],
                Axis("ai_values", names, level),
                column_axis(name, vocabulary),
                comparisons=max(len(names), 1),  # paper, 2: one family per column
                alpha=alpha,
                least_observed=1,
                least=vocabulary.thresholds.min_conversations,
                exclusive=name != "human",
                tests=tests[level],
            )
    yield from (found[level, name] for level in levels for name in COLUMN_NAMES)


def _comparisons(
    merged: Partial, paired: dict[str, PairedCounts], vocabulary: Codebook
) -> Iterator[pa.Table]:
    tasks = Axis("tasks", vocabulary.tasks)
    axes = {"types": TYPES, "human": Axis("human_values", vocabulary.human)}
    axes |= {
        f"ai_{level}": Axis("ai_values", names, level)
        for level, names in enumerate(vocabulary.ai_levels)
    }
    strata = len(tasks.names) + 1
    columns = {kind: merged[f"{kind}: types"].columns for kind in ("models", "periods")}
    models = groups_of_assistants(columns["models"], strata, vocabulary.models)
    name_of = bind(period_name, period=vocabulary.period)
    support = merged["period support"]
    thresholds = vocabulary.thresholds
    shown = support.shown(any(support.accounts.values()), thresholds)
    least, hidden = thresholds.min_conversations, dict[str, Hidden]()
    for groups in (models, groups_of_periods(columns["periods"], strata, name_of, shown)):
        for name, axis in axes.items():
            counts = merged[f"{groups.kind}: {name}"]
            found = hidden_labels(counts, strata, groups, axis, least, exclusive=name == "types")
            if groups is models and name == "types":  # what `response_types` hides stays hidden
                of_model = merged["types x models"]
                also = hide_parts(of_model.rows, of_model.both, least)
                found = {code: mask | also[:, code] for code, mask in found.items()}
            yield compare(counts, strata, groups, axis, least, found)
            if groups is models:
                hidden[name] = found
        yield task_mix(columns[groups.kind], groups, tasks, least)
    for name, counts in paired.items():
        everything = merged[f"models: {name}"], strata
        yield compare_paired(counts, models, axes[name], least, hidden[name], everything)


def facts(merged: Partial, vocabulary: Codebook) -> dict[str, Any]:
    """Details for the manifest: sizes, expected counts, replication, disagreements of the reader.

    These are conversations with a human value but response type `no_values`, and the reverse.
    """
    stated: Counts = merged["types x stated"]
    no_values = RESPONSE_TYPES.index("no_values")
    silent = int(stated.both[no_values, STATED.index("stated")])
    unheard = (
        stated.both[:, STATED.index("none")].sum() - stated.both[no_values, STATED.index("none")]
    )
    return {
        "comparisons_per_column": {
            f"level_{level}": len(names) for level, names in enumerate(vocabulary.ai_levels)
        },
        "subjective_conversations": merged["ai_0 x tasks"].conversations,
        "tables": {
            name: whole_table(counts, exclusive=name in EXCLUSIVE)
            for name, counts in merged.items()
            if isinstance(counts, Counts) and not name.startswith("half: ")
        },
        "half_split": {
            column_axis(name, vocabulary).facet: replicated(
                merged[f"ai_0 x {name}"], merged[f"half: ai_0 x {name}"]
            )
            for name in COLUMN_NAMES
        },
        "answered_no_values_with_a_human_value": silent,
        "answered_a_value_without_a_human_value": int(unheard),
    }
