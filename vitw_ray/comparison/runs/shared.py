"""Whether two readers say the same about the conversations that both have read."""

from dataclasses import dataclass

import pyarrow as pa

from vitw_ray.agreement.estimates import Estimate
from vitw_ray.comparison.readers.compared import Ways, compare, measures
from vitw_ray.comparison.readers.readings import reading_of
from vitw_ray.comparison.runs.sides import Side

FEWEST = 20  # ours: a coefficient over fewer conversations says little, and much about each
MOST = 20_000  # ours: enough for two digits
CLOSED = {
    "is_subjective": "subjective or not",
    "subjectivity": "level of subjectivity",
    "response_type": "response type",
    "response_group": "response type in three groups",
    "has_human_values": "any human value",
}
LISTS = {"ai_values": "AI values, by spelling", "human_values": "human values, by spelling"}


@dataclass(frozen=True)
class Agreement:
    """`conversations` are in both runs, `compared` of them were looked at.

    `rows` hold what was compared, the measure, and its estimate. `known` is False where a purge has
    taken the answers of one run.
    """

    known: bool
    conversations: int = 0
    compared: int = 0
    rows: tuple[tuple[str, str, Estimate], ...] = ()


def agreement(first: Side, second: Side) -> Agreement:
    """Agreement of both readers, as aggregates only; none over fewer than `FEWEST`."""
    if first.extractions is None or second.extractions is None:
        return Agreement(known=False)
    both = sorted(first.ids() & second.ids())
    if len(both) < FEWEST:
        return Agreement(known=True)
    chosen = pa.array(both[:: -(-len(both) // MOST)], pa.string())
    answers = [side.answers(chosen) for side in (first, second)]
    readings = [
        reading_of(
            side.facts.reader, (found[one] for one in chosen.to_pylist()), side.subjective_from
        )
        for side, found in zip((first, second), answers, strict=True)
    ]
    found = measures(compare(readings[0], readings[1], Ways()))
    rows = [
        (words, measure, found["closed"][facet][measure])
        for facet, words in CLOSED.items()
        for measure in ("same", "kappa")
    ]
    rows += [
        (words, measure, found["lists"][facet]["normalised"][measure])
        for facet, words in LISTS.items()
        for measure in ("f1",)
    ]
    return Agreement(True, len(both), len(chosen), tuple(rows))
