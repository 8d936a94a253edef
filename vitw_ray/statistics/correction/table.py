"""The table `corrected`: raw measures of the run beside what they are without the reader's errors.

A measure is corrected only where its raw number is public, so the rows follow the other tables of
the stage. A share over all conversations has a row even if the sample is too small to tell it;
other measures only where there is a number.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.records import CORRECTED
from vitw_ray.statistics.contingency import Counts
from vitw_ray.statistics.correction import corrected
from vitw_ray.statistics.correction.corrected import Corrected
from vitw_ray.statistics.correction.group_rows import by_group, trends
from vitw_ray.statistics.correction.groups import Grouped, Labels
from vitw_ray.statistics.correction.measures import share_states, table_states
from vitw_ray.statistics.correction.mirrored import mirroring
from vitw_ray.statistics.correction.rows import Correction, Row, numbers_of, row_of


def corrected_table(
    correction: Correction,
    public: Mapping[str, pa.Table],
    comparisons: Sequence[tuple[Grouped, pa.Table]],
    periods: Grouped,
) -> pa.Table:
    """The whole table.

    Args:
        correction: the reviewed rows and the counts.
        public: the other tables of the stage.
        comparisons: assistants and languages, with the raw comparison of them.
        periods: those that may be shown.
    """
    rows = [
        *_subjective(correction),
        *_response_types(correction, public["response_types"]),
        *_shares(correction),
        *_associations(correction, public["associations"]),
        *mirroring(correction, public["mirroring"]),
    ]
    for groups, raw in comparisons:
        rows += by_group(correction, groups, raw)
    rows += trends(correction, periods)
    least = correction.least.rows
    return pa.Table.from_pylist([_rounded(row, least) for row in rows], schema=CORRECTED)


def _rounded(row: Row, least: int) -> Row:
    """All columns; `reviewed` is rounded down, so that no small number follows by subtraction."""
    return {name: row.get(name) for name in CORRECTED.names} | {
        "reviewed": row["reviewed"] // least * least
    }


def _subjective(correction: Correction) -> Iterator[Row]:
    """The share of all conversations that are subjective."""
    of_people, of_reader = correction.answers.base
    everything = np.ones(of_people.size, bool)
    sample = correction.sample(
        share_states(everything, of_people), share_states(everything, of_reader)
    )
    n, k = correction.conversations, correction.subjective
    found = corrected.share(sample, [[0, n - k, k]], least=correction.least)
    names = {"measure": "share", "facet": "subjectivity", "level": 0, "label": "subjective"}
    yield {**names, "raw": k / n, **numbers_of(found)}


def _response_types(correction: Correction, raw: pa.Table) -> Iterator[Row]:
    """Over all conversations with a response type."""
    labels, counts = correction.types, correction.counts["types x models"]
    base = np.any(labels.people, axis=1), np.any(labels.reader, axis=1)
    whole = int(counts.rows.sum())
    for row in raw.filter(pc.field("over").is_null() & pc.field("model").is_null()).to_pylist():
        code = RESPONSE_TYPES.index(row["response_type"])
        k = int(counts.rows[code])
        sample = correction.sample(*correction.states(labels, code, base))
        found = corrected.share(sample, [[0, whole - k, k]], least=correction.least)
        yield row_of("share", labels, code, row["share"], found)


def _shares(correction: Correction) -> Iterator[Row]:
    """Of each value, or cluster of values, over subjective conversations."""
    n = correction.subjective
    for labels in correction.labels:
        if labels is correction.types or not n:
            continue
        for code, k in enumerate(correction.presence(labels).tolist()):
            sample = correction.sample(*correction.states(labels, code))
            found = corrected.share(sample, [[0, n - k, k]], least=correction.least)
            yield row_of("share", labels, code, k / n, found)


def _associations(correction: Correction, raw: pa.Table) -> Iterator[Row]:
    """Odds ratios of AI values with response types and human values."""
    columns = {labels.axis.facet: labels for labels in correction.labels}
    columns = {facet: columns[facet] for facet in ("response_types", "human_values")}
    public = {
        (row["column_facet"], row["level"], row["row"], row["column"]): row["odds_ratio"]
        for row in raw.filter(pc.field("column_facet").isin([*columns])).to_pylist()
    }
    for labels in correction.labels:
        if labels.axis.facet != "ai_values":
            continue
        for facet, column in columns.items():
            counts = correction.counts[f"{labels.name} x {column.name}"]
            met = labels.people.T.astype(np.int64) @ column.people
            for r, c in np.argwhere(met >= correction.least.cell).tolist():
                names = labels.axis.names[r], column.axis.names[c]
                known = public.get((facet, labels.axis.level, *names))
                found = _odds_ratio(correction, labels, r, column, c, counts)
                if known is not None and found.reason is None:
                    yield row_of("odds_ratio", labels, r, known, found, (facet, names[1]))


def _odds_ratio(
    correction: Correction, row: Labels, r: int, column: Labels, c: int, counts: Counts
) -> Corrected:
    of_people, of_reader = correction.answers.base
    sample = correction.sample(
        table_states(of_people, row.people[:, r], column.people[:, c]),
        table_states(of_reader, row.reader[:, r], column.reader[:, c]),
    )
    both, first, second = counts.both[r, c], counts.rows[r], counts.columns[c]
    neither = counts.conversations - first - second + both
    cells = [[0, neither, first - both, second - both, both]]
    return corrected.odds_ratio(sample, cells, least=correction.least)
