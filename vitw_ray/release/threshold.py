"""The threshold release: supported labels with rounded counts. A heuristic, and called one.

One account contributes a few conversations at most, and what is left must pass the gate. Only
counts of conversations and accounts are rounded; every other number is computed from these, so that
no difference of two published numbers holds more than they do.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray import paper
from vitw_ray.config import LabelsConfig
from vitw_ray.errors import ConfigError
from vitw_ray.gate import may_be_shown
from vitw_ray.release.strict.population import Integers

RESPONSES = pa.schema([("response_type", pa.string()), ("conversations", pa.int64())])
COUNTED = pa.schema(
    [
        ("facet", pa.string()),
        ("label", pa.string()),
        ("conversations", pa.int64()),
        ("accounts", pa.int64()),
        ("share", pa.float64()),
    ]
)


def refuse_low_thresholds(labels: LabelsConfig) -> None:
    """Refuse to publish a run whose labels needed less support than the least for a release.

    Its clusters are named after its labels, so a filter here would come too late.

    Raises:
        ConfigError: a threshold is lower.
    """
    for name, least in (
        ("min_conversations", paper.MIN_CONVERSATIONS),
        ("min_accounts", paper.MIN_ACCOUNTS),
    ):
        if getattr(labels, name) < least:
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"the run was made with {flag} {getattr(labels, name)}, and a release needs"
                f" {least} or more",
                f"run again with {flag} {least}: what was read is kept",
            )


def rounded(counts: Integers, base: int) -> Integers:
    """Counts as the nearest multiples of a number, halves up."""
    return (counts + base // 2) // base * base


@dataclass(frozen=True)
class Bounded:
    """What is counted of a run once the contributions of its accounts are bounded."""

    labels: pa.Table
    """Rows of `labels`; `accounts` is null if no conversation of the run names its account."""
    subjective: int
    response_types: Mapping[str, tuple[int, int | None]]
    """Conversations and accounts of each."""


def rounded_labels(found: Bounded, base: int, thresholds: LabelsConfig) -> pa.Table:
    """The rows of `labels` with support: rounded counts, and shares computed from these."""
    kept = found.labels.filter(pc.field("kept"))
    accounts = kept["accounts"].fill_null(thresholds.min_accounts).to_numpy()
    passes = may_be_shown(kept["conversations"].to_numpy(), accounts, thresholds)
    kept = kept.filter(pa.array(passes))
    total = int(rounded(np.array([found.subjective]), base)[0])
    counts = rounded(kept["conversations"].to_numpy(), base)
    known = kept["accounts"].null_count == 0
    people = rounded(kept["accounts"].to_numpy(), base) if known and kept.num_rows else None
    columns = {
        "conversations": pa.array(counts),
        "accounts": pa.nulls(kept.num_rows, pa.int64()) if people is None else pa.array(people),
        "share": pa.array(counts / max(total, 1)),
    }
    arrays = [columns.get(name, kept[name]) for name in found.labels.schema.names]
    return pa.table(arrays, schema=found.labels.schema)


def counted(labels: pa.Table, names: Mapping[str, set[str]]) -> pa.Table:
    """The rounded labels that the other tables name, without what only the run needs."""
    rows = [
        {name: row[name] for name in COUNTED.names}
        for row in labels.to_pylist()
        if row["label"] in names.get(row["facet"], ())
    ]
    rows.sort(key=lambda row: (row["facet"], -row["conversations"], row["label"]))
    return pa.Table.from_pylist(rows, COUNTED)


def rounded_types(
    response_types: pa.Table, found: Bounded, base: int, thresholds: LabelsConfig
) -> pa.Table:
    """The response types that the run shows and that still pass, over all conversations."""
    overall = response_types.filter(pc.field("model").is_null() & pc.field("over_facet").is_null())
    rows = []
    for name in overall["response_type"].to_pylist():
        conversations, accounts = found.response_types[name]
        if may_be_shown(conversations, accounts, thresholds):
            count = int(rounded(np.array([conversations]), base)[0])
            rows.append({"response_type": name, "conversations": count})
    return pa.Table.from_pylist(rows, RESPONSES)
