"""A screened run: one row in, one row out, the same bytes after a kill, and a loss that is told."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from whole_runs import (
    plant_files,
    run_quietly,
    small_config,
    start_job,
    table_bytes,
    wait_for_segments,
)

from vitw_ray.cli.main import main
from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.extraction.screen.ranges import SAMPLE_SHARE, choose_sample, rows_of, split_rows
from vitw_ray.extraction.screen.stored import distilled_head
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.keys import Keyed

ROOT = Path(__file__).resolve().parents[1]
ROWS = 400
CLASSES = {"subjective", "objective", *RESPONSE_TYPES}
LOSS = 0.2  # so few rows certify no smaller one


def screened(config: RunConfig, **settings) -> RunConfig:
    fields = {"screen": True, "screen_embedder": "hashing", "screen_loss": LOSS} | settings
    return replace(config, extraction=replace(config.extraction, **fields))


def details(output: Path) -> dict:
    stages = json.loads((output / "run.json").read_text())["stages"]
    return {stage["name"]: stage["details"] for stage in stages}["extractions"]


def extractions(output: Path) -> list[dict]:
    files = json.loads((output / "run.json").read_text())["tables"]["extractions"]["files"]
    return [row for file in files for row in pq.read_table(output / file).to_pylist()]


@pytest.mark.parametrize(("rows", "size"), [(900, 200), (900, 4000), (10, 4), (2, 5)])
def test_every_row_is_in_the_sample_or_outside_and_the_sample_has_its_size(rows, size):
    parts, starts = (rows // 2, 0, rows - rows // 2), set()
    for secret in range(20):
        ranges = choose_sample(parts, size, Keyed(str(secret).encode()))
        split = split_rows([range(length) for length in parts], ranges)
        inside, outside = ([(n, row) for n, of in enumerate(side) for row in of] for side in split)
        everything = [(n, row) for n, length in enumerate(parts) for row in range(length)]
        assert sorted(inside + outside) == everything
        assert len(inside) == rows_of(ranges) == min(size, int(rows * SAMPLE_SHARE))
        starts.add(min(inside, default=None))
    assert len(starts) > 1 or rows < 3  # the secret decides where it starts


def test_where_nothing_is_objective_a_screen_is_refused(tmp_path):
    config = small_config(["x"], tmp_path, tmp_path / "secret")
    everything = replace(config, extraction=replace(config.extraction, subjective_from=1))
    with pytest.raises(ConfigError, match="--screen"):
        screened(everything)


def test_heads_without_a_screen_are_refused(tmp_path):
    config = small_config(["x"], tmp_path, tmp_path / "secret")
    with pytest.raises(ConfigError, match="--screen-heads"):
        screened(config, screen=False, screen_heads="heads")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, local_ray) -> tuple[RunConfig, RunConfig]:
    """The same conversations with and without a screen, in two folders."""
    folder = tmp_path_factory.mktemp("screened")
    inputs = plant_files(folder / "in", rows=ROWS)
    plain = small_config(inputs, folder / "plain", folder / "secret", extractor="lexicon")
    config = screened(replace(plain, execution=replace(plain.execution, output=str(folder / "s"))))
    run_quietly(plain, until="extractions")
    run_quietly(config, until="extractions")
    return plain, config


@pytest.mark.slow
@pytest.mark.ray
def test_what_the_screen_leaves_out_is_marked_and_counted(whole):
    plain, config = (Path(one.execution.output) for one in whole)
    told = details(config)["screen"]
    rows = extractions(config)
    skipped = [row for row in rows if row["extractor"].startswith("screen@")]
    assert len(rows) == ROWS
    assert len(skipped) == told["skipped"] > 0.1 * ROWS
    assert not any(row["is_subjective"] or row["ai_values"] or row["task"] for row in skipped)
    assert details(config)["answers_new"] == ROWS - len(skipped)
    assert told["skipped"] == told["screened"] - told["audited"]
    assert not told["withdrawn"]
    assert told["loss_bound"] <= LOSS
    assert "screen" not in details(plain)


@pytest.mark.slow
@pytest.mark.ray
def test_what_the_model_read_is_what_it_says_without_a_screen(whole):
    plain, config = (Path(one.execution.output) for one in whole)
    without = {row["conversation_id"]: row for row in extractions(plain)}
    subjective = lost = 0
    for row in extractions(config):
        expected = without[row["conversation_id"]]
        subjective += expected["is_subjective"]
        if row["extractor"].startswith("screen@"):
            lost += expected["is_subjective"]
        else:
            assert row == expected
    assert lost / subjective <= LOSS


@pytest.mark.slow
@pytest.mark.ray
def test_the_checker_agrees_with_a_screened_run(whole):
    done = subprocess.run(
        [sys.executable, "jobs/check.py", whole[1].execution.output],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.ray
def test_bytes_do_not_depend_on_units_and_actors(whole, tmp_path):
    _, config = whole
    other = replace(
        config.execution, output=str(tmp_path / "out"), unit_rows=37, actors=1, segment_rows=11
    )
    run_quietly(replace(config, execution=other), until="extractions")
    before = table_bytes(config.execution.output)["extractions"]
    assert table_bytes(tmp_path / "out")["extractions"] == before
    assert details(tmp_path / "out")["screen"] == details(Path(config.execution.output))["screen"]


@pytest.mark.ray
def test_too_small_a_run_says_so_and_the_model_reads_all(tmp_path, local_ray, log_lines):
    inputs = plant_files(tmp_path / "in", rows=120)
    config = small_config(inputs, tmp_path / "out", tmp_path / "secret")
    run_quietly(screened(config, screen_loss=0.02), until="extractions")
    told = details(tmp_path / "out")
    assert told["screen"]["threshold"] is None
    assert (told["screen"]["skipped"], told["answers_new"]) == (0, 120)
    assert any("no threshold" in line for line in log_lines)


def start(config: RunConfig, output: Path) -> subprocess.Popen:
    arguments = [
        *("--preset", "smoke", "--output", str(output)),
        *("--input", *config.conversations.input, "--rows-per-part", "100"),
        *("--secret-file", str(config.execution.secret_file), "--embedder", "hashing"),
        *("--extractor", "lexicon", "--screen", "--screen-loss", str(LOSS)),
        *("--screen-embedder", "hashing", "--until", "extractions"),
        *("--unit-rows", "50", "--segment-rows", "20"),
    ]
    return start_job(arguments, subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("certified", [False, True])
def test_a_killed_run_goes_on_to_the_same_bytes(whole, tmp_path, certified):
    """Killed while the sample is read, or once there is a certificate."""
    _, config = whole
    output = tmp_path / "out"
    killed = start(config, output)
    wait_for_segments(output, 3, killed)
    until = time.monotonic() + 180
    while certified and not list(output.glob("private/screen-*/screen.json")):
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    run_quietly(
        replace(config, execution=replace(config.execution, output=str(output))),
        until="extractions",
    )
    before = table_bytes(config.execution.output)["extractions"]
    assert table_bytes(output)["extractions"] == before
    assert details(output)["screen"] == details(Path(config.execution.output))["screen"]


@pytest.fixture(scope="module")
def heads(whole, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    assert main(["distill", whole[1].execution.output, "--output", str(folder)]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.ray
def test_distilled_heads_agree_with_the_reader_and_hold_no_conversation(whole, heads):
    record = json.loads((heads / "heads.json").read_text())
    assert record["metrics"]["subjective"]["auc"] > 0.9
    assert record["rows"] == details(Path(whole[1].execution.output))["answers_new"]
    assert record["reader"].startswith("lexicon@")
    assert record.keys() == {
        *("format", "embedder", "embedder_key", "features", "reader", "rows", "metrics"),
        *("versions", "heads", "digest"),
    }
    assert all(
        head.keys() == {"classes", "weights", "bias"} and set(head["classes"]) <= CLASSES
        for head in record["heads"].values()
    )


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_that_starts_from_heads_trains_none_and_certifies_them_on_its_own_answers(
    whole, heads, tmp_path
):
    _, config = whole
    other = replace(config.execution, output=str(tmp_path / "out"))
    run_quietly(
        screened(replace(config, execution=other), screen_heads=str(heads)), until="extractions"
    )
    told = details(tmp_path / "out")["screen"]
    assert (told["trained"], told["calibration"]) == (0, int(ROWS * SAMPLE_SHARE))
    assert told["skipped"] > 0.1 * ROWS


@pytest.mark.slow
@pytest.mark.ray
def test_heads_that_were_changed_or_read_other_vectors_are_refused(whole, heads, tmp_path):
    _, config = whole
    with pytest.raises(ConfigError, match="another embedder"):
        distilled_head(screened(config, screen_heads=str(heads), screen_embedder="minilm"))
    record = json.loads((heads / "heads.json").read_text())
    record["heads"]["subjective"]["bias"][0] += 1
    (tmp_path / "heads.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="not as vitw distill wrote it"):
        distilled_head(screened(config, screen_heads=str(tmp_path)))
    with pytest.raises(ConfigError, match="no readable"):
        distilled_head(screened(config, screen_heads=str(tmp_path / "nothing")))


def without_table(config: RunConfig, output: Path) -> RunConfig:
    """A copy of a run folder that has the answers and the screen, and no table of them."""
    shutil.copytree(config.execution.output, output)
    for pattern in ("[2-7]_*", "private/[2-7]_*"):
        for stage in output.glob(pattern):
            shutil.rmtree(stage)
    return replace(config, execution=replace(config.execution, output=str(output)))


@pytest.mark.slow
@pytest.mark.ray
def test_a_table_that_is_built_again_asks_for_nothing_that_was_screened_out(
    whole, tmp_path, log_lines
):
    _, config = whole
    again = without_table(config, tmp_path / "out")
    run_quietly(again, until="extractions")
    before, after = (details(Path(one.execution.output)) for one in (config, again))
    assert (after["answers_new"], after["answers_reused"]) == (0, before["answers_new"])
    assert after["screen"] == before["screen"]
    assert f"extractions: {ROWS} of {ROWS} answers are there already" in log_lines
    assert (
        table_bytes(tmp_path / "out")["extractions"]
        == table_bytes(config.execution.output)["extractions"]
    )


@pytest.mark.slow
@pytest.mark.ray
def test_a_screen_that_the_audit_rejects_is_withdrawn_and_the_model_reads_all(whole, tmp_path):
    plain, config = whole
    output = tmp_path / "out"
    again = without_table(config, output)
    (screen,) = output.glob("private/screen-*/screen.json")
    record = json.loads(screen.read_text())
    record["head"]["bias"] = [-50.0]
    record["certificate"] |= {"threshold": 11.0, "alpha": 0.0001}
    screen.write_text(json.dumps(record))
    for pattern in ("answers-*/**/*.parquet", "screen-*/decided/**/*.parquet"):
        for segment in output.glob(f"private/{pattern}"):
            segment.unlink()
    run_quietly(again, until="extractions")
    told = details(output)
    assert told["screen"]["withdrawn"]
    assert (told["screen"]["skipped"], told["answers_new"]) == (0, ROWS)
    before = table_bytes(plain.execution.output)["extractions"]
    assert table_bytes(output)["extractions"] == before
