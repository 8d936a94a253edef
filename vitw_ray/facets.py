"""The facets: what a reader extracts from a conversation, one record each.

A facet is a column of `extractions`, a field of an answer, and a part of what a language model is
asked. All of that is derived from the records below; `docs/extending.md` lists what a new facet
needs besides its record. How subjective a conversation is, is no facet: it is the gate before them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

ResponseType = Literal[
    "strong_support",
    "mild_support",
    "neutral_acknowledgment",
    "reframing",
    "mild_resistance",
    "strong_resistance",
    "no_values",
]
"""How an answer treats the values that the user brings (paper, 2): six kinds, or none to treat."""
RESPONSE_TYPES: tuple[ResponseType, ...] = get_args(ResponseType)


@dataclass(frozen=True, kw_only=True)
class Facet:
    """One facet.

    Attributes:
        field: column of `extractions` and field of an answer. Its definition, which a language
            model reads, is `extraction/prompts/<field>.md`.
        name: what the column `facet` of later tables calls it; `field` itself for values.
        kind: `values` (a list of labelled values), `phrase` (a short text) or `code` (of `codes`).
        speaker: whose words it is about. Quotes are looked up there.
        noun: one entry, as people call it.
        plural: several entries.
        most: entries at most.
        codes: what an entry may be; of the kind `code` only.
        leaves: where the leaves of its taxonomy come from: the kept rows of `labels`, or the
            `texts` of `extractions`. None: it has no taxonomy.
        levels: the field of `TaxonomyConfig` that sets the size of each level. None: sizes always
            follow from the number of leaves.
    """

    field: str
    name: str
    kind: Literal["values", "phrase", "code"]
    speaker: Literal["user", "assistant"]
    noun: str
    plural: str
    most: int = 1
    codes: tuple[str, ...] = ()
    leaves: Literal["labels", "texts"] | None = None
    levels: str | None = None


TASK = Facet(
    field="task",
    name="tasks",
    kind="phrase",
    speaker="user",
    noun="task",
    plural="tasks",
    leaves="texts",
    levels="task_levels",
)
HUMAN_VALUES = Facet(
    field="human_values",
    name="human_values",
    kind="values",
    speaker="user",
    noun="human value",
    plural="human values",
    most=8,  # ours: the paper's mean is 1.48 (1.3)
    leaves="labels",
    levels="human_value_levels",
)
AI_VALUES = Facet(
    field="ai_values",
    name="ai_values",
    kind="values",
    speaker="assistant",
    noun="AI value",
    plural="AI values",
    most=12,  # ours: the paper's mean is 4.0 (1.3)
    leaves="labels",
    levels="ai_value_levels",
)
RESPONSE_TYPE = Facet(
    field="response_type",
    name="response_types",
    kind="code",
    speaker="assistant",
    noun="response type",
    plural="response types",
    codes=RESPONSE_TYPES,
)

FACETS = (TASK, HUMAN_VALUES, AI_VALUES, RESPONSE_TYPE)
"""In the order of the columns of `extractions`, and of the questions."""
BY_NAME: Mapping[str, Facet] = MappingProxyType({facet.name: facet for facet in FACETS})

ValueFacet: TypeAlias = str
"""One of `VALUE_FACETS`."""
VALUE_FACETS: tuple[ValueFacet, ...] = tuple(sorted(f.name for f in FACETS if f.kind == "values"))
LABEL_TREES: tuple[ValueFacet, ...] = tuple(sorted(f.name for f in FACETS if f.leaves == "labels"))
TREE_FACETS = tuple(sorted(facet.name for facet in FACETS if facet.leaves))
