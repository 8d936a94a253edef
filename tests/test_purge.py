"""Purging a run: what goes, what stays, and when it is refused. No Ray."""

import io
import json
from pathlib import Path

import pytest
from run_folder_maker import invent
from whole_runs import tree_bytes

from vitw_ray.cli.main import main
from vitw_ray.errors import OutputError, RunLocked
from vitw_ray.lease import acquire
from vitw_ray.purge import purge
from vitw_ray.run_secret import private_files
from vitw_ray.storage import Storage


@pytest.fixture
def run(tmp_path) -> Path:
    return invent().write(tmp_path / "run")


def outside(run: Path) -> dict:
    return {path: seen for path, seen in tree_bytes(run).items() if not path.startswith("private/")}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_purge_deletes_all_of_private_and_changes_nothing_else(run, capsys):
    before = outside(run)
    assert main(["purge", str(run), "--yes"]) == 0
    assert not (run / "private").exists()
    assert tree_bytes(run) == before


def test_it_says_what_goes_by_kind_and_ends_with_a_line_of_json(run, capsys):
    files = [file for file in (run / "private").rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    main(["purge", str(run), "--yes"])
    *listed, last = capsys.readouterr().out.splitlines()
    counted = {line.split()[0]: int(line.split()[1]) for line in listed}
    assert counted.pop("private/") == len(files) == sum(counted.values())
    assert {"conversations", "extractions", "vectors"} <= set(counted)
    stated = {"run": str(run), "purged_files": len(files), "purged_bytes": size}
    assert json.loads(last) == stated


@pytest.mark.parametrize(("answer", "status"), [("yes", 0), ("Y", 0), ("n", 1), ("", 1)])
def test_on_a_terminal_it_asks_and_takes_only_yes(answer, status, run, monkeypatch, capsys):
    before = {file.path for file in private_files(Storage(str(run)))}
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    assert main(["purge", str(run)]) == status
    left = {file.path for file in private_files(Storage(str(run)))}
    assert left == (before if status else set())
    assert "cannot be undone" in capsys.readouterr().out


def test_without_a_terminal_it_asks_for_the_flag_and_touches_nothing(run, monkeypatch, capsys):
    before = tree_bytes(run)
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert main(["purge", str(run)]) == 1
    assert "--yes" in capsys.readouterr().err
    assert tree_bytes(run) == before


def test_a_folder_without_run_json_is_refused_and_nothing_is_made_in_it(tmp_path, capsys):
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "diary").write_text("dear me")
    for folder in (tmp_path, tmp_path / "none"):
        assert main(["purge", str(folder), "--yes"]) == 1
        assert "run.json" in capsys.readouterr().err
    assert [*tree_bytes(tmp_path)] == ["private/diary"]


def test_a_run_that_is_going_on_is_not_purged(run):
    storage = Storage(str(run))
    before = private_files(storage)
    with acquire(storage), pytest.raises(RunLocked):
        purge(storage, lambda files: True)
    assert private_files(storage) == before


def test_no_run_can_start_while_the_question_is_open(run):
    storage = Storage(str(run))

    def agreed(files):
        with pytest.raises(RunLocked), acquire(storage):
            pass
        return False

    assert purge(storage, agreed) == []


def test_a_second_purge_finds_nothing_and_asks_nothing(run, capsys):
    main(["purge", str(run), "--yes"])
    before = tree_bytes(run)
    with acquire(Storage(str(run))):  # as a rerun does: its files are no part of the run
        pass
    assert main(["purge", str(run), "--yes"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["purged_files"] == 0
    assert outside(run) == before


@pytest.mark.s3
def test_a_run_in_a_bucket_is_purged_as_one_in_a_folder_is(run, s3_server):
    storage = Storage(s3_server.new_bucket() + "/run")
    for file in run.rglob("*"):
        if file.is_file():
            storage.write(str(file.relative_to(run)), file.read_bytes())
    before = storage.list()
    gone = purge(storage, lambda files: True)
    assert {file.path for file in gone} == {
        file.path for file in before if file.path.startswith("private/")
    }
    assert storage.list() == [file for file in before if not file.path.startswith("private/")]
    with pytest.raises(OutputError, match=r"run\.json"):
        purge(Storage(f"{storage.root}/other"), lambda files: True)
