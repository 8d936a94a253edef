"""Reading a run from Python: names, streams, and what is said when something is not there."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from run_folder_maker import invent

from vitw_ray import open_run
from vitw_ray.errors import OutputError
from vitw_ray.opened_run import WRITTEN_BY
from vitw_ray.records import TABLES
from vitw_ray.resolved_names import NAME_COLUMNS
from vitw_ray.storage import Storage

CLUSTER_ID = re.compile(r"(ai_values|human_values|tasks):l\d+:")
OF_A_RUN = [name for name in TABLES if name != "certificate"]  # that is made after the run
PRIVATE = ("conversations", "rejects", "extractions", "merges", "task_assignments")


@pytest.fixture
def folder(tmp_path):
    """A small run folder, made without the pipeline."""
    return invent().write(tmp_path / "run")


@pytest.fixture
def without_private(folder):
    shutil.rmtree(folder / "private")
    return folder


def run_json(folder: Path, **changes: object) -> None:
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(content | changes))


def stored(folder: Path, name: str) -> pa.Table:
    """A table read from the paths in run.json, without the package."""
    files = json.loads((folder / "run.json").read_text())["tables"][name]["files"]
    return pa.concat_tables([pq.read_table(folder / path) for path in files])


def in_new_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LOADED = "import sys; print(*[m for m in ({}) if m in sys.modules])"


def test_importing_the_package_imports_neither_ray_nor_arrow():
    code = "import vitw_ray; vitw_ray.__version__; dir(vitw_ray); "
    assert in_new_python(code + LOADED.format("'ray', 'pyarrow', 'pandas', 'pydantic'")) == ""


def test_reading_a_run_imports_no_ray(folder):
    code = f"from vitw_ray import open_run; open_run({str(folder)!r}).table('associations'); "
    assert in_new_python(code + LOADED.format("'ray', 'torch', 'pyarrow'")) == "pyarrow"


def test_a_name_that_the_package_does_not_have_is_an_attribute_error():
    import vitw_ray

    with pytest.raises(AttributeError, match="open_runs"):
        _ = vitw_ray.open_runs  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", OF_A_RUN)
def test_without_its_names_a_table_is_what_the_files_hold(folder, name):
    table = open_run(folder).table(name).arrow
    assert table.select(TABLES[name].names).equals(stored(folder, name))


@pytest.mark.parametrize("name", [name for name in NAME_COLUMNS if name in OF_A_RUN])
def test_every_cluster_id_has_its_name_beside_it(folder, name):
    names = {row["cluster_id"]: row["name"] for row in stored(folder, "taxonomy").to_pylist()}
    table = open_run(folder).table(name).arrow
    for column, resolved in NAME_COLUMNS[name].items():
        assert table.column_names.index(resolved) == table.column_names.index(column) + 1
        ids = [x for x in table[column].to_pylist() if x is not None and CLUSTER_ID.match(x)]
        assert ids or name == "task_values"  # a run as small resists too rarely for a row
        expected = [names.get(x, x) for x in table[column].to_pylist()]
        assert table[resolved].to_pylist() == expected


def cells_with_a_cluster_id(table: pa.Table) -> set[str]:
    return {
        name
        for name in table.column_names
        if pa.types.is_string(table.schema.field(name).type)
        and any(CLUSTER_ID.match(cell) for cell in table[name].to_pylist() if cell is not None)
    }


@pytest.mark.ray
def test_no_column_of_a_real_run_holds_a_cluster_id_without_a_name(sample_run):
    found = {name: cells_with_a_cluster_id(sample_run.table(name).arrow) for name in OF_A_RUN}
    found["taxonomy"].remove("cluster_id")  # `name` stands beside it
    named = {name: set(columns) for name, columns in NAME_COLUMNS.items()}
    del named["certificate"]
    assert found.pop("corrected") <= named.pop("corrected")  # a small sample corrects few
    assert {name: columns for name, columns in found.items() if columns} == named


@pytest.mark.ray
def test_every_table_of_a_real_run_is_said_to_be_of_the_stage_that_wrote_it(sample_run):
    tables = sample_run.content["tables"]
    stages = {name: re.split("[_-]", table["stage"])[1] for name, table in tables.items()}
    assert stages == {name: WRITTEN_BY[name] for name in OF_A_RUN}


@pytest.mark.ray
def test_a_real_run_tells_its_settings_counts_and_page(sample_run):
    assert sample_run.config["taxonomy"]["embedder"] == "hashing"
    assert sample_run.totals["conversations"] == sample_run.tables["conversations"] == 400
    assert next(iter(sample_run.stages)) == "conversations"
    assert sample_run.stages["extractions"]["rows_out"] == 400
    assert Path(sample_run.report).read_text().startswith("<!doctype html>")
    for part in (sample_run.address, sample_run.version, "associations", sample_run.report):
        assert part in repr(sample_run)


def test_some_columns_come_in_the_order_asked_for_with_names_of_ids_not_asked_for(folder):
    table = open_run(folder).table("associations", ["residual", "column_name"]).arrow
    assert table.column_names == ["residual", "column_name"]
    assert table.equals(
        open_run(folder).table("associations").arrow.select(["residual", "column_name"])
    )


@pytest.mark.parametrize("name", OF_A_RUN)
def test_batches_together_are_the_table(folder, name):
    run = open_run(folder)
    batches = list(run.batches(name, rows=7))
    assert all(batch.num_rows <= 7 for batch in batches)
    table = run.table(name).arrow
    assert pa.Table.from_batches(batches, table.schema).equals(table)


def test_batches_come_before_later_parts_are_opened(folder):
    first, second = json.loads((folder / "run.json").read_text())["tables"]["extractions"]["files"]
    rows = pq.read_metadata(folder / first).num_rows
    (folder / second).write_bytes(b"not parquet")
    batches = open_run(folder).batches("extractions", rows=rows)
    assert next(batches).num_rows == rows
    with pytest.raises(OutputError, match="cannot be read"):
        next(batches)


def test_a_table_is_arrow_to_pandas_and_to_duckdb(folder):
    opened = open_run(folder).table("labels")
    assert opened.pandas().label.tolist() == opened.arrow["label"].to_pylist()
    assert pa.table(opened).equals(opened.arrow)
    assert duckdb.sql("SELECT count(*) FROM opened").fetchall() == [(len(opened),)]


def test_neither_a_run_nor_a_table_shows_conversation_text(folder):
    run = open_run(folder)
    table = run.table("conversations")
    words = {m["content"] for row in table.arrow["messages"].to_pylist() for m in row}
    assert words
    assert not [text for text in words if text in repr(table) + repr(run)]


def test_a_folder_that_does_not_exist_is_said_to_be_missing(tmp_path):
    with pytest.raises(OutputError, match="nowhere does not exist"):
        open_run(tmp_path / "nowhere")


def test_a_folder_without_a_run_is_told_from_a_missing_one(tmp_path):
    (tmp_path / "notes.txt").write_text("not a run")
    with pytest.raises(OutputError, match=r"holds no run\.json"):
        open_run(tmp_path)


@pytest.mark.parametrize("text", ['{"config": {', "", "[1]"])
def test_a_run_file_that_is_no_json_is_named(folder, text):
    (folder / "run.json").write_text(text)
    with pytest.raises(OutputError, match=r"run\.json is no JSON object"):
        open_run(folder)


def test_a_run_file_of_another_form_names_the_version_that_wrote_it(folder):
    (folder / "run.json").write_text(json.dumps({"vitw_ray": "7.5", "config": {}, "totals": {}}))
    with pytest.raises(OutputError, match=r"no stages and no tables.*written by vitw_ray 7\.5"):
        open_run(folder)


def test_a_table_that_does_not_exist_comes_with_near_names(folder):
    with pytest.raises(OutputError) as caught:
        open_run(folder).table("asociations")
    assert caught.value.fix.startswith("choose associations")


def test_a_column_that_does_not_exist_comes_with_near_names(folder):
    with pytest.raises(OutputError) as caught:
        open_run(folder).batches("associations", ["row", "colum_name"])
    assert "column_name" in caught.value.fix


def test_a_table_whose_stage_has_not_run_names_the_stage(folder):
    content = json.loads((folder / "run.json").read_text())
    tables = {name: table for name, table in content["tables"].items() if name in PRIVATE[:3]}
    run_json(folder, stages=content["stages"][:2], tables=tables)
    with pytest.raises(OutputError, match="its stage statistics has not run"):
        open_run(folder).table("associations")
    assert len(open_run(folder).table("extractions")) == tables["extractions"]["rows"]


def test_a_run_without_a_certificate_says_how_to_make_one(folder):
    with pytest.raises(OutputError, match="no table certificate") as caught:
        open_run(folder).table("certificate")
    assert "vitw certify" in caught.value.fix


@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_table_that_was_deleted_is_named(without_private, name):
    with pytest.raises(OutputError, match=f"the table {name} is private.*was deleted"):
        open_run(without_private).table(name)


@pytest.mark.parametrize("name", [name for name in OF_A_RUN if name not in (*PRIVATE, "labels")])
def test_without_private_every_aggregate_can_be_read(without_private, name):
    assert len(open_run(without_private).table(name)) == open_run(without_private).tables[name]


def test_without_private_the_kept_labels_are_left_and_the_gap_is_warned_of(folder):
    kept = open_run(folder).table("labels").pandas().query("kept")
    shutil.rmtree(folder / "private")
    with pytest.warns(UserWarning, match=r"labels: \d+ of \d+ rows are left out"):
        left = open_run(folder).table("labels").pandas()
    assert left.to_dict("records") == kept.to_dict("records")


def test_a_public_part_that_is_gone_is_an_error_and_not_a_gap(folder):
    path = json.loads((folder / "run.json").read_text())["tables"]["labels"]["files"][0]
    (folder / path).unlink()
    with pytest.raises(OutputError, match="part of the table labels, is gone"):
        open_run(folder).table("labels")


def test_a_manifest_that_is_gone_is_named(folder):
    next(folder.glob("5_statistics-*/_SUCCESS.json")).unlink()
    with pytest.raises(OutputError, match=r"_SUCCESS\.json is gone"):
        open_run(folder).table("mirroring")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda schema: schema.remove(schema.get_field_index("lift")), "lift"),
        (lambda schema: schema.append(pa.field("extra", pa.string())), "extra"),
        (lambda schema: pa.schema(list(schema)[::-1]), "the order of its columns"),
    ],
)
def test_other_columns_than_those_of_this_version_are_named(tmp_path, change, said):
    invented = invent()
    invented.schemas["mirroring"] = change(TABLES["mirroring"])
    for row in invented.all("mirroring"):
        row["extra"] = "x"
    folder = invented.write(tmp_path / "run")
    with pytest.raises(
        OutputError, match=rf"table mirroring .*differs from that of vitw_ray .* in {said}"
    ):
        open_run(folder).table("mirroring")


def test_a_stage_that_wrote_no_such_table_names_the_version(folder):
    path = next(folder.glob("5_statistics-*/_SUCCESS.json"))
    manifest = json.loads(path.read_text())
    manifest["files"] = [file for file in manifest["files"] if file["table"] != "mirroring"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(OutputError, match=r"does not list the table mirroring.*vitw_ray 0"):
        open_run(folder).table("mirroring")


def test_files_that_no_manifest_names_are_not_read(folder):
    before = open_run(folder).table("mirroring").arrow
    (part,) = folder.glob("5_statistics-*/mirroring/*.parquet")
    shutil.copy(part, part.with_name("part-00001.parquet"))
    assert open_run(folder).table("mirroring").arrow.equals(before)


@pytest.mark.s3
def test_a_run_in_a_bucket_reads_as_one_in_a_folder(s3_server, folder):
    address = f"{s3_server.new_bucket()}/runs/mine"
    for file in filter(Path.is_file, folder.rglob("*")):
        Storage(address).write(file.relative_to(folder).as_posix(), file.read_bytes())
    there, here = open_run(address), open_run(folder)
    for name in OF_A_RUN:
        assert there.table(name).arrow.equals(here.table(name).arrow)
    with pytest.raises(OutputError, match="does not exist"):
        open_run(f"{address}-other")
