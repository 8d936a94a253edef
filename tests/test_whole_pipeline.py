"""Promises of whole runs, with real Ray: conservation, reruns, layouts, kills."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from seeds import also_slow
from whole_runs import (
    OF_DRIVER,
    plant_files,
    run_quietly,
    small_config,
    start_job,
    table_bytes,
    tree_bytes,
    wait_for_segments,
)

from vitw_ray.config import SAMPLE
from vitw_ray.errors import InputError, RunLocked

pytestmark = pytest.mark.ray
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, local_ray):
    """One undisturbed run of 300 planted conversations."""
    folder = tmp_path_factory.mktemp("finished")
    inputs = plant_files(folder / "in", rows=300)
    config = small_config(inputs, folder / "out", folder / "secret")
    return config, run_quietly(config), folder


def check(output: Path | str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / "jobs" / "check.py"), str(output)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_row_is_accounted_for_and_the_checker_agrees(finished):
    config, result, _ = finished
    totals = result["totals"]
    assert totals["rows_read"] == totals["conversations"] + totals["rejected"] == 300
    assert totals["extractions"] == totals["conversations"]
    done = check(config.execution.output)
    assert done.returncode == 0, done.stdout


def test_a_rerun_makes_no_model_call_and_changes_no_byte(finished, monkeypatch):
    config, result, folder = finished
    before = tree_bytes(folder / "out")
    log = folder / "calls"
    log.mkdir(exist_ok=True)
    monkeypatch.setenv("VITW_RAY_CALL_LOG", str(log))
    assert run_quietly(config) == result
    after = tree_bytes(folder / "out")
    lease = {path for path in before if OF_DRIVER.search(path)}
    assert {p: v for p, v in after.items() if p not in lease} == {
        p: v for p, v in before.items() if p not in lease
    }
    assert not list(log.iterdir())


@pytest.mark.parametrize(("actors", "unit_rows", "files"), [(1, 37, 1), (3, 1000, 5)])
def test_actors_blocks_and_the_order_of_files_change_no_byte(
    finished, tmp_path, actors, unit_rows, files
):
    _check_layout(finished, tmp_path, actors, unit_rows, files)


@pytest.mark.slow
@pytest.mark.parametrize("actors", [1, 2, 3])
@pytest.mark.parametrize("unit_rows", [37, 100, 1000])
def test_every_layout_gives_the_same_bytes(finished, tmp_path, actors, unit_rows):
    _check_layout(finished, tmp_path, actors, unit_rows, files=1 + (actors * unit_rows) % 4)


def _check_layout(finished, tmp_path, actors, unit_rows, files) -> None:
    config, _, _ = finished
    inputs = plant_files(tmp_path / "in", rows=300, files=files, shuffle=actors)
    other = small_config(
        inputs,
        tmp_path / "out",
        tmp_path / "secret",
        actors=actors,
        unit_rows=unit_rows,
        segment_rows=1 + unit_rows // 3,
    )
    run_quietly(other)
    expected, found = table_bytes(config.execution.output), table_bytes(tmp_path / "out")
    assert expected.pop("rejects") is not None
    assert found.pop("rejects") is not None  # names files, so it follows them
    assert found == expected


def test_more_input_costs_only_the_new_rows(tmp_path, local_ray):
    inputs = plant_files(tmp_path / "in", rows=60, files=1)
    config = small_config(inputs, tmp_path / "out", tmp_path / "secret")
    run_quietly(config)
    more = plant_files(tmp_path / "in", rows=90, files=1)
    result = run_quietly(small_config(more, tmp_path / "out", tmp_path / "secret"))
    details = {s["name"]: s["details"] for s in result["stages"]}["extractions"]
    assert (details["answers_reused"], details["answers_new"]) == (60, 30)


def calls(folder: Path) -> Counter[str]:
    return Counter(line for file in folder.iterdir() for line in file.read_text().split())


@pytest.mark.parametrize("committed_before_the_kill", also_slow([2], [1, 4, 8]))
def test_a_killed_driver_loses_nothing_and_recomputes_little(
    finished, tmp_path, committed_before_the_kill
):
    config, _, folder = finished
    log = tmp_path / "calls"
    log.mkdir()
    actors, segment_rows, batch_rows = 2, 20, 32
    arguments = [
        "--preset", "smoke", "--input", *config.conversations.input,
        "--output", str(tmp_path / "out"), "--secret-file", str(folder / "secret"),
        "--rows-per-part", "100", "--embedder", "hashing", "--min-conversations", "3",
        "--min-accounts", "1", "--unit-rows", "50", "--segment-rows", str(segment_rows),
        "--actors", str(actors), "--simulated-seconds-per-row", "0.03",
    ]  # fmt: skip
    first = start_job(arguments, VITW_RAY_CALL_LOG=str(log))
    wait_for_segments(tmp_path / "out", committed_before_the_kill, first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = calls(log)
    assert 0 < len(before) < 300, "the kill came too early or too late to show anything"
    second = start_job(arguments, VITW_RAY_CALL_LOG=str(log))
    output, errors = second.communicate(timeout=240)
    assert second.returncode == 0, errors[-2000:]
    assert json.loads(output.splitlines()[-1])["extractions"] == 300
    assert table_bytes(tmp_path / "out") == table_bytes(config.execution.output)
    repeated = sum(calls(log).values()) - len(calls(log))
    assert repeated <= actors * (batch_rows + segment_rows)
    assert check(tmp_path / "out").returncode == 0


def test_a_second_driver_of_the_same_folder_is_refused(finished):
    from vitw_ray.lease import acquire
    from vitw_ray.storage import Storage

    config, _, _ = finished
    with acquire(Storage(config.execution.output)), pytest.raises(RunLocked, match="in use"):
        run_quietly(config)


def test_bad_rows_become_rejects_and_their_neighbours_stay(tmp_path, local_ray):
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]

    def row(identity: str, messages: object = turns) -> bytes:
        return json.dumps({"conversation_id": identity, "messages": messages}).encode()

    rows = [
        row("a"),
        b"{not json",
        b'{"conversation_id": "b", "messages": [{"role": "user", "content": "\xff"}]}',
        b'{"conversation_id": "c"}',
        row("d", "none"),
        row("e", [{"role": "user", "content": "\ud800"}]),
        row("f", [{"role": "user", "content": "x" * 5_000_000}, turns[1]]),
        row("a"),
        row("z"),
    ]
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"\n".join(rows) + b"\n")
    config = small_config([str(file)], tmp_path / "out", tmp_path / "secret")
    result = run_quietly(config)
    assert result["totals"]["rows_read"] == len(rows)
    stage = result["stages"][0]
    assert stage["rows_out"] == 2
    rejects = pq.read_table(tmp_path / "out" / result["tables"]["rejects"]["files"][0]).to_pylist()
    assert sorted(row["row"] for row in rejects) == [1, 2, 3, 4, 5, 6, 7]
    assert {row["row"]: row["reason"] for row in rejects}[7] == "identical"
    assert {row["row"]: row["reason"] for row in rejects}[6] == "too_long"
    assert check(tmp_path / "out").returncode == 0


def test_input_without_one_usable_row_is_an_error_with_its_reasons(tmp_path, local_ray):
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps({"conversation_id": "a", "messages": []}) + "\n")
    with pytest.raises(InputError, match=r"conversation_empty|messages"):
        run_quietly(small_config([str(file)], tmp_path / "out", tmp_path / "secret"))


def test_the_shipped_sample_goes_through_all_stages_with_the_lexicon(tmp_path, local_ray):
    config = small_config(
        [str(SAMPLE)],
        tmp_path / "out",
        tmp_path / "secret",
        extractor="lexicon",
        rows_per_part=4096,
    )
    result = run_quietly(config)
    assert result["totals"]["failed"] == 0
    assert (tmp_path / "out" / result["report"]).read_text().startswith("<!doctype html>")
    labels = pq.read_table(tmp_path / "out" / result["tables"]["labels"]["files"][0]).to_pylist()
    assert len([row for row in labels if row["kept"]]) > 20
    assert check(tmp_path / "out").returncode == 0
