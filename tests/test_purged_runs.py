"""A finished run, purged: it stays finished, and its page can be written again."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from vitw_check import verdict
from whole_runs import plant_files, run_quietly, small_config, tree_bytes

from vitw_ray.cli.main import main
from vitw_ray.config import ReportConfig, RunConfig, StatisticsConfig
from vitw_ray.errors import OutputError, SecretLost
from vitw_ray.purge import purge
from vitw_ray.rewrite_report import rewrite_report
from vitw_ray.storage import Storage

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def finished(tmp_path_factory, local_ray) -> RunConfig:
    """A finished run whose secret is its own."""
    folder = tmp_path_factory.mktemp("finished")
    inputs = plant_files(folder / "in", rows=200)
    config = small_config(inputs, folder / "out", folder / "unused")
    config = replace(config, execution=replace(config.execution, secret_file=None))
    run_quietly(config)
    return config


@pytest.fixture
def config(finished, tmp_path) -> RunConfig:
    """The same run in a folder of its own."""
    shutil.copytree(finished.execution.output, tmp_path / "run")
    execution = replace(finished.execution, output=str(tmp_path / "run"))
    again = replace(finished, execution=execution)
    run_quietly(again)  # its output is part of what run.json says
    return again


@pytest.fixture
def purged(config) -> RunConfig:
    assert purge(storage_of(config), lambda files: True)
    return config


def storage_of(config: RunConfig) -> Storage:
    return Storage(config.execution.output)


def public(config: RunConfig) -> dict:
    files = tree_bytes(Path(config.execution.output))
    return {path: seen for path, seen in files.items() if not path.startswith("private/")}


def failed(config: RunConfig) -> list[str]:
    return [c for state, c, _ in verdict.verdicts(config.execution.output) if state == "FAILED"]


def page_of(config: RunConfig) -> str:
    return (Path(config.execution.output) / "report.html").read_text()


def test_a_rerun_of_a_purged_run_finds_all_done_and_changes_nothing(purged):
    before = public(purged)
    run_quietly(purged)
    assert public(purged) == before
    assert failed(purged) == []


def test_a_stage_that_needs_private_tables_is_refused_before_it_starts(purged):
    before = public(purged)
    changed = replace(purged, statistics=StatisticsConfig(alpha=0.01))
    with pytest.raises(OutputError, match=r"statistics .*extractions.* private/ was purged"):
        run_quietly(changed)
    assert public(purged) == before


def test_new_rows_are_refused_without_the_secret_that_was_purged(purged):
    sample = replace(purged.conversations, sample=20)
    with pytest.raises(SecretLost, match="purged"):
        run_quietly(replace(purged, conversations=sample))


def test_a_page_is_written_again_without_the_input_files(config, monkeypatch):
    gone = RuntimeError("the input is not to be looked for")
    monkeypatch.setattr("vitw_ray.pipeline.list_input", lambda inputs: (_ for _ in ()).throw(gone))
    monkeypatch.setattr("vitw_ray.cluster.connect", lambda execution: 1 / 0)
    page = page_of(config)
    assert main(["report", config.execution.output, "--top", "5"]) == 0
    shorter = page_of(config)
    assert len(shorter) < len(page)
    assert failed(config) == []


def test_a_page_that_is_there_already_is_not_made_again(config):
    before = public(config)
    rewrite_report(storage_of(config))
    assert public(config) == before


def test_the_new_page_is_the_one_that_a_run_would_write(config):
    result = rewrite_report(storage_of(config), top=5)
    folders = {path.name for path in Path(config.execution.output).glob("6_report-*")}
    assert len(folders) == 2
    again = run_quietly(replace(config, report=ReportConfig(top=5)))
    assert again["report"] == result["report"]
    assert {path.name for path in Path(config.execution.output).glob("6_report-*")} == folders


def test_the_other_stages_stay_as_the_run_has_them(config):
    before = json.loads(storage_of(config).read("run.json"))
    after = rewrite_report(storage_of(config), top=5)
    assert after["config"].pop("report") == {"top": 5}
    before["config"].pop("report")
    for name in ("config", "inputs", "totals", "tables", "secret_fingerprint"):
        assert json.loads(json.dumps(after[name])) == before[name]
    stages = [[s for s in r["stages"] if s["name"] != "report"] for r in (before, after)]
    assert stages[0] == stages[1]


def test_the_page_of_a_purged_run_is_the_one_that_it_had_before(config):
    rewrite_report(storage_of(config), top=5)
    page = page_of(config)
    run_quietly(config)
    for folder in Path(config.execution.output).glob("6_report-*"):
        if (folder / "report.html").read_text() == page:
            shutil.rmtree(folder)
    purge(storage_of(config), lambda files: True)
    rewrite_report(storage_of(config), top=5)
    assert page_of(config) == page
    assert failed(config) == []


def test_the_page_states_how_many_labels_lack_support_without_reading_them(config):
    run = json.loads(storage_of(config).read("run.json"))
    rare = Counter()
    for path in run["tables"]["labels"]["files"]:
        for row in pq.read_table(Path(config.execution.output) / path).to_pylist():
            rare[row["facet"]] += not row["kept"]
    assert rare["ai_values"]
    purge(storage_of(config), lambda files: True)
    rewrite_report(storage_of(config), top=5)
    for count in rare.values():
        assert f"{count:,} do not, and are not shown" in page_of(config)


def test_a_run_without_all_tables_has_no_page_to_write_again(config, tmp_path):
    early = replace(config, execution=replace(config.execution, output=str(tmp_path / "early")))
    run_quietly(early, until="labels")
    with pytest.raises(OutputError, match="ended after labels") as refused:
        rewrite_report(storage_of(early))
    assert "--until report" in refused.value.fix


def test_a_page_with_too_few_rows_is_refused(config, capsys):
    assert main(["report", config.execution.output, "--top", "0"]) == 1
    assert "--top" in capsys.readouterr().err
