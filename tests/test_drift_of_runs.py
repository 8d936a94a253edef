"""From the rows of a run to its alarm: accounts, months, labels and what may be told of them."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from vitw_ray import cluster
from vitw_ray.config import LabelsConfig, RunConfig
from vitw_ray.keys import Keyed
from vitw_ray.records import EXTRACTIONS, LABELS, MERGES
from vitw_ray.run_folder import StageFolder, TableRef
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.frozen.alarm import alarm_of, reference_of
from vitw_ray.taxonomy.frozen.nodes import Nodes
from vitw_ray.taxonomy.frozen.placing import label_keys, leaves_of
from vitw_ray.taxonomy.frozen.state import FrozenTree, KnownClusters

OLD = ("care", "craft", "trust", "order")
KNOWN = {
    "ai_values": KnownClusters(
        Nodes([["low 1", "low 2"], ["care", "craft"]], [], [np.array([0, 1], np.int32)]),
        leaves=leaves_of(label_keys(OLD), np.array([0, 1, 0, 1], np.int32)),
    )
}
TAXONOMY = pa.table({"cluster_id": ["care", "craft"], "name": ["Care", "Craft"]})


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(cluster, "stream", lambda units, function: map(function, units))
    monkeypatch.setattr(cluster, "put_shared", lambda value: value)
    monkeypatch.setattr(cluster, "get_shared", lambda value: value)


def rows_of(accounts: int, labels, share: float, month: int = 3, first: int = 0):
    """Two conversations of each account; a share of the mentions is of the last label."""
    rng = np.random.default_rng(accounts + first)
    for n in range(2 * accounts):
        label = labels[-1] if rng.random() < share else labels[rng.integers(len(labels) - 1)]
        yield {
            **{name: None for name in EXTRACTIONS.names},
            **{"conversation_id": f"c{first}-{n}", "account_id": f"a{first}-{n // 2}"},
            **{"source": "test", "extractor": "test", "is_subjective": True},
            "created_at": datetime(2026, month, 1 + n % 27, tzinfo=UTC),
            **{"human_values": [], "prompt_tokens": 0, "output_tokens": 0, "truncated_share": 0.0},
            "ai_values": [{"label": label, "explicit": True, "grounded": None, "salience": None}],
        }


def context_of(folder, rows, merges=()) -> StageContext:
    """The stage after these extractions; labels have plenty of support."""
    before = StageFolder(Storage(str(folder)), "before")
    half = len(rows) // 2
    parts = [
        before.write_table("extractions", pa.Table.from_pylist(part, EXTRACTIONS), number)
        for number, part in enumerate((rows[:half], rows[half:]))
    ]
    labels = [
        {"facet": "ai_values", "label": label, "conversations": 900, "accounts": 90, "share": 0.2}
        | {"kept": True}
        for label in OLD
    ]
    variants = [
        {"facet": "ai_values", "variant": v, "label": label, "rule": "case", "conversations": 9}
        for v, label in merges
    ]
    return StageContext(
        config=RunConfig(labels=LabelsConfig(min_conversations=5, min_accounts=5)),
        storage=before.storage,
        folder=StageFolder(before.storage, "after"),
        keyed=Keyed(b"a secret of sixteen bytes"),
        epoch=0,
        inputs=(),
        shapes={},
        tables={
            "extractions": TableRef("extractions", tuple(parts)),
            "labels": TableRef(
                "labels", (before.write_table("labels", pa.Table.from_pylist(labels, LABELS)),)
            ),
            "merges": TableRef(
                "merges", (before.write_table("merges", pa.Table.from_pylist(variants, MERGES)),)
            ),
        },
        manifests={"labels": {"details": {"subjective_conversations": len(rows)}}},
    )


def said(tmp_path, rows, merges=()) -> dict:
    """What the alarm says of new rows, after a frozen run of 1,500 accounts."""
    first = context_of(tmp_path / "old", [*rows_of(1500, OLD, 0.25)])
    reference = reference_of(first, KNOWN, None, list)
    assert reference["facets"]["ai_values"]["accounts"] == 1500
    tree = FrozenTree(KNOWN, b"key", reference)
    new = context_of(tmp_path / "new", rows, merges)
    return alarm_of(new, tree, None, list, TAXONOMY)["ai_values"]


def test_the_same_kind_of_conversations_raises_no_alarm(tmp_path):
    found = said(tmp_path, [*rows_of(800, OLD, 0.25, first=1)])
    assert (found["accounts"], found["alarm"], found["moved"]) == (800, False, [])
    assert found["unknown"] == {"before": 0.0, "now": 0.0, "moved": 0}


def test_words_that_the_tree_does_not_know_raise_it_in_the_month_in_which_they_come(tmp_path):
    rows = [
        *rows_of(300, OLD, 0.25, month=3, first=1),
        *rows_of(600, (*OLD, "novelty"), 0.4, month=4, first=2),
    ]
    found = said(tmp_path, rows[::-1])
    assert found["alarm"]
    assert found["first_crossed"]["month"] == "2026-04"
    assert 300 < found["first_crossed"]["accounts"] < 600
    assert found["unknown"]["moved"] == 1
    assert found["unknown"]["before"] == 0.0
    assert 0.2 < found["unknown"]["now"] < 0.35


def test_a_known_spelling_of_a_known_label_is_not_unknown(tmp_path):
    rows = [*rows_of(600, (*OLD, "Order!"), 0.25, first=1)]
    found = said(tmp_path, rows, merges=[("Order!", "order")])
    assert found["unknown"]["now"] == 0.0


def test_a_share_that_rests_on_too_few_accounts_is_not_told(tmp_path):
    rows = [*rows_of(400, OLD, 0.25, first=1), *rows_of(2, ("x", "y"), 0.5, first=2)]
    assert said(tmp_path, rows)["unknown"]["now"] is None


def test_a_cluster_that_moved_is_named_only_where_it_is_shown(tmp_path):
    rows = [*rows_of(800, ("craft", "order", "care"), 0.05, first=1)]
    found = said(tmp_path, rows)
    assert {one["name"] for one in found["moved"]} == {"Care", "Craft"}
    assert found["moved_and_not_shown"] == 0
