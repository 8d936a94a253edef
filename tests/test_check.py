"""The checker against a correct folder, and against folders with one thing wrong."""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from broken_seals import CHANGED, edit_json
from invented_conversations import SPOKEN, VARIANTS, Row
from run_folder_maker import STAGE_OF, RunFolder, invent
from vitw_check import expected, verdict
from vitw_check.recounting import CheckedRun
from wrong_content import WRONG

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.records import ROLES, TABLES

JOBS = Path(__file__).resolve().parents[1] / "jobs"
SEALS = ("manifests", "run", "files", "strays", "digests", "lineage")


@pytest.fixture
def folder() -> RunFolder:
    return invent()


def codes_of(run: Path | str) -> dict[str, list[str]]:
    """Codes of the checks by their state."""
    codes: dict[str, list[str]] = {"ok": [], "FAILED": [], "skipped": []}
    for state, code, text in verdict.verdicts(str(run)):
        sys.stdout.write(f"{text}\n")
        codes[state].append(code)
    return codes


def failures(run: Path | str) -> list[str]:
    """Codes of the checks that fail."""
    return codes_of(run)["FAILED"]


def test_a_correct_folder_passes_every_check(folder, tmp_path):
    assert failures(folder.write(tmp_path / "run")) == []


def submit(run: Path) -> tuple[int, list[str]]:
    """Exit status and lines of the job, run away from the package."""
    line = [sys.executable, str(JOBS / "check.py"), str(run)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=run.parent)
    return done.returncode, done.stdout.splitlines()


def test_the_job_ends_with_one_line_of_json_and_status_0(folder, tmp_path):
    run = folder.write(tmp_path / "run")
    status, lines = submit(run)
    last = {"run": str(run), "checks": len(verdict.CHECKS), "failed": [], "skipped": []}
    assert (status, json.loads(lines[-1])) == (0, last)
    assert [line.split()[:2] for line in lines[:-1]] == [["ok", code] for code in verdict.CHECKS]


def test_the_job_ends_with_status_1_when_a_check_fails(folder, tmp_path):
    run = folder.write(tmp_path / "run")
    next(run.glob("6_report-*/report.html")).unlink()
    status, lines = submit(run)
    assert (status, "files" in json.loads(lines[-1])["failed"]) == (1, True)


def imported(module: Path) -> Iterator[str]:
    """The packages that a file imports, its own aside."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.level != 1:
            yield (node.module or "").split(".")[0]


def test_the_checker_shares_no_code_with_the_pipeline():
    allowed = {*sys.stdlib_module_names, "pyarrow", "numpy", "fsspec"}
    modules = sorted((JOBS / "vitw_check").rglob("*.py"))
    assert set(imported(JOBS / "check.py")) <= {*allowed, "vitw_check"}
    assert {name for module in modules for name in imported(module)} <= allowed
    assert expected.__file__ in map(str, modules)


def test_the_checker_loads_no_module_of_the_pipeline():
    code = (
        "import sys; from vitw_check import verdict;"
        "print([name for name in sys.modules if name.startswith('vitw_ray')])"
    )
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, cwd=JOBS, check=True)
    assert done.stdout == "[]\n"


def test_the_checkers_own_schemas_and_closed_sets_are_the_documented_ones():
    own = {name: text.split("; ") for name, text in expected.SCHEMAS.items()}
    assert own == {name: [expected.column(f) for f in schema] for name, schema in TABLES.items()}
    assert set(RESPONSE_TYPES) == expected.RESPONSE_TYPES
    assert set(ROLES) == expected.ROLES


def test_a_folder_in_an_object_store_is_checked_as_a_local_one_is(folder, tmp_path):
    run = folder.write(tmp_path / "run")
    store = fsspec.filesystem("memory")
    for file in run.rglob("*"):
        if file.is_file():
            store.pipe_file(f"/bucket/run/{file.relative_to(run).as_posix()}", file.read_bytes())
    try:
        assert failures("memory://bucket/run") == []
        store.pipe_file("/bucket/run/private/left-over", b"outside the stages: of no concern")
        page = store.glob("/bucket/run/6_report-*/report.html")[0]
        store.pipe_file(page.replace("report.html", "second.html"), b"")
        assert failures("memory://bucket/run") == ["strays"]
    finally:
        store.rm("/bucket", recursive=True)


def test_accounts_counted_in_several_passes_are_the_same(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("vitw_check.labels.ACCOUNT_PASS_ROWS", 7)
    assert failures(folder.write(tmp_path / "run")) == []


def test_labels_without_any_account_have_no_number_of_accounts(folder, tmp_path):
    for row in [*folder.all("conversations"), *folder.all("extractions"), *folder.raw]:
        row["account_id"] = None
    for row in folder.all("labels"):
        row["accounts"] = None
    assert failures(folder.write(tmp_path / "run")) == []


def test_an_input_that_is_gone_is_told_and_is_no_failure(folder, tmp_path, capsys):
    run = folder.write(tmp_path / "run")
    (tmp_path / "input" / "b.jsonl").unlink()
    assert failures(run) == []
    assert "1 of 4 files are gone" in capsys.readouterr().out


def test_a_run_that_ended_early_is_checked_as_far_as_it_went(folder, tmp_path):
    run = folder.write(tmp_path / "run")
    tables = {name for stage in list(STAGE_OF)[:3] for name in STAGE_OF[stage]}

    def end_after_the_labels(value: Row) -> None:
        value["stages"] = value["stages"][:3]
        value["tables"] = {name: value["tables"][name] for name in tables}

    edit_json(run / "run.json", end_after_the_labels)
    codes = codes_of(run)
    assert codes["FAILED"] == []
    skipped = codes["skipped"]
    assert skipped[:3] == ["tree", "taxonomy", "tasks"]
    assert not {"order", "labels", "accounts", "carried", "private"} & set(skipped)


def purge(run: Path) -> Path:
    """Delete `private/` as a whole, whatever made it."""
    shutil.rmtree(run / "private")
    return run


def test_a_purged_run_passes_and_what_needs_private_files_is_skipped(folder, tmp_path):
    codes = codes_of(purge(folder.write(tmp_path / "run")))
    assert codes["FAILED"] == []
    assert codes["skipped"] == [
        *("conversations", "order", "rejects", "conservation", "carried", "extractions"),
        *("spoken", "times", "versions", "successors", "duplicates", "raw"),
        *("merges", "labels", "accounts", "tasks", "response_types", "associations", "residuals"),
        *("cooccurrence", "variation", "mirroring", "explicitness", "task_values"),
        *("model_comparison", "corrected"),
    ]


def test_a_purged_run_that_was_started_again_is_still_purged(folder, tmp_path):
    run = purge(folder.write(tmp_path / "run"))
    (run / "private").mkdir()
    for name in ("driver.lock", "driver.json"):
        (run / "private" / name).write_text("{}")
    assert failures(run) == []


def test_the_job_says_why_a_check_was_skipped(folder, tmp_path):
    status, lines = submit(purge(folder.write(tmp_path / "run")))
    assert status == 0
    assert "skipped conservation         private/ was purged" in lines
    assert json.loads(lines[-1])["skipped"][0] == "conversations"


@pytest.mark.parametrize("kept", ["private/3_*/merges/part-00000.parquet", "private/vectors-0/*"])
def test_private_files_of_which_some_are_missing_were_not_purged(kept, folder, tmp_path):
    run = folder.write(tmp_path / "run")
    (left,) = run.glob(kept)
    for file in (run / "private").rglob("*"):
        if file.is_file() and file != left:
            file.unlink()
    codes = codes_of(run)
    assert codes["skipped"] == []
    assert {"files", "conservation", "labels"} <= set(codes["FAILED"])


@pytest.mark.parametrize(
    "name",
    ["a cluster count is edited", "a released name is edited", "the page loads a script"],
)
def test_wrong_public_content_is_found_after_a_purge_too(name, folder, tmp_path):
    code, damage = WRONG[name]
    damage(folder)
    assert failures(purge(folder.write(tmp_path / "run"))) == [code]


def test_what_a_check_found_before_it_missed_a_private_file_is_told(folder, tmp_path):
    def check(run):
        yield "a public table is wrong"
        yield from run.rows("extractions")

    run = CheckedRun.at(str(purge(folder.write(tmp_path / "run"))))
    assert verdict.findings(check, run) == (["a public table is wrong"], 1)


def found(folder: RunFolder, run: Path, *codes: str) -> dict[str, int]:
    """How many problems some checks have with a folder."""
    opened = CheckedRun.at(str(folder.write(run)))
    return {code: verdict.findings(verdict.CHECKS[code], opened)[1] for code in codes}


COUNTS = {
    "response_types": "conversations",
    "associations": "observed",
    "cooccurrence": "conversations",
    "mirroring": "conversations",
    "model_comparison": "conversations_a",
}


def test_cells_of_too_few_accounts_may_be_missing(folder, tmp_path):
    for row in folder.all("extractions"):
        row["account_id"] = "account-of-another"
    for table, count in COUNTS.items():
        folder.tables[table] = [[row for row in folder.all(table) if not row[count]]]
    folder.tables["explicitness"] = [
        [row for row in folder.all("explicitness") if not row["explicit"] + row["implicit"]]
    ]
    codes = [*COUNTS, "explicitness"]
    assert found(folder, tmp_path / "run", *codes) == dict.fromkeys(codes, 0)


def test_only_the_cell_of_too_few_accounts_may_be_missing(folder, tmp_path):
    first, second, *others = folder.all("cooccurrence")
    folder.tables["cooccurrence"] = [others]
    pair = {first["label_a"], first["label_b"]}
    for row in folder.all("extractions"):
        if pair <= {VARIANTS.get(v["label"], (v["label"],))[0] for v in row[first["facet"]]}:
            row["account_id"] = "account-of-another"
    assert found(folder, tmp_path / "one", "cooccurrence") == {"cooccurrence": 1}
    folder.tables["cooccurrence"] = [[second, *others]]
    assert found(folder, tmp_path / "two", "cooccurrence") == {"cooccurrence": 0}


def test_conversations_without_an_account_add_none(folder, tmp_path):
    for n, row in enumerate(folder.all("extractions")):
        row["account_id"] = None if n else row["account_id"]
    assert found(folder, tmp_path / "run", "cooccurrence") != {"cooccurrence": 0}


def test_a_folder_without_run_json_fails(tmp_path):
    assert failures(tmp_path) == ["run"]


@pytest.mark.parametrize("name", WRONG)
def test_wrong_content_under_right_seals_is_found_by_its_check(
    name, folder, tmp_path, capsys, monkeypatch
):
    codes, damage = WRONG[name]
    asked = {code: verdict.CHECKS[code] for code in [*SEALS, *codes.split()]}
    monkeypatch.setattr(verdict, "CHECKS", asked)
    damage(folder)
    failed = failures(folder.write(tmp_path / "run"))
    said = capsys.readouterr().out
    assert failed == codes.split()
    assert "cannot be checked" not in said
    assert SPOKEN not in said


@pytest.mark.parametrize("name", CHANGED)
def test_a_file_changed_after_it_was_sealed_is_found(name, folder, tmp_path, capsys):
    code, damage = CHANGED[name]
    run = folder.write(tmp_path / "run")
    damage(run)
    assert code in failures(run)
    assert SPOKEN not in capsys.readouterr().out


def test_every_check_is_seen_to_fail():
    codes = {code for found, _ in [*WRONG.values(), *CHANGED.values()] for code in found.split()}
    assert codes == set(verdict.CHECKS)
