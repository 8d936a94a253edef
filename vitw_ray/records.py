"""START HERE: the Arrow schema of every table, in the order in which the pipeline writes them.

Nothing crosses from one stage to the next that has no schema on this page, and a column keeps one
name from the first table to the last. The Arrow schemas are the truth; the two dataclasses at the
end are the view of one conversation that an extractor works with.

A nullable column is one that may be unknown (`model`) or does not apply (`task` of a failed row).
Shares run from 0 to 1; only `pct_*` columns are percentages, as in the published tables.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import pyarrow as pa

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

ValueFacet = Literal["ai_values", "human_values"]
Facet = Literal["ai_values", "human_values", "tasks"]
VALUE_FACETS: tuple[ValueFacet, ...] = get_args(ValueFacet)
FACETS: tuple[Facet, ...] = get_args(Facet)

Role = Literal["user", "assistant", "system", "tool"]
ROLES: tuple[Role, ...] = get_args(Role)


def _required(name: str, type_: pa.DataType) -> pa.Field:
    return pa.field(name, type_, nullable=False)


_TEXT, _COUNT, _SHARE = pa.string(), pa.int64(), pa.float64()

# Columns that describe where a conversation comes from; `extractions` carries them unchanged.
_ORIGIN = [
    _required("conversation_id", _TEXT),
    pa.field("prompt_id", _TEXT),  # the same for all answers to one prompt
    pa.field("account_id", _TEXT),  # a keyed hash, never the account itself
    pa.field("model", _TEXT),  # the model under study, not the extractor
    _required("source", _TEXT),  # name of the data set
    pa.field("language", _TEXT),
    pa.field("created_at", pa.timestamp("us", tz="UTC")),
]

MESSAGE = pa.struct([_required("role", _TEXT), _required("content", _TEXT)])

CONVERSATIONS = pa.schema([*_ORIGIN, _required("messages", pa.list_(MESSAGE))])

REJECTS = pa.schema(
    [
        _required("file", _TEXT),
        _required("row", _COUNT),  # 0-based position in the file
        pa.field("conversation_id", _TEXT),
        _required("reason", _TEXT),  # a short code, never the text
    ]
)

VALUE = pa.struct(
    [
        _required("label", _TEXT),
        _required("explicit", pa.bool_()),  # said outright, or shown by how the speaker acts
        pa.field("grounded", pa.bool_()),  # the quoted evidence stands in the speaker's own text
        pa.field("salience", pa.int8()),  # 1-5
    ]
)

EXTRACTIONS = pa.schema(
    [
        *_ORIGIN,
        _required("extractor", _TEXT),  # name@key
        pa.field("subjectivity", pa.int8()),  # 1 objective .. 4 subjective (paper, A.2)
        pa.field("is_subjective", pa.bool_()),  # null when the row failed
        pa.field("task", _TEXT),
        _required("human_values", pa.list_(VALUE)),
        _required("ai_values", pa.list_(VALUE)),
        pa.field("response_type", _TEXT),
        pa.field("error", _TEXT),  # a short code; null when the row was answered
        _required("prompt_tokens", _COUNT),
        _required("output_tokens", _COUNT),
        _required("truncated_share", _SHARE),  # of the transcript, not shown to the extractor
    ]
)

LABELS = pa.schema(
    [
        _required("facet", _TEXT),
        _required("label", _TEXT),
        _required("conversations", _COUNT),
        pa.field("accounts", _COUNT),  # null when no conversation names its account
        _required("share", _SHARE),  # of subjective conversations without error
        _required("kept", pa.bool_()),  # enough support to be analysed
    ]
)

MERGES = pa.schema(
    [
        _required("facet", _TEXT),
        _required("variant", _TEXT),  # as the extractor wrote it
        _required("label", _TEXT),  # as it is counted
        _required("rule", _TEXT),
        _required("conversations", _COUNT),
    ]
)

TASK_ASSIGNMENTS = pa.schema([_required("conversation_id", _TEXT), _required("cluster_id", _TEXT)])

TAXONOMY = pa.schema(
    [
        _required("facet", _TEXT),
        _required("cluster_id", _TEXT),
        _required("level", pa.int8()),  # 0 = label; the tasks' tree starts at level 1
        pa.field("parent_cluster_id", _TEXT),  # null on the top level
        _required("name", _TEXT),
        _required("description", _TEXT),
        # (label, conversation) pairs under the node: adds up from level to level
        _required("conversations", _COUNT),
        _required("pct_total_occurrences", _SHARE),
    ]
)

RESPONSE_TYPE_SHARES = pa.schema(
    [
        pa.field("model", _TEXT),  # null = all models
        pa.field("over_facet", _TEXT),  # null = all conversations
        pa.field("over", _TEXT),
        _required("response_type", _TEXT),
        _required("conversations", _COUNT),
        pa.field("share", _SHARE),
        pa.field("low", _SHARE),  # 95 % Wilson interval
        pa.field("high", _SHARE),
    ]
)

ASSOCIATIONS = pa.schema(
    [
        _required("row_facet", _TEXT),
        _required("row", _TEXT),  # label at level 0, cluster_id above
        _required("column_facet", _TEXT),
        _required("column", _TEXT),
        _required("level", pa.int8()),  # of the row
        _required("observed", _COUNT),
        pa.field("expected", _SHARE),
        pa.field("residual", _SHARE),  # adjusted Pearson residual of the cell's own 2 x 2
        pa.field("p_value", _SHARE),
        pa.field("p_adjusted", _SHARE),  # Bonferroni
        pa.field("q_value", _SHARE),  # Benjamini-Hochberg
        pa.field("odds_ratio", _SHARE),
        pa.field("low", _SHARE),
        pa.field("high", _SHARE),
        pa.field("cramers_v", _SHARE),  # effect size that does not grow with the conversations
        # residual over the spread between groups of accounts; for significant cells, when known
        pa.field("residual_by_account", _SHARE),
        _required("significant", pa.bool_()),
        pa.field("reason", _TEXT),  # why a number is null
    ]
)

COOCCURRENCE = pa.schema(
    [
        _required("facet", _TEXT),
        _required("label_a", _TEXT),  # before label_b in the alphabet
        _required("label_b", _TEXT),
        _required("conversations", _COUNT),  # that hold both; pairs never seen have no row
    ]
)

VARIATION = pa.schema(
    [
        _required("facet", _TEXT),
        _required("label", _TEXT),
        _required("over_facet", _TEXT),
        _required("share", _SHARE),
        pa.field("coefficient_of_variation", _SHARE),
        pa.field("corrected", _SHARE),  # less what sampling alone would show
    ]
)

MIRRORING = pa.schema(
    [
        _required("response_type", _TEXT),
        _required("level", pa.int8()),
        _required("conversations", _COUNT),
        _required("mirrored", _COUNT),
        pa.field("share", _SHARE),
        pa.field("share_by_chance", _SHARE),
        pa.field("lift", _SHARE),
        pa.field("low", _SHARE),  # 95 % Wilson interval of `share`
        pa.field("high", _SHARE),
        pa.field("lift_low", _SHARE),  # 95 % interval of `lift`, by groups of accounts
        pa.field("lift_high", _SHARE),
    ]
)

EXPLICITNESS = pa.schema(
    [
        _required("label", _TEXT),  # an AI value
        pa.field("response_type", _TEXT),  # null = all
        _required("explicit", _COUNT),  # conversations in which it is said outright
        _required("implicit", _COUNT),  # conversations in which it is only shown
        # of its 2 x 2: more often said here than with other response types; where null, more often
        # said than other labels are
        pa.field("residual", _SHARE),
    ]
)

MODEL_COMPARISON = pa.schema(
    [
        _required("groups", _TEXT),  # models, or periods in their place
        _required("model_a", _TEXT),
        _required("model_b", _TEXT),
        _required("facet", _TEXT),
        _required("label", _TEXT),  # label, cluster_id or response type
        _required("conversations_a", _COUNT),  # that share_a is of
        _required("conversations_b", _COUNT),
        pa.field("share_a", _SHARE),
        pa.field("share_b", _SHARE),
        pa.field("difference", _SHARE),  # share_a - share_b
        pa.field("low", _SHARE),  # 95 % interval of the difference
        pa.field("high", _SHARE),
        pa.field("p_adjusted", _SHARE),  # Bonferroni; null where too few are expected to test
        _required("matched_on", _TEXT),  # nothing, tasks, prompts
    ]
)

TABLES: dict[str, pa.Schema] = {
    "conversations": CONVERSATIONS,
    "rejects": REJECTS,
    "extractions": EXTRACTIONS,
    "labels": LABELS,
    "merges": MERGES,
    "taxonomy": TAXONOMY,
    "task_assignments": TASK_ASSIGNMENTS,
    "response_types": RESPONSE_TYPE_SHARES,
    "associations": ASSOCIATIONS,
    "cooccurrence": COOCCURRENCE,
    "variation": VARIATION,
    "mirroring": MIRRORING,
    "explicitness": EXPLICITNESS,
    "model_comparison": MODEL_COMPARISON,
}


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """What an extractor sees of a row of `conversations`: its turns, not who spoke them."""

    conversation_id: str
    messages: tuple[Message, ...]
