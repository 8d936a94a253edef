"""The table of a certificate, its gate, its baselines, its budget and what the page shows."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from fake_tables import fake_tables, run_facts

from vitw_ray.config import ExtractionConfig, LabelsConfig
from vitw_ray.errors import ConfigError
from vitw_ray.evaluation.certificate.budget import (
    FEWEST,
    PILOT,
    Budget,
    Cost,
    Spent,
    cost_of,
    with_way,
)
from vitw_ray.evaluation.certificate.design import specifications, ways_of
from vitw_ray.evaluation.certificate.headlines import Headline, headlines
from vitw_ray.evaluation.certificate.sampled import Answers, Sample, label_map
from vitw_ray.evaluation.certificate.table import certificate
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.report.certificate_view import BADGES, certificate_view
from vitw_ray.report.page import render

TABLES, RUN = fake_tables(), run_facts()
N = 600
MODEL = ExtractionConfig(extractor="vllm", model="qwen3-8b")
SPECIFICATIONS = specifications(ways_of({"own": MODEL}), 3)
THRESHOLDS = LabelsConfig(min_conversations=3, min_accounts=2)
COMMON = Headline(
    sentence=1, claim="most_common", facet="ai_values", label="care", versus="honesty"
)
HELPS = Headline(
    sentence=3,
    claim="together",
    facet="ai_values",
    label="care",
    over_facet="tasks",
    over="tasks:1",
)
RARE = Headline(
    claim="together", facet="ai_values", label="rare", over_facet="tasks", over="tasks:1"
)
RESISTS = Headline(
    sentence=4,
    claim="resists",
    facet="response_types",
    label="resistance",
    limits=((1, 0.15), (-1, 0.45)),
)
DIFFERS = Headline(
    sentence=5,
    claim="differs",
    facet="ai_values",
    label="honesty",
    over_facet="models",
    over="A",
    versus="B",
    by_task=True,
)
ALL = [COMMON, HELPS, RARE, RESISTS, DIFFERS]


def sample_of(rng) -> Sample:
    tasks = np.where(rng.random(N) < 0.3, "tasks:1", "tasks:2")
    return Sample(
        tuple(f"c{n}" for n in range(N)),
        tuple(f"a{n}" for n in range(N)),
        tuple("A" if n % 2 else "B" for n in range(N)),
        tuple(tasks.tolist()),
    )


def answers_of(rng, sample: Sample, care: float, in_task: float) -> Answers:
    """Care is shown more in one task, honesty more by one assistant; one label hardly occurs."""
    values = []
    for n, (task, model) in enumerate(zip(sample.tasks, sample.models, strict=True)):
        shown = {"rare"} if n in (4, 8) else set()
        shown |= {"care"} if rng.random() < (in_task if task == "tasks:1" else care) else set()
        shown |= {"honesty"} if rng.random() < (0.4 if model == "A" else 0.1) else set()
        values.append(frozenset(shown))
    kinds = [RESPONSE_TYPES.index(kind) for kind in ("mild_resistance", "mild_support")]
    response = np.where(rng.random(N) < 0.3, kinds[0], kinds[1])
    return Answers(np.full(N, 3), {"ai_values": tuple(values), "human_values": ()}, response)


@pytest.fixture(scope="module")
def table() -> pa.Table:
    rng = np.random.default_rng(2)
    sample = sample_of(rng)
    by_way = {
        one.way: answers_of(rng, sample, 0.02 if one.way.paraphrase == 2 else 0.45, 0.9)
        for one in SPECIFICATIONS
    }
    by_specification = {one: by_way[one.way] for one in SPECIFICATIONS if one.gate != 4}
    unseen = answers_of(rng, sample, 0.3, 0.3)
    return certificate(ALL, sample, by_specification, unseen, THRESHOLDS, 0)


def rows(table: pa.Table, **wanted) -> list[dict]:
    return [
        row
        for row in table.to_pylist()
        if all(row[name] == value for name, value in wanted.items())
    ]


def test_a_headline_has_a_row_for_every_specification_baseline_and_choice(table):
    kinds = Counter((row["headline"], row["kind"]) for row in table.to_pylist())
    for number in range(1, len(ALL) + 1):
        assert kinds[number, "specification"] == 16
        assert kinds[number, "baseline"] == 2
        assert kinds[number, "badge"] == 1
    moved = {row["choice"]: row["share"] for row in rows(table, kind="choice", headline=1)}
    assert set(moved) == {"paraphrase", "strict", "questions", "gate", "rest"}
    assert moved["paraphrase"] > 0.9
    assert sum(moved.values()) == pytest.approx(1, abs=0.005)


def test_badges_are_those_that_were_planted(table):
    badges = [row["badge"] for row in rows(table, kind="badge")]
    assert badges == ["holds_in_most", "holds_in_all", None, "holds_in_all", "holds_in_all"]


def test_what_concerns_fewer_conversations_than_the_gate_asks_is_not_in_the_table(table):
    found = rows(table, headline=3)
    assert found
    for row in found:
        assert row["estimate"] is row["low"] is row["high"] is row["holds"] is row["share"] is None
        assert row["reason"] == "too_few"


def test_that_none_of_a_few_conversations_shows_it_is_not_told():
    rng = np.random.default_rng(2)
    sample = sample_of(rng)
    read = answers_of(rng, sample, 0.45, 0.9)
    level, response = read.level.copy(), read.response.copy()
    level[:2], response[:2] = 4, RESPONSE_TYPES.index("mild_support")  # 0 % of two resist
    read = replace(read, level=level, response=response)
    answers = {one: read for one in SPECIFICATIONS if one.way == SPECIFICATIONS[0].way}
    table = certificate([COMMON, RESISTS, DIFFERS], sample, answers, read, THRESHOLDS, 0)
    few = rows(table, kind="specification", gate=4)
    assert len(few) == 3
    assert all(row["conversations"] is row["estimate"] is row["high"] is None for row in few)
    assert all(row["estimate"] is not None for row in rows(table, kind="specification", gate=3))


def test_answers_of_other_conversations_show_no_pair_and_no_difference(table):
    for number in (2, 5):
        (found,) = rows(table, headline=number, baseline="shuffled")
        assert found["low"] < 0 < found["high"]
    (same,) = rows(table, headline=4, baseline="shuffled")
    assert same["low"] == same["high"] == same["estimate"]


def test_what_is_found_without_the_assistants_words_is_said_beside_the_headline(table):
    (pair,) = rows(table, headline=2, baseline="no_assistant")
    assert pair["holds"] is False
    (difference,) = rows(table, headline=5, baseline="no_assistant")
    assert difference["holds"] is True


def test_the_page_shows_badges_shares_and_curves_and_nothing_without_a_certificate(table):
    plain = render(TABLES, RUN)
    assert 'class="badge' not in plain
    assert "speccurve" not in plain
    page = render({**TABLES, "certificate": table}, RUN)
    short = page.split('id="short"')[1].split("</section>")[0]
    assert short.count('class="badge ') == 4
    section = page.split('<section id="certificate">')[1].split("</section>")[0]
    for badge in ("holds_in_all", "holds_in_most", None):
        assert BADGES[badge] in section
    curves = re.findall(r'<svg class="speccurve"[^>]*aria-label="([^"]+)"', section)
    assert len(curves) == 4
    assert all("in 16 specifications" in one for one in curves)
    assert "care is the most common AI value" in curves[0]
    empty = TABLES | {"certificate": table.slice(0, 0)}
    assert render(empty, RUN).count("speccurve") == 0


def test_the_weakest_claim_of_a_sentence_gives_its_badge(table):
    one = replace(DIFFERS, sentence=1)
    rng = np.random.default_rng(2)
    sample = sample_of(rng)
    said = answers_of(rng, sample, 0.1, 0.1)
    answers = dict.fromkeys(SPECIFICATIONS[::3], said)
    found = certificate([COMMON, one], sample, answers, said, THRESHOLDS, 0)
    view = certificate_view(found, {})
    assert view is not None
    badges = [row["badge"] for row in rows(found, kind="badge")]
    assert badges[1] == "holds_in_all"
    assert badges[0] != "holds_in_all"
    assert view.of_sentence[1] == (badges[0] or "untold")


def test_headlines_are_those_of_the_sentences_of_the_page():
    found = headlines(TABLES, 0.05, 30)
    claims = {one.sentence: one for one in reversed(found) if one.sentence}
    page = render(TABLES, RUN)
    short = page.split('id="short"')[1].split("</section>")[0]
    sentences = re.findall(r"<li>(.*?)</li>", short, re.DOTALL)
    assert claims
    for number, one in claims.items():
        named = one.over if one.claim == "differs" else one.label
        assert named == "resistance" or named in sentences[number - 1]
    assert len({one.key for one in found}) == len(found)


def test_labels_of_another_form_or_the_same_meaning_count_as_those_of_the_run():
    kept = {"ai_values": ["clear boundary", "self-care"]}
    raw = {"ai_values": {"Clear boundaries", "self care", "honesty"}}
    assert label_map(raw, kept, None) == {
        "ai_values": {"Clear boundaries": "clear boundary", "self care": "self-care"}
    }


PAPER = Spent(700_000, 308_000, 700_000 * 9_000, 700_000 * 120)


@pytest.mark.parametrize("own", ["short", "one_pass", "separate"])
@pytest.mark.parametrize("dearer", [1.0, 1.7, 4.0])
def test_a_certificate_stays_within_its_share_whatever_the_ways_cost(own, dearer):
    """What really is spent is up to four times as much as estimated."""
    extraction = replace(MODEL, questions=own)
    ways = ways_of({"own": extraction})
    costs = [cost_of(PAPER, extraction, with_way(extraction, way.settings)) for way in ways]
    costs = sorted([*costs, costs[0]], key=lambda cost: -cost.each)
    budget = Budget(0.05 * PAPER.tokens, 2000)
    assert budget.fit(costs) > PILOT
    budget.correct(costs[0], PILOT, int(PILOT * costs[0].each * dearer))
    for place, cost in enumerate(costs):
        n = budget.fit(costs[place:])
        budget.spend(cost, int(n * cost.each * dearer))
    assert budget.used <= 0.05 * PAPER.tokens
    assert budget.sample >= 1000 / dearer


def test_a_run_that_is_too_small_is_refused_and_a_reader_without_a_model_is_free():
    small = Spent(400, 200, 400 * 3_000, 400 * 100)
    cost = cost_of(small, MODEL, with_way(MODEL, {"subjective_from": 1}))
    budget = Budget(0.05 * small.tokens, 400)
    assert budget.fit([cost] * 9) < FEWEST
    with pytest.raises(ConfigError, match=r"--budget 0\.05"):
        budget.refuse_few(0.05)
    lexicon = ExtractionConfig()
    assert cost_of(small, lexicon, lexicon) == Cost(0.0, 0.0)
    free = Budget(0.0, 400)
    assert free.fit([Cost(0.0, 0.0)]) == 400


def test_another_value_that_leads_in_one_wording_is_found_whichever_it_is():
    rng = np.random.default_rng(4)
    sample = sample_of(rng)
    answers = {}
    for one in SPECIFICATIONS:
        leads, follows = ("calm", "care") if one.way.paraphrase == 2 else ("care", "calm")
        shown = [frozenset({leads, *([follows] if n % 5 == 0 else ())}) for n in range(N)]
        values = {"ai_values": tuple(shown), "human_values": ()}
        answers[one] = Answers(np.full(N, 4), values, np.full(N, -1))
    found = certificate([COMMON], sample, answers, next(iter(answers.values())), THRESHOLDS, 0)
    (badge,) = rows(found, kind="badge")
    assert badge["versus"] == "honesty"
    assert badge["badge"] == "hangs_on_the_wording"
    shares = {row["choice"]: row["share"] for row in rows(found, kind="choice")}
    assert shares["paraphrase"] == 1.0
