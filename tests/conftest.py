"""Shared fixtures: real conversations, what is logged, and one local Ray for the whole session."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import browser, open_page  # noqa: F401  (fixtures)
from hypothesis import settings
from s3_server import s3_server  # noqa: F401  (a fixture)

if TYPE_CHECKING:
    from vitw_ray.opened_run import OpenedRun

# A busy machine is slow, not wrong; and half of hypothesis's examples keep the suite short.
settings.register_profile("default", deadline=None, max_examples=50)
settings.load_profile("default")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real conversations and labels; tests that need it are skipped without it."""
    folder = Path(os.environ.get("VITW_RAY_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "conversations.jsonl.gz").exists():
        pytest.skip(f"no real conversations at {folder}; set VITW_RAY_DATA to their folder")
    return folder


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """What the package logs, a line each; `caplog` sees nothing once a job has set up logging."""
    found: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    log, keep = logging.getLogger("vitw_ray"), Keep()
    before = log.level
    log.addHandler(keep)
    log.setLevel(logging.INFO)
    yield found
    log.removeHandler(keep)
    log.setLevel(before)


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One Ray for all tests that need it: starting one takes seconds."""
    from vitw_ray.cluster import connect, disconnect
    from vitw_ray.config import Execution

    os.environ["RAY_AUTH_MODE"] = "disabled"
    connect(Execution())
    yield
    disconnect()


@pytest.fixture(scope="session")
def sample_run(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> "OpenedRun":
    """All stages over 400 planted conversations, in several parts; not to be changed."""
    from whole_runs import plant_files, review_planted, small_config

    from vitw_ray import run

    folder = tmp_path_factory.mktemp("sample_run")
    inputs = plant_files(folder / "in", rows=400)
    config = small_config(inputs, folder / "run", folder / "secret")
    reviewed = review_planted(folder / "reviewed.jsonl", rows=400, every=2)
    return run(
        config, alpha=0.5, reviewed=reviewed
    )  # so few conversations show little at the usual level
