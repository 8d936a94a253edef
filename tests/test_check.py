"""The checker against a correct folder, and against folders with one thing wrong."""

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from run_folder_maker import SPOKEN, STAGE_OF, RunFolder, invent, shares

from vitw_ray.records import RESPONSE_TYPES, ROLES, TABLES

CHECK = Path(__file__).resolve().parents[1] / "jobs" / "check.py"
spec = importlib.util.spec_from_file_location("independent_check", CHECK)
assert spec
assert spec.loader
check = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = check
spec.loader.exec_module(check)

Row = dict[str, Any]
Damage = Callable[[RunFolder], Any]
SEALS = ("manifests", "run", "files", "strays", "digests", "lineage")


@pytest.fixture
def folder() -> RunFolder:
    return invent()


def failures(run: Path | str) -> list[str]:
    """Codes of the checks that fail."""
    return check.verdict(str(run))[1]


def edit_json(path: Path, change: Callable[[Row], Any]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_correct_folder_passes_every_check(folder, tmp_path):
    assert failures(folder.write(tmp_path / "run")) == []


def submit(run: Path) -> tuple[int, list[str]]:
    """Exit status and lines of the job, run away from the package."""
    line = [sys.executable, str(CHECK), str(run)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=run.parent)
    return done.returncode, done.stdout.splitlines()


def test_the_job_ends_with_one_line_of_json_and_status_0(folder, tmp_path):
    run = folder.write(tmp_path / "run")
    status, lines = submit(run)
    verdict = {"run": str(run), "checks": len(check.CHECKS), "failed": []}
    assert (status, json.loads(lines[-1])) == (0, verdict)
    assert [line.split()[:2] for line in lines[:-1]] == [["ok", code] for code in check.CHECKS]


def test_the_job_ends_with_status_1_when_a_check_fails(folder, tmp_path):
    run = folder.write(tmp_path / "run")
    next(run.glob("6_report-*/report.html")).unlink()
    status, lines = submit(run)
    assert (status, "files" in json.loads(lines[-1])["failed"]) == (1, True)


def test_the_checker_shares_no_code_with_the_pipeline():
    allowed = {*sys.stdlib_module_names, "pyarrow", "numpy", "fsspec"}
    imported = set()
    for node in ast.walk(ast.parse(CHECK.read_text())):
        if isinstance(node, ast.Import):
            imported.update(alias.name.split(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported <= allowed


def test_the_checkers_own_schemas_and_closed_sets_are_the_documented_ones():
    own = {name: text.split("; ") for name, text in check.SCHEMAS.items()}
    assert own == {name: [check.column(f) for f in schema] for name, schema in TABLES.items()}
    assert set(RESPONSE_TYPES) == check.RESPONSE_TYPES
    assert set(ROLES) == check.ROLES


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
    monkeypatch.setattr(check, "ACCOUNT_PASS_ROWS", 7)
    assert failures(folder.write(tmp_path / "run")) == []


def test_labels_without_any_account_have_no_number_of_accounts(folder, tmp_path):
    for row in [*folder.all("conversations"), *folder.all("extractions")]:
        row["account_id"] = None
    for row in folder.all("labels"):
        row["accounts"] = None
    assert failures(folder.write(tmp_path / "run")) == []


def test_an_input_that_is_gone_is_told_and_is_no_failure(folder, tmp_path, capsys):
    run = folder.write(tmp_path / "run")
    (tmp_path / "input" / "b.jsonl").unlink()
    assert failures(run) == []
    assert "1 of 4 files are gone" in capsys.readouterr().out


def test_a_run_that_ended_early_is_checked_as_far_as_it_went(folder, tmp_path, capsys):
    run = folder.write(tmp_path / "run")
    tables = {name for stage in list(STAGE_OF)[:3] for name in STAGE_OF[stage]}

    def end_after_the_labels(value: Row) -> None:
        value["stages"] = value["stages"][:3]
        value["tables"] = {name: value["tables"][name] for name in tables}

    edit_json(run / "run.json", end_after_the_labels)
    assert failures(run) == []
    lines = capsys.readouterr().out.splitlines()
    skipped = [line.split()[1] for line in lines if line.startswith("skipped")]
    assert skipped[:3] == ["tree", "taxonomy", "tasks"]
    assert not {"order", "labels", "accounts", "carried", "private"} & set(skipped)


def test_a_folder_without_run_json_fails(tmp_path):
    assert failures(tmp_path) == ["run"]


# ----------------------------------------------- wrong content in a folder whose seals are right


def find(folder: RunFolder, table: str, **where: Any) -> Row:
    """The first row of a table with these columns; a function says whether a value will do."""
    for row in folder.all(table):
        wanted = ((w, row.get(name)) for name, w in where.items())
        if all(w(value) if callable(w) else w == value for w, value in wanted):
            return row
    raise LookupError(f"{table} has no such row")


def edit(table: str, column: str, value: Any, **where: Any) -> Damage:
    """Set or change a column of one row."""

    def damage(folder: RunFolder) -> None:
        row = find(folder, table, **where)
        row[column] = value(row[column]) if callable(value) else value

    return damage


def drop(table: str, **where: Any) -> Damage:
    """Lose one row."""

    def damage(folder: RunFolder) -> None:
        row = find(folder, table, **where)
        for part in folder.tables[table]:
            part[:] = [other for other in part if other is not row]

    return damage


def double(table: str, part: int = 0, **changes: Any) -> Damage:
    """Write the first row of a part twice, the second with these changes."""
    return lambda f: f.tables[table][part].insert(1, f.tables[table][part][0] | changes)


def together(*damages: Damage) -> Damage:
    """Several things, so that only one of their traces is left."""
    return lambda folder: [damage(folder) for damage in damages]


def rewrite(file: str, change: Callable[[str], str]) -> Damage:
    """Another text in a published file."""
    return lambda folder: folder.texts.update({file: change(folder.texts[file])})


def retype(table: str, field: pa.Field) -> Damage:
    """Another type for a column, or one column more."""

    def damage(folder: RunFolder) -> None:
        schema = folder.schemas[table]
        at = schema.get_field_index(field.name)
        folder.schemas[table] = schema.append(field) if at < 0 else schema.set(at, field)

    return damage


def swap_two_answers(folder: RunFolder) -> None:
    one = find(folder, "extractions", is_subjective=True, task="plan a trip")
    other = find(folder, "extractions", is_subjective=True, task="write a letter")
    for name in ("subjectivity", "task", "human_values", "ai_values", "response_type"):
        one[name], other[name] = other[name], one[name]


def put_one_conversation_into_two_parts(folder: RunFolder) -> None:
    for table in ("conversations", "extractions"):
        first, second = folder.tables[table]
        second.insert(0, first[0])


def unsort(*tables: str) -> Damage:
    def damage(folder: RunFolder) -> None:
        for table in tables:
            part = folder.tables[table][0]
            part[2], part[3] = part[3], part[2]

    return damage


def keep_a_rare_label(folder: RunFolder) -> None:
    row = folder.tables["labels"][1].pop()
    folder.tables["labels"][0].append({**row, "kept": True})


def count_one_more(folder: RunFolder) -> None:
    row = folder.tables["labels"][0][0]
    row["share"] *= (row["conversations"] + 1) / row["conversations"]
    row["conversations"] += 1


def add_an_empty_cluster(folder: RunFolder) -> None:
    top = find(folder, "taxonomy", cluster_id="ai_values:l2:0")
    empty = {"cluster_id": "ai_values:l2:1", "conversations": 0, "pct_total_occurrences": 0.0}
    folder.tables["taxonomy"][0].append({**top, **empty})


def fail_often(folder: RunFolder) -> None:
    answer = {"subjectivity": None, "is_subjective": None, "task": None, "response_type": None}
    for row in [row for row in folder.all("extractions") if row["subjectivity"] in (1, 2)][:5]:
        row.update(answer, human_values=[], ai_values=[], error="no_json")
        folder.failed["no_json"] += 1


def read_one_row_less(folder: RunFolder) -> None:
    folder.rows_in -= 1
    folder.rows_by_file["b.jsonl"] -= 1


def mirror_one_less(folder: RunFolder) -> None:
    row = find(folder, "mirroring", mirrored=some)
    row |= shares("mirrored", row["mirrored"] - 1, row["conversations"])
    row["lift"] = row["share"] / row["share_by_chance"]


def turn_an_interval_over(folder: RunFolder) -> None:
    row = folder.tables["associations"][0][0]
    row["low"], row["high"] = row["high"], row["low"]


def some(value: Any) -> bool:
    return bool(value)


def plus(n: float) -> Callable[[Any], Any]:
    return lambda value: value + n


SUBJECTIVE = {"is_subjective": True}
OF_ALL = {"model": None, "over_facet": None}

WRONG: dict[str, tuple[str, Damage]] = {
    # conversations, rejects, extractions
    "a conversation is dropped": ("carried conservation", drop("conversations")),
    "an extraction is dropped": ("carried conservation", drop("extractions", **SUBJECTIVE)),
    "an extraction stands twice": ("order carried", double("extractions")),
    "a conversation is in two parts": ("order", put_one_conversation_into_two_parts),
    "a part is not sorted": ("order", unsort("conversations", "extractions")),
    "assignments are not sorted": ("order", unsort("task_assignments")),
    "two answers are swapped": ("associations", swap_two_answers),
    "another account": ("carried", edit("extractions", "account_id", "account-of-another")),
    "another model": ("carried", edit("extractions", "model", "model-c")),
    "no id": ("conversations", edit("conversations", "conversation_id", "")),
    "an unknown role": (
        "conversations",
        edit("conversations", "messages", lambda said: [{**said[0], "role": "oracle"}]),
    ),
    "nothing is said": (
        "conversations",
        edit("conversations", "messages", [{"role": "user", "content": " "}]),
    ),
    "a reject is removed": ("conservation", drop("rejects")),
    "a reason is renamed": ("conservation", edit("rejects", "reason", "too_long")),
    "a reason is a sentence": (
        "rejects",
        together(
            edit("rejects", "reason", SPOKEN, reason="no_messages"),
            lambda folder: folder.rejected.update({SPOKEN: folder.rejected.pop("no_messages")}),
        ),
    ),
    "a row is rejected twice": ("rejects", edit("rejects", "row", 3, row=17)),
    "a rejected row was not read": ("rejects", edit("rejects", "row", 10, row=9)),
    "rejects are not sorted": ("rejects", edit("rejects", "row", 1, row=17)),
    "fewer rows were read": ("conservation", read_one_row_less),
    "rows by file do not add up": (
        "conservation",
        lambda folder: folder.rows_by_file.update({"b.jsonl": 31}),
    ),
    "a file had more rows": (
        "inputs",
        lambda folder: folder.rows_by_file.update({"a.jsonl.gz": 43, "b.jsonl": 27}),
    ),
    "is_subjective is flipped": (
        "extractions",
        edit("extractions", "is_subjective", True, subjectivity=2),
    ),
    "subjectivity 5": ("extractions", edit("extractions", "subjectivity", 5, **SUBJECTIVE)),
    "subjectivity is missing": (
        "extractions",
        edit("extractions", "subjectivity", None, subjectivity=1),
    ),
    "a response type outside the set": (
        "extractions response_types",
        edit("extractions", "response_type", SPOKEN, **SUBJECTIVE),
    ),
    "a failed row has a task": (
        "extractions",
        edit("extractions", "task", "plan a trip", error=some),
    ),
    "a failed row has values": (
        "extractions",
        edit("extractions", "ai_values", [{"label": "calm", "explicit": True}], error=some),
    ),
    "an error is a sentence": (
        "extractions",
        together(
            lambda folder: [
                row.update(error=SPOKEN) for row in folder.all("extractions") if row["error"]
            ],
            lambda folder: folder.failed.update({SPOKEN: folder.failed.pop("no_json")}),
        ),
    ),
    "a failure is not counted": ("extractions", lambda folder: folder.failed.update(no_json=1)),
    "too many failures": ("extractions", fail_often),
    "more than all was cut": ("extractions", edit("extractions", "truncated_share", 1.25)),
    "tokens below zero": ("extractions", edit("extractions", "prompt_tokens", -1)),
    "salience 6": (
        "extractions",
        edit(
            "extractions", "ai_values", lambda found: [{**found[0], "salience": 6}], ai_values=some
        ),
    ),
    "two extractors": ("extractions", edit("extractions", "extractor", "invented@1")),
    # labels
    "a label count is edited": ("labels", count_one_more),
    "a label's share is edited": ("labels", edit("labels", "share", plus(0.001))),
    "a label is missing": ("labels", drop("labels", kept=False)),
    "a label stands twice": ("labels", double("labels", 1)),
    "a label outside the alphabet": ("labels", edit("labels", "label", "=1+1")),
    "accounts are edited": ("accounts", edit("labels", "accounts", plus(1))),
    "a rare label is kept": ("kept taxonomy", keep_a_rare_label),
    "a label is not kept": ("kept taxonomy", edit("labels", "kept", False)),
    "a merge leads to a variant": (
        "merges",
        edit("merges", "label", "careful limit", rule="hyphen"),
    ),
    "a merge count is edited": ("merges", edit("merges", "conversations", plus(-1))),
    "a variant stands twice": ("merges", double("merges")),
    "a merge is forgotten": ("labels", drop("merges")),
    # what is public
    "a rare label is public": ("private", lambda f: f.public.add("labels/part-00001.parquet")),
    "extractions are public": ("private", lambda f: f.public.add("extractions/part-00001.parquet")),
    "merges are public": ("private", lambda f: f.public.add("merges/part-00000.parquet")),
    "the page names a conversation": (
        "private",
        rewrite("report.html", lambda page: page + "<b>invented-chat-0012</b>"),
    ),
    "a table names an account": (
        "private",
        edit("taxonomy", "description", "account-03-00000003", level=1),
    ),
    "a public table holds text": (
        "private schemas",
        together(
            retype("mirroring", pa.field("content", pa.string())),
            lambda folder: folder.tables["mirroring"][0][0].update(content=SPOKEN),
        ),
    ),
    "a column has another type": (
        "schemas",
        retype("labels", pa.field("conversations", pa.int32(), nullable=False)),
    ),
    "a column may be null": ("schemas", retype("taxonomy", pa.field("name", pa.string()))),
    # taxonomy
    "a node has no parent": ("tree", edit("taxonomy", "parent_cluster_id", "ai_values:l1:9")),
    "a node skips a level": ("tree", edit("taxonomy", "parent_cluster_id", "ai_values:l2:0")),
    "the top has a parent": ("tree", edit("taxonomy", "parent_cluster_id", "tasks:l2:1", level=2)),
    "a cluster has no members": ("tree", add_an_empty_cluster),
    "a node has no name": ("tree", edit("taxonomy", "name", "", level=1)),
    "an id stands twice": ("tree", edit("taxonomy", "cluster_id", "tasks:l2:0", name="work 1")),
    "an unknown facet": ("tree", edit("taxonomy", "facet", "moods")),
    "a percentage is wrong": (
        "taxonomy release_tree",
        edit("taxonomy", "pct_total_occurrences", plus(0.5)),
    ),
    "a leaf count is edited": ("taxonomy", edit("taxonomy", "conversations", plus(1), level=0)),
    "a cluster count is edited": ("taxonomy", edit("taxonomy", "conversations", plus(1), level=2)),
    "a label is not in the tree": ("taxonomy", drop("taxonomy", level=0)),
    "a task is in another cluster": (
        "tasks associations",
        edit("task_assignments", "cluster_id", "tasks:l1:0", cluster_id="tasks:l1:1"),
    ),
    "a task is in no known cluster": (
        "tasks",
        edit("task_assignments", "cluster_id", "tasks:l1:7"),
    ),
    "a task is not assigned": ("tasks", drop("task_assignments")),
    "somebody else has a task cluster": ("tasks", double("task_assignments", conversation_id="x")),
    "a task cluster is larger": (
        "tasks",
        edit("taxonomy", "conversations", plus(1), facet="tasks", level=1),
    ),
    # statistics
    "a response type count is edited": (
        "response_types",
        edit("response_types", "conversations", plus(1)),
    ),
    "a response type is left out": ("response_types", drop("response_types", share=some)),
    "nothing about all models": (
        "response_types",
        lambda f: f.tables["response_types"].__setitem__(0, f.tables["response_types"][0][7:]),
    ),
    "a bound is edited": (
        "response_types",
        edit("response_types", "low", lambda low: low * 0.99, low=some),
    ),
    "an observed count is edited": ("associations", edit("associations", "observed", plus(1))),
    "a cell stands twice": ("associations", double("associations")),
    "a cell is left out": ("associations", drop("associations", observed=some)),
    "a cell of a rare label": ("associations", edit("associations", "row", "collecting buttons")),
    "a cell of another level": ("associations", edit("associations", "level", 1)),
    "a residual has the other sign": (
        "residuals",
        edit("associations", "residual", lambda z: -z, residual=lambda z: z and abs(z) > 1),
    ),
    "an expected count is edited": (
        "residuals",
        edit("associations", "expected", lambda e: e * 1.01),
    ),
    "an odds ratio is edited": (
        "residuals",
        edit("associations", "odds_ratio", lambda ratio: ratio * 1.01),
    ),
    "a cell is called significant": (
        "residuals",
        edit("associations", "significant", True, p_adjusted=lambda p: p and p > 0.5),
    ),
    "p is above its adjustment": (
        "residuals",
        edit("associations", "p_value", 1.0, significant=True),
    ),
    "no reason for no residual": ("residuals", edit("associations", "reason", None, reason=some)),
    "a share of the variation is edited": ("variation", edit("variation", "share", plus(0.01))),
    "a coefficient is edited": (
        "variation",
        edit("variation", "coefficient_of_variation", plus(0.01)),
    ),
    "a correction below zero": ("variation", edit("variation", "corrected", -0.1)),
    "a mirrored count is edited": ("mirroring", mirror_one_less),
    "conversations of mirroring are edited": (
        "mirroring",
        edit("mirroring", "conversations", plus(1)),
    ),
    "a mirroring bound is edited": ("mirroring", edit("mirroring", "high", plus(-0.01), high=some)),
    "a lift is edited": ("mirroring", edit("mirroring", "lift", lambda x: x * 2, lift=some)),
    "a row of mirroring is left out": ("mirroring", drop("mirroring", conversations=some)),
    "an interval is turned over": ("intervals", turn_an_interval_over),
    "an interval lacks an end": ("intervals", edit("response_types", "low", None, share=some)),
    # what people get
    "a released percentage is edited": (
        "release_frequencies",
        rewrite("values_frequencies.csv", lambda text: text.replace(".", ".9", 1)),
    ),
    "a released label is missing": (
        "release_frequencies",
        rewrite("values_frequencies.csv", lambda text: text[: text[:-1].rindex("\n") + 1]),
    ),
    "a released name is edited": (
        "release_tree",
        rewrite("values_tree.csv", lambda text: text.replace("everything", "something")),
    ),
    "a released node is missing": (
        "release_tree",
        rewrite("values_tree.csv", lambda text: text[: text[:-1].rindex("\n") + 1]),
    ),
    "a released share of the tree is edited": (
        "release_tree",
        rewrite("values_tree.csv", lambda text: text.replace("100.0", "99.0")),
    ),
    "the page is no page": ("report", rewrite("report.html", lambda _: "sorry")),
    "the page loads a script": (
        "report",
        rewrite("report.html", lambda page: page + '<script src="https://example.org/a.js">'),
    ),
    "the page loads a style sheet": (
        "report",
        rewrite("report.html", lambda page: page + '<link rel=x href="//example.org/page.css">'),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_content_under_right_seals_is_found_by_its_check(
    name, folder, tmp_path, capsys, monkeypatch
):
    codes, damage = WRONG[name]
    asked = {code: check.CHECKS[code] for code in [*SEALS, *codes.split()]}
    monkeypatch.setattr(check, "CHECKS", asked)
    damage(folder)
    failed = failures(folder.write(tmp_path / "run"))
    said = capsys.readouterr().out
    assert failed == codes.split()
    assert "cannot be checked" not in said
    assert SPOKEN not in said


# ------------------------------------------------------------- files changed after they were sealed


def one(run: Path, pattern: str) -> Path:
    return sorted(run.glob(pattern))[0]


def in_run_json(change: Callable[[Row], Any]) -> Callable[[Path], None]:
    """A change of `run.json`."""
    return lambda run: edit_json(run / "run.json", change)


def in_manifest(stage: int, change: Callable[[Row], Any]) -> Callable[[Path], None]:
    """A change of a stage's `_SUCCESS.json`."""
    return lambda run: edit_json(one(run, f"{stage}_*/_SUCCESS.json"), change)


def in_both(stage: int, **changes: Any) -> Callable[[Path], None]:
    """The same change in a manifest and in `run.json`."""

    def damage(run: Path) -> None:
        in_manifest(stage, lambda manifest: manifest.update(changes))(run)
        in_run_json(lambda value: value["stages"][stage - 1].update(changes))(run)

    return damage


def truncate(run: Path) -> None:
    part = one(run, "private/2_*/extractions/part-00001.parquet")
    part.write_bytes(part.read_bytes()[:-40])


def flip_a_byte(run: Path) -> None:
    page = one(run, "6_*/report.html")
    page.write_bytes(page.read_bytes()[:-1] + b"~")


def add_a_file(run: Path) -> None:
    (one(run, "private/3_*") / "labels" / "part-00002.parquet").write_bytes(b"")


def use_the_manifest_of_another(run: Path) -> None:
    one(run, "7_*/_SUCCESS.json").write_text(one(run, "6_*/_SUCCESS.json").read_text())


def move_the_page(run: Path) -> None:
    one(run, "6_*/report.html").rename(run / "report.html")
    in_manifest(6, lambda manifest: manifest["files"][0].update(path="report.html"))(run)


def without_merges(manifest: Row) -> None:
    manifest["files"] = [file for file in manifest["files"] if file["table"] != "merges"]


CHANGED: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a part is truncated": ("files", truncate),
    "a byte is flipped": ("files", flip_a_byte),
    "a part is gone": (
        "files",
        lambda run: one(run, "private/1_*/conversations/part-00000.parquet").unlink(),
    ),
    "the bytes are misstated": ("files", in_manifest(7, lambda m: m["files"][0].update(bytes=1))),
    "the rows are misstated": ("files", in_manifest(4, lambda m: m["files"][0].update(rows=1))),
    "the rows of a CSV are misstated": (
        "files",
        in_manifest(7, lambda m: m["files"][0].update(rows=1)),
    ),
    "a file that no manifest names": ("strays", add_a_file),
    "a manifest is gone": ("manifests", lambda run: one(run, "5_*/_SUCCESS.json").unlink()),
    "a manifest lacks a field": ("manifests", in_manifest(2, lambda m: m.pop("versions"))),
    "a file entry lacks a field": (
        "manifests",
        in_manifest(2, lambda m: m["files"][0].pop("rows")),
    ),
    "a manifest of another stage": ("manifests", use_the_manifest_of_another),
    "a key is no hash": ("manifests", in_both(3, key="new")),
    "a table is not written": ("manifests", in_manifest(3, without_merges)),
    "stages in another order": ("manifests", in_run_json(lambda r: r["stages"].reverse())),
    "a stale digest": ("digests", in_run_json(lambda r: r["tables"]["labels"].update(digest="0"))),
    "made from another table": (
        "lineage",
        in_manifest(5, lambda m: m["inputs"].update(labels="0" * 64)),
    ),
    "made from nothing": ("lineage", in_manifest(3, lambda m: m["inputs"].clear())),
    "run.json names another file": (
        "run",
        in_run_json(lambda r: r["tables"]["taxonomy"].update(files=["other.parquet"])),
    ),
    "run.json names another folder": ("run", in_manifest(4, lambda m: m.update(key="0" * 16))),
    "run.json names one table more": ("run", in_run_json(lambda r: r["tables"].update(moods={}))),
    "run.json has other rows": ("run", in_run_json(lambda r: r["tables"]["labels"].update(rows=3))),
    "run.json has other counts": ("run", in_run_json(lambda r: r["stages"][0].update(rows_out=3))),
    "run.json has other totals": ("run", in_run_json(lambda r: r["totals"].update(failed=0))),
    "a file of no stage": ("run", move_the_page),
    "conversations are misstated": ("conservation", in_both(1, rows_out=91)),
    "conversations to extract are misstated": ("conservation", in_both(2, rows_in=91)),
    "extractions are misstated": ("conservation", in_both(2, rows_out=91)),
    "an input is not named": ("inputs", in_run_json(lambda r: r["inputs"].pop())),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_file_changed_after_it_was_sealed_is_found(name, folder, tmp_path, capsys):
    code, damage = CHANGED[name]
    run = folder.write(tmp_path / "run")
    damage(run)
    assert code in failures(run)
    assert SPOKEN not in capsys.readouterr().out


def test_every_check_is_seen_to_fail():
    codes = {code for found, _ in [*WRONG.values(), *CHANGED.values()] for code in found.split()}
    assert codes == set(check.CHECKS)
