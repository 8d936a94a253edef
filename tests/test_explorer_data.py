"""The data of the page: bounded by evidence, with the numbers of the tables."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from fake_tables import fake_tables, run_facts

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.records import TABLES
from vitw_ray.report.explorer.compact import short, steps
from vitw_ray.report.explorer.nodes import nodes_of
from vitw_ray.report.explorer.pairs import associated, together
from vitw_ray.report.page import render


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    return fake_tables(120, min_conversations=1)


@pytest.fixture(scope="module")
def nodes(tables):
    types = {"response_types": dict[str, int](dict.fromkeys(RESPONSE_TYPES, 1))}
    return nodes_of(tables["labels"], tables["taxonomy"].to_pylist(), types)


def listed(found, nodes):
    """Pairs of the page by the names of their nodes."""
    rows, columns = np.cumsum(found["row"]), found["column"]
    numbers = zip(found["observed"], found["score"], found["discovered"], strict=True)
    return {
        (nodes.names[row], nodes.names[column]): pair
        for row, column, pair in zip(rows, columns, numbers, strict=True)
    }


def nearer(row):
    """The end of the interval that is nearer to no association."""
    return row["shrunken_low"] if row["odds_ratio"] >= 1 else -row["shrunken_high"]


def test_every_node_stands_once_and_below_its_parent(tables, nodes):
    kept = tables["labels"].filter(pc.field("kept")).num_rows
    clusters = tables["taxonomy"].filter(pc.field("level") > 0).num_rows
    assert len(nodes.names) == kept + clusters + len(RESPONSE_TYPES)
    assert all(parent < place for place, parent in enumerate(nodes.parents))
    labels = [place for (facet, _), place in nodes.places.items() if facet == "ai_values"]
    assert sum(nodes.parents[place] < 0 for place in labels) == 5  # the tops of the tree


def test_pairs_are_those_of_the_table(tables, nodes):
    found = listed(associated(tables["associations"], nodes), nodes)
    names = {row["cluster_id"]: row["name"] for row in tables["taxonomy"].to_pylist()}
    mine = tables["associations"].filter(pc.field("discovered")).to_pylist()
    assert len(mine) > 20
    signs = {True: "+", False: "-"}
    for row in mine:
        pair = names.get(row["row"], row["row"]), names.get(row["column"], row["column"])
        assert found[pair] == (
            row["observed"],
            pytest.approx(nearer(row), rel=1e-3),
            signs[row["odds_ratio"] >= 1],
        )


def test_lists_are_cut_where_the_evidence_is_weakest(tables, nodes):
    whole = associated(tables["associations"], nodes)
    some = associated(
        tables["associations"], nodes, most=sum(sign != "0" for sign in whole["discovered"]) - 1
    )
    assert 0 < len(some["row"]) < len(whole["row"])
    assert some["seen"] == whole["seen"]
    kept, every = listed(some, nodes), listed(whole, nodes)
    for column in {column for _, column in kept}:
        rows = {pair: told for pair, told in every.items() if pair[1] == column and told[2] != "0"}
        strongest = max((pair for pair in rows), key=lambda pair: rows[pair][1])
        assert strongest in kept


def test_only_labels_that_surely_meet_more_often_than_expected_are_together(tables, nodes):
    first, second = tables["labels"].filter(pc.field("facet") == "ai_values")["label"][:2]
    pair = sorted([first.as_py(), second.as_py()])

    def found(both):
        row = {"facet": "ai_values", "label_a": pair[0], "label_b": pair[1]}
        table = pa.Table.from_pylist([row | {"conversations": both}], TABLES["cooccurrence"])
        return together(table, nodes, 1336)

    assert found(1)["observed"] == []
    assert found(1)["seen"][nodes.places["ai_values", pair[0]]] == 1
    assert found(300)["observed"] == [300]


def test_50000_assistants_do_not_make_the_page_large(tables):
    rows = tables["response_types"].to_pylist()
    names = [f"assistant {n:05}" for n in range(50_000)]
    kinds, whole = RESPONSE_TYPES[:2], 40
    many = pa.table(
        {
            "model": np.repeat(names, len(kinds)),
            "response_type": kinds * len(names),
            "conversations": [30, 10] * len(names),
            "share": [30 / whole, 10 / whole] * len(names),
            "low": [0.6, 0.1] * len(names),
            "high": [0.9, 0.4] * len(names),
        }
    )
    padded = [
        many[field.name] if field.name in many.column_names else pa.nulls(many.num_rows, field.type)
        for field in TABLES["response_types"]
    ]
    few = pa.Table.from_pylist(rows, TABLES["response_types"])
    table = pa.concat_tables([few, pa.table(padded, schema=TABLES["response_types"])])
    facts = run_facts(models=dict.fromkeys(names, whole))
    html = render(tables | {"response_types": table}, facts)
    assert len(html.encode()) < 2_000_000
    assert "49,950 more" in html
    data = json.loads(re.findall(r'id="data">(.*?)</script>', html, flags=re.DOTALL)[0])
    assert len(data["assistants"]["names"]) == 100


def test_numbers_are_short_and_lists_of_places_are_steps():
    assert short([0.123456, 12345.6, 3.0, np.nan, np.inf]) == [0.1235, 12350, 3, None, None]
    assert steps([2, 5, 5]) == [2, 3, 0]
    assert np.cumsum(steps([0, 7, 9])).tolist() == [0, 7, 9]
