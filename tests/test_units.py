"""Units fit the rows and actors at hand, so that no actor is idle and all finish together."""

import heapq
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from whole_runs import plant_files, run_quietly, small_config

from vitw_ray.config import Execution, ExtractionConfig, RunConfig
from vitw_ray.extraction import units as units_module
from vitw_ray.extraction.units import Schedule, schedule
from vitw_ray.run_folder import ROW_GROUP_ROWS

PART_ROWS = 4096


def config(*, has_model: bool = True, **execution) -> RunConfig:
    extraction = ExtractionConfig(extractor="openai", model="m") if has_model else None
    return RunConfig(
        extraction=extraction or ExtractionConfig(extractor="simulated"),
        execution=Execution(**execution),
    )


def parts_of(rows: int, per_part: int = PART_ROWS) -> list[range]:
    return [range(min(per_part, rows - start)) for start in range(0, rows, per_part)]


def rows_in(unit) -> int:
    return unit["stop"] - unit["start"]


def seconds_per_actor(scheduled: Schedule, actors: int, late: float = 0.0) -> list[float]:
    """When each actor ends, at one second per row, if each is ready `late` after the one before.

    As Ray does, an actor that is ready is handed units up to its limit, then one for each end.
    """
    waiting = [rows_in(unit) for unit in reversed(scheduled.units)]
    ends = [0.0] * actors
    events = [(number * late, number, scheduled.concurrent + 1) for number in range(actors)]
    heapq.heapify(events)
    while events and waiting:
        now, actor, free = heapq.heappop(events)
        start = max(now, ends[actor])
        for _ in range(free):
            if waiting:
                start += waiting.pop()
                heapq.heappush(events, (start, actor, 1))
        ends[actor] = start
    return ends


@pytest.mark.parametrize("has_model", [True, False])
@pytest.mark.parametrize("actors", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("rows", [320, 1_000, 5_000, 40_000])
def test_actors_finish_together_whatever_the_rows(rows, actors, has_model):
    scheduled = schedule(parts_of(rows), config(has_model=has_model, actors=actors))
    ends = seconds_per_actor(scheduled, actors)
    ideal = rows / actors
    assert max(ends) <= 1.02 * ideal + units_module.LEAST_ROWS
    assert min(ends) > 0


@pytest.mark.parametrize("actors", [2, 3, 8])
@pytest.mark.parametrize("share", [160, 700, 2_000])
def test_what_an_actor_is_handed_at_first_feeds_its_engine_and_is_at_most_its_share(actors, share):
    configured = config(actors=actors)
    units, concurrent = schedule(parts_of(share * actors), configured)
    first = rows_in(units[0])
    assert (concurrent + 1) * first <= share
    enough = min(configured.execution.requests_in_flight, 0.7 * share)
    assert (concurrent - 1) * first >= enough


@pytest.mark.parametrize("late", [1.0, 20.0])
def test_the_first_actor_that_is_ready_leaves_work_for_the_second(late):
    scheduled = schedule(parts_of(320), config(actors=2))
    first, second = seconds_per_actor(scheduled, 2, late)
    assert max(first, second) <= 1.3 * 160


@given(
    st.lists(st.lists(st.booleans(), max_size=700), max_size=5),
    st.integers(1, 9),
    st.integers(1, 300),
    st.booleans(),
)
def test_units_hold_every_pending_row_once_and_never_cross_a_part(
    masks, actors, unit_rows, has_model
):
    pending = [[row for row, wanted in enumerate(mask) if wanted] for mask in masks]
    units, concurrent = schedule(
        pending, config(has_model=has_model, actors=actors, unit_rows=unit_rows)
    )
    held = Counter(
        (unit["part"], row)
        for unit in units
        for row in pending[unit["part"]]
        if unit["start"] <= row < unit["stop"]
    )
    assert held == Counter((part, row) for part, rows in enumerate(pending) for row in rows)
    assert all(unit["start"] < unit["stop"] <= len(masks[unit["part"]]) for unit in units)
    held_by_a_unit = Counter(
        number
        for number, unit in enumerate(units)
        for row in pending[unit["part"]]
        if unit["start"] <= row < unit["stop"]
    )
    assert max(held_by_a_unit.values(), default=0) <= unit_rows
    assert concurrent >= 1


def test_an_engine_never_waits_for_the_next_unit():
    execution = {"max_num_seqs": 512, "unit_rows": 100, "actors": 4}
    configured = config(**execution)
    _, concurrent = schedule(parts_of(100_000), configured)
    assert (concurrent - 1) * 100 >= configured.execution.requests_in_flight
    assert schedule(parts_of(100_000), config(has_model=False)).concurrent == 1


@pytest.mark.parametrize("actors", [1, 4, 16])
@pytest.mark.parametrize("rows", [320, 5_000, 100_000])
def test_few_row_groups_are_read_more_than_once(rows, actors):
    """A unit reads whole row groups: what small units read twice is bounded for each actor."""
    units, _ = schedule(parts_of(rows), config(actors=actors))
    read = sum(
        (unit["stop"] - 1) // ROW_GROUP_ROWS - unit["start"] // ROW_GROUP_ROWS + 1 for unit in units
    )
    whole = sum(-(-len(part) // ROW_GROUP_ROWS) for part in parts_of(rows))
    assert read - 2 * whole <= 2 * units_module.UNITS_PER_ACTOR * actors


def answered_by_actor(output: Path) -> Counter[str]:
    """Rows in the segments of each actor."""
    return Counter(
        {
            actor: sum(pq.read_metadata(file).num_rows for file in files)
            for actor, files in segments_by_actor(output).items()
        }
    )


def segments_by_actor(output: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in output.glob("private/answers-*/**/*.parquet"):
        found.setdefault(file.stem.split("-")[2], []).append(file)
    return found


@pytest.mark.ray
def test_both_actors_get_their_share_of_a_small_run(tmp_path, local_ray):
    inputs = plant_files(tmp_path / "in", rows=320)
    small = small_config(
        inputs,
        tmp_path / "out",
        tmp_path / "secret",
        actors=2,
        rows_per_part=4096,
        simulated_seconds_per_row=0.05,
    )
    run_quietly(small, until="extractions")
    answered = answered_by_actor(tmp_path / "out")
    assert sum(answered.values()) == 320
    assert len(answered) == 2
    assert max(answered.values()) <= 1.3 * min(answered.values()), answered
