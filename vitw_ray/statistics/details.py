"""What the manifest of stage 5 says beside its tables: sizes, replication, disagreements."""

from typing import Any

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.statistics.block import STATED
from vitw_ray.statistics.codebook import Codebook
from vitw_ray.statistics.compared_groups import groups_of_assistants
from vitw_ray.statistics.contingency import Axis, Counts
from vitw_ray.statistics.partials import HALF_OF_MODELS, TASK_VALUES, Partial
from vitw_ray.statistics.replication import replicated, replicated_differences
from vitw_ray.statistics.residuals import whole_table
from vitw_ray.statistics.suppression import hide_parts, is_small
from vitw_ray.statistics.tables import COLUMN_NAMES, column_axis, few_cells, few_types

# A conversation is in at most one row and one column of these.
EXCLUSIVE = ("types x models", "types x tasks", "types x stated")


def details_of(merged: Partial, vocabulary: Codebook) -> dict[str, Any]:
    """Details for the manifest: sizes, expected counts, replication, disagreements of the reader.

    These are conversations with a human value but response type `no_values`, and the reverse; null
    where the table of response types does not tell them.
    """
    least = vocabulary.thresholds.min_conversations
    stated: Counts = merged["types x stated"]
    no_values = RESPONSE_TYPES.index("no_values")
    few = few_types(merged, "types x stated") or ()
    hidden = hide_parts(stated.rows, stated.both, least, *few)[no_values]
    silent = int(stated.both[no_values, STATED.index("stated")])
    unheard = int(
        stated.both[:, STATED.index("none")].sum() - stated.both[no_values, STATED.index("none")]
    )
    return {
        "comparisons_per_column": {
            f"level_{level}": len(names) for level, names in enumerate(vocabulary.ai_levels)
        },
        "subjective_conversations": merged["ai_0 x tasks"].conversations,
        "tables": {
            name: whole_table(
                counts, exclusive=name in EXCLUSIVE, least=least, few=few_cells(merged, name)
            )
            for name, counts in merged.items()
            if isinstance(counts, Counts) and not name.startswith("half: ") and name != TASK_VALUES
        },
        "half_split": {
            column_axis(name, vocabulary).facet: replicated(
                merged[f"ai_0 x {name}"], merged[f"half: ai_0 x {name}"]
            )
            for name in COLUMN_NAMES
        }
        | {"models": _replicated_assistants(merged, vocabulary)},
        "answered_no_values_with_a_human_value": None
        if hidden[STATED.index("stated")] or is_small(silent, least)
        else silent,
        "answered_a_value_without_a_human_value": None
        if hidden[STATED.index("none")] or is_small(unheard, least)
        else unheard,
    }


def _replicated_assistants(merged: Partial, vocabulary: Codebook) -> dict[str, int]:
    whole, strata = merged["models: ai_0"], len(vocabulary.tasks) + 1
    groups = groups_of_assistants(whole.columns, strata, vocabulary.models)
    label = Axis("ai_values", vocabulary.ai_levels[0])
    return replicated_differences(whole, merged[HALF_OF_MODELS], strata, groups, label)
