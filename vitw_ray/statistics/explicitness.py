"""Explicit and implicit AI values, by label and response type (paper, B.6).

A value is explicit in a conversation if the assistant states it at least once, else implicit. The
residual of a response type compares it with all other response types, among the conversations that
have the label. The residual over all response types compares the label with all other labels, among
all (label, conversation) pairs.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from vitw_ray.gate import Mask
from vitw_ray.intervals import Floats
from vitw_ray.records import EXPLICITNESS
from vitw_ray.statistics.contingency import Axis, Counts, Integers
from vitw_ray.statistics.residuals import adjusted_residual
from vitw_ray.statistics.suppression import hide_lines, hide_splits, numbers


def explicitness(
    shown: Counts,
    said: Counts,
    response_type: Axis,
    labels: Sequence[str],
    least: int = 1,
    few: tuple[Mask, Mask] | None = None,
) -> pa.Table:
    """The table `explicitness`: per label, a row over all response types, then one for each.

    Args:
        shown: AI values by response types, explicit or implicit.
        said: the explicit ones; no count is larger than in `shown`.
        response_type: names of the columns.
        labels: names of the rows.
        least: conversations that each number needs, unless it is 0; other rows are not written.
        few: rows whose explicit, and whose implicit conversations have too few accounts.
            Without the row over all types, the residuals of a label are null: they follow from it.
    """
    all_types = _residuals(said.rows, shown.rows, said.rows.sum(), shown.rows.sum())
    of_type = _residuals(
        said.both, shown.both, said.both.sum(axis=1)[:, None], shown.both.sum(axis=1)[:, None]
    )
    explicit = np.column_stack([said.rows, said.both])
    implicit = np.column_stack([shown.rows, shown.both]) - explicit
    types = [None, *response_type.names]
    # the residuals of these rows give away the sum over all labels, so they are a line as well
    one, other = (np.append(n.sum(), n)[None, :] for n in (explicit[:, 0], implicit[:, 0]))
    of_labels = hide_splits(one, other, least, np.zeros(one.shape, bool))[0, 1:]
    hidden = np.column_stack([of_labels, hide_lines(shown.both, least)])
    for n, mask in zip((explicit, implicit), few or (), strict=False):
        hidden |= (n > 0) & mask
    hidden = hide_splits(explicit, implicit, least, hidden)
    of_type[hidden[:, 0]] = np.nan
    columns = {
        "label": pa.array(np.repeat(np.array(labels, dtype=object), len(types)), pa.string()),
        "response_type": pa.array(types * len(labels), pa.string()),
        "explicit": pa.array(explicit.ravel()),
        "implicit": pa.array(implicit.ravel()),
        "residual": pa.array(np.column_stack([all_types, of_type]).ravel(), from_pandas=True),
    }
    return pa.table(columns, schema=EXPLICITNESS).take(pa.array(numbers(hidden)))


def _residuals(said: Integers, shown: Integers, all_said: Integers, all_shown: Integers) -> Floats:
    """Residual of the 2 x 2 table of inside or outside by explicit or implicit; NaN if empty."""
    n = np.broadcast_to(all_shown, said.shape)
    return adjusted_residual(said, shown, np.broadcast_to(all_said, said.shape), n)
