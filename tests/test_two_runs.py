"""The page of two runs: what differs is found, what matches is counted, nothing executes."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from fake_tables import SUBJECTIVE, fake_tables, run_facts
from test_report import SPITE, spiteful

from vitw_ray import wording
from vitw_ray.cli.main import main
from vitw_ray.comparison.runs.differing import differences
from vitw_ray.comparison.runs.page import render
from vitw_ray.comparison.runs.shared import Agreement
from vitw_ray.comparison.runs.sides import TABLES, Side
from vitw_ray.opened_run import open_run
from vitw_ray.statistics.differences import newcombe
from vitw_ray.storage import Storage

ALPHA = 0.05
NOBODY = Agreement(known=True)


def side(tables: dict[str, pa.Table], **facts) -> Side:
    shown = {name: tables[name] for name in TABLES}
    return Side(run_facts(**facts), 3, shown, Storage("."), None)


def changed(table: pa.Table, change) -> pa.Table:
    """A table with each row as `change` returns it."""
    return pa.Table.from_pylist([change(dict(row)) for row in table.to_pylist()], table.schema)


def other_run(tables):
    """As of another secret: other ids; one label twice as common, one renamed, clusters renamed."""

    def node(row):
        for name in ("cluster_id", "parent_cluster_id"):
            if row[name] and ":" in row[name]:
                row[name] += "-other"
        if row["name"] == "Fairness":
            row["name"] = "Equal treatment"
        return row

    def label(row):
        if row["label"] == "kindness" and row["facet"] == "ai_values":
            row["label"] = "warmth of heart"
        if row["label"] == "clarity" and row["facet"] == "ai_values":
            row["conversations"] = row["conversations"] // 2
            row["share"] = row["conversations"] / SUBJECTIVE
        return row

    return tables | {
        "taxonomy": changed(tables["taxonomy"], node),
        "labels": changed(tables["labels"], label),
    }


@pytest.fixture(scope="module")
def tables():
    return fake_tables(80)


@pytest.fixture(scope="module")
def kinds(tables):
    return {k.key: k for k in differences(side(tables), side(other_run(tables)), ALPHA)}


@pytest.fixture(scope="module")
def page(tables):
    sides = side(tables), side(other_run(tables), extractor="another reader", baseline=False)
    return render(sides, differences(*sides, ALPHA), NOBODY, ALPHA)


def test_a_run_does_not_differ_from_itself(tables):
    found = differences(side(tables), side(tables), ALPHA)
    assert len(found) > 8
    assert not [row for kind in found for row in kind.sure]
    assert not [name for kind in found for names in kind.only for name in names]
    assert all(row.low <= 0 <= row.high for kind in found for row in kind.rows)


def test_the_label_whose_share_differs_leads_its_list_with_newcombes_interval(kinds):
    (row,) = kinds["ai_values"].sure
    assert row.name == "clarity"
    assert row.share_a == pytest.approx(row.hits[0] / SUBJECTIVE)
    low, high = newcombe(row.hits[0], SUBJECTIVE, row.hits[1], SUBJECTIVE)
    assert (row.low, row.high) == (pytest.approx(float(low)), pytest.approx(float(high)))
    assert row.low > 0


def test_p_values_are_multiplied_by_the_comparisons_of_their_kind(tables):
    few = {name: table for name, table in tables.items()}
    chosen = pc.field("label").isin(["clarity", "accuracy"])
    few["labels"] = tables["labels"].filter(chosen)
    found = [
        {k.key: k for k in differences(side(one), side(other_run(one)), ALPHA)}["ai_values"]
        for one in (tables, few)
    ]
    one, two = ({row.name: row.p_adjusted for row in kind.rows} for kind in found)
    sizes = [len(kind.rows) for kind in found]
    assert one["clarity"] / sizes[0] == pytest.approx(two["clarity"] / sizes[1])


def test_clusters_match_by_name_and_then_by_members_though_all_ids_differ(kinds, tables):
    clusters = [kind for key, kind in kinds.items() if key.startswith("ai_values-")]
    renamed = [row for kind in clusters for row in kind.rows if row.other]
    assert [(row.name, row.other) for row in renamed] == [("Fairness", "Equal treatment")]
    assert sum(kind.by_members for kind in clusters) == 1
    assert not [name for kind in clusters for names in kind.only for name in names]
    whole = tables["taxonomy"].filter(pc.field("facet") == "ai_values")
    assert sum(len(kind.rows) for kind in clusters) == whole.filter(pc.field("level") > 0).num_rows


def test_a_name_that_one_run_lacks_is_counted_and_named(kinds, page):
    alone = kinds["ai_values"].only
    assert [[name for name, _ in names] for names in alone] == [["kindness"], ["warmth of heart"]]
    assert "warmth of heart" in page.split('id="names"')[1]


def test_labels_without_support_are_in_no_list(tables):
    rare = changed(tables["labels"], lambda row: row | {"kept": row["label"] != "clarity"})
    hidden = tables | {"labels": rare}
    sides = side(hidden), side(hidden)
    found = differences(*sides, ALPHA)
    assert "clarity" not in [row.name for k in found if k.key == "ai_values" for row in k.rows]


def test_settings_that_differ_stand_apart_from_those_that_do_not(page):
    differing, same = page.split('id="settings"')[1].split("What is the same")
    assert "another reader" in differing
    assert "Support threshold" in same
    assert "Support threshold" not in differing


# --- In a browser


def test_rows_are_found_by_name_and_the_numbers_are_those_of_the_tables(open_page, page, kinds):
    one = open_page(page)
    one.page.keyboard.press("/")
    one.page.keyboard.type("clarity")
    shown = {tuple(row[:2]): row[2:] for row in one.rows("#matches table")}
    row = kinds["ai_values"].sure[0]
    found = shown["clarity", "AI values"]
    assert found[:2] == [wording.percent(row.share_a), wording.percent(row.share_b)]
    ends = (wording.signed(100 * end) for end in (row.low, row.high))
    assert found[3] == " to ".join(ends)
    with one.page.expect_download() as download:
        one.page.click("text=differences.csv")
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert len(rows) == sum(len(kind.rows) for kind in kinds.values())
    assert [r["name"] for r in rows if r["significant"] == "1" and r["kind"] == "AI values"] == [
        "clarity"
    ]


def test_without_its_script_the_page_has_every_section(open_page, page):
    one = open_page(page, java_script_enabled=False)
    text = one.page.locator("main").inner_text()
    for words in ("clarity", "Which names match", "Settings side by side", "Response types"):
        assert words in text
    assert one.page.locator("input, button").count() == 0


def test_hostile_names_of_two_runs_execute_nothing(open_page, tables):
    hostile = {name: spiteful(table) for name, table in tables.items()}
    sides = side(hostile, title=SPITE, extractor=SPITE), side(tables)
    one = open_page(render(sides, differences(*sides, ALPHA), NOBODY, ALPHA))
    one.page.keyboard.press("/")
    for words in ("<img", "script", "=1", "javascript", "a"):
        one.page.fill("#find", words)
    assert one.page.locator("img, iframe, object, form").count() == 0
    assert one.page.locator("script").count() == 2


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark"), (320, "light")])
def test_everyone_can_read_the_page_of_two_runs(open_page, page, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    size = {"width": width, "height": 800}
    one = open_page(page, viewport=size, color_scheme=scheme)
    one.page.eval_on_selector_all("details", "all => all.forEach(d => d.open = true)")
    one.page.fill("#find", "clarity")
    assert one.page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.run(one.page, options={"resultTypes": ["violations"]}).response["violations"]
    assert not [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in SERIOUS]


SERIOUS = ("serious", "critical")


# --- Two real runs


def test_the_command_needs_one_run_or_two(capsys):
    assert main(["report"]) == 1
    assert "--compare RUN_A RUN_B" in capsys.readouterr().err


@pytest.mark.ray
@pytest.mark.slow
def test_two_readers_of_the_same_conversations_are_compared(local_ray, tmp_path, capsys):
    from whole_runs import plant_files, run_quietly, small_config, tree_bytes

    inputs = plant_files(tmp_path / "in", rows=200)
    folders = [tmp_path / reader for reader in ("lexicon", "simulated")]
    for folder in folders:
        config = small_config(inputs, folder, tmp_path / "secret", extractor=folder.name)
        run_quietly(config, "statistics")
    before = [tree_bytes(folder) for folder in folders]
    output = tmp_path / "pages/two.html"
    words = ["report", "--compare", *map(str, folders), "--output", str(output)]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["same_conversations"] == 200
    text = output.read_text()
    assert "Both runs have 200 of the same conversations" in text
    runs = [open_run(folder) for folder in folders]
    labels = [run.table("labels", ["facet", "label", "kept"]).arrow.to_pylist() for run in runs]
    names = [
        {r["label"] for r in rows if r["kept"] and r["facet"] == "ai_values"} for rows in labels
    ]
    assert told["matched"]["ai_values"] == len(names[0] & names[1])
    assert [tree_bytes(folder) for folder in folders] == before
    for folder in folders:  # as after a purge
        for part in (folder / "private").rglob("*.parquet"):
            part.unlink()
    assert main(words) == 0
    assert "were purged" in output.read_text()


def test_a_kind_without_a_row_is_no_section(tables):
    empty = {name: table.slice(0, 0) for name, table in tables.items()}
    sides = side(empty), side(tables)
    page = render(sides, differences(*sides, ALPHA), NOBODY, ALPHA)
    assert "Response types" not in page.split('id="names"')[0]
