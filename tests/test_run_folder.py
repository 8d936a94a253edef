import hashlib
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitw_ray import __version__
from vitw_ray.errors import OutputError, SecretLost
from vitw_ray.keys import Keyed
from vitw_ray.records import LABELS
from vitw_ray.run_folder import (
    RUN_FILE,
    FileEntry,
    StageFolder,
    TableRef,
    read_part,
    read_table,
    tables_of,
    write_run_file,
)
from vitw_ray.run_secret import SECRET, load_secret
from vitw_ray.storage import Storage

ROWS = [
    {"facet": "ai_values", "label": "honesty", "conversations": 3, "accounts": None, "share": 0.5,
     "kept": True}
]  # fmt: skip


@pytest.fixture
def storage(tmp_path) -> Storage:
    return Storage(str(tmp_path / "run"))


def folder(storage, key="0123456789abcdef") -> StageFolder:
    return StageFolder(storage, f"3_labels-{key}")


def labels() -> pa.Table:
    return pa.Table.from_pylist(ROWS, LABELS)


def test_a_table_comes_back_as_it_was_written_and_its_bytes_are_stable(storage):
    entry = folder(storage).write_table("labels", labels())
    again = folder(storage, "ffffffffffffffff").write_table("labels", labels())
    assert read_table(storage, TableRef("labels", (entry,))) == labels()
    assert entry.sha256 == again.sha256
    assert TableRef("labels", (entry,)).digest == TableRef("labels", (again,)).digest


def test_private_tables_lie_under_private_and_public_ones_do_not(storage):
    public = folder(storage).write_table("labels", labels())
    private = folder(storage).write_table("labels", labels(), part=1, private=True)
    assert public.path == "3_labels-0123456789abcdef/labels/part-00000.parquet"
    assert private.path == "private/3_labels-0123456789abcdef/labels/part-00001.parquet"


def test_a_table_that_does_not_fit_its_schema_is_refused(storage):
    with pytest.raises((ValueError, pa.ArrowInvalid)):
        folder(storage).write_table("labels", labels().drop_columns(["kept"]))


def test_a_stage_is_visible_only_once_its_manifest_is_published(storage):
    stage = folder(storage)
    entry = stage.write_table("labels", labels())
    assert stage.manifest() is None
    published = stage.publish({"stage": "labels", "files": [vars(entry)]})
    assert stage.manifest() == published
    assert tables_of(published)["labels"].rows == 1


def test_whoever_publishes_second_takes_the_manifest_that_stands(storage):
    first = folder(storage).publish({"stage": "labels", "files": [], "seconds": 1.0})
    second = folder(storage).publish({"stage": "labels", "files": [], "seconds": 2.0})
    assert first == second
    assert second["seconds"] == 1.0


@pytest.mark.parametrize("columns", [None, ["label", "kept"]])
def test_a_private_file_that_is_gone_is_named_with_its_table_and_what_still_works(
    storage, tmp_path, columns
):
    entry = folder(storage).write_table("labels", labels(), private=True)
    shutil.rmtree(tmp_path / "run" / "private")
    with pytest.raises(OutputError, match=r"the table labels is needed.*private/ was deleted") as e:
        read_part(storage, entry, columns)
    assert entry.path in e.value.problem
    assert "the tables outside private/ can be used" in e.value.fix


def test_a_public_file_that_is_gone_is_not_said_to_be_private(storage, tmp_path):
    entry = folder(storage).write_table("labels", labels())
    (tmp_path / "run" / entry.path).unlink()
    with pytest.raises(OutputError, match="gone") as gone:
        read_table(storage, TableRef("labels", (entry,)))
    assert "was deleted" not in gone.value.problem


def written_by(storage, version: str | None, table: pa.Table) -> FileEntry:
    """A finished stage whose table has a schema of its own."""
    entry = folder(storage).write_table("labels", labels())
    pq.write_table(table, storage.address(entry.path))
    versions = {} if version is None else {"versions": {"vitw_ray": version}}
    folder(storage).publish({"stage": "labels", "files": [vars(entry)], **versions})
    return entry


OLD = [
    (labels().drop_columns(["accounts"]), "accounts"),
    (labels().append_column("people", pa.array([1])), "people"),
    (labels().set_column(2, "conversations", pa.array([3], pa.int32())), "conversations"),
]


@pytest.mark.parametrize(("table", "column"), OLD)
def test_a_table_of_another_form_is_refused_with_the_version_that_wrote_it(storage, table, column):
    entry = written_by(storage, "0.0.9", table)
    with pytest.raises(OutputError) as refused:
        read_table(storage, TableRef("labels", (entry,)))
    problem = refused.value.problem
    assert "the table labels in" in problem
    assert "was written by vitw_ray 0.0.9" in problem
    assert problem.endswith(f"differs from that of vitw_ray {__version__} in {column}")
    assert "vitw_ray 0.0.9" in refused.value.fix


def test_only_the_columns_that_are_asked_for_have_to_fit(storage):
    entry = written_by(storage, "0.0.9", OLD[0][0])
    assert read_part(storage, entry, ["label"]).num_rows == 1
    with pytest.raises(OutputError, match="in accounts"):
        read_part(storage, entry, ["label", "accounts"])


def test_a_version_that_nobody_noted_is_called_another_one(storage):
    entry = written_by(storage, None, OLD[0][0])
    with pytest.raises(OutputError, match="written by another version"):
        read_part(storage, entry)


def test_a_damaged_file_is_not_taken_for_another_version(storage):
    entry = folder(storage).write_table("labels", labels())
    storage.write(entry.path, b"PAR1 but no more")
    with pytest.raises(pa.ArrowInvalid):
        read_part(storage, entry)


def test_run_json_is_rewritten_only_when_its_content_changes(storage, tmp_path):
    write_run_file(storage, {"a": 1, "secret_fingerprint": "", "report": None})
    file = tmp_path / "run" / RUN_FILE
    before = file.stat().st_ino, file.stat().st_mtime_ns
    write_run_file(storage, {"report": None, "secret_fingerprint": "", "a": 1})
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == before
    write_run_file(storage, {"a": 2, "secret_fingerprint": "", "report": None})
    assert json.loads(file.read_text())["a"] == 2


def test_the_secret_is_made_once_and_is_readable_by_its_owner_alone(storage, tmp_path):
    first = load_secret(storage, None)
    assert load_secret(storage, None).fingerprint == first.fingerprint
    file = tmp_path / "run" / SECRET
    assert file.stat().st_mode & 0o077 == 0
    assert len(file.read_bytes()) >= 32


def test_a_lost_secret_is_an_error_and_not_a_new_secret(storage, tmp_path):
    keyed = load_secret(storage, None)
    write_run_file(storage, {"secret_fingerprint": keyed.fingerprint, "report": None})
    storage.write("private/1_conversations-0/conversations/part-00000.parquet", b"")
    (tmp_path / "run" / SECRET).unlink()
    with pytest.raises(SecretLost, match="--secret-file"):
        load_secret(storage, None)
    assert not (tmp_path / "run" / SECRET).exists()


def test_another_secret_than_the_runs_own_is_refused(storage, tmp_path):
    fingerprint = load_secret(storage, None).fingerprint
    write_run_file(storage, {"secret_fingerprint": fingerprint, "report": None})
    other = tmp_path / "other"
    other.write_bytes(b"another secret of enough bytes")
    with pytest.raises(SecretLost, match="not the one"):
        load_secret(storage, str(other))


def test_a_secret_file_that_is_missing_or_short_is_refused(storage, tmp_path):
    short = tmp_path / "short"
    short.write_bytes(b"hm")
    for path in (short, tmp_path / "none"):
        with pytest.raises(SecretLost, match="--secret-file"):
            load_secret(storage, str(path))


def test_nobody_without_the_secret_can_confirm_a_guess_of_a_private_file(tmp_path):
    (tmp_path / "private").mkdir()
    storage, table = Storage(str(tmp_path)), LABELS.empty_table()
    digests = {}
    for secret in (b"a secret of sixteen bytes", b"another one of sixteen bytes"):
        folder = StageFolder(storage, "3_labels-0", Keyed(secret))
        for private in (True, False):
            entry = folder.write_table("labels", table, private=private)
            digests[secret, private] = entry.sha256
            guess = hashlib.sha256(storage.read(entry.path)).hexdigest()
            assert (entry.sha256 == guess) is not private
    assert len({digest for (_, private), digest in digests.items() if private}) == 2
