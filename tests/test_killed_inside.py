"""A driver killed at any moment while parts are put together, or while it sweeps."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from in_this_process import run_here
from vitw_check import verdict
from whole_runs import plant_files, run_quietly, small_config, table_bytes

from vitw_ray import pipeline
from vitw_ray.config import RunConfig
from vitw_ray.extraction import extract
from vitw_ray.storage import TEMPORARY, Storage

pytestmark = [pytest.mark.slow]
UNTIL, ROWS, KILLS = "extractions", 120, 6
STEPS = {
    "assembly": [(extract, "assemble")],
    "sweep": [(pipeline, "sweep"), (pipeline, "sweep_stage")],
}
# What changes the disk: before each of these calls is a moment, between a write and its name too.
CHANGES = [
    *((Storage, name) for name in ("write", "create", "delete", "delete_prefix")),
    *((Path, name) for name in ("replace", "hardlink_to")),
    *((os, name) for name in ("unlink", "remove", "rmdir")),
]


class Moments:
    """Counts the moments inside a step, and kills this process at one of them."""

    def __init__(self, step: str, fatal: int | None) -> None:
        self.seen, self._inside, self._fatal = 0, 0, fatal
        for owner, name in STEPS[step]:
            setattr(owner, name, self._entering(getattr(owner, name)))
        for owner, name in CHANGES:
            setattr(owner, name, self._counted(getattr(owner, name)))

    def _entering(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **further: Any) -> Any:
            self._inside += 1
            try:
                return function(*arguments, **further)
            finally:
                self._inside -= 1

        return call

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **further: Any) -> Any:
            if self._inside:
                if self.seen == self._fatal:
                    os.kill(os.getpid(), signal.SIGKILL)
                self.seen += 1
            return function(*arguments, **further)

        return call


def in_a_child(config: RunConfig, step: str, fatal: int | None) -> int | None:
    """The moments of a run in a process of its own; None if it was killed at one."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        moments = Moments(step, fatal)
        try:
            run_quietly(config, until=UNTIL)
            os.write(write, str(moments.seen).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        seen = said.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    return int(seen)


@pytest.mark.parametrize("step", STEPS)
def test_a_driver_killed_at_random_moments_inside_goes_on_to_the_same_bytes(
    tmp_path, monkeypatch, step
):
    run_here(monkeypatch)
    inputs, chance = plant_files(tmp_path / "in", rows=ROWS), random.Random(17)

    def config(name: str) -> RunConfig:
        return small_config(inputs, tmp_path / name, tmp_path / "secret", rows_per_part=20)

    total = in_a_child(config("whole"), step, None)
    assert total is not None
    assert total >= KILLS
    before = table_bytes(tmp_path / "whole")
    for moment in sorted(chance.sample(range(total), KILLS)):
        name = f"killed-{moment}"
        assert in_a_child(config(name), step, moment) is None
        in_a_child(config(name), step, chance.randrange(3))  # the run that goes on, if it can be
        run_quietly(config(name), until=UNTIL)
        assert table_bytes(tmp_path / name) == before
        assert verdict.main([str(tmp_path / name)]) == 0
        assert not list((tmp_path / name).rglob("kept"))
        assert not list((tmp_path / name).rglob(f"*{TEMPORARY}"))
