"""START HERE: the Arrow schema of every table, in the order in which the pipeline writes them.

    stage  table             one row per
    1      conversations     conversation
           rejects           input row that is not in `conversations`
    2      extractions       conversation: the tasks, values and response type that were found
    3      labels            value that was found, with its counts
           merges            spelling of a value that is counted under another one
    4      taxonomy          group of values or of tasks; groups form a tree
           task_assignments  conversation: the group of its task
    5      response_types    how the user's values are treated, by assistant, task and value
           associations      which AI values go with which tasks, human values, response types
           cooccurrence      which values occur together
           variation         which values depend on the context
           mirroring         how often the assistant shows the value that the user brought
           explicitness      which AI values are stated outright, which only shown
           task_values       the values shown in a task, by how the assistant responds
           model_comparison  two assistants, or two periods, side by side
           corrected         the same numbers without the reader's errors, by a reviewed sample
    later  certificate       which headlines hold however a sample is read; `vitw certify`

Stages pass on these tables, and counts in their manifests; nothing else. Each table has its schema
here, and a column keeps its name from the first table to the last. Read `pipeline.py` next, which
runs the stages, and `facets.py`, which says what a reader extracts from a conversation.
`docs/extending.md` says how to add to any of this.

Conventions: a nullable column is one that may be unknown (`model`) or does not apply (`task` of a
failed row). Shares run from 0 to 1; only `pct_*` columns are percentages, as in the published data.
A *subjective* conversation is one that was read without error and whose `subjectivity` reaches
`--subjective-from`: all counts from stage 3 on are of these. The *reader* is the model or program
that extracts; the *assistant* is the model whose conversations are studied.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import pyarrow as pa

from vitw_ray.facets import FACETS, Facet

Role = Literal["user", "assistant", "system", "tool"]
ROLES: tuple[Role, ...] = get_args(Role)


def _required(name: str, type_: pa.DataType) -> pa.Field:
    return pa.field(name, type_, nullable=False)


_TEXT, _COUNT, _SHARE = pa.string(), pa.int64(), pa.float64()

# --- Stage 1: the conversations. Private: these tables hold text and ids.

# Where a conversation comes from; `extractions` repeats these columns unchanged.
_ORIGIN = [
    _required("conversation_id", _TEXT),
    pa.field("prompt_id", _TEXT),  # the same for all answers to one prompt
    pa.field("account_id", _TEXT),  # a keyed hash, never the account itself
    pa.field("model", _TEXT),  # the assistant
    _required("source", _TEXT),  # name of the data set
    pa.field("language", _TEXT),
    pa.field("created_at", pa.timestamp("us", tz="UTC")),
]

MESSAGE = pa.struct([_required("role", _TEXT), _required("content", _TEXT)])

CONVERSATIONS = pa.schema([*_ORIGIN, _required("messages", pa.list_(MESSAGE))])
"""One row per conversation, sorted by the hash of its id."""

REJECTS = pa.schema(
    [
        _required("file", _TEXT),
        _required("row", _COUNT),  # 0-based position in the file
        pa.field("conversation_id", _TEXT),
        _required("reason", _TEXT),  # a short code, never the text
    ]
)
"""One row per input row that is not in `conversations`: rows read = conversations + rejects."""

# --- Stage 2: what the reader found. Private: one row still describes one conversation.

VALUE = pa.struct(
    [
        _required("label", _TEXT),
        _required("explicit", pa.bool_()),  # stated outright, or shown by how the speaker acts
        pa.field("grounded", pa.bool_()),  # whether the quoted evidence is in the speaker's words
        pa.field("salience", pa.int8()),  # 1-5
    ]
)


def _facet_column(facet: Facet) -> pa.Field:
    if facet.kind == "values":
        return _required(facet.field, pa.list_(VALUE))
    return pa.field(facet.field, _TEXT)


EXTRACTIONS = pa.schema(
    [
        *_ORIGIN,
        _required("extractor", _TEXT),  # name@key
        pa.field("subjectivity", pa.int8()),  # 1 objective .. 4 subjective (paper, A.2)
        pa.field("is_subjective", pa.bool_()),  # null when the row failed
        pa.field("confidence", pa.float32()),  # that is_subjective is right, 0.5-1; null: unknown
        *map(_facet_column, FACETS),  # task, human_values, ai_values, response_type
        pa.field("error", _TEXT),  # a short code; null when the row was answered
        _required("prompt_tokens", _COUNT),
        _required("output_tokens", _COUNT),
        _required("truncated_share", _SHARE),  # of the transcript: cut to fit the token budget
    ]
)
"""One row per row of `conversations`, in the same order; a failed one has `error` and no facets."""

# --- Stage 3: the labels of values. Public from here on, but for rows with too little support,
# `merges` and `task_assignments`.

LABELS = pa.schema(
    [
        _required("facet", _TEXT),
        _required("label", _TEXT),
        _required("conversations", _COUNT),
        pa.field("accounts", _COUNT),  # null when no conversation names its account
        _required("share", _SHARE),  # of subjective conversations
        _required("kept", pa.bool_()),  # has enough support to be analysed and published
    ]
)
"""One row per facet and label. A label counts once per conversation, whatever its spellings."""

MERGES = pa.schema(
    [
        _required("facet", _TEXT),
        _required("variant", _TEXT),  # as the reader wrote it
        _required("label", _TEXT),  # as it is counted
        _required("rule", _TEXT),
        _required("conversations", _COUNT),
    ]
)
"""One row per spelling that is counted under another one."""

# --- Stage 4: the taxonomy.

TASK_ASSIGNMENTS = pa.schema([_required("conversation_id", _TEXT), _required("cluster_id", _TEXT)])
"""One row per subjective conversation with a task: its cluster on level 1.

No row where all tasks together have too little support for a tree.
"""

TAXONOMY = pa.schema(
    [
        _required("facet", _TEXT),
        _required("cluster_id", _TEXT),
        _required("level", pa.int8()),  # 0 = label; the tree of the tasks starts at level 1
        pa.field("parent_cluster_id", _TEXT),  # null on the top level
        _required("name", _TEXT),
        _required("description", _TEXT),
        # (label, conversation) pairs under the node: adds up from level to level
        _required("conversations", _COUNT),
        _required("pct_total_occurrences", _SHARE),
    ]
)
"""One row per node of each facet's tree."""

# --- Stage 5: statistics over subjective conversations. A row or column of these tables is a label
# at level 0, and a cluster_id above.

RESPONSE_TYPE_SHARES = pa.schema(
    [
        pa.field("model", _TEXT),  # null = all assistants
        pa.field("over_facet", _TEXT),  # null = all conversations
        pa.field("over", _TEXT),
        _required("response_type", _TEXT),
        _required("conversations", _COUNT),
        pa.field("share", _SHARE),
        pa.field("low", _SHARE),  # 95 % Wilson interval
        pa.field("high", _SHARE),
    ]
)
"""How often each response type occurs: overall, per assistant, per task, per human value."""

ASSOCIATIONS = pa.schema(
    [
        _required("row_facet", _TEXT),
        _required("row", _TEXT),
        _required("column_facet", _TEXT),
        _required("column", _TEXT),
        _required("level", pa.int8()),  # of the row
        _required("observed", _COUNT),
        pa.field("expected", _SHARE),
        pa.field("residual", _SHARE),  # adjusted Pearson residual of the cell's own 2 x 2
        pa.field("p_value", _SHARE),
        pa.field("p_adjusted", _SHARE),  # Bonferroni
        pa.field("q_value", _SHARE),  # Benjamini-Hochberg
        pa.field("q_tree", _SHARE),  # TreeBH over all levels; null above 0.2
        pa.field("odds_ratio", _SHARE),
        pa.field("low", _SHARE),  # 95 % interval of the odds ratio
        pa.field("high", _SHARE),
        # log odds ratio drawn towards 0 by a prior, with its 95 % interval: to rank by
        pa.field("shrunken", _SHARE),
        pa.field("shrunken_low", _SHARE),
        pa.field("shrunken_high", _SHARE),
        pa.field("cramers_v", _SHARE),  # effect size that does not grow with the conversations
        # residual over the spread between groups of accounts; of significant cells, where known
        pa.field("residual_by_account", _SHARE),
        _required("significant", pa.bool_()),
        _required("discovered", pa.bool_()),  # q_tree is at most alpha
        pa.field("reason", _TEXT),  # why a number is null
    ]
)
"""Which AI values go with which tasks, human values and response types: one row per pair seen."""

COOCCURRENCE = pa.schema(
    [
        _required("facet", _TEXT),
        _required("label_a", _TEXT),  # alphabetically before label_b
        _required("label_b", _TEXT),
        _required("conversations", _COUNT),  # that hold both
    ]
)
"""Labels of one facet that occur in the same conversations: one row per pair seen."""

VARIATION = pa.schema(
    [
        _required("facet", _TEXT),
        _required("label", _TEXT),
        _required("over_facet", _TEXT),
        _required("share", _SHARE),
        pa.field("coefficient_of_variation", _SHARE),
        pa.field("corrected", _SHARE),  # less what sampling alone would show
        pa.field("low", _SHARE),  # 95 % interval of `corrected`
        pa.field("high", _SHARE),
    ]
)
"""How much the share of a label varies over the categories of another facet."""

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
"""How often the assistant shows the very value that the user brought."""

EXPLICITNESS = pa.schema(
    [
        _required("label", _TEXT),  # an AI value
        pa.field("response_type", _TEXT),  # null = all
        _required("explicit", _COUNT),  # conversations in which it is stated outright
        _required("implicit", _COUNT),  # conversations in which it is only shown
        # of its 2 x 2: stated more often here than with other response types; where the response
        # type is null, stated more often than other labels are
        pa.field("residual", _SHARE),
    ]
)
"""Which AI values the assistant states outright, and which it only shows."""

TASK_VALUES = pa.schema(
    [
        _required("task_cluster", _TEXT),  # of level 1, of the most frequent ones
        _required("response_type", _TEXT),
        _required("level", pa.int8()),  # of the value
        _required("value", _TEXT),
        _required("conversations", _COUNT),  # of the task and the response type that show the value
        pa.field("share", _SHARE),  # of those of the task and the response type
        pa.field("low", _SHARE),  # 95 % Wilson interval
        pa.field("high", _SHARE),
        # log odds ratio against the other response types of the task, drawn towards 0 by a prior
        pa.field("shrunken", _SHARE),
        pa.field("shrunken_low", _SHARE),  # its 95 % interval
        pa.field("shrunken_high", _SHARE),
        pa.field("reason", _TEXT),  # why it is null
    ]
)
"""Which values the assistant shows in a task when it supports, reframes or resists."""

MODEL_COMPARISON = pa.schema(
    [
        _required("groups", _TEXT),  # `models` (assistants), or `periods` in their place
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
        pa.field("turned", pa.bool_()),  # the sign is the opposite without matching
    ]
)
"""Each pair of assistants, or each period and the one before: what either shows more."""

CORRECTED = pa.schema(
    [
        _required("measure", _TEXT),  # share, difference, odds_ratio, trend
        _required("facet", _TEXT),
        _required("level", pa.int8()),
        _required("label", _TEXT),  # label, cluster_id, response type, `subjective` or `mirrored`
        pa.field("over_facet", _TEXT),  # models, languages, periods, or the facet of `over`
        pa.field("over", _TEXT),
        pa.field("versus", _TEXT),  # the group whose share is subtracted
        pa.field("raw", _SHARE),  # by the reader alone
        pa.field("corrected", _SHARE),  # null with a reason
        pa.field("low", _SHARE),  # 95 % interval of `corrected`
        pa.field("high", _SHARE),
        _required("reviewed", _COUNT),  # conversations of the base by people, rounded down
        pa.field("reason", _TEXT),  # why there is no number
    ]
)
"""Measures without the reader's errors. Written only where `--reviewed` names a sample."""

# --- Made after the run, by `vitw certify`.

CERTIFICATE = pa.schema(
    [
        _required("kind", _TEXT),  # specification, baseline, choice, badge
        _required("headline", _COUNT),  # number of the claim
        pa.field("sentence", _COUNT),  # of the page's first sentences; null: of a list
        _required("claim", _TEXT),  # most_common, depends, together, resists, resists_in, differs
        _required("facet", _TEXT),
        _required("label", _TEXT),
        pa.field("over_facet", _TEXT),
        pa.field("over", _TEXT),
        pa.field("versus", _TEXT),  # the label or assistant that it is compared with
        pa.field("stated", _SHARE),  # the number of the whole run
        _required("from", _SHARE),  # limit of the claim
        pa.field("to", _SHARE),  # a second one, where it is a range
        pa.field("baseline", _TEXT),  # no_assistant, shuffled
        pa.field("reader", _TEXT),  # `own`, or a name given to --reader
        pa.field("paraphrase", _COUNT),  # 0: the run's own wording
        pa.field("strict", pa.bool_()),
        pa.field("questions", _TEXT),
        pa.field("gate", _COUNT),  # lowest level that is counted; 1: no gate
        pa.field("conversations", _COUNT),  # of the sample, that are counted
        pa.field("estimate", _SHARE),  # null with a reason
        pa.field("low", _SHARE),  # 95 % interval of `estimate`; of shuffles, their range
        pa.field("high", _SHARE),
        pa.field("holds", pa.bool_()),  # the claim is significant
        pa.field("choice", _TEXT),  # reader, paraphrase, strict, questions, gate, rest
        pa.field("share", _SHARE),  # of the variance between specifications (eta squared)
        pa.field("by_chance", _SHARE),  # what sampling alone adds, as a share of it
        pa.field("badge", _TEXT),  # holds_in_all, holds_in_most, hangs_on_the_wording
        pa.field("reason", _TEXT),  # why there is no number or badge
    ]
)
"""Which headlines of the page hold in other wordings, strictness, forms, gates and readers."""

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
    "task_values": TASK_VALUES,
    "model_comparison": MODEL_COMPARISON,
    "corrected": CORRECTED,
    "certificate": CERTIFICATE,
}


# --- One conversation as a reader sees it. The schemas are the truth; these two are a view.


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turns of a row of `conversations`, without who spoke them or when."""

    conversation_id: str
    messages: tuple[Message, ...]
