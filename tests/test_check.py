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
from run_folder_maker import SPOKEN, STAGE_OF, RunFolder, invent

from vitw_ray.records import RESPONSE_TYPES, ROLES, TABLES

CHECK = Path(__file__).resolve().parents[1] / "jobs" / "check.py"
spec = importlib.util.spec_from_file_location("independent_check", CHECK)
assert spec
assert spec.loader
check = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = check
spec.loader.exec_module(check)

Row = dict[str, Any]
SEALS = {"manifests", "run", "files", "strays", "digests", "lineage"}


@pytest.fixture
def folder() -> RunFolder:
    return invent()


def failures(run: Path | str) -> list[str]:
    """Codes of the checks that fail."""
    return check.verdict(str(run))[1]


def answered(folder: RunFolder, **wanted: Any) -> Row:
    """The first subjective extraction with these columns."""
    return next(
        row
        for row in folder.all("extractions")
        if row["is_subjective"] and all(row[name] == value for name, value in wanted.items())
    )


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
    assert not {"labels", "accounts", "carried", "private"} & set(skipped)


def test_a_folder_without_run_json_fails(tmp_path):
    assert failures(tmp_path) == ["run"]


# ----------------------------------------------- wrong content in a folder whose seals are right

CORRUPTIONS: dict[str, tuple[Callable[[RunFolder], None], set[str]]] = {}


def caught_by(*codes: str) -> Callable[[Callable[[RunFolder], None]], Callable[[RunFolder], None]]:
    """The checks that must find it; others may as well, but never the seals."""

    def register(damage: Callable[[RunFolder], None]) -> Callable[[RunFolder], None]:
        CORRUPTIONS[damage.__name__] = (damage, set(codes))
        return damage

    return register


@caught_by("carried", "conservation")
def a_conversation_is_dropped(folder):
    folder.tables["conversations"][0].pop(5)


@caught_by("carried")
def an_extraction_is_dropped(folder):
    folder.tables["extractions"][1].pop(5)


@caught_by("order", "carried")
def an_extraction_stands_twice(folder):
    part = folder.tables["extractions"][0]
    part.insert(3, part[3])


@caught_by("order")
def a_conversation_stands_in_two_parts(folder):
    for table in ("conversations", "extractions"):
        first, second = folder.tables[table]
        second.insert(0, first[0])


@caught_by("order")
def a_part_is_not_sorted(folder):
    for table in ("conversations", "extractions"):
        part = folder.tables[table][0]
        part[2], part[3] = part[3], part[2]


@caught_by("associations")
def two_answers_are_swapped(folder):
    one = answered(folder, task="plan a trip")
    other = answered(folder, task="write a letter")
    for name in ("subjectivity", "task", "human_values", "ai_values", "response_type"):
        one[name], other[name] = other[name], one[name]


@caught_by("carried")
def an_answer_has_another_account(folder):
    answered(folder)["account_id"] = "account-of-somebody-else"


@caught_by("conversations")
def a_role_is_unknown(folder):
    folder.tables["conversations"][0][0]["messages"][0]["role"] = "oracle"


@caught_by("conversations")
def nothing_is_said(folder):
    folder.tables["conversations"][1][0]["messages"] = [{"role": "user", "content": " "}]


@caught_by("conservation")
def a_reject_is_removed(folder):
    folder.tables["rejects"][0].pop()


@caught_by("conservation")
def a_reason_is_renamed(folder):
    folder.tables["rejects"][0][0]["reason"] = "too_long"


@caught_by("rejects")
def a_reason_is_a_sentence(folder):
    folder.rejected[SPOKEN] = folder.rejected.pop("no_messages")
    next(r for r in folder.all("rejects") if r["reason"] == "no_messages")["reason"] = SPOKEN


@caught_by("rejects")
def a_rejected_row_stands_twice(folder):
    rows = folder.tables["rejects"][0]
    rows[1]["row"] = rows[0]["row"]


@caught_by("rejects")
def a_rejected_row_was_never_read(folder):
    folder.tables["rejects"][0][-1]["row"] = 10


@caught_by("inputs")
def a_file_is_said_to_have_had_more_rows(folder):
    folder.rows_by_file["a.jsonl.gz"] += 3
    folder.rows_by_file["b.jsonl"] -= 3


@caught_by("extractions")
def is_subjective_is_flipped(folder):
    row = next(row for row in folder.all("extractions") if row["subjectivity"] == 2)
    row["is_subjective"] = True


@caught_by("extractions")
def subjectivity_is_out_of_range(folder):
    answered(folder)["subjectivity"] = 5


@caught_by("extractions", "response_types")
def a_response_type_is_outside_the_set(folder):
    answered(folder)["response_type"] = SPOKEN


@caught_by("extractions")
def a_failed_row_holds_an_answer(folder):
    failed = next(row for row in folder.all("extractions") if row["error"])
    failed["ai_values"] = answered(folder)["ai_values"]


@caught_by("extractions")
def a_failure_is_not_counted(folder):
    folder.failed["no_json"] -= 1


@caught_by("extractions")
def more_than_the_whole_was_cut(folder):
    answered(folder)["truncated_share"] = 1.25


@caught_by("extractions")
def one_answer_is_of_another_extractor(folder):
    answered(folder)["extractor"] = "invented@1"


@caught_by("labels")
def a_label_count_is_edited(folder):
    row = folder.tables["labels"][0][0]
    row["share"] *= (row["conversations"] + 1) / row["conversations"]
    row["conversations"] += 1


@caught_by("labels")
def a_share_is_edited(folder):
    folder.tables["labels"][0][2]["share"] += 0.001


@caught_by("labels")
def a_label_is_missing(folder):
    folder.tables["labels"][1].pop()


@caught_by("accounts")
def a_number_of_accounts_is_edited(folder):
    folder.tables["labels"][0][1]["accounts"] += 1


@caught_by("kept", "taxonomy", "private")
def a_rare_label_is_kept(folder):
    row = folder.tables["labels"][1].pop()
    row["kept"] = True
    folder.tables["labels"][0].append(row)
    folder.public.add("labels/part-00001.parquet")
    folder.tables["labels"][1].append({**row, "label": "one more", "kept": False})


@caught_by("private")
def a_rare_label_is_public(folder):
    folder.public.add("labels/part-00001.parquet")


@caught_by("private")
def extractions_are_public(folder):
    folder.public.add("extractions/part-00001.parquet")


@caught_by("private")
def the_page_names_a_conversation(folder):
    folder.texts["report.html"] += "<b>invented-chat-0012</b>"


@caught_by("private", "schemas")
def a_public_table_has_a_text_column(folder):
    folder.schemas["mirroring"] = folder.schemas["mirroring"].append(
        pa.field("content", pa.string())
    )
    folder.tables["mirroring"][0][0]["content"] = SPOKEN


@caught_by("schemas")
def a_column_has_another_type(folder):
    schema = folder.schemas["labels"]
    at = schema.get_field_index("conversations")
    folder.schemas["labels"] = schema.set(at, pa.field("conversations", pa.int32(), nullable=False))


@caught_by("schemas")
def a_column_may_be_null(folder):
    schema = folder.schemas["taxonomy"]
    folder.schemas["taxonomy"] = schema.set(4, schema.field(4).with_nullable(True))


@caught_by("merges")
def a_merge_leads_to_a_merged_label(folder):
    first, second = folder.tables["merges"][0]
    second["label"] = first["variant"]


@caught_by("merges")
def the_count_of_a_merge_is_edited(folder):
    folder.tables["merges"][0][0]["conversations"] -= 1


@caught_by("labels")
def a_merge_is_forgotten(folder):
    folder.tables["merges"][0].pop()


@caught_by("tree")
def a_node_has_no_parent(folder):
    folder.tables["taxonomy"][0][0]["parent_cluster_id"] = "ai_values:l1:9"


@caught_by("tree")
def a_cluster_has_no_members(folder):
    rows = folder.tables["taxonomy"][0]
    top = next(row for row in rows if row["cluster_id"] == "ai_values:l2:0")
    empty = {"cluster_id": "ai_values:l2:1", "conversations": 0, "pct_total_occurrences": 0.0}
    rows.append({**top, **empty})


@caught_by("taxonomy", "release_tree")
def a_percentage_is_wrong(folder):
    folder.tables["taxonomy"][0][3]["pct_total_occurrences"] += 0.5


@caught_by("taxonomy")
def counts_do_not_add_up(folder):
    rows = folder.tables["taxonomy"][0]
    next(row for row in rows if row["cluster_id"] == "tasks:l2:0")["conversations"] += 1


@caught_by("taxonomy", "tree")
def a_label_is_not_in_the_tree(folder):
    folder.tables["taxonomy"][0].pop(1)
    folder.tables["taxonomy"][0][0]["cluster_id"] = "ai_values:l1:0"


@caught_by("tasks", "associations")
def a_task_is_in_another_cluster(folder):
    row = folder.all("task_assignments")[4]
    row["cluster_id"] = "tasks:l1:0" if row["cluster_id"] != "tasks:l1:0" else "tasks:l1:1"


@caught_by("tasks")
def a_task_is_not_assigned(folder):
    folder.tables["task_assignments"][0].pop(2)


@caught_by("response_types")
def a_response_type_count_is_edited(folder):
    folder.tables["response_types"][0][1]["conversations"] += 1


@caught_by("response_types")
def a_response_type_is_left_out(folder):
    rows = folder.tables["response_types"][0]
    rows.remove(max(rows[:7], key=lambda row: row["conversations"]))


@caught_by("response_types")
def the_bound_of_an_interval_is_edited(folder):
    folder.tables["response_types"][0][2]["low"] *= 0.99


@caught_by("associations")
def an_observed_count_is_edited(folder):
    folder.tables["associations"][0][0]["observed"] += 1


@caught_by("associations")
def a_cell_stands_twice(folder):
    folder.tables["associations"][0].append(folder.tables["associations"][0][0])


@caught_by("associations")
def a_cell_is_of_a_label_without_support(folder):
    folder.tables["associations"][0][3]["row"] = "collecting buttons"


@caught_by("residuals")
def a_residual_has_the_other_sign(folder):
    row = next(row for row in folder.all("associations") if abs(row.get("residual") or 0) > 1)
    row["residual"] *= -1


@caught_by("residuals")
def an_expected_count_is_edited(folder):
    folder.tables["associations"][0][0]["expected"] *= 1.01


@caught_by("residuals")
def a_cell_is_called_significant(folder):
    row = next(row for row in folder.all("associations") if (row.get("p_adjusted") or 0) > 0.5)
    row["significant"] = True


@caught_by("variation")
def a_share_of_the_variation_is_edited(folder):
    folder.tables["variation"][0][0]["share"] += 0.01


@caught_by("mirroring")
def a_mirrored_count_is_edited(folder):
    row = next(row for row in folder.all("mirroring") if row["mirrored"])
    row["mirrored"] -= 1


@caught_by("mirroring")
def a_lift_is_edited(folder):
    next(row for row in folder.all("mirroring") if row["lift"])["lift"] *= 2


@caught_by("intervals")
def an_interval_is_upside_down(folder):
    row = folder.tables["associations"][0][0]
    row["low"], row["high"] = row["high"], row["low"]


@caught_by("release_frequencies")
def a_released_percentage_is_edited(folder):
    lines = folder.texts["values_frequencies.csv"].splitlines(keepends=True)
    lines[1] = lines[1].split(",")[0] + ",99.999\n"
    folder.texts["values_frequencies.csv"] = "".join(lines)


@caught_by("release_frequencies")
def a_released_label_is_missing(folder):
    lines = folder.texts["values_frequencies.csv"].splitlines(keepends=True)
    folder.texts["values_frequencies.csv"] = "".join(lines[:-1])


@caught_by("release_tree")
def a_released_name_is_edited(folder):
    text = folder.texts["values_tree.csv"]
    folder.texts["values_tree.csv"] = text.replace("everything", "something")


@caught_by("report")
def the_page_loads_a_script(folder):
    folder.texts["report.html"] += '<script src="https://example.org/chart.js"></script>'


@caught_by("report")
def the_page_loads_a_style_sheet(folder):
    folder.texts["report.html"] += '<link rel="stylesheet" href="//example.org/page.css">'


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_wrong_content_under_right_seals_is_found_by_its_check(name, folder, tmp_path, capsys):
    damage, codes = CORRUPTIONS[name]
    damage(folder)
    failed = set(failures(folder.write(tmp_path / "run")))
    said = capsys.readouterr().out
    assert codes <= failed
    assert not failed & SEALS
    assert not [line for line in said.splitlines() if "cannot" in line and line.split()[1] in codes]
    assert SPOKEN not in said


# ------------------------------------------------------------- files changed after they were sealed


def one(run: Path, pattern: str) -> Path:
    return sorted(run.glob(pattern))[0]


def edit_json(path: Path, change: Callable[[Row], Any]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def truncate(run: Path) -> None:
    part = one(run, "private/2_*/extractions/part-00001.parquet")
    part.write_bytes(part.read_bytes()[:-40])


def flip_a_byte(run: Path) -> None:
    page = one(run, "6_*/report.html")
    page.write_bytes(page.read_bytes()[:-1] + b"~")


def delete_a_part(run: Path) -> None:
    one(run, "private/1_*/conversations/part-00000.parquet").unlink()


def add_a_file(run: Path) -> None:
    (one(run, "private/3_*") / "labels" / "part-00002.parquet").write_bytes(b"")


def delete_a_manifest(run: Path) -> None:
    one(run, "5_*/_SUCCESS.json").unlink()


def misstate_the_rows(run: Path) -> None:
    edit_json(one(run, "4_*/_SUCCESS.json"), lambda m: m["files"][0].update(rows=1))


def put_a_manifest_in_the_place_of_another(run: Path) -> None:
    other = one(run, "6_*/_SUCCESS.json").read_text()
    one(run, "7_*/_SUCCESS.json").write_text(other)


def leave_a_stale_digest(run: Path) -> None:
    edit_json(run / "run.json", lambda r: r["tables"]["labels"].update(digest="0" * 64))


def point_a_stage_at_another_input(run: Path) -> None:
    edit_json(one(run, "5_*/_SUCCESS.json"), lambda m: m["inputs"].update(labels="0" * 64))


def forget_an_input(run: Path) -> None:
    edit_json(one(run, "3_*/_SUCCESS.json"), lambda m: m["inputs"].clear())


def name_another_file(run: Path) -> None:
    edit_json(run / "run.json", lambda r: r["tables"]["taxonomy"].update(files=["other.parquet"]))


def misstate_the_totals(run: Path) -> None:
    edit_json(run / "run.json", lambda r: r["totals"].update(failed=0))


def leave_out_a_field(run: Path) -> None:
    edit_json(one(run, "2_*/_SUCCESS.json"), lambda m: m.pop("versions"))


DAMAGES = [
    (truncate, "files"),
    (flip_a_byte, "files"),
    (delete_a_part, "files"),
    (misstate_the_rows, "files"),
    (add_a_file, "strays"),
    (delete_a_manifest, "manifests"),
    (leave_out_a_field, "manifests"),
    (put_a_manifest_in_the_place_of_another, "manifests"),
    (leave_a_stale_digest, "digests"),
    (point_a_stage_at_another_input, "lineage"),
    (forget_an_input, "lineage"),
    (name_another_file, "run"),
    (misstate_the_totals, "run"),
]


@pytest.mark.parametrize(("damage", "code"), DAMAGES, ids=[f.__name__ for f, _ in DAMAGES])
def test_a_file_changed_after_it_was_sealed_is_found(damage, code, folder, tmp_path, capsys):
    run = folder.write(tmp_path / "run")
    damage(run)
    assert code in failures(run)
    assert SPOKEN not in capsys.readouterr().out


def test_every_check_is_seen_to_fail():
    found = {code for _, codes in CORRUPTIONS.values() for code in codes}
    assert found | {code for _, code in DAMAGES} == set(check.CHECKS)
