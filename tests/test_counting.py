"""Labels in one block of extractions: which values count, each once per conversation."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from vitw_ray import cluster, hash_buckets
from vitw_ray.config import LabelsConfig
from vitw_ray.errors import ConfigError
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.keys import id_hash
from vitw_ray.labels import counting
from vitw_ray.labels.counting import spellings_of
from vitw_ray.records import EXTRACTIONS
from vitw_ray.run_folder import StageFolder
from vitw_ray.storage import Storage


def extractions(values) -> pa.Table:
    row = {
        "conversation_id": "c",
        "source": "test",
        "extractor": "test",
        "is_subjective": True,
        **{facet: [] for facet in VALUE_FACETS},
        "ai_values": [
            {"label": label, "explicit": True, "salience": salience} for label, salience in values
        ],
        "prompt_tokens": 0,
        "output_tokens": 0,
        "truncated_share": 0.0,
    }
    return pa.Table.from_pylist([row, row | {"is_subjective": False}], EXTRACTIONS)


def labels(values, min_salience) -> set[str]:
    some = extractions(values).filter(pc.field("is_subjective"))
    found = spellings_of(some, "ai_values", min_salience)
    return {found.names[code] for code in found.codes}


def test_values_below_the_minimum_salience_do_not_count_and_those_without_salience_do():
    values = [("care", 2), ("clarity", 3), ("honesty", None)]
    assert labels(values, 1) == {"care", "clarity", "honesty"}
    assert labels(values, 3) == {"clarity", "honesty"}
    assert labels(values, 5) == {"honesty"}


def test_a_value_counts_if_one_of_its_mentions_is_salient_enough():
    assert labels([("care", 1), ("care", 4)], 3) == {"care"}


@pytest.mark.parametrize("min_salience", [0, 6])
def test_a_salience_off_the_scale_is_refused_by_field_name(min_salience):
    with pytest.raises(ConfigError, match="--min-salience"):
        LabelsConfig(min_salience=min_salience)


@pytest.mark.parametrize("direct", [0, 1000])
def test_the_accounts_of_a_label_are_counted_once_however_their_pairs_lie(
    monkeypatch, tmp_path, direct
):
    monkeypatch.setattr(cluster, "stream", lambda units, function: map(function, units))
    monkeypatch.setattr(hash_buckets, "DIRECT_RUNS", direct)
    monkeypatch.setattr(counting, "PAIR_RUN_ROWS", 8)
    monkeypatch.setattr(counting, "MOST_UNITS", 5)
    storage = Storage(str(tmp_path))
    folder = StageFolder(storage, "3_labels-test")
    pairs = counting.Pairs(storage, "private/3_labels-test/accounts/pairs")
    written = [(f"p{n % 17}", "ai_values", f"label {n * n % 11}") for n in range(90)]
    for first in range(0, 90, 6):
        some = written[first : first + 6]
        rows = [
            {"hash": id_hash(a), "account": a, "facet": f, "label": label} for a, f, label in some
        ]
        pairs.write([pa.Table.from_pylist(rows, counting.PAIR)])
    found = counting.count_accounts(SimpleNamespace(storage=storage, folder=folder), pairs)
    assert found == Counter((facet, label) for _, facet, label in set(written))
    assert not storage.list("private")


def test_labels_and_accounts_are_those_that_sets_of_each_conversation_would_count():
    made = np.random.default_rng(3)
    names = ["care", "caring", "Care", "clarity", "honesty"]
    rows = [
        extractions([(names[n], None) for n in made.integers(0, 5, made.integers(0, 6))])
        .slice(0, 1)
        .to_pylist()[0]
        | {"account_id": None if n % 4 == 0 else f"p{n % 7}"}
        for n in range(60)
    ]
    merges = {"Care": ("care", "case"), "caring": ("care", "case")}
    table = pa.Table.from_pylist(rows, EXTRACTIONS)
    found = spellings_of(table, "ai_values", 1).merged(merges)
    held = [{merges.get(v["label"], (v["label"],))[0] for v in row["ai_values"]} for row in rows]
    assert found.counts("ai_values") == Counter(("ai_values", n) for one in held for n in one)
    pairs = counting.pairs_of(table, "ai_values", found).to_pylist()
    accounts = [row["account_id"] for row in rows]
    known = {(a, n) for a, one in zip(accounts, held, strict=True) if a for n in one}
    assert len(pairs) == len(known)
    assert {(p["account"], p["label"]) for p in pairs} == known
    assert all(p["hash"] == id_hash(p["account"]) for p in pairs)
