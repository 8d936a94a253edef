"""Units of work of stage 2, sized to the rows and the actors at hand.

A unit is a range of rows of one part. Ray hands several units to the first actor that is ready, so
an actor's share must consist of many; and the last units are small, so that the actors finish
together. A unit reads whole row groups: units smaller than a row group are made only where rows are
few or near their end, which bounds what is read twice by some row groups per actor.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from vitw_ray.cluster import Unit
from vitw_ray.config import RunConfig
from vitw_ray.extractor_kinds import EXTRACTORS

LEAST_ROWS = 8  # ours: reading a row group for fewer rows takes as long as asking about them
UNITS_PER_ACTOR = 10  # ours, at least: with two units, the first actor that was ready took both
TAPER = 2  # ours: a unit takes at most 1 / (TAPER * actors) of the rows that are left


class Schedule(NamedTuple):
    """Units in the order in which they are started, and how many an actor works on at once."""

    units: list[Unit]
    concurrent: int


def schedule(pending: Sequence[Sequence[int]], config: RunConfig) -> Schedule:
    """Divide the rows that have no answer into units; none crosses the boundary of a part.

    Args:
        pending: of each part, the positions of these rows, in ascending order.
        config: the run.
    """
    execution, left = config.execution, sum(map(len, pending))
    actors, share = execution.actors, math.ceil(left / execution.actors)
    largest = min(execution.unit_rows, max(LEAST_ROWS, share // UNITS_PER_ACTOR))
    units: list[Unit] = []
    for part, rows in enumerate(pending):
        start = 0
        while start < len(rows):
            tapered = min(largest, max(LEAST_ROWS, left // (TAPER * actors)))
            in_part = len(rows) - start
            size = math.ceil(in_part / math.ceil(in_part / tapered))  # no small rest in a part
            chunk = rows[start : start + size]
            units.append({"part": part, "start": int(chunk[0]), "stop": int(chunk[-1]) + 1})
            start, left = start + size, left - size
    return Schedule(units, _concurrent(config, largest, share))


def _concurrent(config: RunConfig, unit_rows: int, share: int) -> int:
    """Units that keep an actor's model busy while the next one is read, within its share."""
    if not EXTRACTORS[config.extraction.extractor].has_model:
        return 1
    enough = math.ceil(config.execution.requests_in_flight / unit_rows) + 1
    return max(1, min(enough, share // unit_rows - 1))  # Ray hands out one unit more
