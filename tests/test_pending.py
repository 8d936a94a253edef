"""Actors start only for rows without an answer, and only where their code is the driver's."""

from dataclasses import replace
from types import SimpleNamespace

import pyarrow as pa
import pytest
from whole_runs import plant_files, run_quietly, small_config, table_bytes

from vitw_ray import cluster
from vitw_ray.config import Execution, ExtractionConfig, RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.extraction import extract as extract_module
from vitw_ray.extraction import reading as reading_module
from vitw_ray.extraction.extractors import extractor_key, settings_without_start
from vitw_ray.extraction.segments import open_answers
from vitw_ray.extraction.unit_extractor import UnitExtractor
from vitw_ray.keys import Keyed
from vitw_ray.records import CONVERSATIONS
from vitw_ray.run_folder import StageFolder
from vitw_ray.storage import Storage

ROWS = 120


@pytest.fixture
def units_sent(monkeypatch):
    """The units of each call that starts actors."""
    calls = []
    stream = cluster.stream_through_actors

    def counted(units, *arguments, **further):
        calls.append(list(units))
        return stream(units, *arguments, **further)

    monkeypatch.setattr(cluster, "stream_through_actors", counted)
    return calls


@pytest.fixture
def actors_started(monkeypatch, tmp_path):
    """A file per actor that was constructed, wherever it ran."""
    folder = tmp_path / "started"
    folder.mkdir()
    monkeypatch.setattr(reading_module, "UnitExtractor", noted(folder))
    return folder


def noted(folder):
    class Noted(UnitExtractor):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            (folder / self._name).touch()

    return Noted


def small(tmp_path, rows=ROWS, **execution) -> RunConfig:
    inputs = plant_files(tmp_path / "in", rows=rows, files=1)
    return small_config(inputs, tmp_path / "out", tmp_path / "secret", **execution)


def with_another_gate(config: RunConfig) -> RunConfig:
    """The table changes, and no answer: a rerun rebuilds it from those that are there."""
    return replace(config, extraction=replace(config.extraction, subjective_from=2))


@pytest.mark.ray
def test_a_rerun_with_every_answer_there_starts_no_actor(
    tmp_path, local_ray, actors_started, log_lines
):
    config = small(tmp_path)
    run_quietly(config, until="extractions")
    started = len(list(actors_started.iterdir()))
    assert 1 <= started <= config.execution.actors
    result = run_quietly(with_another_gate(config), until="extractions")
    assert len(list(actors_started.iterdir())) == started
    details = {s["name"]: s["details"] for s in result["stages"]}["extractions"]
    assert (details["answers_new"], details["answers_reused"]) == (0, ROWS)
    assert f"extractions: {ROWS} of {ROWS} answers are there already" in log_lines


@pytest.mark.ray
def test_actors_are_sent_the_missing_rows_and_the_table_is_that_of_one_run(
    tmp_path, local_ray, units_sent
):
    run_quietly(small(tmp_path, rows=80), until="extractions")
    units_sent.clear()
    more = small(tmp_path)
    result = run_quietly(more, until="extractions")
    (units,) = units_sent
    sent = sum(unit["stop"] - unit["start"] for unit in units)
    assert ROWS - 80 <= sent < ROWS
    details = {s["name"]: s["details"] for s in result["stages"]}["extractions"]
    assert (details["answers_new"], details["answers_reused"]) == (ROWS - 80, 80)
    fresh = replace(more, execution=replace(more.execution, output=str(tmp_path / "fresh")))
    run_quietly(fresh, until="extractions")
    assert (
        table_bytes(tmp_path / "out")["extractions"]
        == table_bytes(tmp_path / "fresh")["extractions"]
    )


def test_an_actor_with_other_code_than_the_driver_refuses_and_names_both(tmp_path):
    config = RunConfig(extraction=ExtractionConfig(extractor="simulated"))
    with pytest.raises(ConfigError) as caught:
        UnitExtractor(
            storage=Storage(str(tmp_path)),
            answers=open_answers(Storage(str(tmp_path)), "private/answers-0", 1),
            parts=(),
            config=config,
            keyed=Keyed(b"a secret that is long enough for the tests"),
            epoch=1,
            key="0123456789abcdef",
            driver_version="9.9.9",
        )
    said = str(caught.value)
    assert "9.9.9 with 0123456789abcdef" in said
    assert extractor_key(config) in said
    assert "--working-dir" in said


@pytest.mark.ray
def test_a_run_whose_nodes_have_other_code_stops_before_the_first_answer(
    tmp_path, local_ray, monkeypatch
):
    config = small(tmp_path)
    monkeypatch.setattr(extract_module, "extractor_key", lambda config: "0123456789abcdef")
    with pytest.raises(ConfigError, match="other code"):
        run_quietly(config, until="extractions")
    assert not list((tmp_path / "out").glob("private/answers-*/*"))


def test_a_model_that_was_not_started_is_still_named_with_its_revision():
    def settings(**extraction):
        return settings_without_start(
            RunConfig(extraction=ExtractionConfig(**extraction), execution=Execution())
        )

    commit = "a" * 40
    assert settings(extractor="simulated") == {}
    assert settings(extractor="openai", model="m") == {"model": "m"}
    assert settings(extractor="vllm", model="org/name", revision=commit) == {
        "model": "org/name",
        "revision": commit,
    }


def test_an_actor_reports_the_rows_of_a_unit_before_the_unit_is_done(tmp_path):
    storage = Storage(str(tmp_path / "out"))
    rows = [
        {
            "conversation_id": f"c{n}",
            "source": "test",
            "messages": [{"role": "user", "content": f"question {n}"}],
        }
        for n in range(40)
    ]
    table = pa.Table.from_pylist(rows, CONVERSATIONS)
    part = StageFolder(storage, "1_conversations-0").write_table(
        "conversations", table, private=True
    )
    config = RunConfig(extraction=ExtractionConfig(extractor="simulated"))
    reports = []
    actor = UnitExtractor(
        storage=storage,
        answers=open_answers(storage, "private/answers-0", 1),
        parts=(part,),
        config=config,
        keyed=Keyed(b"a secret that is long enough for the tests"),
        epoch=1,
        key=extractor_key(config),
        driver_version="1",
        tally=SimpleNamespace(report=lambda *report: reports.append(report)),  # type: ignore[arg-type]
    )
    result = actor({"part": 0, "start": 8, "stop": 24})
    assert result["counts"] == {"rows": 16, "answered": 16, "reused": 0, "failed": 0}
    assert [report[1:] for report in reports] == [("0-8", n) for n in range(1, 17)]
    assert result["unit"] == "0-8"


def test_the_log_says_that_an_engine_was_started_again_once_for_each_time(log_lines):
    reading = object.__new__(reading_module.Reading)
    reading._described = {}
    for actor, restarts in (("a", 0), ("a", 2), ("a", 2), ("b", 1), ("c", None)):
        described = {"model": "m"} if restarts is None else {"restarts": restarts}
        reading._note_description(actor, described)
    assert [line.split(";")[0] for line in log_lines] == [
        "extractions: an engine died and was started again (restarts: 2 new, 2 in all)",
        "extractions: an engine died and was started again (restarts: 1 new, 3 in all)",
    ]
