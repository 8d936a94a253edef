"""The page is self-contained and inert, names its reader, and shows the content of the tables."""

import base64
import hashlib
import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pyarrow as pa
import pytest
from fake_tables import MODELS, RECORD, empty_tables, fake_tables, run_facts
from hypothesis import given
from hypothesis import strategies as st

from vitw_ray import wording
from vitw_ray.facets import RESPONSE_TYPES, VALUE_FACETS
from vitw_ray.facts import RunTotals, oddities
from vitw_ray.inert import MAX_CHARS, inert
from vitw_ray.records import TABLES
from vitw_ray.report import figures, sections, tree_view
from vitw_ray.report.assistants_view import MATCHED, assistants_view
from vitw_ray.report.companions import spoken, together
from vitw_ray.report.explorer.compact import json_text
from vitw_ray.report.html import TEMPLATES
from vitw_ray.report.page import PAPER, render
from vitw_ray.report.pairings import HEAT_COLUMNS, HEAT_ROWS, pairings

SPITE = "\u202e\x07<script>alert(1)</script>\"'><img src=//x onerror=alert(1)>{{ 7*7 }}\u200b"
VOID = {"meta", "br", "rect", "line"}


class Page(HTMLParser):
    """Tags and attributes of a page; refuses tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.words, self._open = [], [], [], []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "title", "script"):
            self.words.append(data)


@pytest.fixture(scope="module")
def page() -> str:
    return render(fake_tables(), run_facts())


def test_the_page_is_well_formed(page):
    tags = Page(page).tags  # every element that opens is closed, or this fails
    assert [tags.count(tag) for tag in ("html", "head", "body", "nav", "main", "footer")] == [1] * 6


def test_the_page_loads_nothing_and_its_policy_forbids_loading(page):
    parsed = Page(page)
    links = [
        value for name, value in parsed.attributes if name in ("href", "src", "srcset", "data")
    ]
    assert {link for link in links if not link.startswith("#")} == {PAPER}
    assert "url(" not in page
    assert "@import" not in page
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page


def test_the_policy_allows_one_script_by_its_hash_and_no_other(page):
    (code,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert re.findall(r"script-src ([^;]+);", page) == [f"'sha256-{digest}'"]
    assert page.count("<script") == 2
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in code


def test_the_data_cannot_leave_its_element():
    hostile = "</script><script>alert(1)</script><!--&\u2028"
    text = json_text({hostile: [hostile]})
    assert not {*"<>&\u2028"} & {*text}
    assert json.loads(text) == {hostile: [hostile]}


def test_the_only_days_on_the_page_are_those_that_conversations_cover(page):
    day = re.compile(r"\d{4}-\d\d-\d\d")
    assert sorted({*day.findall(page)}) == sorted(run_facts().days)
    one = render(fake_tables(), run_facts(days=("2026-03-01", "2026-03-01")))
    assert {*day.findall(one)} == {"2026-03-01"}
    none = render(fake_tables(), run_facts(days=()))
    assert not day.findall(none)
    assert "Days covered" not in none


def test_every_link_within_the_page_has_its_target(page):
    parsed = Page(page)
    targets = {value for name, value in parsed.attributes if name == "id"}
    links = {value[1:] for name, value in parsed.attributes if name == "href" and value[0] == "#"}
    assert links
    assert links <= targets


def spiteful(table: pa.Table) -> pa.Table:
    """The table with hostile text appended to every string that is not one of our codes."""
    ours = {"facet", "row_facet", "column_facet", "over_facet", "response_type"}
    for i, field in enumerate(table.schema):
        if field.type == pa.string() and field.name not in ours:
            texts = [None if text is None else text + SPITE for text in table[i].to_pylist()]
            table = table.set_column(i, field, pa.array(texts, pa.string()))
    return table


def test_hostile_text_is_inert_in_every_field(page):
    tables = {name: spiteful(table) for name, table in fake_tables().items()}
    facts = run_facts()
    stage = replace(facts.stages[0], name=SPITE, rejected={SPITE: 1}, failed={SPITE: 2})
    spite = {"title": SPITE, "days": (SPITE,), "note": SPITE, "extractor": SPITE}
    counts = {"sources": {SPITE: 1}, "models": {SPITE: 2}, "versions": {SPITE: SPITE}}
    html = render(tables, replace(facts, stages=(stage,), **spite, **counts))
    hostile, friendly = Page(html), Page(page)
    assert set(hostile.tags) <= set(friendly.tags)
    assert {name for name, _ in hostile.attributes} <= {name for name, _ in friendly.attributes}
    assert html.count("&lt;script&gt;") > 500
    assert "49" not in html.split("</style>")[1].split("<h1>")[1][:200]
    assert not [c for c in html if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")]


@given(st.text())
def test_inert_text_is_one_short_line_without_invisible_characters(text):
    line = inert(text)
    assert len(line) <= MAX_CHARS
    assert not [c for c in line if unicodedata.category(c)[0] == "C"]
    assert inert(line) == line


def test_a_text_of_any_length_is_shortened_to_a_line():
    assert inert("word " * 100_000).endswith("…")


def test_labels_without_support_are_counted_and_not_shown():
    tables = fake_tables()
    labels = tables["labels"].to_pylist()
    kept = {row["label"] for row in labels if row["kept"]}
    rare = {row["label"] for row in labels if not row["kept"]} - kept
    below = sum(row["facet"] == "ai_values" and not row["kept"] for row in labels)
    facts = run_facts(rare_labels={"ai_values": below})
    words = " ".join(Page(render(tables, facts)).words)
    assert rare
    assert not [label for label in rare if re.search(rf"\b{label}\b", words)]
    assert f"{below} do not, and are not shown" in words


def test_the_page_shows_names_instead_of_cluster_ids(page):
    assert "tasks:l1" not in page
    assert "values:l" not in page
    assert "Advice on relationships" in page


def test_a_baseline_is_called_one_wherever_the_reader_is_named(page):
    shown = re.findall(r"lexicon(.{11})", page, flags=re.IGNORECASE)
    assert len(shown) >= 5
    assert set(shown) == {" (baseline)"}


def test_a_model_is_not_called_a_baseline():
    html = render(empty_tables(), run_facts(extractor="vllm", baseline=False))
    assert "baseline" not in " ".join(Page(html).words)


def test_simulated_answers_are_called_simulated():
    assert "simulated answers" in render(empty_tables(), run_facts(baseline=False, made_up=True))
    assert "simulated answers" not in render(empty_tables(), run_facts(baseline=False))


def test_empty_tables_give_sentences_and_no_figures():
    html = render(empty_tables(), run_facts(stages=()))
    assert html == render({}, run_facts(stages=()))
    assert html.count('class="empty"') == 14 + len(VALUE_FACETS)
    assert "<svg" not in html


def test_a_run_without_one_subjective_conversation_still_has_a_page():
    nothing = RunTotals(
        conversations=0,
        failed=0,
        subjective=0,
        with_any={},
        pairs={},
    )
    words = " ".join(Page(render(fake_tables(5), run_facts(totals=nothing))).words)
    assert "show in 0 conversations" in " ".join(words.split())


def test_the_same_arguments_give_the_same_page(page):
    assert render(fake_tables(), run_facts()) == page


def test_the_page_does_not_depend_on_the_row_order_of_the_tables(page):
    turned = {
        name: table.take(list(range(table.num_rows)[::-1])) for name, table in fake_tables().items()
    }
    assert render(turned, run_facts()) == page


@pytest.mark.parametrize(("labels", "bytes_"), [(300, 1_000_000), (3307, 1_500_000)])
def test_the_page_is_small(labels, bytes_):
    html = render(fake_tables(labels, min_conversations=1), run_facts())
    assert len(html.encode()) < bytes_


def test_every_table_has_headers_and_every_figure_a_text_alternative(page):
    for table in re.findall(r"<table.*?</table>", page, flags=re.DOTALL):
        assert 'scope="col"' in table
        assert 'scope="row"' in table
    assert page.count("<svg class=") == page.count('role="img" aria-label="') + page.count(
        '<svg class="slab'
    )


def test_figures_of_any_text_are_xml_with_shapes_only():
    shapes = {"svg", "rect", "line", "g", "text", "tspan", "title"}
    drawn = [
        figures.bar(0.2, 0.4, label=SPITE, low=0.1, high=0.3, mark=0.05),
        figures.stacked([figures.Part(SPITE, 0.5, "ai")], label=SPITE),
        figures.heat_map([SPITE], [SPITE], {(0, 0): figures.Cell(3.0, True, SPITE)}, label=SPITE),
        figures.icicle([figures.Slab(SPITE, 0, 0.0, 1.0, 0)], label=SPITE),
    ]
    for svg in drawn:
        assert {element.tag for element in ET.fromstring(svg).iter()} <= shapes
        assert "{{ 7*7 }}" in svg


def test_the_longest_bar_fills_its_container_and_none_exceeds_it():
    assert 'width="100.00%"' in figures.bar(0.4, 0.4, label="")
    assert 'x2="100.00%"' in figures.bar(0.3, 0.4, label="", low=0.2, high=0.9)
    assert 'width="0.00%"' in figures.bar(0.0, 0.0, label="")


@given(st.floats(allow_nan=False))
def test_a_residual_and_its_opposite_have_opposite_tones(residual):
    opposite = {"p": "n", "n": "p", "z": "z"}
    tone, other = figures.residual_tone(residual), figures.residual_tone(-residual)
    assert other[1:] == tone[1:]
    assert other[0] == opposite[tone[0]]


def test_in_an_icicle_children_fill_their_parents():
    rows = [row for row in fake_tables()["taxonomy"].to_pylist() if row["facet"] == "ai_values"]
    svg = tree_view.draw(tree_view.trees(rows)["ai_values"], "ai_values")
    columns: dict[str, list[tuple[float, float]]] = {}
    for x, y, height in re.findall(
        r'x="([\d.]+)%" y="([\d.]+)" width="[\d.]+%" height="([\d.]+)"', svg
    ):
        columns.setdefault(x, []).append((float(y), float(y) + float(height)))
    spans = [sorted(spans) for _, spans in sorted(columns.items(), key=lambda item: float(item[0]))]
    assert len(spans) == 3
    for above, below in pairwise(spans):
        for top, bottom in above:
            inside = [(a, b) for a, b in below if a >= top - 0.02 and b <= bottom + 0.02]
            assert min(a for a, _ in inside) == pytest.approx(top, abs=0.02)
            assert max(b for _, b in inside) == pytest.approx(bottom, abs=0.02)
            assert sum(b - a for a, b in inside) == pytest.approx(bottom - top, abs=0.2)


def test_in_an_icicle_a_child_never_starts_above_its_parent():
    def node(name, level, conversations, *children):
        return tree_view.Node(name, level, "", conversations, 0.5, list(children))

    tops = [node("A", 2, 10, node("a", 1, 4)), node("B", 2, 10, node("b", 1, 10))]
    svg = tree_view.draw(tops, "ai_values")
    tops_of = {name: y for y, name in re.findall(r'y="([\d.]+)" width[^>]+><title>(\w)', svg)}
    assert tops_of["b"] == tops_of["B"] == "160.00"


def test_the_tree_has_every_node_once():
    rows = fake_tables()["taxonomy"].to_pylist()

    def size(nodes):
        return sum(1 + size(node.children) for node in nodes)

    assert sum(size(tops) for tops in tree_view.trees(rows).values()) == len(rows)


def test_heat_maps_have_the_strongest_pair_and_fit_the_page():
    tables = fake_tables()
    names = tree_view.names_of(tables["taxonomy"].to_pylist())
    found = pairings(tables["associations"], names, top=5)
    kinds = ("task", "human value", "response type")
    assert [(pairing.level, pairing.title) for pairing in found] == [
        (level, f"AI value {wording.TIMES} {kind}") for level in (0, 3) for kind in kinds
    ]
    for pairing in found:
        strongest = pairing.more[0]
        for name in (strongest["row_name"], strongest["column_name"]):
            assert f"<title>{name}</title>" in pairing.heat
        seen = f"observed {strongest['observed']:,}, expected {strongest['expected']:,.1f}"
        assert seen in pairing.heat
        assert pairing.heat.count('class="side"') <= HEAT_ROWS
        assert pairing.heat.count('class="head"') <= HEAT_COLUMNS
        assert 0 < len(pairing.more) <= 5
        assert len(pairing.less) <= 5
        below = [row["shrunken_high"] for row in pairing.less]
        above = [row["shrunken_low"] for row in pairing.more]
        assert (below, above) == (sorted(below), sorted(above)[::-1])


def test_no_list_of_strongest_pairs_holds_one_that_is_not_discovered():
    table = fake_tables()["associations"]
    assert not all(table["discovered"].to_pylist())
    for pairing in pairings(table, {}, top=10_000):
        assert all(row["discovered"] for row in [*pairing.more, *pairing.less])
    unsure = table.set_column(
        table.schema.get_field_index("discovered"),
        table.schema.field("discovered"),
        pa.array([False] * table.num_rows),
    )
    for pairing in pairings(unsure, {}, top=10):
        assert (pairing.more, pairing.less, pairing.heat) == ([], [], "")


def test_pairs_without_a_residual_are_not_ranked():
    table = fake_tables()["associations"]
    assert table["residual"].null_count
    for pairing in pairings(table, {}, top=10_000):
        assert all(row["residual"] is not None for row in [*pairing.more, *pairing.less])


def test_response_types_have_one_order_everywhere():
    rows = fake_tables()["response_types"].to_pylist()[::-1]
    overall = sections.overall_response_types(rows)
    assert [row["response_type"] for row in overall] == list(RESPONSE_TYPES)
    for mix in sections.by_model(rows):
        assert list(mix.rows) == list(RESPONSE_TYPES)


def test_response_types_that_never_occur_are_left_out_of_mirroring():
    rows = fake_tables()["mirroring"].to_pylist()
    rows[0]["conversations"] = 0
    shown = [row["response_type"] for row in sections.mirroring(rows)[0]]
    assert "strong_support" not in shown
    assert "mild_support" in shown


def varied(label: str, share: float, corrected: float | None, low=None, high=None) -> dict:
    common = {"facet": "ai_values", "over_facet": "tasks", "coefficient_of_variation": 1.0}
    return {
        "label": label,
        "share": share,
        "corrected": corrected,
        "low": low,
        "high": high,
    } | common


def test_variation_lists_what_is_sure_and_ranks_it_by_the_near_end_of_the_interval():
    rows = [
        varied("rare", 0.01, 9.0, 0.0, 30.0),
        varied("typical", 0.5, 1.0, 0.9, 1.1),
        varied("odd", 0.02, 3.0, 2.0, 4.0),
        varied("odder", 0.02, 2.8, 2.5, 3.1),
        varied("steady", 0.2, 0.0, 0.0, 0.2),
        varied("steadier", 0.1, 0.05, 0.0, 0.1),
        varied("unknown", 0.1, None),
    ]
    (spread,) = sections.variation(rows, top=10)
    assert spread.typical == 1.0
    assert [r["label"] for r in spread.steady] == ["steadier", "steady"]
    assert [r["label"] for r in spread.dependent] == ["odder", "odd"]
    assert spread.unsure == 2
    assert "none for sure" in render(fake_tables() | {"variation": one_row()}, run_facts())


def one_row() -> pa.Table:
    return pa.Table.from_pylist([varied("only", 0.1, 1.0, 0.9, 1.1)], TABLES["variation"])


def test_a_pair_of_assistants_shows_what_it_compares():
    table = fake_tables()["model_comparison"]
    view = assistants_view(table, alpha=0.05, top=5)
    rows = {
        (r["model_a"], r["model_b"], r["label"], r["matched_on"]): r
        for r in table.to_pylist()
        if r["groups"] == "models" and r["facet"] == "ai_values"
    }
    matching = {words: name for name, words in MATCHED.items()}
    assert any(pair.rows for pair in view.versus)
    for pair in view.versus:
        for row in pair.rows:
            key = (pair.first, pair.second, row["label"])
            same, plain = rows[(*key, matching[pair.matched])], rows[(*key, "nothing")]
            assert {name: row[name] for name in same} == same
            assert pair.conversations == (same["conversations_a"], same["conversations_b"])
            turns = plain["difference"] * row["difference"] < 0
            assert row["unmatched"] == (plain["difference"] if turns else None)


def test_headline_numbers_equal_the_papers_for_the_papers_counts():
    totals = RunTotals(
        conversations=700_000,
        failed=0,
        subjective=308_210,
        with_any={"ai_values": 303_895, "human_values": 139_003},
        pairs={"ai_values": 1_228_833, "human_values": 456_151},
    )
    tiles = sections.headline(fake_tables(3)["labels"], totals)
    assert [tile.value for tile in tiles] == ["700,000", "44.0%", "3", "4.0", "54.9%"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (wording.percent(0.23359), "23.4%"),
        (wording.percent(0.0004), "<0.1%"),
        (wording.percent(0.0), "0.0%"),
        (wording.percent(None), wording.UNKNOWN),
        (wording.count(12345), "12,345"),
        (wording.signed(-0.04), "0.0"),
        (wording.signed(-4.5), f"{wording.MINUS}4.5"),
        (wording.signed(271.38), "+271.4"),
        (wording.ratio(float("inf")), "∞"),
        (wording.ratio(1234.5), "1,234"),
        (wording.ratio(4.104), "4.10"),
        (wording.interval(0.2, 0.31), f"20.0{wording.DASH}31.0%"),
        (wording.interval(None, 0.31), wording.UNKNOWN),
    ],
)
def test_numbers_have_one_format(text, expected):
    assert text == expected


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_support_and_resistance_differ_in_grey(scheme):
    css = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    light, dark = css.split("@media (prefers-color-scheme: dark)")[:2]
    colours = dict(re.findall(r"--(ss|sr): (#[0-9a-f]{6});", light if scheme == "light" else dark))
    dim, bright = sorted(luminance(colour) for colour in colours.values())
    assert (bright + 0.05) / (dim + 0.05) > 1.7


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_with_its_background(scheme):
    css = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    light, dark = css.split("@media (prefers-color-scheme: dark)")[:2]
    pattern = r"--([\w-]+): (#[0-9a-f]{6});"
    colours = dict(re.findall(pattern, light))
    if scheme == "dark":
        colours |= dict(re.findall(pattern, dark.split("\n}\n")[0]))
    pairs = [(name, name.removeprefix("on-")) for name in colours if name.startswith("on-")]
    pairs += [(text, back) for text in ("ink", "soft", "link") for back in ("paper", "card")]
    assert len(pairs) > 20
    for text, back in pairs:
        one, two = sorted((luminance(colours[text]), luminance(colours[back])))
        assert (two + 0.05) / (one + 0.05) >= 4.5, (text, back)  # WCAG 2.2, AA


def test_assistants_are_compared_in_pairs_with_the_values_that_each_shows_more(page):
    section = page.split('id="models"')[1].split("</section>")[0]
    words = " ".join(Page(f"<div>{section.split('>', 1)[1]}</div>").words)
    words = " ".join(words.split())
    for model in MODELS:
        assert model in words
    assert "same prompts" in words
    assert "same mix of tasks" in words
    assert "+12.0" in words  # of the label that the first assistant shows more on the same prompts


def test_a_difference_that_is_not_significant_is_not_shown():
    view = assistants_view(fake_tables()["model_comparison"], alpha=1e-9, top=5)
    assert view.versus
    assert all(row.rows == [] for row in view.versus)


def test_both_disagreements_about_human_values_are_on_the_page(page):
    words = " ".join(" ".join(Page(page).words).split())
    assert "of 488 conversations with a human value, 21 have the response type “no values”" in words
    assert "of 713 without one, 64 have another response type" in words


def test_explicit_values_are_separated_from_implicit_ones():
    table = fake_tables()["explicitness"]
    found = spoken(table, few=3)
    assert [row["label"] for row in found.said] == ["honesty"]
    assert [row["label"] for row in found.shown] == ["warmth"]
    kinds = {row["response_type"]: row["share"] for row in found.by_type}
    assert kinds == {"mild_support": 20 / 100, "strong_resistance": 40 / 50}
    assert spoken(table.slice(0, 0), few=3) is None


def test_pairs_of_values_have_the_count_expected_under_independence():
    tables = fake_tables()
    rows = together(tables["cooccurrence"], tables["labels"], "ai_values", 1201, top=5)
    assert [row["conversations"] for row in rows] == [40, 30]
    sizes = {
        row["label"]: row["conversations"]
        for row in tables["labels"].to_pylist()
        if row["facet"] == "ai_values"
    }
    expected = sizes[rows[0]["label_a"]] * sizes[rows[0]["label_b"]] / 1201
    assert rows[0]["expected"] == pytest.approx(expected)
    assert rows[0]["ratio"] == pytest.approx(40 / expected)


def test_the_page_says_how_well_a_model_reads_and_what_it_does_not():
    model = run_facts(extractor="vllm", baseline=False, has_model=True)
    words = " ".join(Page(render(fake_tables(), replace(model, check=RECORD))).words)
    assert "The calibration set: 64 conversations, 1 failed" in words
    assert "AI values F1 0.31 0.24 to 0.38 - 0.12" in " ".join(words.split())
    assert "75% of the subjective answers have no AI values (tolerated: 20%), z*h" in words
    assert "was not checked" in " ".join(Page(render(fake_tables(), model)).words)
    assert "How well the reader reads" not in " ".join(
        Page(render(fake_tables(), run_facts())).words
    )


def test_the_page_says_what_was_odd_in_the_input_and_in_answers():
    details = {
        "repaired": {"part_unknown": 12},
        "not_read": ["score", "user"],
        "came_out_null": {"language": 4},
        "identical": 2,
        "same_messages": 1018,
    }
    facts = run_facts(intake=tuple(oddities(details)), answers_repaired={"label_dropped": 7})
    page = render(fake_tables(40), facts)
    for told in ("part unknown 12", "score, user", "language 4", ": 2.", "1,018", "label dropped"):
        assert told in page


def test_an_input_without_oddities_has_none_on_the_page(page):
    assert oddities({}) == []
    assert "odd in the input" not in page


def test_what_is_hidden_makes_no_total_smaller():
    rows = fake_tables()["response_types"].to_pylist()
    whole = {mix.name: mix.conversations for mix in sections.by_model(rows)}
    for name, total in whole.items():
        mine = [r for r in rows if r["model"] == name and r["over_facet"] is None]
        summed = sum(r["conversations"] for r in mine)
        assert total == pytest.approx(summed, abs=2)  # the invented counts are rounded
    hidden = [row for row in rows if row["response_type"] != "mild_resistance"]
    assert {mix.name: mix.conversations for mix in sections.by_model(hidden)} == whole
    assert sections.silence(hidden) == sections.silence(rows) is not None
    silent = {"over_facet": "any_human_value", "response_type": "no_values", "over": "stated"}
    assert sections.silence([row for row in rows if not silent.items() <= row.items()]) is None


def test_a_hidden_share_of_an_assistant_is_no_share_of_0():
    table = fake_tables()["model_comparison"]
    view = assistants_view(table, alpha=0.05, top=5)
    assert not [bar for _, bars in view.values for bar in bars if "too few" in bar]
    label, column = view.values[0][0], view.columns[0].name
    rows = [
        row
        for row in table.to_pylist()
        if row["label"] != label or column not in (row["model_a"], row["model_b"])
    ]
    hidden = assistants_view(pa.Table.from_pylist(rows, table.schema), alpha=0.05, top=50)
    bars = {name: bars for name, bars in hidden.values}[label]
    where = [one.name for one in hidden.columns].index(column)
    assert "too few to show" in bars[where]
    assert all("svg" in bar for n, bar in enumerate(bars) if n != where)


def test_the_page_says_how_many_differences_come_again_in_two_halves():
    halves = {"models": {"listed": 20, "in_both": 17}, "tasks": {"listed": 12, "in_both": 9}}
    page = render(fake_tables(), run_facts(half_split=halves))
    assert "17 of the 20 surest differences are the same in both" in page
    assert "9 of 12 with a task" in page
    assert "with a model" not in page
    nothing = {"models": {"listed": 0, "in_both": 0}}
    assert "surest differences" not in render(fake_tables(), run_facts(half_split=nothing))
