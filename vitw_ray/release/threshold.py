"""The threshold release: supported labels with rounded counts. A heuristic, and called one.

One account contributes a few conversations at most, and what is left must pass the gate. Counts get
noise before they are rounded, and must then be well above the threshold: otherwise fourteen
accounts that plant a label would learn from its name whether a fifteenth one holds it. Only counts
of conversations and accounts are drawn and rounded; every other number is computed from these, so
that no difference of two published numbers holds more than they do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray import paper
from vitw_ray.config import LabelsConfig
from vitw_ray.errors import ConfigError
from vitw_ray.gate import may_be_shown
from vitw_ray.release.strict.population import Integers

NOISE = 12.0  # ours: 50 planted chats then tell of a 51st in 6 of 10 cases, where 5 are guessed
ACCOUNTS_NOISE = 2 * NOISE  # ours: counts of accounts say nearly the same again
MARGIN = 3  # ours: a label at the threshold is shown in one case of 700
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
    floor = (
        ("min_conversations", paper.MIN_CONVERSATIONS),
        ("min_accounts", paper.MIN_ACCOUNTS),
    )
    low = [(name, least) for name, least in floor if getattr(labels, name) < least]
    if low:
        flags = {name: f"--{name.replace('_', '-')}" for name, _ in low}
        made = " ".join(f"{flags[name]} {getattr(labels, name)}" for name, _ in low)
        needed = " ".join(f"{flags[name]} {least}" for name, least in low)
        raise ConfigError(
            f"the run was made with {made}, and a release needs {needed} or more",
            f"run again with {needed}: what was read is kept",
        )


def what_is_shown(of_run: pa.Table, released: pa.Table, thresholds: LabelsConfig) -> str:
    """How many of a run's values are in a release, and why not the others.

    Raises:
        ConfigError: none is.
    """
    found, left = of_run.filter(pc.field("kept")).num_rows, released.num_rows
    least = f"about {lowest(thresholds):.0f} conversations"
    reason = "counts have noise, so that planted conversations do not show what others hold"
    if not left:
        raise ConfigError(
            f"a threshold release shows labels of {least} or more ({reason}); of this run's"
            f" {found} labels none has as many",
            "read more conversations; report.html shows a small run to those who may read it all",
        )
    return f"{left} of the run's {found} labels are in it: each has {least} or more ({reason})"


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


Noise = Callable[[str, float], int]
"""Draws noise for what a text names, of a scale; the same for the same text."""


def rounded_labels(found: Bounded, base: int, thresholds: LabelsConfig, noise: Noise) -> pa.Table:
    """The rows of `labels` with support: rounded counts, and shares computed from these."""
    total = max(rounded_total(found, base, noise), 1)
    rows = []
    for row in found.labels.filter(pc.field("kept")).to_pylist():
        name, accounts = f"{row['facet']} {row['label']}", row["accounts"]
        count = _shown(name, row["conversations"], accounts, base, thresholds, noise)
        if count is not None:
            if accounts is not None:
                drawn = accounts + noise(f"accounts of {name}", ACCOUNTS_NOISE)
                accounts = max(_rounded(drawn, base), _rounded(thresholds.min_accounts, base))
                accounts = min(accounts, count)
            rows.append(
                row | {"conversations": count, "accounts": accounts, "share": count / total}
            )
    return pa.Table.from_pylist(rows, found.labels.schema)


def rounded_total(found: Bounded, base: int, noise: Noise) -> int:
    """Subjective conversations."""
    return max(_rounded(found.subjective + noise("conversations", NOISE), base), 0)


def _shown(
    name: str,
    conversations: int,
    accounts: int | None,
    base: int,
    thresholds: LabelsConfig,
    noise: Noise,
) -> int | None:
    """The count that is shown, or None."""
    drawn = conversations + noise(name, NOISE)
    passes = bool(may_be_shown(conversations, accounts, thresholds))
    return _rounded(drawn, base) if passes and drawn >= lowest(thresholds) else None


def lowest(thresholds: LabelsConfig) -> float:
    """The smallest count, with noise, that is shown."""
    return thresholds.min_conversations + MARGIN * NOISE


def _rounded(count: int, base: int) -> int:
    return int(rounded(np.array([count]), base)[0])


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
    response_types: pa.Table, found: Bounded, base: int, thresholds: LabelsConfig, noise: Noise
) -> pa.Table:
    """The response types that the run shows and that still pass, over all conversations."""
    overall = response_types.filter(pc.field("model").is_null() & pc.field("over_facet").is_null())
    rows = []
    for kind in overall["response_type"].to_pylist():
        count = _shown(f"type {kind}", *found.response_types[kind], base, thresholds, noise)
        if count is not None:
            rows.append({"response_type": kind, "conversations": count})
    return pa.Table.from_pylist(rows, RESPONSES)
