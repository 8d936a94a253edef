"""Readers of known noise are measured at their noise, and truth and readers are joined by id."""

import json
import random
from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pytest

from vitw_ray.agreement.estimates import Estimate
from vitw_ray.cli.compare_readers import own_help, table
from vitw_ray.cli.reader_flags import FLAGS, CompareFlags, read_spec, read_specs, split_flags
from vitw_ray.comparison.readers import known as known_sets
from vitw_ray.comparison.readers.checks import category_of
from vitw_ray.comparison.readers.compared import Ways, compare, measures, spelling
from vitw_ray.comparison.readers.costs import Prices, costs_of
from vitw_ray.comparison.readers.known import Known, as_gzip, labelled, read_rows
from vitw_ray.comparison.readers.leaderboard import Conversations, Entry, leaderboard
from vitw_ray.comparison.readers.mapping import MAPPING
from vitw_ray.comparison.readers.modelled import modelled
from vitw_ray.comparison.readers.page import render
from vitw_ray.comparison.readers.readings import part_of, reading_of
from vitw_ray.comparison.readers.reliability import reliability
from vitw_ray.comparison.readers.signs import signs
from vitw_ray.comparison.readers.strata import Origin, length_name, strata
from vitw_ray.comparison.readers.tree_levels import clusters_of
from vitw_ray.config import Execution, ExtractionConfig, RunConfig
from vitw_ray.errors import ConfigError, InputError
from vitw_ray.evaluation.planted import plant
from vitw_ray.evaluation.planted_truth import PlantedConfig
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.records import TABLES

DROPPED = {"en": 0.3, "es": 0.5, "de": 0.1}
SWAPPED = {"en": 0.2, "es": 0.4, "de": 0.05}
COSTS = costs_of({"details": {}, "rows_out": 0, "seconds": 0.0}, RunConfig(), Prices())


@pytest.fixture(scope="module")
def known() -> Known:
    """As many planted conversations of each language."""
    languages = tuple((language, 1 / 3) for language in DROPPED)
    rows = list(plant(PlantedConfig(conversations=900, languages=languages, seed=7)))
    return Known("planted", *(tuple(side) for side in zip(*rows, strict=True)))


def origins_of(known: Known) -> tuple[Origin, ...]:
    return tuple(
        Origin(
            language=talk["language"],
            source=talk["source"],
            model=talk["model"],
            chars=sum(len(m["content"]) for m in talk["messages"]),
        )
        for talk in known.conversations
    )


def noisy(known: Known, seed: int, dropped=DROPPED, swapped=SWAPPED) -> list[dict]:
    """The truth, less a share of its values, with some response types exchanged, by language."""
    rng = random.Random(seed)
    answers = []
    for talk, truth in zip(known.conversations, known.truth, strict=True):
        p, q = dropped[talk["language"]], swapped[talk["language"]]
        kept = {
            facet: [value for value in truth[facet] if rng.random() >= p]
            for facet in ("ai_values", "human_values")
        }
        kind = truth["response_type"]
        if kind is not None and rng.random() < q:
            kind = rng.choice([other for other in RESPONSE_TYPES if other != kind])
        answers.append({**truth, **kept, "response_type": kind})
    return answers


def board_of(known: Known, *readers: tuple[str, list[dict]]) -> dict:
    conversations = Conversations(
        tuple(talk["conversation_id"] for talk in known.conversations), origins_of(known), (known,)
    )
    entries = [Entry(reading_of(name, rows), {"extractor": name}, COSTS) for name, rows in readers]
    return leaderboard(entries, conversations)


def test_a_reader_of_known_noise_is_measured_at_its_noise_in_each_language(known):
    rounds = 20
    true = {(n, "values"): 1 - p for n, p in DROPPED.items()}
    true |= {(n, "types"): 1 - q for n, q in SWAPPED.items()}
    found = {key: [] for key in true}
    truth, origins = reading_of("planted", known.truth), origins_of(known)
    for seed in range(rounds):
        reader = reading_of("noisy", noisy(known, seed))
        for row in strata(reader, origins, [compare(truth, reader, Ways())]):
            if row.kind == "language":
                found[row.name, "values"].append(row.found["ai_values"])
                found[row.name, "types"].append(row.same["response_type"])
    held = sum(e.low <= true[key] <= e.high for key, found_of in found.items() for e in found_of)
    assert held >= 0.88 * rounds * len(true)
    for key, found_of in found.items():
        assert np.mean([e.value for e in found_of]) == pytest.approx(true[key], abs=0.03)


def test_a_reader_without_noise_is_perfect_and_precision_stays_one_when_values_are_dropped(known):
    board = board_of(known, ("truth", list(known.truth)), ("noisy", noisy(known, 0)))
    perfect, dropped = (reader["quality"]["planted"] for reader in board["readers"])
    assert perfect["closed"]["response_type"]["kappa"]["value"] == 1.0
    assert perfect["level_auc"]["value"] == 1.0
    for way in ("exact", "normalised"):
        assert perfect["lists"]["ai_values"][way]["f1"]["value"] == 1.0
        assert dropped["lists"]["ai_values"][way]["precision"]["value"] == 1.0
    assert not board["readers"][0]["signs"]


def rows_of(*levels: int | None, **fields) -> list[dict]:
    base = {"task": "write", "human_values": [], "ai_values": [], "response_type": "no_values"}
    return [{**base, "subjectivity": level, "error": None, **fields} for level in levels]


def value(label: str, explicit: bool = False) -> dict:
    return {"label": label, "explicit": explicit, "grounded": True}


def test_answers_below_the_gate_do_not_count():
    reading = reading_of("r", rows_of(2, 3, ai_values=[value("care")]))
    assert reading.labels["ai_values"] == ((), ("care",))
    assert reading.codes["response_type"].tolist() == [-1, RESPONSE_TYPES.index("no_values")]
    lower = reading_of("r", rows_of(2, ai_values=[value("care")]), subjective_from=2)
    assert lower.labels["ai_values"] == (("care",),)


def test_a_failed_conversation_is_missing_everywhere():
    rows = [*rows_of(3), {**rows_of(None)[0], "error": "time_out"}]
    reading = reading_of("r", rows)
    assert reading.valid.tolist() == [True, False]
    assert all(codes[1] == -1 for codes in reading.codes.values())


def test_a_missed_subjective_conversation_counts_as_missed_values():
    truth = reading_of("truth", rows_of(3, 3, ai_values=[value("care")]))
    reader = reading_of("r", rows_of(3, 1, ai_values=[value("Care")]))
    found = measures(compare(truth, reader, Ways()))
    assert found["lists"]["ai_values"]["exact"]["recall"].value == 0.0
    assert found["lists"]["ai_values"]["normalised"]["recall"].value == 0.5
    assert found["lists"]["ai_values"]["normalised"]["precision"].value == 1.0
    assert found["closed"]["response_type"]["same"].conversations == 1


def test_spelling_is_that_of_the_stage_that_merges_labels():
    assert spelling("Clear-Boundaries") == spelling("clear boundary")


def test_strata_name_lengths_and_count_failures():
    assert length_name(0) == "0 to 1,000 characters"
    assert length_name(16_000) == "16,000 characters or more"


# Signs


def test_a_constant_reader_shows_signs_and_a_varied_one_none():
    constant = reading_of("constant", rows_of(*[3] * 200))
    names = {(sign.name, sign.facet) for sign in signs(constant)}
    assert {
        ("constant_level", "subjectivity"),
        ("constant_side", "subjectivity"),
        ("constant_response", "response_type"),
        ("empty_lists", "ai_values"),
        ("one_task", "task"),
    } == names
    same = reading_of("same", rows_of(*[3] * 40, ai_values=[value("care"), value("Care")]))
    assert {"one_label", "same_list"} <= {sign.name for sign in signs(same)}
    assert not signs(reading_of("short", rows_of(*[3] * 5)))
    kinds = [*RESPONSE_TYPES] * 20
    varied = [
        rows_of(1 + n % 4, task=f"t{n}", response_type=kind, ai_values=[value(f"v{n}")])[0]
        for n, kind in enumerate(kinds)
    ]
    assert not signs(reading_of("varied", varied))
    failed = [{**row, "error": "time_out"} for row in varied[:40]]
    assert {s.name for s in signs(reading_of("failed", varied + failed))} == {"errors"}


# Confidence


def test_confidence_that_is_right_as_often_as_it_says_has_no_gap():
    random = np.random.default_rng(5)
    sure = random.uniform(0.5, 1, 4000)
    levels = random.choice([1, 4], 4000)
    wrong = random.random(4000) > sure
    truth = reading_of("truth", rows_of(*levels.tolist()))
    answers = rows_of(*np.where(wrong, 5 - levels, levels).tolist())
    honest = [{**row, "confidence": c} for row, c in zip(answers, sure, strict=True)]
    found = reliability(truth, reading_of("honest", honest))
    assert found is not None
    assert found.gap < 0.03
    assert found.brier.value == pytest.approx(np.mean(sure * (1 - sure)), abs=0.02)
    for one in found.bins:
        assert one.right.low - 0.02 <= one.confidence <= one.right.high + 0.02
    certain = reading_of("certain", [{**row, "confidence": 1.0} for row in answers])
    boasting = reliability(truth, certain)
    assert boasting is not None
    assert len(boasting.bins) == 1
    assert boasting.gap == pytest.approx(wrong.mean())
    assert reliability(truth, reading_of("silent", answers)) is None
    people = [{**row, "confidence": "low"} for row in answers]  # a word of another labeller
    assert reliability(truth, reading_of("people", people)) is None


# Costs


def manifest(**details) -> dict:
    counts = {"prompt_tokens": 1000, "cached_tokens": 400, "output_tokens": 50, "answers_new": 10}
    return {
        "rows_out": 10,
        "seconds": 30.0,
        "details": {**counts, "rows_per_s_once_ready": 2.0, **details},
    }


def test_costs_count_gpu_seconds_and_money_where_they_are_known():
    config = RunConfig(
        extraction=ExtractionConfig(extractor="vllm", model="qwen3-8b"),
        execution=Execution(device="gpu", actors=2, gpus_per_actor=1.0),
    )
    found = costs_of(manifest(), config, Prices(per_gpu_hour=3.6))
    assert (found.prefilled_tokens, found.cached_tokens, found.written_tokens) == (600, 400, 50)
    assert found.gpu_seconds_per_1000 == pytest.approx(1000)
    assert found.money_per_1000 == pytest.approx(1.0)
    unpriced = costs_of(manifest(), config, Prices())
    assert unpriced.money_per_1000 is None
    resumed = costs_of(manifest(answers_new=0), config, Prices(per_gpu_hour=3.6))
    assert (resumed.rows_per_s, resumed.gpu_seconds_per_1000) == (None, None)


def test_a_servers_tokens_have_a_price_and_the_lexicons_have_none():
    server = RunConfig(extraction=ExtractionConfig(extractor="openai", model="any"))
    prices = Prices(per_million_read=1.0, per_million_written=10.0)
    found = costs_of(manifest(), server, prices)
    assert found.money_per_1000 == pytest.approx((1000 + 500) / 1e6 * 100)
    assert costs_of(manifest(), RunConfig(), prices).money_per_1000 is None
    local = replace(server, extraction=ExtractionConfig(extractor="vllm", model="qwen3-8b"))
    assert costs_of(manifest(), local, prices).money_per_1000 is None


# Known conversations


def write_rows(path, rows) -> str:
    path.write_bytes(as_gzip(rows))
    return str(path)


def test_labels_are_joined_to_the_input_by_id_and_what_is_missing_is_counted(tmp_path):
    labels = [{**row, "conversation_id": i} for row, i in zip(rows_of(1, 3, 4), "abc", strict=True)]
    path = write_rows(tmp_path / "gold.jsonl.gz", labels)
    talks = [{"conversation_id": i, "messages": [], "source": "s"} for i in "bxa"]
    found = labelled(path, talks)
    assert [talk["conversation_id"] for talk in found.conversations] == [
        "known:labelled:b",
        "known:labelled:a",
    ]
    assert [row["subjectivity"] for row in found.truth] == [3, 1]
    assert found.missing == 1
    with pytest.raises(InputError, match="none of its 3"):
        labelled(path, [])


def test_a_labelled_row_may_bring_its_own_messages(tmp_path):
    row = {**rows_of(3)[0], "conversation_id": "a", "messages": [{"role": "user", "content": "x"}]}
    path = write_rows(tmp_path / "gold.jsonl.gz", [row])
    assert labelled(path, []).conversations[0]["messages"] == row["messages"]


def test_a_row_without_a_field_is_named_by_its_line_and_never_quoted(tmp_path):
    path = write_rows(tmp_path / "x.jsonl.gz", [{"a": "secret words"}])
    with pytest.raises(InputError) as caught:
        read_rows(path, "--labelled", ("a", "b"))
    assert "line 1 has no b" in caught.value.problem
    assert "secret" not in str(caught.value)
    (tmp_path / "y.jsonl").write_text("{secret")
    with pytest.raises(InputError) as caught:
        read_rows(str(tmp_path / "y.jsonl"), "--labelled", ("a",))
    assert "secret" not in str(caught.value)


def test_outside_rows_become_conversations_and_a_limit_draws_the_same_ones(tmp_path):
    rows = [
        {"id": f"A{n}", "conclusion": "C", "stance": "against", "text": "T", "values": ["Face"]}
        for n in range(30)
    ]
    path = write_rows(tmp_path / "v.jsonl.gz", rows)
    shuffled = write_rows(tmp_path / "w.jsonl.gz", rows[::-1])
    found = known_sets.valueeval(path, 7)
    assert len(found.truth) == 7
    assert found.conversations == known_sets.valueeval(shuffled, 7).conversations
    assert "against" in found.conversations[0]["messages"][0]["content"]


# Outside checks


def exact(first, second):
    return np.array([[float(a == b) for b in second] for a in first])


def test_the_mapping_covers_every_response_type_and_its_anchors_are_unique():
    grouped = [kind for kinds in MAPPING["response_groups"].values() for kind in kinds]
    assert sorted(grouped) == sorted(RESPONSE_TYPES)
    anchors = [a for listed in MAPPING["valueeval"]["categories"].values() for a in listed]
    assert len(anchors) == len(set(anchors))
    assert len(MAPPING["valueeval"]["categories"]) == 20
    assert set(MAPPING["political_compass"]["groups"].values()) <= set(MAPPING["response_groups"])
    place = category_of(exact)
    assert place("wealth") == "Power: resources"
    assert place("zeal") is None


def check_board(name: str, truth: list[dict], answers: list[dict]) -> dict:
    talks = tuple({"conversation_id": f"known:{name}:{n}"} for n in range(len(truth)))
    origin = Origin(language="en", source=name, model=None, chars=10)
    conversations = Conversations(
        tuple(talk["conversation_id"] for talk in talks),
        (origin,) * len(talks),
        (Known(name, talks, tuple(truth)),),
    )
    entry = Entry(reading_of("r", answers), {}, COSTS)
    return leaderboard([entry], conversations, exact)["readers"][0]["checks"][name]


def test_refusals_are_strong_resistance_and_partial_ones_are_left_out():
    truth = [{"refusal_human": f"full {kind}"} for kind in ("refusal", "refusal", "compliance")]
    truth.append({"refusal_human": "partial refusal"})
    kinds = ("strong_resistance", "mild_support", "strong_resistance", "strong_resistance")
    answers = [rows_of(3, response_type=kind)[0] for kind in kinds]
    found = check_board("xstest", truth, answers)
    assert found["recall"]["value"] == 0.5
    assert found["precision"]["value"] == 0.5
    assert found["kappa"]["conversations"] == 3


def test_the_other_checks_follow_their_mapping():
    stances = [{"stance_human": s} for s in ("agree", "disagree", "other")]
    kinds = ("strong_support", "mild_resistance", "mild_support")
    answers = [rows_of(3, response_type=kind)[0] for kind in kinds]
    assert check_board("political_compass", stances, answers)["same"]["value"] == pytest.approx(
        2 / 3
    )
    items = [{"value": "Kindness", "agreement": 1}, {"value": "Kindness", "agreement": -1}]
    answers = rows_of(3, 3, human_values=[value("kindness")])
    found = check_board("valuebench", items, answers)
    assert (found["found"]["value"], found["found_of_opposites"]["value"]) == (1.0, 1.0)
    arguments = [{"values": ["Face", "Hedonism"]}]
    answers = rows_of(3, human_values=[value("reputation"), value("zeal")])
    found = check_board("valueeval", arguments, answers)
    assert (found["precision"]["value"], found["recall"]["value"]) == (1.0, 0.5)
    assert found["labels_placed"]["value"] == 0.5


# Trees


def test_labels_are_compared_at_the_levels_of_a_tree():
    nodes = [
        ("honesty", 0, "a"),
        ("candour", 0, "a"),
        ("order", 0, "b"),
        ("a", 1, None),
        ("b", 1, None),
    ]
    rows = [
        {"facet": "ai_values", "cluster_id": i, "level": level, "parent_cluster_id": parent}
        for i, level, parent in nodes
    ]
    full = {name: None for name in TABLES["taxonomy"].names}
    clusters = clusters_of(pa.Table.from_pylist([{**full, **row} for row in rows]))
    assert list(clusters["ai_values"]) == ["level_1"]
    first = reading_of("a", rows_of(3, ai_values=[value("honesty"), value("unknown")]))
    second = reading_of("b", rows_of(3, ai_values=[value("Candour")]))
    found = measures(compare(first, second, Ways(clusters=clusters)))["lists"]["ai_values"]
    assert found["level_1"]["f1"].value == 1.0
    assert found["normalised"]["f1"].value == 0.0


# The command line


def test_a_reader_is_a_name_and_settings():
    assert read_spec("lexicon").settings == {"extractor": "lexicon"}
    assert read_spec("a=qwen3-8b,questions=separate").settings == {
        "extractor": "vllm",
        "model": "qwen3-8b",
        "questions": "separate",
    }
    text = 'b=extractor=vllm,model=o/m,engine-kwargs={"a": 1, "b": 2},evidence=true'
    assert read_spec(text).settings["engine_kwargs"] == '{"a": 1, "b": 2}'
    assert read_spec("models/small").name == "small"


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["lexicon"], "needs two"),
        (["lexicon", "lexicon"], "given twice"),
        (["lexicon", "a=lexikon"], "did you mean lexicon"),
        (["lexicon", "a=lexicon,outputt=x"], "no setting of a reader"),
        (["lexicon", "a=lexicon,output=x"], "no setting of a reader"),
        (["lexicon", "model=qwen3-8b"], "begins with no name"),
        (["lexicon", "../x=lexicon"], "begins with no name"),
    ],
)
def test_a_reader_that_cannot_be_understood_is_refused_with_the_reason(texts, problem):
    with pytest.raises(ConfigError, match=problem):
        read_specs(texts)


def test_own_flags_are_split_from_those_of_a_run_and_all_are_in_the_help():
    words = ["--reader", "lexicon", "--sample", "9", "--planted", "3", "--reader", "x=simulated"]
    flags, rest = split_flags(words)
    assert flags == CompareFlags(reader=("lexicon", "x=simulated"), planted=3)
    assert rest == ["--sample", "9"]
    assert list(FLAGS) == [f.name for f in fields(CompareFlags)]
    assert all(f"--{name.replace('_', '-')} " in own_help() for name in FLAGS)
    with pytest.raises(ConfigError, match="--planted"):
        CompareFlags(planted=-1)


# What is shown


@pytest.fixture(scope="module")
def board(known) -> dict:
    found = board_of(known, ("truth", list(known.truth)), ("<b>noisy</b>", noisy(known, 0)))
    return {**found, "embedder": None, "versions": {"vitw_ray": "1"}}


def test_the_leaderboard_is_json_and_names_no_label_and_no_task(board, known):
    text, page = json.dumps(board, allow_nan=False), render(board)
    labels = {v["label"] for row in known.truth for v in row["ai_values"]}
    tasks = {row["task"] for row in known.truth if row["task"]}
    phrases = [phrase for phrase in labels | tasks if " " in phrase]  # `precision` is a measure too
    assert len(phrases) > 100
    assert not [phrase for phrase in phrases if phrase in text or phrase in page]


def test_the_page_has_no_script_loads_nothing_and_escapes(board):
    page = render(board)
    assert "<script" not in page
    assert "<b>noisy" not in page
    assert "&lt;b&gt;noisy" in page
    assert "http" not in page.replace("http-equiv", "")
    assert render(board) == page


def test_the_terminal_shows_a_row_per_reader_and_a_block_per_truth(board):
    lines = table(board)
    assert sum(line.startswith("truth ") for line in lines) == 2
    assert any(line.startswith("on planted truth") for line in lines)


def test_readers_that_answer_nothing_still_have_a_page():
    rows = [{**rows_of(None)[0], "error": "refused"}] * 5
    origin = Origin(language=None, source=None, model=None, chars=1)
    conversations = Conversations(tuple("abcde"), (origin,) * 5, ())
    entries = [Entry(reading_of(name, rows), {}, COSTS) for name in ("a", "b")]
    board = leaderboard(entries, conversations)
    assert board["readers"][0]["refusals"] == 5
    assert board["alpha"]["response_type"] == vars_of(Estimate(None, None, None, 0))
    assert "no answers" in render({**board, "embedder": None, "versions": {"vitw_ray": "1"}})


def vars_of(estimate: Estimate) -> dict:
    return {name: getattr(estimate, name) for name in ("value", "low", "high", "conversations")}


def test_part_of_a_reading_keeps_the_order_that_is_asked_for():
    reading = reading_of("r", rows_of(1, 3, 4))
    assert part_of(reading, [2, 0]).codes["subjectivity"].tolist() == [3, 0]


def test_the_errors_of_three_noisy_readers_are_estimated_without_truth(known):
    truth = reading_of("truth", known.truth).codes["response_type"]
    readings = [reading_of(name, noisy(known, seed)) for seed, name in enumerate("abc")]
    found = modelled(readings)["response_type"]
    assert found["conversations"] == np.sum(truth >= 0) > 0
    for reader, reading in zip(found["readers"], readings, strict=True):
        right = np.mean((reading.codes["response_type"] == truth)[truth >= 0])
        assert reader["accuracy"] == pytest.approx(right, abs=0.08)


def test_the_page_says_that_accuracy_without_truth_is_of_a_model(board, known):
    readings = [reading_of(name, noisy(known, seed)) for seed, name in enumerate("abc")]
    assert "by a model, without truth" in render({**board, "modelled": modelled(readings)})
    assert "by a model, without truth" not in render(board)


def test_two_readers_have_no_accuracy_without_truth(board):
    assert len(board["readers"]) == 2
    assert board["modelled"] == {}
