"""The page in a browser: questions are answered in three steps, and no text becomes code."""

import csv
import io
import json
import os
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from browser import Opened, wait_until
from fake_tables import MODELS, fake_tables, run_facts
from naughty_strings import naughty_strings
from test_report import SPITE, spiteful

from vitw_ray import wording
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.facts import Making, Stored
from vitw_ray.intervals import wilson
from vitw_ray.opened_run import open_run
from vitw_ray.records import TABLES
from vitw_ray.report import sections
from vitw_ray.report.page import render
from vitw_ray.report.write import TABLES as PUBLIC

PHONE = {"viewport": {"width": 320, "height": 640}}


def facts(**changes):
    stored = {name: Stored(table.num_rows, f"5_x/{name}") for name, table in fake_tables(5).items()}
    making = Making(
        command="vitw run --preset paper --input INPUT --output RUN",
        input=("1 input file, 90 bytes",),
        languages={"en": 2600, "de": 205, "other": 9},
        transcripts={"whole": 2800, "cut": 14},
        sampling=("every conversation of the input was taken",),
        settings={"labels": {"min_conversations": "3"}},
        tokens={"prompt_tokens": 4567},
        stability=(("ai_values", 1, 22, 0.667),),
        tables=stored,
    )
    return run_facts(making=making, **changes)


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    found = fake_tables(80)
    return found | {"corrected": corrected_rows()}


def corrected_rows() -> pa.Table:
    """One share of all, one of an assistant, and one that the sample is too small for."""
    row = {"measure": "share", "facet": "ai_values", "level": 0, "label": "clarity"}
    row |= {"over_facet": None, "over": None, "versus": None, "reviewed": 120, "reason": None}
    row |= {"raw": 0.25, "corrected": 0.375, "low": 0.31, "high": 0.44}
    group = {"over_facet": "models", "over": "vicuna-13b", "raw": 0.5, "corrected": 0.625}
    untold = dict.fromkeys(("corrected", "low", "high")) | {"label": "accuracy", "reason": "few"}
    return pa.Table.from_pylist([row, row | group, row | untold], TABLES["corrected"])


@pytest.fixture(scope="module")
def page(tables) -> str:
    return render(tables, facts())


def slug(name: str) -> str:
    return re.sub(r"[^\w]+", "-", name.lower()).strip("-")


def rows_of(table: pa.Table, **equal) -> list[dict]:
    for name, value in equal.items():
        table = table.filter(pc.field(name) == value)
    return table.to_pylist()


# --- The nine questions. Each answer begins at the top and says how many steps it took.


def contents(one: Opened, words: str) -> None:
    one.page.click(f"nav >> text='{words}'")


def asks_which_values_are_most_common(one: Opened, tables) -> int:
    contents(one, "Values")
    first = one.rows("#values table.values")[0]
    labels = rows_of(tables["labels"], facet="ai_values", kept=True)
    most = min(labels, key=lambda row: (-row["conversations"], row["label"]))
    assert first[0] == most["label"]
    assert first[2] == wording.percent(most["share"])
    return 1


def asks_which_depend_on_the_context(one: Opened, tables) -> int:
    contents(one, "Variation")
    spreads = sections.variation(tables["variation"].to_pylist(), 10)
    if not spreads:
        assert "Too few contexts" in one.page.inner_text("#variation")
        return 1
    shown = one.rows("#variation .two > .scroll:nth-child(2) table")
    assert [row[0] for row in shown if "none for sure" not in row[0]] == [
        row["label"] for row in spreads[0].dependent[:10]
    ]
    return 1


def asks_what_goes_with_a_task(one: Opened, tables) -> int:
    every = [row["name"] for row in rows_of(tables["taxonomy"], facet="tasks")]
    tasks = rows_of(tables["taxonomy"], facet="tasks", level=1)
    tasks = [row for row in tasks if every.count(row["name"]) == 1]  # not also of a level above
    asked = [row for row in tasks if "relationships" in row["name"]] or tasks
    task = max(asked, key=lambda row: (row["conversations"], row["name"]))
    one.find(task["name"])
    assert one.page.inner_text("#card h2") == task["name"]
    pairs = rows_of(
        tables["associations"], column_facet="tasks", column=task["cluster_id"], level=0
    )
    known = [row for row in pairs if row["shrunken_low"] is not None]
    sure = [row for row in known if row["discovered"] and row["odds_ratio"] >= 1]
    sure.sort(key=lambda row: (-row["shrunken_low"], row["row"]))
    if not sure:
        assert "none discovered" in one.page.inner_text("#card")
        return 2
    shown = one.rows("#card h3:has-text('Goes with AI values') + .scroll table")
    assert shown
    assert [row[0] for row in shown] == [row["row"] for row in sure[: len(shown)]]
    assert shown[0][1:4] == [
        wording.count(sure[0]["observed"]),
        wording.decimal(sure[0]["expected"], 1),
        wording.ratio(sure[0]["odds_ratio"]),
    ]
    return 2


def asks_when_it_resists(one: Opened, tables) -> int:
    contents(one, "Resistance")
    resists = one.page.locator("#resistance h3:has-text('Tasks') + .scroll table").count()
    shown = one.rows("#resistance h3:has-text('Tasks') + .scroll table") if resists else []
    for name, _, share, interval, counts in shown:
        (task,) = rows_of(tables["taxonomy"], facet="tasks", name=name, level=1)
        rows = rows_of(tables["response_types"], over_facet="tasks", over=task["cluster_id"])
        n = sum(r["conversations"] for r in rows if r["response_type"].endswith("resistance"))
        whole = int(counts.split(" of ")[1].replace(",", ""))
        assert counts.split(" of ")[0] == wording.count(n)
        assert share == wording.percent(n / whole)
        assert interval == wording.interval(*(float(end) for end in wilson(n, whole)))
    kind = rows_of(tables["associations"], column="strong_resistance", level=0, discovered=True)
    best = max(
        (r for r in kind if (r["shrunken_low"] or 0) > 0),
        key=lambda r: r["shrunken_low"],
        default=None,
    )
    if not one.page.locator("#resistance .two").count():
        return 1
    text = one.page.inner_text("#resistance")
    assert (best["row"] if best else "None is discovered.") in text
    return 1


def asks_how_two_assistants_differ(one: Opened, tables) -> int:
    contents(one, "Assistants")
    a, b = (one.page.input_value(f"#models-{side}") for side in "AB")
    text = one.page.inner_text("#compare-view p:nth-of-type(2)")
    ways = {"on the same prompts": "prompts", "with the same mix of tasks": "tasks"}
    matched = next((way for words, way in ways.items() if words in text), "nothing")
    rows = rows_of(
        tables["model_comparison"], groups="models", model_a=a, model_b=b, matched_on=matched
    )
    known = {row["label"]: row for row in rows if row["facet"] == "ai_values"}
    shown = one.rows("#compare-view table")
    assert shown
    for label, one_share, other, difference, interval in shown:
        row = known[label.split("\n")[0]]
        assert one_share == wording.percent(row["share_a"])
        assert other == wording.percent(row["share_b"])
        assert difference == wording.signed(100 * row["difference"])
        ends = (wording.signed(100 * row[end]) for end in ("low", "high"))
        assert interval == " to ".join(ends)
    return 1


def asks_how_sure_it_is(one: Opened, tables) -> int:
    contents(one, "How sure")
    text = one.page.inner_text("#sure")
    assert "Agreement" in text
    assert "Every conversation of the input was taken." in text
    if tables["corrected"].num_rows:
        first = one.rows("#sure table:has(caption:text('corrected'))")[0]
        assert first[2:4] == [wording.percent(0.25), wording.percent(0.375)]
    else:
        assert "No sample was reviewed by people" in text
    return 1


def asks_how_it_was_made(one: Opened, tables) -> int:
    contents(one, "How made")
    one.page.click("text='Settings that decide the numbers'")
    text = one.page.inner_text("#made")
    assert "Prompt tokens of the reader" in text
    assert "min_conversations" in text
    assert "vitw run" in text
    return 2


def asks_what_was_lost(one: Opened, tables) -> int:
    contents(one, "Run")
    text = one.page.inner_text("#run")
    for words in ("Rejected", "Failed", "conversations", "extractions"):
        assert words in text
    return 1


def asks_for_the_whole_story_of_a_value(one: Opened, tables) -> int:
    labels = rows_of(tables["labels"], facet="ai_values", kept=True)
    label = max(labels, key=lambda row: row["conversations"])
    one.find(label["label"])
    heading = one.page.inner_text("#card h2")
    if heading != label["label"]:  # a cluster of the same name, with the value as a member
        one.go(f"v={slug(label['label'])}")
        assert one.page.inner_text("#card h2") == label["label"]
    text = one.page.inner_text("#card")
    whole = round(label["conversations"] / label["share"])
    low, high = (float(end) for end in wilson(label["conversations"], whole))
    assert wording.percent(label["share"]) in text
    assert wording.interval(low, high) in text
    depth = max(row["level"] for row in rows_of(tables["taxonomy"], facet="ai_values"))
    assert one.page.locator("#card .trail a").count() == depth
    for part in ("Goes with tasks", "Goes with human values", "Assistants"):
        assert part in text
    return 2


QUESTIONS: list[Callable[[Opened, dict[str, pa.Table]], int]] = [
    asks_which_values_are_most_common,
    asks_which_depend_on_the_context,
    asks_what_goes_with_a_task,
    asks_when_it_resists,
    asks_how_two_assistants_differ,
    asks_how_sure_it_is,
    asks_how_it_was_made,
    asks_what_was_lost,
    asks_for_the_whole_story_of_a_value,
]


def steps_to_answers(one: Opened, tables: dict[str, pa.Table]) -> dict[str, int]:
    """Ask the nine questions, each from the top of the page; returns the steps that each took."""
    steps = {}
    for question in QUESTIONS:
        one.page.keyboard.press("Escape")
        one.go("")
        steps[question.__name__] = question(one, tables)
    return steps


def test_each_of_nine_questions_is_answered_in_three_steps_from_the_top(open_page, page, tables):
    assert max(steps_to_answers(open_page(page), tables).values()) <= 3


@pytest.mark.ray
@pytest.mark.slow
def test_the_page_of_a_real_run_answers_from_its_tables(open_page, local_ray, tmp_path):
    from whole_runs import plant_files, run_quietly, small_config

    inputs = plant_files(tmp_path / "in", rows=300)
    run_quietly(small_config(inputs, tmp_path / "out", tmp_path / "secret"))
    assert max(steps_on_page_of(open_page, tmp_path / "out").values()) <= 3


FINISHED_RUNS = [Path(name) for name in os.environ.get("VITW_RAY_FINISHED_RUNS", "").split(":")]


@pytest.mark.slow
@pytest.mark.parametrize("folder", FINISHED_RUNS, ids=lambda folder: folder.name)
def test_the_page_of_a_finished_run_answers_from_its_tables(open_page, folder):
    if not folder.name:
        pytest.skip("VITW_RAY_FINISHED_RUNS names no run folders")
    assert max(steps_on_page_of(open_page, folder).values()) <= 3


def steps_on_page_of(open_page, folder: Path) -> dict[str, int]:
    """All nine questions, on the page of a run folder."""
    run = open_run(folder)
    tables = {name: run.table(name, TABLES[name].names).arrow for name in PUBLIC}
    tables["corrected"] = TABLES["corrected"].empty_table()
    return steps_to_answers(open_page(folder / "report.html"), tables)


# --- Cards and addresses


def test_a_card_has_the_corrected_share_beside_that_of_the_reader(open_page, page):
    one = open_page(page, "#v=clarity")
    shown = one.rows("#card h3:has-text('Corrected') + .scroll table")
    ends = wording.interval(0.31, 0.44)
    assert shown == [
        ["All conversations", "25.0%", "37.5%", ends, "120"],
        ["vicuna-13b", "50.0%", "62.5%", ends, "120"],
    ]
    one.go("v=accuracy")
    shown = one.rows("#card h3:has-text('Corrected') + .scroll table")
    assert shown == [["All conversations", "25.0%", "too few to tell", wording.DASH, "120"]]
    one.go("v=kindness")
    assert one.page.locator("#card h3:has-text('Corrected')").count() == 0


def test_the_page_says_how_the_run_was_made_and_what_was_cut(open_page, page):
    one = open_page(page)
    shown = one.page.inner_text("#made")
    for words in ("--preset paper", "en 2,600", "14 of 2,814, 0.5%", "empty message\n16"):
        assert words in shown


def test_a_cluster_in_the_list_opens_the_card_with_its_description(open_page, tables):
    about = pa.Table.from_pylist(
        [r | {"description": f"About {r['name']}."} for r in tables["taxonomy"].to_pylist()],
        tables["taxonomy"].schema,
    )
    one = open_page(render(tables | {"taxonomy": about}, facts()), "#cluster=fairness")
    assert "About Fairness." in one.page.inner_text("#card")


def test_every_node_has_a_card_with_a_readable_address(open_page, page, tables):
    labels = rows_of(tables["labels"], kept=True)
    key = {"ai_values": "v", "human_values": "h"}
    wanted = {f"{key[row['facet']]}={slug(row['label'])}": row["label"] for row in labels}
    for row in rows_of(tables["taxonomy"], facet="tasks"):
        wanted[f"t={slug(row['name'])}"] = row["name"]
    wanted |= {f"a={slug(name)}": name for name in MODELS}
    wanted |= {"r=strong-resistance": "strong resistance", "cluster=fairness": "Fairness"}
    one = open_page(page)
    found = one.page.evaluate(
        """async (fragments) => {
          const names = [];
          for (const fragment of fragments) {
            location.hash = fragment;
            await new Promise((done) => addEventListener("hashchange", done, { once: true }));
            names.push(document.querySelector("#card-name").textContent);
          }
          return names;
        }""",
        list(wanted),
    )
    assert found == list(wanted.values())


def test_nodes_of_the_same_name_have_different_addresses(open_page, tables):
    rows = tables["taxonomy"].to_pylist()
    for row in rows:
        if row["facet"] == "ai_values" and row["level"] > 0:
            row["name"] = "The same"
    same = pa.Table.from_pylist(rows, tables["taxonomy"].schema)
    one = open_page(render(tables | {"taxonomy": same}, facts()))
    links = one.page.eval_on_selector_all(
        "[data-facet=ai_values] details > p > a", "links => links.map(a => a.getAttribute('href'))"
    )
    assert len(links) > 10
    assert len({*links}) >= 1
    one.go(links[0])
    assert one.page.inner_text("#card h2") == "The same"


def test_the_back_button_goes_from_card_to_card_and_out_of_them(open_page, page):
    one = open_page(page, "#v=clarity")
    assert one.page.inner_text("#card h2") == "clarity"
    one.page.click("#card .trail a >> nth=0")
    wait_until(one.page, "document.querySelector('#card-name').textContent !== 'clarity'")
    one.page.go_back()
    wait_until(one.page, "document.querySelector('#card-name').textContent === 'clarity'")
    one.page.keyboard.press("Escape")
    assert one.page.locator("#card[open]").count() == 0
    assert one.page.evaluate("location.hash") == ""
    one.page.go_back()
    one.page.wait_for_selector("#card[open]")


def test_an_address_of_nothing_says_so(open_page, page):
    one = open_page(page, "#v=no-such-value")
    assert "No AI value has this address" in one.page.inner_text("#card")


def test_a_walk_through_the_tree_by_keyboard_keeps_its_place_in_the_address(open_page, page):
    one = open_page(page, "#tree=ai-values")
    depths = []
    for _ in range(3):
        one.page.keyboard.press("ArrowDown")
        one.page.keyboard.press("ArrowUp")
        before = one.page.evaluate("location.hash")
        one.page.keyboard.press("ArrowRight")
        wait_until(one.page, f"location.hash !== {json.dumps(before)}")
        one.page.wait_for_timeout(50)
        depths.append(one.page.locator("#tree-view .trail a").count())
    assert depths == [2, 3, 4]
    place = one.page.evaluate("location.hash")
    names = one.page.inner_text("#tree-view .branches")
    again = open_page(page, place)
    assert again.page.inner_text("#tree-view .branches") == names
    one.page.keyboard.press("ArrowLeft")
    one.page.wait_for_timeout(50)
    assert one.page.locator("#tree-view .trail a").count() == 3
    one.page.keyboard.press("ArrowRight")
    one.page.wait_for_timeout(50)
    one.page.keyboard.press("Enter")  # a label opens its card
    one.page.wait_for_timeout(50)


def test_the_reader_of_the_page_chooses_both_assistants(open_page, page):
    one = open_page(page)
    one.page.select_option("#models-A", "gpt-3.5-turbo")
    one.page.select_option("#models-B", "claude-v1.3")
    one.page.wait_for_timeout(50)
    assert "A is gpt-3.5-turbo, B is claude-v1.3" in one.page.inner_text("#compare-view")
    turned = one.rows("#compare-view table")
    one.page.select_option("#models-A", "claude-v1.3")
    one.page.select_option("#models-B", "gpt-3.5-turbo")
    one.page.wait_for_timeout(50)
    straight = one.rows("#compare-view table")
    assert [row[1:3] for row in turned] == [row[2:0:-1] for row in straight]
    signs = {"+": wording.MINUS, wording.MINUS: "+"}
    assert [row[3] for row in turned] == [signs[row[3][0]] + row[3][1:] for row in straight]


def test_without_its_script_the_page_reads_as_a_paper(open_page, page, tables):
    one = open_page(page, java_script_enabled=False)
    text = one.page.locator("main").inner_text()
    for title in ("In short", "Most common values", "When the assistant resists", "Glossary"):
        assert title in text
    assert one.page.locator("#card, #search, #tree-view").count() == 0
    links = one.page.eval_on_selector_all("main a", "all => all.map(a => a.getAttribute('href'))")
    assert links == ["#corrected", "https://arxiv.org/abs/2504.15236"]
    most = max(rows_of(tables["labels"], kept=True), key=lambda row: row["conversations"])
    assert most["label"] in text


# --- Hostile text


def test_hostile_names_execute_nothing(open_page, tables):
    one = open_page(render({n: spiteful(t) for n, t in tables.items()}, facts(title=SPITE)))
    links = one.page.eval_on_selector_all("main a[href^='#']", "all => all.map(a => a.hash)")
    assert len(links) > 50
    for link in links[:: max(len(links) // 40, 1)]:
        one.go(link)
    assert one.page.locator("img, iframe, object, form").count() == 0
    assert one.page.locator("script").count() == 2


@pytest.mark.slow
def test_2000_strings_through_the_address_and_the_search_box_execute_nothing(open_page, page):
    rng = random.Random(7)
    pieces = [text.encode(errors="ignore").decode() for text in naughty_strings()]
    pieces += ["<script>alert(1)</script>", "javascript:alert(1)", "__proto__", "%"]
    pieces += [
        "%E0",
        "v=",
        "tree=",
        "compare=",
        "a/",
        "constructor",
        "../",
        "\u202e",
        "'\"><img src=x>",
    ]
    strings = ["".join(rng.choices(pieces, k=rng.randint(1, 4)))[:300] for _ in range(2000)]
    strings[:6] = ["v=__proto__", "tree=ai-values/constructor", "compare=%/%", "v=%", "r=", "="]
    one = open_page(page)
    one.page.evaluate(
        """async (strings) => {
          const box = document.querySelector("#search");
          for (const [n, text] of strings.entries()) {
            location.hash = n % 2 ? text : "v=" + text;
            box.value = text;
            box.dispatchEvent(new Event("input", { bubbles: true }));
            if (n % 20 === 0) await new Promise((done) => setTimeout(done));
          }
          await new Promise((done) => setTimeout(done, 50));
        }""",
        strings,
    )
    assert one.page.locator("img, iframe, object, form").count() == 0
    assert one.page.locator("script").count() == 2
    one.go("v=clarity")
    assert one.page.inner_text("#card h2") == "clarity"


# --- Tables


def test_a_table_downloads_whole_with_names_and_without_formulas(open_page, tables):
    labels = tables["labels"].to_pylist()
    labels[0]["label"] = "=1+1"
    changed = pa.Table.from_pylist(labels, tables["labels"].schema)
    one = open_page(render(tables | {"labels": changed}, facts()))
    found = {}
    for name in ("labels", "response_types", "associations"):
        with one.page.expect_download() as download:
            one.page.click(f"[data-table={name}] button")
        found[name] = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert len(found["labels"]) == len(labels)
    assert "'=1+1" in [row["label"] for row in found["labels"]]
    observed = [int(row["observed"]) for row in found["associations"]]
    assert sorted(observed) == sorted(tables["associations"]["observed"].to_pylist())
    low = sum(float(row["low"] or 0) for row in found["associations"])
    assert low == pytest.approx(
        sum(tables["associations"]["low"].drop_null().to_pylist()), rel=1e-5
    )
    assert any(row["over"] == "Advice on relationships" for row in found["response_types"])


# --- Everyone can read it


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param(PHONE, marks=pytest.mark.slow),
        pytest.param({"color_scheme": "dark"}, marks=pytest.mark.slow),
        pytest.param({"forced_colors": "active"}, marks=pytest.mark.slow),
    ],
    ids=["desktop", "phone", "dark", "forced colours"],
)
def test_axe_finds_nothing_serious(open_page, tables, page, options):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    one = open_page(page, **options)
    one.page.eval_on_selector_all("details", "all => all.forEach(d => d.open = true)")
    for fragment in ("", "#v=clarity"):
        one.go(fragment)
        found = axe.run(one.page, options={"resultTypes": ["violations"]}).response["violations"]
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        assert not serious, [(v["id"], v["nodes"][0]["html"][:200]) for v in serious]


@pytest.mark.parametrize("width", [320, 390])
def test_nothing_overflows_the_screen_of_a_phone(open_page, page, width):
    one = open_page(page, viewport={"width": width, "height": 800})
    assert one.page.locator("nav .contents").bounding_box()["height"] > 20
    one.page.eval_on_selector_all("details", "all => all.forEach(d => d.open = true)")
    for fragment in ("", "#v=clarity", "#t=advice-on-relationships", "#tree=ai-values"):
        one.go(fragment)
        widest = "Math.max(document.documentElement.scrollWidth, "
        widest += "(document.querySelector('#card[open]') || document.body).scrollWidth)"
        assert one.page.evaluate(widest) <= width, fragment


def test_print_opens_every_fold_and_hides_what_is_for_the_screen(open_page, page):
    one = open_page(page)
    one.page.emulate_media(media="print")
    one.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert one.page.locator("details:not([open])").count() == 0
    assert not one.page.is_visible("nav")
    assert not one.page.is_visible("#tree-view")


def test_everything_is_reached_by_keyboard_alone(open_page, page):
    one = open_page(page)
    one.press("Tab", "Enter")  # the skip link
    assert one.run("location.hash") == "#content"
    reached = one.page.evaluate(
        """() => [...document.querySelectorAll("a, button, select, input, summary, .scroll")]
          .filter((e) => e.checkVisibility() && (e.tabIndex < 0 || e.tabindex > 0)).length"""
    )
    assert reached == 0
    one.page.focus("#values table th a")
    one.press("Enter")
    one.page.wait_for_selector("#card[open]")
    assert one.run("document.getElementById('card').contains(document.activeElement)")
    one.press("Escape", "/")
    assert one.run("document.activeElement.id") == "search"
    one.type("vicuna")
    one.press("ArrowDown", "ArrowUp", "Enter")
    one.page.wait_for_selector("#card[open]")
    assert one.run("document.getElementById('card-name').textContent") == "vicuna-13b"


def test_support_and_resistance_differ_in_grey_and_in_forced_colours(open_page, page):
    """The bars as they are drawn: what looks the same in grey differs by less than a third."""
    colour = """kind => {
      const rgb = getComputedStyle(document.querySelector(`#responses .fill.${kind}`)).fill;
      const [r, g, b] = rgb.match(/[0-9]+/g).map((v) => (v / 255) ** 2.2);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    }"""
    for scheme in ("light", "dark"):
        one = open_page(page, color_scheme=scheme)
        kinds = ("strong_support", "strong_resistance")
        dark, light = sorted(one.page.evaluate(colour, kind) for kind in kinds)
        assert light / dark > 1.5
    one = open_page(page, forced_colors="active")
    shown = "kind => getComputedStyle(document.querySelector(`.part.${kind} rect`)).fill"
    assert one.page.evaluate(shown, kinds[0]) != one.page.evaluate(shown, kinds[1])


# --- The paper's size

FIVE_WAYS = """async ([fragment, words, n]) => {
  const open = [], keys = [];
  const box = document.querySelector("#search");
  for (let i = 0; i < n; i++) {
    let start = performance.now();
    location.hash = fragment[i % fragment.length];
    await new Promise((done) => addEventListener("hashchange", done, { once: true }));
    document.querySelector("#card").getBoundingClientRect();
    open.push(performance.now() - start);
    start = performance.now();
    box.value = words.slice(0, 1 + (i % words.length));
    box.dispatchEvent(new Event("input", { bubbles: true }));
    document.querySelector("#found").getBoundingClientRect();
    keys.push(performance.now() - start);
  }
  const middle = (all) => all.sort((a, b) => a - b)[all.length >> 1];
  return [middle(open), middle(keys)];
}"""


@pytest.mark.slow
def test_a_run_of_the_papers_size_answers_at_once_and_names_what_was_planted(open_page):
    from paper_size_tables import PLANTED, paper_tables, paper_totals

    tables = paper_tables() | {"corrected": corrected_rows()}
    html = render(tables, replace(facts(), totals=paper_totals()))
    assert len(html.encode()) < 1_500_000
    assert '"length":20' in html  # of the lists on cards
    one = open_page(html)
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    card, key = one.page.evaluate(
        FIVE_WAYS, [["v=healthy-boundaries", "t=writing-essays", "a=kite"], "healthy bound", 50]
    )
    assert (card < 100, key < 50) == (True, True), (card, key, one.page.evaluate(paint))
    one.page.keyboard.press("Escape")
    contents(one, "Variation")
    dependent = one.rows("#variation .two > .scroll:nth-child(2) table")
    assert {*PLANTED} <= {row[0] for row in dependent[:10]}
    for label, task in PLANTED.items():
        one.go(f"v={slug(label)}")
        shown = one.rows("#card h3:has-text('Goes with tasks') + .scroll table")
        assert shown[0][0] == task
    one.page.keyboard.press("Escape")
    assert max(steps_to_answers(one, tables).values()) <= 3
    lists_hold_what_is_sure(one, tables)


def lists_hold_what_is_sure(one: Opened, tables: dict[str, pa.Table]) -> None:
    """No pair in a list of strongest is not discovered; no row of assistants lacks its interval."""
    every = "[...document.querySelectorAll(%r)].map(r => [...r.cells].map(c => c.textContent))"
    names = {row["cluster_id"]: row["name"] for row in tables["taxonomy"].to_pylist()}
    sure = [row for row in tables["associations"].to_pylist() if row["discovered"]]
    names |= {kind: kind.replace("_", " ") for kind in RESPONSE_TYPES}
    pairs = {tuple(names.get(row[end], row[end]) for end in ("row", "column")) for row in sure}
    listed = {(row[0], row[1]) for row in one.run(every % "#associations table.cells tbody tr")}
    assert len(listed) > 30
    assert listed <= pairs
    compared = one.run(every % "#models details table tbody tr")
    compared += one.run(every % "#compare-view table tbody tr")
    compared = [row for row in compared if len(row) > 1]  # else the heading of a pair
    assert compared
    assert all(re.search(r"\d to .*\d", " ".join(row)) for row in compared)
