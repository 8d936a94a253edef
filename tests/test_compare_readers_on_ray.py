"""`vitw compare-readers` from end to end: readers line up, and what is done is skipped."""

import json
from pathlib import Path

import pytest
from whole_runs import OF_DRIVER, SECRET, table_bytes, tree_bytes

from vitw_ray.cli.main import main
from vitw_ray.config import SAMPLE
from vitw_ray.opened_run import open_run

pytestmark = pytest.mark.ray

FOLDERS = ("readers", "sample", "input")
TRUTH = SAMPLE.with_name("truth.jsonl.gz")


def flags(folder: Path) -> list[str]:
    return [
        *("--reader", "first=simulated", "--reader", "second=simulated,subjective-from=2"),
        *("--input", str(SAMPLE), "--sample", "40", "--planted", "12", "--labelled", str(TRUTH)),
        *("--embedder", "hashing", "--output", str(folder / "out")),
        *("--secret-file", str(folder / "secret")),
    ]


@pytest.fixture(scope="module")
def compared(local_ray, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    (folder / "secret").write_text(SECRET)
    assert main(["compare-readers", *flags(folder)]) == 0
    return folder


def test_every_reader_reads_the_same_conversations_in_the_same_order(compared):
    first, second = (compared / "out" / "readers" / name for name in ("first", "second"))
    bytes_of = [table_bytes(folder)["conversations"] for folder in (first, second)]
    assert bytes_of[0] == bytes_of[1]
    ids = [
        open_run(folder).table("extractions", ["conversation_id"]).arrow.to_pydict()
        for folder in (first, second)
    ]
    assert ids[0] == ids[1]


def test_the_sample_the_labelled_and_the_planted_are_told_apart(compared):
    board = json.loads((compared / "out" / "leaderboard.json").read_text())
    assert board["sample"] == 40
    known = {known["name"]: known["conversations"] for known in board["known"]}
    assert known == {"labelled": 400, "planted": 12}
    assert {reader["rows"] for reader in board["readers"]} == {452}
    first = board["readers"][0]["quality"]["labelled"]
    assert first["conversations"] == 400
    assert abs(first["level_auc"]["value"] - 0.5) < 0.15  # made-up answers order nothing


def test_readers_of_the_same_answers_differ_by_their_gate_alone(compared):
    (pair,) = json.loads((compared / "out" / "leaderboard.json").read_text())["pairs"]
    assert pair["closed"]["subjectivity"]["kappa"]["value"] == 1.0
    assert pair["closed"]["is_subjective"]["same"]["value"] < 1.0


def lasting(out: Path) -> dict[str, tuple[int, str]]:
    """Time and content of every file of the run folders, but who drove them last."""
    files = {f"{name}/{f}": b for name in FOLDERS for f, b in tree_bytes(out / name).items()}
    return {name: found for name, found in files.items() if not OF_DRIVER.search(name)}


def test_the_same_command_again_reads_nothing_and_writes_the_same(compared, capsys):
    out = compared / "out"
    before = lasting(out)
    board, page = ((out / f"leaderboard.{kind}").read_bytes() for kind in ("json", "html"))
    assert main(["compare-readers", *flags(compared)]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["readers"] == ["first", "second"]
    assert lasting(out) == before
    assert (out / "leaderboard.json").read_bytes() == board
    assert (out / "leaderboard.html").read_bytes() == page


def test_one_more_reader_leaves_the_others_as_they_are(compared):
    readers = compared / "out" / "readers"
    before = table_bytes(readers / "first")
    assert main(["compare-readers", *flags(compared), "--reader", "third=simulated"]) == 0
    assert table_bytes(readers / "first") == before
    board = json.loads((compared / "out" / "leaderboard.json").read_text())
    assert [reader["name"] for reader in board["readers"]] == ["first", "second", "third"]
    assert len(board["pairs"]) == 3


def test_without_a_secret_file_all_run_folders_share_one(local_ray, tmp_path):
    words = ["--reader", "simulated", "--reader", "b=simulated", "--planted", "0"]
    words += ["--embedder", "hashing", "--output", str(tmp_path), "--input", str(SAMPLE)]
    assert main(["compare-readers", *words]) == 0
    secrets = {path.read_bytes() for path in tmp_path.rglob("private/secret")}
    assert len(secrets) == 1
    assert len(list(tmp_path.rglob("private/secret"))) == 4  # the whole, the sample, two readers
