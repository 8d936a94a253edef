"""The table `corrected`: what a reader of known error found, and what is true, side by side."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from vitw_ray.config import LabelsConfig
from vitw_ray.errors import InputError
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.records import EXTRACTIONS, TASK_ASSIGNMENTS
from vitw_ray.report.corrected_view import corrected_view
from vitw_ray.statistics.block import COLUMNS, ConversationBlock
from vitw_ray.statistics.codebook import Codebook
from vitw_ray.statistics.correction.answers import put_together
from vitw_ray.statistics.correction.correct import correct, languages_of, reviewed_rows
from vitw_ray.statistics.correction.corrected import Evidence
from vitw_ray.statistics.correction.reviewed_file import read_reviewed
from vitw_ray.statistics.partials import count_block
from vitw_ray.statistics.tables import compute

ROWS, EVERY = 3_000, 4
VOCABULARY = Codebook(
    labels={"ai_values": ["care", "clarity", "rare"], "human_values": ["care", "speed"]},
    codes={
        "ai_values": {"care": 0, "clarity": 1, "rare": 2, "Clarity": 1},
        "human_values": {"care": 0, "speed": 1},
    },
    ai_levels=[["care", "clarity", "rare"], ["ai_values:l1:a"]],
    ai_ancestors=[np.array([0, 1, 2], np.int32), np.array([0, 0, 0], np.int32)],
    tasks=["tasks:l1:a"],
    models=["m", "n"],
    period="month",
    thresholds=LabelsConfig(min_conversations=5, min_accounts=2),
)
KINDS = ("strong_support", "mild_support", "reframing")


def truth_and_reading(seed: int = 0):
    """Rows with what is true, and with what a reader that misses much of `n` has found."""
    rng = np.random.default_rng(seed)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    rows = []
    for number in range(ROWS):
        model = "mn"[number % 2]
        month = int(rng.integers(0, 4))
        found = rng.random(5)
        ai = [
            *(["care"] if found[0] < 0.4 else []),
            *(["clarity"] if found[1] < 0.2 + 0.1 * month else []),
            *(["rare"] if found[2] < 0.004 else []),
        ]
        human = [*(["care"] if found[3] < 0.5 else []), *(["speed"] if found[4] < 0.3 else [])]
        truth = {
            "subjective": bool(rng.random() < 0.7),
            "ai_values": ai,
            "human_values": human,
            "response_type": KINDS[int(rng.integers(0, 3))],
        }
        missed = rng.random(8)
        kept = 0.95 if model == "m" else 0.6
        reading = {
            "subjective": truth["subjective"] if missed[0] < 0.93 else not truth["subjective"],
            "ai_values": [label for label, x in zip(ai, missed[1:4], strict=False) if x < kept]
            + (["care"] if "care" not in ai and missed[4] < 0.05 else []),
            "human_values": [
                label for label, x in zip(human, missed[5:7], strict=False) if x < 0.9
            ],
            "response_type": KINDS[int(rng.integers(0, 3))]
            if missed[7] > 0.85
            else truth["response_type"],
        }
        known = {
            "conversation_id": f"c{number:04d}",
            "account_id": f"a{number % 400}",
            "model": model,
            "language": ("en", "de", "xx")[int(rng.integers(0, 20) > 9) + int(number % 600 == 0)],
            "created_at": start + timedelta(days=31 * month),
        }
        rows.append((known, truth, reading))
    return rows


DRAWN = truth_and_reading()
REVIEWED = sorted(np.random.default_rng(2).choice(ROWS, ROWS // EVERY, replace=False).tolist())


def extractions(rows) -> pa.Table:
    table = []
    for known, _, reading in rows:
        answers = {
            "source": "test",
            "extractor": "test",
            "is_subjective": reading["subjective"],
            "human_values": [],
            "ai_values": [],
            "prompt_tokens": 0,
            "output_tokens": 0,
            "truncated_share": 0.0,
        }
        if reading["subjective"]:
            answers["response_type"] = reading["response_type"]
            for facet in ("ai_values", "human_values"):
                values = [{"label": label, "explicit": True} for label in reading[facet]]
                answers[facet] = values
        table.append(known | answers)
    return pa.Table.from_pylist(table, EXTRACTIONS)


def review(tmp_path, rows=None, **changes) -> str:
    """What people said of a fourth of the conversations; their spelling differs."""
    file = tmp_path / "reviewed.jsonl"
    with file.open("w") as lines:
        for known, truth, _ in ((rows or DRAWN)[number] for number in REVIEWED):
            row = {
                "conversation_id": known["conversation_id"],
                "stratum": "all",
                "probability": 1 / EVERY,
                "subjectivity": 4 if truth["subjective"] else 1,
                "response_type": truth["response_type"] if truth["subjective"] else None,
                "ai_values": [label.upper() for label in truth["ai_values"]],
                "human_values": [*truth["human_values"], "of nobody else"],
            }
            lines.write(json.dumps(row | changes) + "\n")
    return str(file)


def together(file: str, table: pa.Table, conversations: int = ROWS, vocabulary=VOCABULARY):
    opened = read_reviewed(file)
    mine = reviewed_rows(table, [row.conversation_id for row in opened.rows])
    return put_together(opened, mine, conversations, 3, vocabulary)


def made(file: str, rows=None, vocabulary=VOCABULARY):
    """The table and the other tables of the stage."""
    rows = rows or DRAWN
    table = extractions(rows)
    answers = together(file, table, len(rows), vocabulary)
    languages = languages_of(answers, Evidence.of(vocabulary.thresholds))
    codes = Codebook(**vars(vocabulary) | {"languages": languages})
    tasks = [
        {"conversation_id": known["conversation_id"], "cluster_id": "tasks:l1:a"}
        for known, *_ in rows
    ]
    block = ConversationBlock.of(table, pa.Table.from_pylist(tasks, TASK_ASSIGNMENTS), codes)
    counts = count_block(block)
    public = compute(counts, {}, codes, 0.05)
    return correct(answers, counts, public, len(rows), codes), public


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return made(review(tmp_path_factory.mktemp("reviewed")))


@pytest.fixture(scope="module")
def rows(tables):
    return tables[0].to_pylist()


def picked(rows, **names) -> dict:
    (row,) = (row for row in rows if all(row[name] == value for name, value in names.items()))
    return row


def true_share(label: str, keep=lambda known: True, facet: str = "ai_values") -> float:
    inside = [truth for known, truth, _ in DRAWN if truth["subjective"] and keep(known)]
    return float(np.mean([label in truth[facet] for truth in inside]))


def test_a_share_comes_back_where_the_reader_misses_it(rows):
    row = picked(rows, measure="share", label="care", facet="ai_values", over_facet=None)
    truth = true_share("care")
    assert row["low"] < truth < row["high"]
    assert abs(row["corrected"] - truth) < 0.5 * abs(row["raw"] - truth)


def test_a_difference_between_assistants_that_only_the_reader_makes_goes(rows):
    row = picked(rows, measure="difference", label="care", facet="ai_values", over_facet="models")
    assert abs(row["raw"]) > 0.08
    assert row["low"] < 0 < row["high"]
    truth = true_share("care", lambda k: k["model"] == row["over"])
    truth -= true_share("care", lambda k: k["model"] == row["versus"])
    assert row["low"] < truth < row["high"]


def test_shares_of_assistants_and_languages_hold_the_truth(rows):
    for facet, column in (("models", "model"), ("languages", "language")):
        found = [r for r in rows if r["measure"] == "share" and r["over_facet"] == facet]
        found = [r for r in found if r["label"] in ("care", "clarity") and r["level"] == 0]
        found = [r for r in found if r["facet"] == "ai_values"]
        assert len(found) == 4
        inside = 0
        for row in found:
            truth = true_share(row["label"], lambda k, c=column, r=row: k[c] == r["over"])
            inside += row["low"] < truth < row["high"]
        assert inside >= 3


def test_a_language_with_too_few_conversations_is_not_named(tables):
    assert "xx" not in tables[0]["over"].to_pylist()


def test_a_trend_that_is_there_is_found(rows):
    row = picked(rows, measure="trend", label="clarity")
    assert row["low"] < 0.1 < row["high"]
    assert row["low"] > 0
    assert row["raw"] < row["corrected"]


def test_what_people_call_subjective_is_a_share_of_all(rows):
    row = picked(rows, facet="subjectivity")
    assert row["low"] < np.mean([truth["subjective"] for _, truth, _ in DRAWN]) < row["high"]


def test_raw_numbers_are_those_of_the_other_tables(tables):
    found, public = tables
    of_all = {
        r["response_type"]: r["share"]
        for r in public["response_types"].to_pylist()
        if r["over"] is None and r["model"] is None
    }
    assert of_all
    rows = found.to_pylist()
    told = [r for r in rows if r["facet"] == "response_types" and r["over_facet"] is None]
    told = [r for r in told if r["measure"] == "share"]
    assert {r["label"]: r["raw"] for r in told} == pytest.approx(of_all)
    differences = {}
    for r in public["model_comparison"].filter(pc.field("matched_on") == "nothing").to_pylist():
        differences[r["facet"], r["label"], r["model_a"], r["model_b"]] = r["difference"]
        differences[r["facet"], r["label"], r["model_b"], r["model_a"]] = -r["difference"]
    for r in (r for r in rows if r["measure"] == "difference" and r["over_facet"] == "models"):
        assert r["raw"] == differences[r["facet"], r["label"], r["over"], r["versus"]]
    ratios = {
        (r["level"], r["row"], r["column_facet"], r["column"]): r["odds_ratio"]
        for r in public["associations"].to_pylist()
    }
    told = [r for r in rows if r["measure"] == "odds_ratio"]
    assert told
    for r in told:
        assert r["raw"] == ratios[r["level"], r["label"], r["over_facet"], r["over"]]
        assert r["low"] < r["corrected"] < r["high"]


def test_mirroring_is_corrected_where_people_found_enough(rows):
    told = [r for r in rows if r["facet"] == "mirroring"]
    assert {r["over"] for r in told} <= set(RESPONSE_TYPES)
    row = next(r for r in told if r["level"] == 0 and r["over"] == "mild_support")
    base = [
        truth
        for _, truth, _ in DRAWN
        if truth["subjective"]
        and truth["response_type"] == "mild_support"
        and truth["human_values"]
    ]
    met = [bool({*truth["human_values"]} & {*truth["ai_values"]}) for truth in base]
    assert row["low"] < np.mean(met) < row["high"]


def test_a_rare_label_has_a_reason(rows):
    row = picked(rows, measure="share", label="rare", over_facet=None)
    assert (row["corrected"], row["low"], row["reason"]) == (None, None, "few_reviewed")


def test_no_small_number_of_reviewed_conversations_shows(rows):
    assert all(row["reviewed"] % 10 == 0 for row in rows)


def test_spelling_of_people_is_matched_and_unknown_labels_are_counted(tmp_path):
    answers = together(review(tmp_path), extractions(DRAWN))
    truths = [DRAWN[number][1] for number in REVIEWED]
    known = sum(len(truth["ai_values"]) + len(truth["human_values"]) for truth in truths)
    assert answers.details["reviewed_values_not_in_vocabulary"] == ROWS // EVERY
    assert answers.details["reviewed_values"] == known + ROWS // EVERY


def test_a_sample_of_another_run_is_refused(tmp_path):
    table = extractions(DRAWN)
    with pytest.raises(InputError, match="describes a sample of 3,000 conversations"):
        together(review(tmp_path), table, conversations=2 * ROWS)
    others = [(k | {"conversation_id": f"x{k['conversation_id']}"}, t, r) for k, t, r in DRAWN]
    with pytest.raises(InputError, match="no conversation of this run"):
        together(review(tmp_path, others), table)
    with pytest.raises(InputError, match="no conversation of this run"):
        together(review(tmp_path, subjectivity=None), table)


def test_rows_without_a_judgement_count_as_not_drawn(tmp_path):
    file = review(tmp_path)
    lines = [json.loads(line) for line in Path(file).read_text().splitlines()]
    for line in lines[::2]:
        line["subjectivity"] = None
    (tmp_path / "half.jsonl").write_text("\n".join(map(json.dumps, lines)))
    answers = together(str(tmp_path / "half.jsonl"), extractions(DRAWN))
    assert answers.design.weight.sum() == pytest.approx(ROWS)
    assert answers.rows == len(lines) // 2


def test_the_order_of_the_file_does_not_matter(tmp_path, tables):
    lines = Path(review(tmp_path)).read_text().splitlines()
    (tmp_path / "back.jsonl").write_text("\n".join(reversed(lines)))
    again, _ = made(str(tmp_path / "back.jsonl"))
    for a, b in zip(tables[0].to_pylist(), again.to_pylist(), strict=True):
        assert list(a) == list(b)
        for one, other in zip(a.values(), b.values(), strict=True):
            assert one == (pytest.approx(other, rel=1e-9) if isinstance(other, float) else other)


def test_the_columns_that_workers_send_are_those_of_a_block():
    sent = reviewed_rows(extractions(DRAWN[:3]), ["c0001"]).column_names
    assert set(sent) == {*COLUMNS, "confidence"}


def test_the_page_lists_differences_that_remain_and_no_others(tables):
    view = corrected_view(tables[0], {}, 30)
    assert view is not None
    assert all(not row["low"] <= 0 <= row["high"] for row in view.differences)
    assert view.untold >= 1
    assert corrected_view(tables[0].slice(0, 0), {}, 30) is None
