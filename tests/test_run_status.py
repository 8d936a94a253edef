"""`vitw status`: true of a run at work, killed, failed, finished, purged and damaged."""

import json
import subprocess
import sys
import threading
import time

import pytest
from whole_runs import plant_files, small_config

from vitw_ray import progress, progress_file
from vitw_ray.cli import status as command
from vitw_ray.cli.main import main
from vitw_ray.errors import OutputError, StageFailed
from vitw_ray.extraction.answers import Extracted
from vitw_ray.extraction.segments import SegmentWriter, open_answers
from vitw_ray.lease import PROGRESS
from vitw_ray.pipeline import run
from vitw_ray.progress import Progress
from vitw_ray.progress_file import ProgressFile
from vitw_ray.run_folder import StageFolder
from vitw_ray.run_status import read_status
from vitw_ray.storage import Storage

READ, EXTRACTED = "1_conversations-0123456789abcdef", "2_extractions-fedcba9876543210"
PLAN = [(1, "conversations", READ), (2, "extractions", EXTRACTED), (3, "labels", "3_labels-...")]


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path))


def finish_stage(storage, name=READ, **fields):
    storage.write(f"private/{name}/conversations/part-00000.parquet", b"rows")
    file = {"path": f"private/{name}/conversations/part-00000.parquet", "bytes": 4}
    counts = {"rows_in": 1000, "rows_out": 990, "rejected": {"no_messages": 10}, "failed": {}}
    StageFolder(storage, name).publish({"files": [file], **counts, "seconds": 300, **fields})


def write(storage, **changes):
    """What a driver says in the middle of stage 2, with changes."""
    part = {"part": "extractions", "done": 600, "total": 990, "failed": 3, "unit": "rows"}
    content = {
        **{"state": "running", "error": None, "host": "head", "pid": 7, "since": 0.0},
        **{"updated": 1000.0, "stage": "extractions", "part": part},
        "samples": [[700.0, 0], [1000.0, 600]],
        "tokens": {"prompt_tokens": 2_000_000, "output_tokens": 100_000},
        "stages": [dict(zip(("number", "name", "folder"), one, strict=True)) for one in PLAN],
    }
    storage.write(PROGRESS, json.dumps({**content, **changes}).encode())


def states(status):
    return [stage.state for stage in status.stages]


def test_a_run_at_work_has_a_rate_a_time_to_go_and_a_cost(storage):
    finish_stage(storage)
    write(storage)
    status = read_status(storage, prices=(0.5, 2.0), now=1005.0)
    assert (status.state, states(status)) == ("running", ["done", "running", "to do"])
    assert (status.rate, status.left_s) == (2.0, 195.0)
    assert status.cost == pytest.approx(1.2)
    text = "\n".join(command.lines(status))
    assert "10 rejected (no_messages 10)" in text
    assert "600 of 990 rows, 3 failed, 2.0 rows/s over the last 5 min, 3 min to go" in text
    assert "2,000,000 read, 100,000 written, cost 1.20" in text


def test_a_driver_that_says_nothing_any_more_is_told_from_one_at_work(storage):
    write(storage)
    status = read_status(storage, now=1000.0 + 600)
    assert (status.state, status.part, status.rate) == ("silent", None, None)
    assert "not heard of for 10 min: process 7 on head was killed" in "\n".join(
        command.lines(status)
    )


def test_a_failed_run_says_why_and_in_which_stage(storage):
    finish_stage(storage)
    write(storage, state="failed", error="5 of 9 conversations failed (time_out 5)")
    status = read_status(storage, now=1e9)
    assert (status.state, states(status)) == ("failed", ["done", "failed", "to do"])
    assert "5 of 9 conversations failed" in "\n".join(command.lines(status))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "part-00000.parquet").unlink(), "is gone"),
        (lambda folder: (folder / "part-00000.parquet").write_bytes(b"x"), "has 1 of 4 bytes"),
    ],
)
def test_a_damaged_run_names_the_file(storage, tmp_path, damage, said):
    finish_stage(storage)
    damage(tmp_path / "private" / READ / "conversations")
    (stage,) = read_status(storage).stages
    assert stage.state == "damaged"
    assert stage.damage == (f"private/{READ}/conversations/part-00000.parquet {said}",)


def test_a_damaged_manifest_and_a_damaged_progress_file_are_no_crash(storage):
    storage.write(f"{READ}/_SUCCESS.json", b"{")
    storage.write(PROGRESS, b"\xff{")
    assert states(read_status(storage)) == ["damaged"]


def test_answers_are_counted_by_the_names_of_their_files(storage):
    finish_stage(storage)
    writer = SegmentWriter(open_answers(storage, "private/answers-0", 4), 1, 2, 1e9)
    for number in range(7):
        writer.add(bytes([number]) * 16, number << 58, Extracted(None, "x" if not number else None))
    writer.commit()
    storage.write("private/answers-0/damaged/e1.parquet", b"")
    found = {"committed": 6, "last_5_min": 6, "files_set_aside": 1}
    assert read_status(storage).answers == found
    assert read_status(storage, now=time.time() + 400).answers == {**found, "last_5_min": 0}


def test_a_folder_without_a_run_is_refused(storage):
    with pytest.raises(OutputError, match="holds no run"):
        read_status(storage)


def test_the_command_prints_one_line_of_json_and_does_not_load_ray(storage):
    finish_stage(storage)
    script = (
        "import sys; from vitw_ray.cli.main import main;"
        f" status = main(['status', {storage.root!r}, '--json']);"
        " assert 'ray' not in sys.modules and 'torch' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["stages"][0]["rows_out"] == 990


def test_the_driver_writes_what_is_under_way_and_how_it_ended(storage):
    told = ProgressFile(storage, 1e9)
    told.plan(PLAN)
    told.at("extractions", EXTRACTED)
    with Progress("extractions", 10) as part:
        part.add(4, failed=1)
        progress.spent.update(prompt_tokens=5)
        told.write("running")
    status = read_status(storage)
    assert (status.state, states(status)) == ("running", ["to do", "running", "to do"])
    assert status.part is not None
    assert (status.part["done"], status.part["failed"]) == (4, 1)
    assert status.tokens == {"prompt_tokens": 5}
    with pytest.raises(StageFailed), told.writing():
        raise StageFailed("no engine", "fix it")
    assert (read_status(storage).state, read_status(storage).error) == ("failed", "no engine")


def test_an_error_that_may_quote_a_row_is_named_by_its_class_alone(storage):
    with pytest.raises(ValueError, match="text"), ProgressFile(storage, 1e9).writing():
        raise ValueError("text of a conversation")
    assert json.loads(storage.read(PROGRESS))["error"] == "ValueError"


@pytest.mark.slow
def test_a_run_in_which_nothing_comes_back_ends_with_the_stage_and_its_last_line(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(progress_file, "EVERY_S", 0.05)
    monkeypatch.setattr("vitw_ray.cluster.which_ray", lambda: "ray: 2 nodes, 0 GPUs")
    monkeypatch.setattr("vitw_ray.cluster.disconnect", lambda: None)
    config = small_config(
        plant_files(tmp_path / "in", rows=3), tmp_path / "out", tmp_path / "secret"
    )
    made: list[ProgressFile] = []

    def make(storage, stall_s):
        made.append(ProgressFile(storage, stall_s))
        return made[-1]

    def wait(*_):
        with Progress("extractions", 10, waiting="waiting for the first answers"):
            made[-1]._stall_s = 0.3
            threading.Event().wait(30)

    monkeypatch.setattr("vitw_ray.pipeline.ProgressFile", make)
    monkeypatch.setattr("vitw_ray.pipeline.preflight", wait)
    with pytest.raises(StageFailed) as failed:
        run(config, announce=lambda line: None)
    assert "its last line: extractions: waiting for the first answers" in failed.value.problem
    assert "ray: 2 nodes, 0 GPUs" in failed.value.problem
    assert read_status(Storage(str(tmp_path / "out"))).state == "failed"


def test_an_address_without_a_run_is_an_error_with_a_fix(tmp_path, capsys):
    assert main(["status", str(tmp_path)]) == 1
    assert "fix:" in capsys.readouterr().err


@pytest.mark.s3
def test_a_run_in_a_bucket_is_read_in_the_same_way(s3_server):
    storage = Storage(f"{s3_server.new_bucket()}/run")
    finish_stage(storage)
    write(storage)
    assert read_status(storage, now=1001.0).rate == 2.0
