"""The attacks find what is there, in a run and in other folders, and nothing where all holds."""

import hashlib
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitw_ray.cli.main import main
from vitw_ray.errors import InputError
from vitw_ray.records import LABELS, RESPONSE_TYPE_SHARES
from vitw_ray.release.attacks.attack import attack


def found(folder, **asked):
    return {o.attack: len(o.findings) for o in attack(str(folder), **asked) if o.findings}


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def good(tmp_path):
    """A tree of names and counts that adds up and is large enough."""
    rows = ["cluster_id,name,parent_cluster_id,count", "top,All,,60"]
    rows += ["a,Care,top,40", "b,Honesty,top,20"]
    (tmp_path / "tree.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_a_folder_that_holds_is_left_alone(good):
    assert found(good, canaries=["Zorabelle Quibbleton"], guesses=["end of life"]) == {}
    assert main(["attack", str(good)]) == 0


def test_a_small_count_is_found_in_csv_and_in_nested_json(good, capsys):
    (good / "facets.csv").write_text("name,num_records\nCare,3\nHonesty,30\n")
    clusters = [{"name": "All", "count": 40, "children": [{"name": "Rare", "count": 2}]}]
    write_json(good / "output.json", {"clusters": clusters})
    assert found(good) == {"small cells": 2}
    assert main(["attack", str(good)]) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["found"] == 2
    assert found(good, conversations=2) == {}


def test_what_is_private_is_not_looked_at(good):
    (good / "private").mkdir()
    (good / "private" / "rare.csv").write_text("name,count\nZorabelle Quibbleton,1\n")
    assert found(good, canaries=["Zorabelle Quibbleton"]) == {}
    assert found(good / "private", canaries=["Zorabelle Quibbleton"]) != {}


def test_a_child_that_is_left_out_follows_from_its_parent(good):
    text = (good / "tree.csv").read_text().replace("top,All,,60", "top,All,,63")
    (good / "tree.csv").write_text(text)
    assert found(good) == {"subtraction": 1}


@pytest.mark.parametrize("alone", [True, False])
def test_a_response_type_that_is_hidden_alone_follows_from_its_group(tmp_path, alone):
    counts = {"strong_support": 50, "reframing": 30, "mild_resistance": 20, "no_values": 4}
    hidden = {"no_values"} if alone else {"no_values", "mild_resistance"}
    rows = [
        {"response_type": kind, "conversations": n, "share": n / sum(counts.values())}
        for kind, n in counts.items()
        if kind not in hidden
    ]
    folder = tmp_path / "5_statistics-0" / "response_types"
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(rows, RESPONSE_TYPE_SHARES)
    pq.write_table(table, folder / "part-00000.parquet")
    assert found(tmp_path) == ({"subtraction": 1} if alone else {})


def test_two_releases_one_conversation_apart_are_told_apart(good, tmp_path_factory):
    before = tmp_path_factory.mktemp("before")
    (before / "tree.csv").write_text((good / "tree.csv").read_text().replace("40", "39"))
    assert found(good, before=str(before)) == {"differencing": 1}
    assert found(good, before=str(good)) == {}


@pytest.mark.parametrize("name", ["md5", "sha256", "blake2b"])
def test_a_plain_digest_confirms_a_guess(good, name):
    digest = hashlib.new(name, b"end of life autonomy").hexdigest()
    write_json(good / "log.json", {"key": digest})
    guesses = ["honesty", "end of life autonomy"]
    assert found(good, guesses=guesses) == {"digests": 1}
    assert found(good, guesses=guesses[:1]) == {}


def test_a_plain_digest_of_a_rare_label_confirms_a_guess(tmp_path):
    row = {"facet": "ai_values", "label": "end of life autonomy", "conversations": 1}
    row |= {"accounts": 1, "share": 1 / 80, "kept": False}
    buffer = io.BytesIO()
    table = pa.Table.from_pylist([row], LABELS)
    pq.write_table(table, buffer, compression="zstd", row_group_size=256)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    entry = {"path": "private/3_labels-0/labels/part-00001.parquet", "rows": 1, "sha256": digest}
    manifest = {"details": {"subjective_conversations": 80}, "files": [entry]}
    write_json(tmp_path / "3_labels-0" / "_SUCCESS.json", manifest)
    assert found(tmp_path, guesses=["honesty", "end of life autonomy"]) == {"digests": 1}


def test_a_folder_without_anything_public_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no public file"):
        attack(str(tmp_path))
    with pytest.raises(InputError, match="does not exist"):
        attack(str(tmp_path / "nothing"))
