"""Counts of all conversations -> the tables of stage 5. Floats are computed here, once."""

from collections.abc import Iterator
from functools import partial as bind

import numpy as np
import pyarrow as pa

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.gate import Mask
from vitw_ray.records import TABLES
from vitw_ray.statistics.assistants import compare, compare_paired, task_mix
from vitw_ray.statistics.block import STATED, period_name
from vitw_ray.statistics.codebook import Codebook
from vitw_ray.statistics.compared_groups import (
    Hidden,
    groups_of_assistants,
    groups_of_periods,
    hidden_labels,
)
from vitw_ray.statistics.contingency import Axis
from vitw_ray.statistics.cooccurrence import cooccurrence
from vitw_ray.statistics.explicitness import explicitness
from vitw_ray.statistics.level_suppression import hide_levels
from vitw_ray.statistics.mirroring import mirroring
from vitw_ray.statistics.over_time import variation_over_time
from vitw_ray.statistics.paired import PairedCounts
from vitw_ray.statistics.partials import TASK_VALUES, Partial, accounts_of
from vitw_ray.statistics.residuals import associations, tests_of_tree
from vitw_ray.statistics.response_types import by_category, by_model
from vitw_ray.statistics.suppression import hide_parts
from vitw_ray.statistics.task_values import Sums, level_of, task_values
from vitw_ray.statistics.variation import variation

TYPES = Axis("response_types", RESPONSE_TYPES)
COLUMN_NAMES = ("tasks", "human", "types")


def compute(
    merged: Partial, paired: dict[str, PairedCounts], vocabulary: Codebook, alpha: float
) -> dict[str, pa.Table]:
    """All tables of the stage, from the counts of all parts and of all prompts."""
    label = Axis("ai_values", vocabulary.ai_levels[0])
    human, tasks = Axis("human_values", vocabulary.human), Axis("tasks", vocabulary.tasks)
    least = vocabulary.thresholds.min_conversations
    stated = merged["types x stated"]
    of_stated = few_types(merged, "types x stated")
    hidden = _hidden_associations(merged, vocabulary)
    said = hide_parts(stated.rows, stated.both, least, *(of_stated or ()))
    found: dict[str, list[pa.Table]] = {
        "response_types": list(_response_types(merged, vocabulary)),
        "associations": list(_associations(merged, vocabulary, alpha, hidden)),
        "cooccurrence": [
            cooccurrence(
                merged[f"{facet} pairs"],
                facet,
                labels,
                least,
                merged.get(accounts_of(f"{facet} pairs")),
            )
            for facet, labels in vocabulary.labels.items()
        ],
        "variation": [
            variation(merged["ai_0 x tasks"], label, tasks, least, hidden["tasks"][0]),
            variation(merged["ai_0 x human"], label, human, least, hidden["human"][0]),
            variation(
                merged["human x tasks"], human, tasks, least, few_cells(merged, "human x tasks")
            ),
            *_over_time(merged, vocabulary, label, human),
        ],
        "mirroring": [
            mirroring(
                merged[f"mirroring_{level}"],
                Axis(TYPES.facet, TYPES.names, level),
                len(names),
                least,
                said[:, STATED.index("stated")],
                vocabulary.thresholds.min_accounts,
            )
            for level, names in enumerate(vocabulary.ai_levels)
        ],
        "explicitness": [
            explicitness(
                merged["ai_0 x types"],
                merged["explicit x types"],
                TYPES,
                label.names,
                least,
                _few_spoken(merged),
            )
        ],
        "task_values": [_task_values(merged, vocabulary, hidden)],
        "model_comparison": list(_comparisons(merged, paired, vocabulary)),
    }
    return {
        name: pa.concat_tables([TABLES[name].empty_table(), *parts])
        for name, parts in found.items()
    }


def _response_types(merged: Partial, vocabulary: Codebook) -> Iterator[pa.Table]:
    """By assistant, task, human value, and whether any human value is stated."""
    least = vocabulary.thresholds.min_conversations
    models, few = Axis("models", vocabulary.models), few_types(merged, "types x models")
    yield by_model(merged["types x models"], TYPES, models, least, few)
    for name, over in (
        ("tasks", Axis("tasks", vocabulary.tasks)),
        ("human", Axis("human_values", vocabulary.human)),
        ("stated", Axis("any_human_value", STATED)),
    ):
        counts, few = merged[f"types x {name}"], few_types(merged, f"types x {name}")
        yield by_category(counts, TYPES, over, least, few, exclusive=name != "human")


def column_axis(name: str, vocabulary: Codebook) -> Axis:
    """The column axis of an association matrix, by its short name."""
    axes = {
        "tasks": Axis("tasks", vocabulary.tasks),
        "human": Axis("human_values", vocabulary.human),
        "types": TYPES,
    }
    return axes[name]


def few_cells(merged: Partial, name: str) -> Mask | None:
    """Cells of a matrix with too few accounts; None where accounts do not matter."""
    accounts = merged.get(accounts_of(name))
    return None if accounts is None else accounts.few(*merged[name].both.shape)


def few_types(merged: Partial, name: str) -> tuple[Mask, Mask] | None:
    """Response types with too few accounts: of all conversations, and in each column."""
    of_each = few_cells(merged, name)
    if of_each is None:
        return None
    counts = merged[name]
    of_all = merged[accounts_of("types")].few(len(TYPES.names))
    return of_all & (counts.rows > 0), of_each & (counts.both > 0)


def _few_spoken(merged: Partial) -> tuple[Mask, Mask] | None:
    """Explicit and implicit rows with too few accounts, [labels, 1 + types]."""
    if accounts_of("explicit") not in merged:
        return None
    labels, types = merged["explicit x types"].both.shape
    explicit, implicit = (
        np.column_stack(
            [
                merged[accounts_of(said)].few(labels),
                merged[accounts_of(f"{said} x types")].few(labels, types),
            ]
        )
        for said in ("explicit", "implicit")
    )
    return explicit, implicit


def _hidden_associations(merged: Partial, vocabulary: Codebook) -> dict[str, list[Mask]]:
    """Cells of each level that are hidden, by the name of the columns."""
    least, parents = vocabulary.thresholds.min_conversations, vocabulary.ai_parents
    hidden: dict[str, list[Mask]] = {}
    for name in COLUMN_NAMES:
        matrices = [f"ai_{level} x {name}" for level in range(len(vocabulary.ai_levels))]
        counts = [merged[matrix].both for matrix in matrices]
        few = [few_cells(merged, matrix) for matrix in matrices]
        masks = [
            (n > 0) & mask if mask is not None else np.zeros(n.shape, bool)
            for n, mask in zip(counts, few, strict=True)
        ]
        adds_up = name != "human"  # a conversation may have several
        hidden[name] = hide_levels(counts, parents, least, masks) if adds_up else masks
    return hidden


def _associations(
    merged: Partial, vocabulary: Codebook, alpha: float, hidden: dict[str, list[Mask]]
) -> Iterator[pa.Table]:
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
                hidden=hidden[name][level],
                tests=tests[level],
            )
    yield from (found[level, name] for level in levels for name in COLUMN_NAMES)


def _task_values(merged: Partial, vocabulary: Codebook, hidden: dict[str, list[Mask]]) -> pa.Table:
    level = level_of([len(names) for names in vocabulary.ai_levels])
    least, types = vocabulary.thresholds.min_conversations, merged["types x tasks"]
    few = few_types(merged, "types x tasks") or ()
    sums = Sums(
        by_task=(merged[f"ai_{level} x tasks"], hidden["tasks"][level]),
        by_type=(merged[f"ai_{level} x types"], hidden["types"][level]),
        types=(types, hide_parts(types.rows, types.both, least, *few)),
    )
    return task_values(
        merged[TASK_VALUES],
        sums,
        Axis("ai_values", vocabulary.ai_levels[level], level),
        Axis("tasks", vocabulary.tasks),
        vocabulary.main_tasks,
        least,
        few_cells(merged, TASK_VALUES),
    )


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
    shown = _shown_periods(merged, vocabulary)
    least, hidden = vocabulary.thresholds.min_conversations, dict[str, Hidden]()
    for groups in (models, groups_of_periods(columns["periods"], strata, name_of, shown)):
        for name, axis in axes.items():
            counts = merged[f"{groups.kind}: {name}"]
            people = merged.get(accounts_of(f"{groups.kind}: {name}"))
            found = hidden_labels(
                counts, strata, groups, axis, least, people, exclusive=name == "types"
            )
            if groups is models and name == "types":  # what `response_types` hides stays hidden
                of_model = merged["types x models"]
                few = few_types(merged, "types x models") or ()
                also = hide_parts(of_model.rows, of_model.both, least, *few)
                found = {code: mask | also[:, code] for code, mask in found.items()}
            yield compare(counts, strata, groups, axis, least, found)
            if groups is models:
                hidden[name] = found
        people = merged.get(accounts_of(f"{groups.kind}: tasks"))
        width = merged[f"{groups.kind}: types"].width // strata
        yield task_mix(columns[groups.kind], groups, tasks, least, people, width)
    for name, counts in paired.items():
        everything = merged[f"models: {name}"], strata
        yield compare_paired(counts, models, axes[name], least, hidden[name], everything)


def _shown_periods(merged: Partial, vocabulary: Codebook) -> set[int]:
    support = merged["period support"]
    return support.shown(any(support.accounts.values()), vocabulary.thresholds)


def _over_time(
    merged: Partial, vocabulary: Codebook, label: Axis, human: Axis
) -> Iterator[pa.Table]:
    """Variation of AI and human values over the periods that may be shown."""
    strata, shown = len(vocabulary.tasks) + 1, sorted(_shown_periods(merged, vocabulary))
    for name, axis in (("ai_0", label), ("human", human)) if len(shown) > 1 else ():
        yield variation_over_time(
            merged[f"{name} x tasks"],
            merged[f"periods: {name}"],
            strata,
            np.array(shown),
            axis,
            vocabulary.thresholds.min_conversations,
            merged.get(accounts_of(f"periods: {name}")),
        )
