"""Log lines while a run works: when they come, and what they may say of the time left."""

import re
import time

import pytest

from vitw_ray import progress
from vitw_ray.progress import LINE_EVERY_S, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def later(clock, seconds, *parts):
    clock.now += seconds
    for part in parts:
        part.tick()


def test_a_line_comes_every_ten_seconds_and_no_sooner(clock, log_lines):
    counted = Progress("stage", 1000, clock=clock)
    for _ in range(100):
        clock.now += 1.0
        counted.add(1)
    assert len(log_lines) == 100 / LINE_EVERY_S


def test_as_long_as_nothing_came_back_a_line_says_what_is_waited_for(clock, log_lines):
    waiting = Progress("extractions", 2814, waiting="waiting for the first answers", clock=clock)
    later(clock, 9.0, waiting)
    later(clock, 26.0, waiting)
    assert log_lines == ["extractions: waiting for the first answers (35 s)"]


def test_no_rate_and_no_time_left_are_given_before_they_are_known(clock, log_lines):
    counted = Progress("extractions", 2000, clock=clock)
    clock.now += 300
    counted.add(200)
    later(clock, 10.0, counted)
    assert log_lines == [f"extractions: 200 of 2,000 rows ({s} s)" for s in (300, 310)]


def test_the_rate_counts_from_the_first_result_on_and_not_from_the_start(clock, log_lines):
    counted = Progress("extractions", 2000, clock=clock)
    clock.now += 300  # a model loads
    counted.add(200)
    clock.now += 20
    counted.add(400)
    assert log_lines[-1] == "extractions: 600 of 2,000 rows, 20.0 rows/s (now 20.0), 70 s to go"


def test_answers_of_earlier_runs_do_not_raise_the_rate_or_the_time_left(clock, log_lines):
    counted = Progress("extractions", 2000, left_before=1000, clock=clock)
    counted.add(500, reused=500)
    clock.now += 5
    counted.add(100)
    clock.now += 50
    counted.add(200, reused=100)
    # 100 new ones in 50 s; of the 1,200 rows to come, 400 are there
    assert log_lines == [
        "extractions: 800 of 2,000 rows, 600 of them reused, 2.0 rows/s (now 2.0), 400 s to go"
    ]


def test_more_answers_than_rows_are_no_negative_time(clock, log_lines):
    counted = Progress("extractions", 100, left_before=100, clock=clock)
    counted.add(10)
    clock.now += 10
    counted.add(10)
    assert log_lines[-1].endswith(" 0 s to go")


def test_the_recent_rate_is_that_since_the_last_line(clock, log_lines):
    counted = Progress("stage", 1000, clock=clock)
    for rows in (10, 100, 20):
        clock.now += 10
        counted.add(rows)
    assert "6.0 rows/s (now 2.0)" in log_lines[-1]


def test_failed_rows_stand_at_the_end_of_the_line(clock, log_lines):
    counted = Progress("stage", clock=clock)
    clock.now += 10
    counted.add(7, failed=2)
    assert log_lines == ["stage: 7 rows (10 s), 2 failed"]


def test_two_results_at_one_moment_give_no_rate(clock, log_lines):
    counted = Progress("stage", clock=clock)
    counted.add(1)
    counted.add(1)
    counted._last_line -= 10
    counted.tick()
    assert log_lines == ["stage: 2 rows (0 s)"]


def test_of_nested_parts_the_inner_one_speaks_and_the_outer_one_waits_its_turn(clock, log_lines):
    with Progress("taxonomy", clock=clock) as outer:
        with Progress("taxonomy: embed", clock=clock) as inner:
            later(clock, 12.0, outer, inner)
        later(clock, 9.0, outer)
        later(clock, 1.0, outer)
    assert log_lines == ["taxonomy: embed: at work (12 s)", "taxonomy: at work (22 s)"]


def test_a_part_in_which_nothing_comes_back_still_says_so(clock, log_lines, monkeypatch):
    monkeypatch.setattr(progress, "_TICK_S", 0.01)
    with Progress("report", clock=clock):
        clock.now += 10
        deadline = time.monotonic() + 10
        while not log_lines and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [re.sub(r"\d+", "N", line) for line in log_lines] == ["report: at work (N s)"]


def test_a_part_that_has_ended_says_no_more(clock, log_lines, monkeypatch):
    monkeypatch.setattr(progress, "_TICK_S", 0.01)
    with Progress("report", clock=clock):
        pass
    clock.now += 100
    time.sleep(0.1)
    assert log_lines == []


def test_rows_of_units_under_way_are_counted_before_their_unit_comes_back(clock, log_lines):
    rows = [0]
    counted = Progress(
        "extractions", 320, waiting="waiting", clock=clock, under_way=lambda: rows[0]
    )
    later(clock, 10.0, counted)
    rows[0] = 20
    later(clock, 10.0, counted)
    rows[0] = 40
    later(clock, 10.0, counted)
    rows[0] = 0  # the unit comes back
    counted.add(60)
    later(clock, 10.0, counted)
    assert log_lines == [
        "extractions: waiting (10 s)",
        "extractions: 20 of 320 rows (20 s)",
        "extractions: 40 of 320 rows, 2.0 rows/s (now 2.0), 140 s to go",
        "extractions: 60 of 320 rows, 2.0 rows/s (now 2.0), 130 s to go",
    ]


def test_what_is_under_way_is_asked_for_once_per_line(clock, log_lines):
    asked = []
    counted = Progress("extractions", 320, clock=clock, under_way=lambda: asked.append(1) or 0)
    for _ in range(100):
        later(clock, 1.0, counted)
    assert len(asked) == len(log_lines) == 100 / LINE_EVERY_S
