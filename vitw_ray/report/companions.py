"""Explicit values and co-occurring values, as the page shows them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.intervals import wilson
from vitw_ray.report.figures import bar, residual_tone
from vitw_ray.wording import percent

Row = dict[str, Any]


class Spoken(NamedTuple):
    """Explicit and implicit AI values, by response type and by label."""

    by_type: list[Row]  # response_type, share, low, high, total, bar
    said: list[Row]  # labels more explicit than others, with share and tone
    shown: list[Row]  # labels less explicit than others


def spoken(table: pa.Table, few: int) -> Spoken | None:
    """Rows of `explicitness` for the page; None if it has no (label, conversation) pair."""
    rows = table.to_pylist()
    explicit, total = Counter[str](), Counter[str]()
    for row in rows:
        if row["response_type"] is not None:
            explicit[row["response_type"]] += row["explicit"]
            total[row["response_type"]] += row["explicit"] + row["implicit"]
    kinds = [kind for kind in RESPONSE_TYPES if total[kind]]
    if not kinds:
        return None
    by_type = [_share_row(kind, explicit[kind], total[kind]) for kind in kinds]
    labels = [row for row in rows if row["response_type"] is None and row["residual"] is not None]
    for row in labels:
        row["share"] = row["explicit"] / (row["explicit"] + row["implicit"])
        row["tone"] = residual_tone(row["residual"])
    labels.sort(key=lambda row: (-row["residual"], row["label"]))
    said = [row for row in labels if row["residual"] > 0]
    shown = [row for row in reversed(labels) if row["residual"] < 0]
    return Spoken(by_type, said[:few], shown[:few])


def _share_row(kind: str, explicit: int, total: int) -> Row:
    low, high = (float(end) for end in wilson(explicit, total))
    share = explicit / total
    heard = f"{percent(share)}, from {percent(low)} to {percent(high)}"
    drawn: Markup = bar(share, 1.0, label=heard, tone=kind, low=low, high=high)
    ends = {"share": share, "low": low, "high": high}
    return {"response_type": kind, "total": total, "bar": drawn, **ends}


def together(
    table: pa.Table, labels: pa.Table, facet: str, subjective: int, top: int
) -> Sequence[Row]:
    """The most common pairs of one facet, with the counts expected under independence."""
    order = [("conversations", "descending"), ("label_a", "ascending"), ("label_b", "ascending")]
    rows = table.filter(pc.field("facet") == facet).sort_by(order).slice(0, top).to_pylist()
    mine = labels.filter(pc.field("facet") == facet)
    sizes = dict(zip(mine["label"].to_pylist(), mine["conversations"].to_pylist(), strict=True))
    for row in rows:
        a, b = sizes.get(row["label_a"], 0), sizes.get(row["label_b"], 0)
        row["expected"] = a * b / subjective if subjective else None
        row["ratio"] = row["conversations"] / row["expected"] if row["expected"] else None
    return rows
