"""Released tables have the published form, only supported labels and only harmless cells."""

import csv
import io
import re
from dataclasses import replace

import pytest
import yaml
from fake_tables import RECORD, empty_tables, fake_tables, run_facts
from hypothesis import given
from hypothesis import strategies as st
from release_tables import labels_table, taxonomy_table

from vitw_ray.config import LabelsConfig, ReleaseConfig
from vitw_ray.facts import extractor_name
from vitw_ray.records import TAXONOMY
from vitw_ray.release import card
from vitw_ray.release.tables import (
    FREQUENCIES_COLUMNS,
    TREE_COLUMNS,
    values_frequencies,
    values_tree,
)

PUBLISHED_NUMBER = re.compile(r"\d+\.\d{1,3}")


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_released_frequencies_are_the_published_bytes(real_data):
    published = (real_data / "reference" / "values_frequencies.csv").read_text(encoding="utf-8")
    rows = rows_of(published)
    labels = {row["value"]: round(float(row["pct_convos"]) * 1000) for row in rows}
    table = values_frequencies({"labels": labels_table(labels, subjective=100_000)})
    # the published list does not order ties; here they are alphabetical
    expected = sorted(rows, key=lambda row: (-float(row["pct_convos"]), row["value"]))
    lines = [f"{row['value']},{row['pct_convos']}" for row in expected]
    assert table.text == "\n".join([published.splitlines()[0], *lines, ""])
    assert table.rows == 3307
    assert sum(table.withheld.values()) == 0


def test_a_released_tree_has_the_published_cells(real_data):
    published = (real_data / "reference" / "values_tree_half.csv").read_text(encoding="utf-8")
    rows = rows_of(published)
    leaves = {
        row["name"]: round(float(row["pct_total_occurrences"]) * 1000)
        for row in rows
        if row["level"] == "0"
    }
    nodes = [
        (
            row["cluster_id"],
            int(row["level"]),
            row["parent_cluster_id"] or None,
            row["name"],
            row["description"],
        )
        for row in rows
    ]
    tables = {"labels": labels_table(leaves, 100_000), "taxonomy": taxonomy_table(nodes)}
    table = values_tree(tables)
    assert table.text.splitlines()[0] == published.splitlines()[0]
    assert table.withheld["group_text"] == 0
    # shares are of this half of the tree, so only the cells before the last can be equal
    without_share = {line.rpartition(",")[0] for line in published.splitlines()}
    assert {line.rpartition(",")[0] for line in table.text.splitlines()} == without_share
    assert all(
        PUBLISHED_NUMBER.fullmatch(row["pct_total_occurrences"]) for row in rows_of(table.text)
    )
    assert {len(row["pct_total_occurrences"].rpartition(".")[2]) for row in rows} <= {1, 2, 3}


def test_only_ai_values_with_support_are_released():
    tables = fake_tables()
    labels = tables["labels"].to_pylist()
    kept = {row["label"] for row in labels if row["kept"] and row["facet"] == "ai_values"}
    rare = [row for row in labels if not row["kept"] and row["facet"] == "ai_values"]
    table = values_frequencies(tables)
    assert {row["value"] for row in rows_of(table.text)} == kept
    assert table.withheld["support"] == len(rare) > 0


def test_frequencies_are_descending_and_ties_are_alphabetical():
    labels = {"care": 10, "zeal": 30_001, "awe": 30_000, "calm": 10, "tact": 90_000}
    table = values_frequencies({"labels": labels_table(labels, 10_000_000)})
    assert table.text == "value,pct_convos\ntact,0.9\nawe,0.3\nzeal,0.3\ncalm,0.0\ncare,0.0\n"


def test_a_tree_with_nothing_withheld_equals_the_taxonomy():
    tables = fake_tables()
    ours = {
        row["cluster_id"].removeprefix("ai_values:l0:"): (
            row["name"],
            row["level"],
            round(row["pct_total_occurrences"], 3),
        )
        for row in tables["taxonomy"].to_pylist()
        if row["facet"] == "ai_values"
    }
    released = {
        row["cluster_id"]: (row["name"], int(row["level"]), float(row["pct_total_occurrences"]))
        for row in rows_of(values_tree(tables).text)
    }
    assert released == ours


def test_every_node_is_the_sum_of_its_children_and_the_top_level_sums_to_100():
    rows = rows_of(values_tree(fake_tables()).text)
    children: dict[str, list[float]] = {}
    for row in rows:
        share = float(row["pct_total_occurrences"])
        children.setdefault(row["parent_cluster_id"], []).append(share)
    assert sum(children[""]) == pytest.approx(100, abs=0.01)
    for row in rows:
        if row["level"] != "0":
            parts = children[row["cluster_id"]]
            expected = float(row["pct_total_occurrences"])
            assert sum(parts) == pytest.approx(expected, abs=0.0005 * (len(parts) + 1))


def test_a_withheld_label_cannot_be_inferred_by_subtraction():
    nodes = [
        ("ai_values:l1:a", 1, None, "Group", "About it."),
        ("kindness", 0, "ai_values:l1:a", "kindness", ""),
        ("Jane Doe", 0, "ai_values:l1:a", "Jane Doe", ""),
    ]
    labels = labels_table({"kindness": 30, "Jane Doe": 10}, 100)
    table = values_tree({"labels": labels, "taxonomy": taxonomy_table(nodes)})
    assert [row["pct_total_occurrences"] for row in rows_of(table.text)] == ["100.0", "100.0"]
    assert table.withheld["alphabet"] == 1
    assert "Jane" not in table.text


def test_a_group_without_a_released_leaf_is_left_out():
    nodes = [
        ("ai_values:l1:a", 1, None, "Group", ""),
        ("ai_values:l1:b", 1, None, "Other", ""),
        ("kindness", 0, "ai_values:l1:a", "kindness", ""),
        ("Jane Doe", 0, "ai_values:l1:b", "Jane Doe", ""),
    ]
    labels = labels_table({"kindness": 30, "Jane Doe": 10}, 100)
    table = values_tree({"labels": labels, "taxonomy": taxonomy_table(nodes)})
    assert "ai_values:l1:b" not in table.text


def test_group_text_with_other_characters_is_replaced_and_counted():
    nodes = [
        ("ai_values:l1:a", 1, None, "=HYPERLINK(1)", "Good\u202e text"),
        ("kindness", 0, "ai_values:l1:a", "kindness", ""),
    ]
    labels = labels_table({"kindness": 30}, 100)
    table = values_tree({"labels": labels, "taxonomy": taxonomy_table(nodes)})
    group = rows_of(table.text)[1]
    assert group["name"] == "ai_values:l1:a"
    assert group["description"] == ""
    assert table.withheld["group_text"] == 1


def test_a_label_in_no_group_is_withheld_and_counted():
    tables = {"labels": labels_table({"kindness": 3}, 9), "taxonomy": TAXONOMY.empty_table()}
    table = values_tree(tables)
    assert (table.rows, table.withheld["no_place"]) == (0, 1)


hostile = st.text(max_size=12) | st.from_regex(r"[=+\-@\t\r|%]?[a-z' \-]{0,8}", fullmatch=True)


@given(st.dictionaries(hostile, st.integers(1, 1000), max_size=20))
def test_no_cell_has_other_characters_and_every_label_is_released_or_counted(labels):
    tables = {"labels": labels_table(labels, 1000), "taxonomy": TAXONOMY.empty_table()}
    table = values_frequencies(tables)
    values = [row["value"] for row in rows_of(table.text)]
    assert all(re.fullmatch(r"[a-z][a-z '\-]*", value) for value in values)
    assert set(values) <= set(labels)
    assert len(values) + table.withheld["alphabet"] == len(labels)


def test_a_label_that_ends_with_a_line_break_is_withheld():
    table = values_frequencies({"labels": labels_table({"care\n": 5, "zeal": 5}, 10)})
    assert table.text == "value,pct_convos\nzeal,50.0\n"


def test_empty_tables_give_files_with_headers_only():
    tables = empty_tables()
    assert values_frequencies(tables).text == ",".join(FREQUENCIES_COLUMNS) + "\n"
    assert values_tree(tables).text == ",".join(TREE_COLUMNS) + "\n"


LAPTOP = LabelsConfig(min_conversations=3, min_accounts=1)


def card_of(run=None, labels=LAPTOP, release=None) -> str:
    tables = fake_tables()
    released = values_frequencies(tables), values_tree(tables)
    return card.render(run or run_facts(), labels, release or ReleaseConfig(), *released)


def front_matter(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def test_the_card_names_both_tables_as_configs():
    matter = front_matter(card_of())
    assert matter["license"] == "cc-by-4.0"
    assert [(c["config_name"], c["data_files"]) for c in matter["configs"]] == [
        ("values_frequencies", "values_frequencies.csv"),
        ("values_tree", "values_tree.csv"),
    ]


def test_the_card_states_the_support_thresholds_and_whether_they_are_lowered():
    text = card_of()
    assert "only privacy protection of this release is its support thresholds" in text
    assert "3 conversations, of at least 1 account where" in text
    assert "below the paper's" in text
    assert "below the paper's" not in card_of(labels=LabelsConfig())


def test_the_card_names_baselines_and_simulated_answers():
    assert "lexicon (baseline)" in card_of()
    model = replace(run_facts(), extractor="vllm", baseline=False)
    assert "baseline" not in card_of(model)
    assert "simulated answers" not in card_of(model)
    assert "simulated answers" in card_of(replace(model, made_up=True))


def test_the_card_names_no_day_as_it_promises():
    text = card_of()
    assert "date is released" in text
    assert not re.search(r"\d{4}-\d\d-\d\d", text)


def test_the_card_counts_what_was_withheld():
    rare = values_frequencies(fake_tables()).withheld["support"]
    assert f"| too little support | {rare} |" in card_of()


@pytest.mark.parametrize(
    "name", ['x"\n---\nlicense: mit', "[a](http://b)<img>|c", "{{ 7*7 }}", "\u202ea: b"]
)
def test_names_from_outside_cannot_add_markup_or_front_matter_to_the_card(name):
    run = run_facts(sources={name: 3})
    text = card_of(run, release=ReleaseConfig(release_name=name))
    assert front_matter(text).keys() == front_matter(card_of()).keys()
    assert front_matter(text)["license"] == "cc-by-4.0"
    assert len(text.split("\n---\n")) == 2
    assert "<img" not in text.split("\n---\n")[1]
    assert not re.search(r"(?<!\\)\]\(http://b", text.split("\n---\n")[1])
    assert "\u202e" not in text


def test_a_reader_is_named_with_its_revision_and_a_folder_without_its_path():
    assert extractor_name("lexicon", {"values": 437}) == "lexicon"
    on_hub = {"model": "Qwen/Qwen3-8B", "revision": "0123abcd"}
    assert extractor_name("vllm", on_hub) == "vllm: Qwen/Qwen3-8B@0123abcd"
    folder = {"model": "/home/somebody/models/mine", "revision": "sha256:0123"}
    assert extractor_name("vllm", folder) == "vllm: mine@sha256:0123"


def test_the_card_says_how_well_a_model_reads():
    model = replace(run_facts(), extractor="vllm", baseline=False, has_model=True)
    text = card_of(replace(model, check=RECORD))
    row = "| the calibration set (64) | AI values | F1 | 0.31 | 0.24 to 0.38 | - | 0.12 |"
    assert row in text.splitlines()
    assert "75% of the subjective answers have no AI values (tolerated: 20%), z\\*h." in text
    assert "was not checked against labelled conversations" in card_of(model)
    assert "How well the reader reads" not in card_of()
