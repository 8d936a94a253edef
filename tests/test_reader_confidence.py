"""Is the reader's confidence right as often as it says, in the eyes of people?"""

import dataclasses
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from fake_tables import fake_tables, run_facts
from test_corrected_table import DRAWN, VOCABULARY, extractions, review, together

from vitw_ray.agreement.reliability import EDGES, bin_of
from vitw_ray.config import LabelsConfig
from vitw_ray.intervals import wilson
from vitw_ray.report.page import render
from vitw_ray.statistics.correction.confidence import confidence_bins
from vitw_ray.statistics.correction.corrected import Evidence

LEAST = Evidence.of(VOCABULARY.thresholds)


def answers_with(tmp_path, confidence_of, **changes):
    """The reviewed sample, where the reader's confidence is a function of whether it is right."""
    table = extractions(DRAWN)
    right = [truth["subjective"] == reading["subjective"] for _, truth, reading in DRAWN]
    column = table.schema.get_field_index("confidence")
    values = pa.array([confidence_of(n, is_right) for n, is_right in enumerate(right)])
    field = table.schema.field(column)
    table = table.set_column(column, field, values.cast(field.type))
    return together(review(tmp_path, **changes), table)


def unsure(number, is_right):
    """Of rows of two kinds, the first are right as often as they say and the others are not."""
    return 0.95 if is_right and number % 3 else 0.65


def test_each_bin_holds_the_share_that_people_find_right(tmp_path):
    answers = answers_with(tmp_path, unsure)
    people, reader = answers.base
    sure = answers.reader.table["confidence"].to_numpy() > 0.9
    bins = confidence_bins(answers, LEAST)
    assert [(one["low"], one["high"]) for one in bins] == [(0.6, 0.7), (0.9, 1.0)]
    for one, rows in zip(bins, (~sure, sure), strict=True):
        hits, size = int((people == reader)[rows].sum()), int(rows.sum())
        assert one["right"]["value"] == pytest.approx(hits / size)
        assert one["right"]["conversations"] == size
        low, high = (float(end) for end in wilson(hits, size))
        assert (one["right"]["low"], one["right"]["high"]) == pytest.approx((low, high))
    assert bins[1]["right"]["value"] == 1.0
    assert bins[0]["confidence"] == pytest.approx(0.65)


def test_rows_drawn_with_small_probability_count_for_more():
    confidence, right = np.full(300, 0.8), np.arange(300) < 200
    weights = np.where(right, 1.0, 4.0)
    found = bin_of(0.7, 0.9, confidence, right, weights).right
    assert found.value == pytest.approx(200 / 600)
    plain = bin_of(0.7, 0.9, confidence, right).right
    assert plain.value == pytest.approx(200 / 300)
    assert found.high - found.low > plain.high - plain.low


@pytest.mark.parametrize("seed", range(5))
def test_no_bin_tells_of_few_conversations_or_accounts(tmp_path, seed):
    rng = np.random.default_rng(seed)
    drawn = rng.choice([0.55, 0.75, 0.85, 0.95, 0.99], len(DRAWN), p=[0.01, 0.02, 0.07, 0.2, 0.7])
    answers = answers_with(tmp_path, lambda number, _: float(drawn[number]))
    bins = confidence_bins(answers, LEAST)
    assert sum(one["right"]["conversations"] for one in bins) == answers.rows
    for one in bins:
        size = one["right"]["conversations"]
        hits = round(one["right"]["value"] * size)
        assert size >= LEAST.rows
        assert hits == 0 or hits >= LEAST.cell
        assert size == hits or size - hits >= LEAST.cell
    edges = [(one["low"], one["high"]) for one in bins]
    assert all(a[1] <= b[0] for a, b in pairwise(edges))
    assert {end for pair in edges for end in pair} <= set(EDGES)


def test_a_reader_without_confidence_or_of_too_few_accounts_has_no_bins(tmp_path):
    assert confidence_bins(together(review(tmp_path), extractions(DRAWN)), LEAST) == []
    strict = dataclasses.replace(VOCABULARY, thresholds=LabelsConfig(min_accounts=401))
    answers = answers_with(tmp_path, unsure)
    assert confidence_bins(answers, Evidence.of(strict.thresholds)) == []


def test_the_page_draws_confidence_and_says_it_in_words():
    right = {"value": 0.8, "low": 0.7, "high": 0.87, "conversations": 90}
    bins = ({"low": 0.9, "high": 1.0, "confidence": 0.97, "right": right},)
    page = render(fake_tables(), run_facts(confidence=bins))
    section = page[page.index('<section id="sure">') :]
    assert "Is its confidence right as often as it says?" in section
    assert 'aria-label="right in 80.0%, from 70.0% to 87.0%; mean confidence 97.0%"' in section
    assert "0.9 to 1.0" in section
    assert "as often as it says" not in render(fake_tables(), run_facts())
