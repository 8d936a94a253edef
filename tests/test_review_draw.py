"""Samples of a run for people to label: probabilities that are known, and the same for all time."""

import json
import random
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from review_runs import a_population, write_run

from vitw_ray.errors import ConfigError, OutputError
from vitw_ray.evaluation.review.draw import DrawConfig, draw, sample_of
from vitw_ray.evaluation.review.population import Cell, CellCounts, population_of
from vitw_ray.evaluation.review.strata import allocate, floor_of, make_strata
from vitw_ray.opened_run import open_run
from vitw_ray.storage import Storage

ROWS = a_population(1500)
GOOD = [row for row in ROWS if row["error"] is None]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("review") / "run", ROWS)


@pytest.fixture(scope="module")
def drawn(run):
    return draw(run, DrawConfig(size=150, labellers=3, overlap=0.4))


# Probabilities


def test_the_weights_of_the_sample_add_up_to_the_population(drawn):
    weights = 1 / np.array(drawn.sample.column("probability").to_pylist())
    assert weights.sum() == pytest.approx(len(GOOD))
    assert drawn.manifest["population"] == len(GOOD)


def test_what_is_said_of_a_stratum_is_what_was_drawn_of_it(drawn):
    rows = drawn.sample.to_pylist()
    counts = Counter(row["stratum"] for row in rows)
    for row in rows:
        assert row["stratum_drawn"] == counts[row["stratum"]]
        assert row["probability"] == row["stratum_drawn"] / row["stratum_size"]
    assert len(counts) > 5


def test_every_conversation_is_drawn_as_often_as_its_probability_says(tmp_path):
    rows = a_population(120, seed=3)
    run = write_run(tmp_path / "run", rows)
    times: Counter[str] = Counter()
    said: dict[str, float] = {}
    draws = 60
    for seed in range(draws):
        population = population_of(run, seed, 30)
        strata = make_strata(population.cells, 30)
        sample = sample_of(population, strata, DrawConfig(size=30, seed=seed))
        times.update(sample.column("conversation_id").to_pylist())
        for stratum in strata:
            for _, identity in (e for cell in stratum.cells for e in population.cells[cell].lowest):
                said[identity] = stratum.probability
    good = [row["conversation_id"] for row in rows if row["error"] is None]
    p = np.array([said[name] for name in good])
    found = np.array([times[name] for name in good]) / draws
    z = (found - p) / np.sqrt(p * (1 - p) / draws + 1e-12)
    assert np.abs(z[p < 1]).max() < 4.5
    assert z[p < 1].std() == pytest.approx(1, abs=0.25)


def test_the_estimate_of_a_total_is_right_on_average(tmp_path):
    rows = a_population(120, seed=4)
    run = write_run(tmp_path / "run", rows)
    wanted = {r["conversation_id"] for r in rows if r["error"] is None and r["model"] == "osprey"}
    found = []
    for seed in range(30):
        population = population_of(run, seed, 30)
        sample = sample_of(population, make_strata(population.cells, 30), DrawConfig(seed=seed))
        found.append(
            sum(1 / r["probability"] for r in sample.to_pylist() if r["conversation_id"] in wanted)
        )
    assert np.mean(found) == pytest.approx(len(wanted), abs=4 * np.std(found) / np.sqrt(30) + 1e-9)


# Strata


def test_every_stratum_can_give_a_variance(drawn):
    floor = floor_of(150)
    assert len(drawn.manifest["strata"]) > 1
    for stratum in drawn.manifest["strata"]:
        assert stratum["drawn"] >= min(floor, stratum["size"])
        assert stratum["drawn"] >= 2


def test_a_stratum_is_of_one_answer_of_the_reader(drawn):
    reader = {row["conversation_id"]: row for row in GOOD}
    for row in drawn.sample.to_pylist():
        said = reader[row["conversation_id"]]["is_subjective"]
        assert row["stratum"].startswith("not subjective") != said


def test_what_is_rare_or_doubtful_is_drawn_more_often_than_its_share():
    sure, unsure = (Cell("not subjective", c, "a", "en", "short") for c in ("sure", "unsure"))
    rare = Cell("resistance", "sure", "a", "en", "short")
    cells = {sure: _cell(900, 0.1), unsure: _cell(90, 0.5), rare: _cell(10, 0.4)}
    shares = {s.cells[0]: s.probability for s in make_strata(cells, 100)}
    assert shares[sure] < shares[unsure] <= shares[rare]


def test_what_takes_long_to_read_is_drawn_less_often():
    short, long = (Cell("support", "sure", "a", "en", length) for length in ("short", "long"))
    cells = {short: _cell(500, 0.4), long: _cell(500, 0.4, minutes=9.0)}
    shares = {s.cells[0]: s.drawn for s in make_strata(cells, 100)}
    assert shares == {short: 75, long: 25}


def _cell(conversations: int, doubt: float, minutes: float = 1.0) -> CellCounts:
    return CellCounts(conversations, conversations * doubt, conversations * minutes)


COUNTS = st.lists(st.tuples(st.integers(1, 3000), st.floats(0.1, 0.5)), min_size=1, max_size=12)


@given(COUNTS, st.integers(1, 500), st.integers(2, 6))
def test_an_allocation_keeps_its_bounds_and_its_total(strata, total, floor):
    sizes = np.array([size for size, _ in strata])
    measures = np.array([size * doubt for size, doubt in strata])
    drawn = allocate(measures, sizes, total, floor)
    assert (drawn <= sizes).all()
    assert (drawn >= np.minimum(floor, sizes)).all()
    least = int(np.minimum(floor, sizes).sum())
    assert drawn.sum() == max(min(total, sizes.sum()), least)


@given(st.integers(0, 10**6), st.integers(10, 300))
def test_strata_hold_every_conversation_once(seed, size):
    made = random.Random(seed)
    names = [["a", "b"], ["sure", "unsure"], ["m", "other", "(other)"], ["en", "de"], ["short"]]
    cells = {Cell(*map(made.choice, names)): _cell(made.randint(1, 400), 0.3) for _ in range(12)}
    strata = make_strata(cells, size)
    held = [cell for stratum in strata for cell in stratum.cells]
    assert sorted(held) == sorted(cells)
    assert len({stratum.name for stratum in strata}) == len(strata)
    population = sum(counts.conversations for counts in cells.values())
    assert sum(stratum.size for stratum in strata) == population
    assert sum(stratum.drawn for stratum in strata) == min(size, population)


def test_a_small_run_is_drawn_whole(tmp_path):
    rows = a_population(30)
    found = draw(write_run(tmp_path / "run", rows), DrawConfig(size=100))
    assert found.manifest["drawn"] == sum(row["error"] is None for row in rows)
    assert set(found.sample.column("probability").to_pylist()) == {1.0}


# What is written


def test_failed_rows_are_not_drawn_and_are_counted(drawn):
    failed = {row["conversation_id"] for row in ROWS if row["error"]}
    assert drawn.manifest["left_out"] == {"no_json": len(failed)}
    assert not failed & set(drawn.sample.column("conversation_id").to_pylist())


def test_everybody_labels_the_overlap_and_the_rest_is_shared_out(drawn):
    rows = drawn.sample.column("labeller").to_pylist()
    counts = Counter(rows)
    assert counts[None] / 150 == pytest.approx(0.4, abs=0.05)
    assert max(counts[n] for n in (1, 2, 3)) - min(counts[n] for n in (1, 2, 3)) <= 1
    assert drawn.manifest["labelled_by"] == [counts[None] + counts[n] for n in (1, 2, 3)]


def test_the_same_draw_gives_the_same_bytes_whatever_the_parts(tmp_path, drawn, run):
    other = write_run(tmp_path / "run", ROWS, parts=5)
    draw(other, DrawConfig(size=150, labellers=3, overlap=0.4))
    for name in ("sample.parquet", "manifest.json", "label.html"):
        path = f"{drawn.folder}/{name}"
        assert other.storage.read(path) == run.storage.read(path)


def test_another_seed_draws_others(drawn, run):
    other = draw(run, DrawConfig(size=150, labellers=3, overlap=0.4, seed=1, name="other"))
    ids = [set(d.sample.column("conversation_id").to_pylist()) for d in (drawn, other)]
    assert len(ids[0] & ids[1]) < 75
    assert drawn.manifest["sample"] != other.manifest["sample"]


def test_a_name_is_not_used_for_two_samples(drawn, run):
    before = run.storage.read(f"{drawn.folder}/sample.parquet")
    draw(run, DrawConfig(size=150, labellers=3, overlap=0.4))  # the same again
    with pytest.raises(ConfigError, match="--name"):
        draw(run, DrawConfig(size=150, labellers=3, overlap=0.4, seed=9))
    assert run.storage.read(f"{drawn.folder}/sample.parquet") == before


@pytest.mark.parametrize(
    ("flag", "settings"),
    [
        ("--size", {"size": 3}),
        ("--labellers", {"labellers": 0}),
        ("--overlap", {"overlap": 1.5}),
        ("--name", {"name": "../escape"}),
    ],
)
def test_a_setting_that_cannot_work_is_named(flag, settings):
    with pytest.raises(ConfigError, match=flag):
        DrawConfig(**settings)


def test_all_that_is_written_can_be_read_by_its_owner_alone(drawn, run):
    files = [stat.path for stat in run.storage.list(drawn.folder)]
    assert len(files) == 3
    for path in files:
        assert (run.storage.fs.stat(run.storage.address(path))["mode"] & 0o777) == 0o600


def test_a_purged_run_is_refused_with_the_reason(tmp_path):
    run = write_run(tmp_path / "run", a_population(30))
    run.storage.delete_prefix("private")
    with pytest.raises(OutputError, match="private"):
        draw(run, DrawConfig())


def test_the_sample_on_disk_is_the_sample(drawn, run):
    with run.storage.open(f"{drawn.folder}/sample.parquet") as handle:
        assert pq.read_table(handle).equals(drawn.sample)
    assert json.loads(run.storage.read(f"{drawn.folder}/manifest.json")) == drawn.manifest


@pytest.mark.s3
def test_a_run_in_a_bucket_is_drawn_from_and_written_to_it(s3_server):
    address = f"{s3_server.new_bucket()}/run"
    write_run(address, a_population(60))
    found = draw(open_run(address), DrawConfig(size=20))
    assert Storage(address).exists(f"{found.folder}/label.html")
    assert found.manifest["drawn"] == 20
