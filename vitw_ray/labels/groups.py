"""Assistants, data sets, languages and days of all conversations, as far as they may be shown.

What has too little support is one group, `other`; the first and the last day are days that pass.
"""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from vitw_ray.config import LabelsConfig
from vitw_ray.gate import Support, with_other

COLUMNS = ("account_id", "model", "source", "language", "created_at", "truncated_share")
COUNTED = {"models": "model", "sources": "source", "languages": "language"}
"""Name in the manifest -> column that is counted."""
LENGTHS = "transcripts"  # `whole`, or `cut` to fit the token budget
DAYS = "days"
Groups = dict[str, Support[str]]


def count_groups(extractions: pa.Table, thresholds: LabelsConfig) -> Groups:
    """Count the groups of one part, subjective or not."""
    accounts = extractions["account_id"].to_pylist()
    columns = {name: extractions[column].to_pylist() for name, column in COUNTED.items()}
    columns[DAYS] = _days(extractions["created_at"])
    shares = extractions["truncated_share"].to_numpy()
    columns[LENGTHS] = ["cut" if share > 0 else "whole" for share in shares]
    groups: Groups = {}
    for name, values in columns.items():
        groups[name] = Support[str](thresholds.min_accounts)
        rows = Counter(zip(values, accounts, strict=True))
        for (value, account), conversations in rows.items():
            if value is not None:
                groups[name].count(value, account, conversations)
    return groups


def add_groups(a: Groups, b: Groups) -> Groups:
    """What both counted; an empty dictionary is the zero."""
    return {name: found.add(b[name]) for name, found in a.items()} if a and b else a or b


def group_details(groups: Groups, known: bool, thresholds: LabelsConfig) -> dict[str, Any]:
    """What the manifest says of groups; `known`: whether any conversation names its account."""
    nothing = Support[str](thresholds.min_accounts)
    days = sorted(groups.get(DAYS, nothing).shown(known, thresholds))
    return {
        **{
            name: with_other(groups.get(name, nothing), known, thresholds)
            for name in (*COUNTED, LENGTHS)
        },
        DAYS: [days[0], days[-1]] if days else [],
    }


def _days(created_at: pa.ChunkedArray) -> list[str | None]:
    """The day of each conversation, as an ISO date."""
    known = created_at.is_valid().to_pylist()
    moments = created_at.cast(pa.timestamp("us")).cast(pa.int64()).fill_null(0).to_numpy()
    days = moments.astype("datetime64[us]").astype("datetime64[D]")
    names = np.datetime_as_string(days).tolist()
    return [day if one else None for day, one in zip(names, known, strict=True)]
