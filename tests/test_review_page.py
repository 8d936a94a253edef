"""The page that people label on, in a browser: keys, what is kept, files, and hostile text."""

import csv
import json
import random
import re
from pathlib import Path

import pytest
from browser import wait_until
from review_runs import a_population, a_row, with_errors, write_run

from vitw_ray.cli.main import main
from vitw_ray.evaluation.review.draw import DrawConfig, draw
from vitw_ray.evaluation.review.page import RESPONSE_KEYS, json_block, rules
from vitw_ray.facets import RESPONSE_TYPES

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<!--<script>window.hacked = 1</script>",
    '<img src=x onerror="window.hacked = 1"><svg onload="window.hacked = 1">',
    "\x1b[2J\x1b]0;title\x07\u202ereversed\u202c \u2066isolated\u2069 \u2028\u2029\ufeff\x9b31m",
    "{{ 7 * 7 }} ${window.hacked = 1} `\\u003c/script\\u003e` &lt;b&gt; ]]> javascript:alert(1)",
    "=HYPERLINK(1)\n@SUM\n" + "w\u0301" * 500 + "\U0001f469\u200d\U0001f680 \u0645\u0631\u062d",
)
SENTINELS = ("reader-said-this", "told by the reader", "seldom seen value")


def hostile_rows():
    rows = [a_row(f"h-{n}", random.Random(n), text) for n, text in enumerate(HOSTILE * 2)]
    for row in rows:
        row["error"] = None
        row["subjectivity"], row["is_subjective"] = 3, True
        row["task"] = SENTINELS[1]
        row["extractor"] = SENTINELS[0]
        value = {"label": SENTINELS[2], "explicit": False, "grounded": None, "salience": None}
        row["ai_values"], row["response_type"] = [value], "reframing"
    return rows


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("hostile") / "run", hostile_rows())
    drawn = draw(run, DrawConfig(size=50, labellers=1, overlap=1.0))
    return run.storage.address(f"{drawn.folder}/label.html")


def data_of(path):
    text = Path(path).read_text("utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


# The file


def test_the_page_holds_nothing_of_what_the_reader_said(hostile_page):
    text = Path(hostile_page).read_text("utf-8")
    assert not [sentinel for sentinel in SENTINELS if sentinel in text]
    for one in data_of(hostile_page)["conversations"]:
        assert set(one) == {"id", "labeller", "turns", "answered"}
        assert all(set(turn) == {"role", "text"} for turn in one["turns"])


def test_the_page_is_the_same_whatever_the_reader_said_of_single_conversations(tmp_path):
    """Answers are exchanged between conversations of a run that is drawn whole."""
    rows = [row for row in a_population(40) if row["error"] is None]
    answers = ("subjectivity", "is_subjective", "ai_values", "human_values", "response_type")
    answers += ("task", "confidence")
    other = [
        row | {name: rows[-place - 1][name] for name in answers} for place, row in enumerate(rows)
    ]
    pages = []
    for name, content in (("a", rows), ("b", other)):
        run = write_run(tmp_path / name, content)
        draw(run, DrawConfig(size=100, labellers=1))
        data = data_of(run.storage.address("private/review-main/label.html"))
        assert data.pop("sample")  # its digest knows the strata
        pages.append(data)
    assert pages[0] == pages[1]


def test_the_policy_allows_one_script_one_style_sheet_and_no_network(hostile_page):
    text = Path(hostile_page).read_text("utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert re.fullmatch(
        r"default-src 'none'; script-src 'sha256-\S{44}'; style-src 'sha256-\S{44}';"
        r" base-uri 'none'; form-action 'none'",
        policy,
    )
    assert len(re.findall("<script", text)) == 2
    assert not re.search(r"""\s(?:style|on\w+)=["']""", text)
    assert "http:" not in text.replace("http://www.w3.org", "")


def test_a_block_of_json_cannot_end_early():
    block = json_block({"text": "</script><!--&\u2028\ud800"})
    assert not set(block) & set("<>&\u2028")
    assert block.isascii()
    assert json.loads(block)["text"] == "</script><!--&\u2028\ud800"


def test_the_rules_are_those_of_the_prompts():
    text = " ".join(paragraph for rule in rules() for paragraph in rule["text"])
    assert len(rules()) == 4
    assert "`" not in text
    assert all(code.replace("_", " ") + " = " in text for code in RESPONSE_TYPES)
    assert all(f"{level} = " in text for level in range(1, 5))


# In a browser


def test_hostile_text_is_shown_and_does_nothing(hostile_page, open_page):
    one = open_page(Path(hostile_page))
    one.type("Eve")
    one.press("Enter")
    data = data_of(hostile_page)
    assert len(data["conversations"]) == len(HOSTILE) * 2
    for conversation in data["conversations"]:
        shown = one.run("[...document.querySelectorAll('.words')].map(e => e.textContent)")
        assert len(shown) == len(conversation["turns"])
        assert one.run("document.querySelectorAll('.words *').length") == 0
        for turn, text in zip(conversation["turns"], shown, strict=True):
            named = re.sub("\u27e8U\\+([0-9A-F]+)\u27e9", lambda m: chr(int(m[1], 16)), text)
            assert named == turn["text"]
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
        one.press("n")
    assert one.run("window.hacked === undefined && document.scripts.length === 2")


def test_a_person_labels_with_keys_alone_and_the_page_keeps_it(hostile_page, open_page):
    one = open_page(Path(hostile_page))
    one.type("=Ann")
    one.press("Enter", "4", RESPONSE_KEYS[4], "v")
    one.type("hon")
    one.press("ArrowDown", "Enter")  # from the list
    one.type("Blunt  Candour")
    one.press("Enter")  # free entry
    one.type("<b>")
    one.press("Enter")  # refused
    assert "English letters" in one.run("document.getElementById('status').textContent")
    one.run("document.activeElement.value = ''")
    one.type("x")
    one.press("Backspace", "Backspace", "Escape", "t")
    one.type("@note, 1 n")
    one.press("Escape", "n", "1", "n", "3", "n", "x")
    ids = [found["id"] for found in data_of(hostile_page)["conversations"]]
    one.page.reload()  # as after a break
    assert one.run("document.getElementById('name').value") == "=Ann"
    one.press("Enter")
    assert one.run("document.getElementById('where').textContent").startswith("=Ann: 3 of")
    one.press("u")  # what is open: the third, subjective and without a response type
    assert one.run("document.getElementById('heading').textContent").startswith("Conversation 5")
    saved = json.loads(one.download("save-json").read_text())
    expected = {
        "ai_values": ["honesty"], "human_values": [], "note": "", "response_type": None,
        "skipped": False, "subjectivity": None,
    }  # fmt: skip
    first = expected | {"subjectivity": 4, "response_type": RESPONSE_TYPES[4], "note": "@note, 1 n"}
    none = expected | {"ai_values": []}
    assert [found | {"conversation_id": ""} for found in saved["labels"]] == [
        wanted | {"conversation_id": ""}
        for wanted in (first, none | {"subjectivity": 1}, none | {"subjectivity": 3},
                    none | {"skipped": True})
    ]  # fmt: skip
    assert [found["conversation_id"] for found in saved["labels"]] == ids[:4]
    with one.download("save-csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][:3] == ["labeller", "conversation_id", "subjectivity"]
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "-", "@", "\t")]
    assert rows[1][0] == "'=Ann"


def test_a_saved_file_brings_the_labels_back(hostile_page, open_page, tmp_path):
    data = data_of(hostile_page)
    label = {"conversation_id": data["conversations"][1]["id"], "subjectivity": 3}
    label |= {"response_type": "reframing", "ai_values": ["care", "<script>"], "human_values": []}
    content = {"format": data["format"], "sample": data["sample"], "labeller": "Zoe", "share": 1}
    saved = tmp_path / "labels.json"
    saved.write_text(json.dumps(content | {"labels": [label]}))
    one = open_page(Path(hostile_page))
    one.page.set_input_files("#load-start", saved)
    wait_until(one.page, "document.getElementById('where').textContent.startsWith('Zoe: 1 of')")
    one.press("n")
    assert one.run("document.querySelector('[name=response]:checked').value") == "reframing"
    assert one.run("document.querySelectorAll('#ai_values-chosen li').length") == 1
    saved.write_text(json.dumps(content | {"sample": "another", "labels": [label]}))
    one.page.set_input_files("#load", saved)
    wait_until(one.page, "document.getElementById('status').textContent.includes('another')")


def test_everything_has_a_name_can_be_reached_and_fits_a_phone(hostile_page, open_page):
    one = open_page(Path(hostile_page))
    one.type("Ann")
    one.press("Enter", "3")
    nameless = """[...document.querySelectorAll('input, textarea, select, button')]
      .filter(e => !(e.labels && e.labels.length) && !e.textContent.trim()
        && !e.getAttribute('aria-label')).map(e => e.id)"""
    assert one.run(nameless) == []
    assert one.run("document.activeElement.id") == "heading"
    assert one.run("document.documentElement.lang") == "en"
    for dark in (False, True):
        one.page.set_viewport_size({"width": 390, "height": 844})
        one.page.emulate_media(color_scheme="dark" if dark else "light")
        assert one.run("document.documentElement.scrollWidth") <= 390
        assert one.run(LOW_CONTRAST) == []


LOW_CONTRAST = """(() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
  const texts = [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility()
    && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
  return texts.filter((e) => { const a = light(parse(getComputedStyle(e).color).slice(0, 3));
    const b = light(behind(e));
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5; })
    .map((e) => e.tagName + ' ' + e.textContent.slice(0, 20));
})()"""


# Round trip


def test_an_error_of_people_is_found_again(open_page, tmp_path, capsys):
    error, rows = 0.15, a_population(400, seed=8)
    run = write_run(tmp_path / "run", rows)
    assert main(["review", "draw", run.address, "--size", "45", "--labellers", "3",
                 "--overlap", "0.9"]) == 0  # fmt: skip
    page = Path(json.loads(capsys.readouterr().out.splitlines()[-1])["page"])
    drawn = data_of(page)["conversations"]
    files = []
    for share, name in enumerate(("Ann", "Ben", "Cyd"), 1):
        answers = with_errors(rows, error, seed=20 + share)
        one = open_page(page)
        one.run(f"document.getElementById('share').value = '{share}'")
        one.type(name)
        one.press("Enter")
        for found in drawn:
            if found["labeller"] in (None, share):
                label(one, answers[found["id"]])
        kept = tmp_path / f"{name}.json"
        kept.write_bytes(one.download("save-json").read_bytes())
        files.append(str(kept))
    assert main(["review", "score", run.address, *files]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["labelled"] == 45
    score = json.loads(Path(told["score"]).read_text())
    for one in score["reader"]["with_each"]:
        same = one["closed"]["is_subjective"]["same"]
        assert same["low"] <= 1 - error <= same["high"]
    for pair in score["people"]["pairs"]:
        same = pair["closed"]["is_subjective"]["same"]
        assert same["low"] <= error**2 + (1 - error) ** 2 <= same["high"]
    assert score["alternative_test"]["is_subjective"]["replaces"] is not None


def label(one, answer):
    """Enter an answer as a person does, and go on."""
    keys = [str(answer["subjectivity"])]
    if answer["subjectivity"] >= 3:
        keys.append(RESPONSE_KEYS[RESPONSE_TYPES.index(answer["response_type"])])
        for key, facet in (("v", "ai_values"), ("b", "human_values")):
            if answer[facet]:
                keys.append(key)
                for value in answer[facet]:
                    keys += [*value, "Enter"]
                keys.append("Escape")
    one.press(*keys, "n")
