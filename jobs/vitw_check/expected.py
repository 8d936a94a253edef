"""What the documentation of a run folder promises, written down a second time."""

import re

import pyarrow as pa

ORIGIN = (
    "conversation_id string!; prompt_id string; account_id string; model string; source string!; "
    "language string; created_at timestamp[us, tz=UTC]; "
)
_VALUES = "[{label string!, explicit bool!, grounded bool, salience int8}]!"
SCHEMAS = {
    "conversations": ORIGIN + "messages [{role string!, content string!}]!",
    "rejects": "file string!; row int64!; conversation_id string; reason string!",
    "extractions": ORIGIN
    + "extractor string!; subjectivity int8; is_subjective bool; confidence float; "
    f"task string; human_values {_VALUES}; ai_values {_VALUES}; response_type string; "
    "error string; prompt_tokens int64!; output_tokens int64!; truncated_share double!",
    "labels": "facet string!; label string!; conversations int64!; accounts int64; "
    "share double!; kept bool!",
    "merges": "facet string!; variant string!; label string!; rule string!; conversations int64!",
    "task_assignments": "conversation_id string!; cluster_id string!",
    "taxonomy": "facet string!; cluster_id string!; level int8!; parent_cluster_id string; "
    "name string!; description string!; conversations int64!; pct_total_occurrences double!",
    "response_types": "model string; over_facet string; over string; response_type string!; "
    "conversations int64!; share double; low double; high double",
    "associations": "row_facet string!; row string!; column_facet string!; column string!; "
    "level int8!; observed int64!; expected double; residual double; p_value double; "
    "p_adjusted double; q_value double; q_tree double; odds_ratio double; low double; "
    "high double; shrunken double; shrunken_low double; shrunken_high double; cramers_v double; "
    "residual_by_account double; significant bool!; discovered bool!; reason string",
    "cooccurrence": "facet string!; label_a string!; label_b string!; conversations int64!",
    "variation": "facet string!; label string!; over_facet string!; share double!; "
    "coefficient_of_variation double; corrected double; low double; high double",
    "mirroring": "response_type string!; level int8!; conversations int64!; mirrored int64!; "
    "share double; share_by_chance double; lift double; low double; high double; "
    "lift_low double; lift_high double",
    "explicitness": "label string!; response_type string; explicit int64!; implicit int64!; "
    "residual double",
    "task_values": "task_cluster string!; response_type string!; level int8!; value string!; "
    "conversations int64!; share double; low double; high double; shrunken double; "
    "shrunken_low double; shrunken_high double; reason string",
    "model_comparison": "groups string!; model_a string!; model_b string!; facet string!; "
    "label string!; conversations_a int64!; conversations_b int64!; share_a double; "
    "share_b double; difference double; low double; high double; p_adjusted double; "
    "matched_on string!; turned bool",
    "corrected": "measure string!; facet string!; level int8!; label string!; over_facet string; "
    "over string; versus string; raw double; corrected double; low double; high double; "
    "reviewed int64!; reason string",
    "certificate": "kind string!; headline int64!; sentence int64; claim string!; facet string!; "
    "label string!; over_facet string; over string; versus string; stated double; from double!; "
    "to double; baseline string; reader string; paraphrase int64; strict bool; questions string; "
    "gate int64; conversations int64; estimate double; low double; high double; holds bool; "
    "choice string; share double; by_chance double; badge string; reason string",
}
"""Columns, types and `!` for "never null", as the documentation of the tables states them."""

PRIVATE_TABLES = {"conversations", "rejects", "extractions", "merges", "task_assignments"}
PRIVATE_COLUMNS = {"conversation_id", "account_id", "prompt_id", "messages", "content", "task"}
STATISTICS = (
    *("response_types", "associations", "cooccurrence", "variation", "mirroring"),
    *("explicitness", "task_values", "model_comparison"),
)
RELEASE = ("values_frequencies.csv", "values_tree.csv", "README.md")
STAGES = {  # in order: what a stage must have read, and what it must have written
    "conversations": ((), ("conversations",)),
    "extractions": (("conversations",), ("extractions",)),
    "labels": (("extractions",), ("labels", "merges")),
    "taxonomy": (("extractions", "labels", "merges"), ("taxonomy", "task_assignments")),
    "statistics": (("extractions", "labels", "taxonomy", "task_assignments"), STATISTICS),
    "report": (("labels", "taxonomy"), ("report.html",)),
    "release": (("labels", "taxonomy"), RELEASE),
    "certificate": (  # only of a run that was certified
        ("labels", "taxonomy", "response_types", "associations", "variation", "model_comparison"),
        ("certificate",),
    ),
}
MADE_BY = {table: stage for stage, (_, tables) in STAGES.items() for table in tables}
MADE_BY["corrected"] = "statistics"  # only of a run with a reviewed sample
MANIFEST_FIELDS = {
    *("stage", "number", "key", "inputs", "config", "rows_in", "rows_out", "rejected", "failed"),
    *("seconds", "rows_per_s", "versions", "files", "details"),
}
FILE_FIELDS = {"path", "table", "rows", "bytes", "sha256"}

RESPONSE_TYPES = {
    *("strong_support", "mild_support", "neutral_acknowledgment", "reframing"),
    *("mild_resistance", "strong_resistance", "no_values"),
}
ROLES = {"user", "assistant", "system", "tool"}
VALUE_FACETS = ("ai_values", "human_values")
SCREENED = "screen@"  # the reader of a conversation that no model has read
BOTTOM = {"ai_values": 0, "human_values": 0, "tasks": 1}  # facet -> lowest level of its tree
CODE = re.compile(r"[a-z][a-z0-9_\-]{0,39}")  # ours: a reason or an error is a name, not a sentence
LABEL = re.compile(r"[a-z][a-z '\-]{1,39}")  # the alphabet that labels are allowed
NAME = re.compile(r"[A-Za-z][A-Za-z',\-]*( [A-Za-z',\-]+){0,9}")  # of a cluster: ten words, plain
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 '(),.&/:\-]{0,79}")  # what a release never withholds
PCT_TOLERANCE = 0.0005 + 1e-9  # published percentages have three decimals


def described(kind: pa.DataType) -> str:
    """A type in the notation of SCHEMAS: [of a list], {of a struct}."""
    if pa.types.is_list(kind):
        return f"[{described(kind.value_type)}]"
    if pa.types.is_struct(kind):
        return "{" + ", ".join(column(kind.field(i)) for i in range(kind.num_fields)) + "}"
    return str(kind)


def column(field: pa.Field) -> str:
    """A column in the notation of SCHEMAS."""
    return f"{field.name} {described(field.type)}{'' if field.nullable else '!'}"
