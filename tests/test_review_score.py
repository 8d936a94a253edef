"""Labels of people against the reader: intervals, the alt-test, bad files, outputs."""

import json
from pathlib import Path

import numpy as np
import pytest
from review_runs import a_person, a_population, with_errors, write_run
from scipy.stats import t as student

from vitw_ray.agreement.estimates import Estimate, kappa, ratio_of_sums
from vitw_ray.cli.main import main
from vitw_ray.errors import InputError, OutputError
from vitw_ray.evaluation.review.alternative import READER, alternative_test
from vitw_ray.evaluation.review.consensus import agreed
from vitw_ray.evaluation.review.design import Design, estimate, share
from vitw_ray.evaluation.review.draw import DrawConfig, draw
from vitw_ray.evaluation.review.labels_file import Labelled, read_labels
from vitw_ray.evaluation.review.measures import more_labels
from vitw_ray.evaluation.review.score import score
from vitw_ray.opened_run import open_run

ROWS = a_population(600, seed=1)
BY_ID = {row["conversation_id"]: row for row in ROWS}
ERROR = 0.12


@pytest.fixture(scope="module")
def review(tmp_path_factory):
    """A run, a sample of it, and the files of three people who err with `ERROR` each."""
    folder = tmp_path_factory.mktemp("review")
    run = write_run(folder / "run", ROWS)
    drawn = draw(run, DrawConfig(size=150, labellers=3, overlap=0.8))
    addresses = []
    for share_, name in enumerate(("Ann", "Ben", "Cyd"), 1):
        answers = with_errors(ROWS, ERROR, seed=10 + share_)
        labels = a_person(name, share_, drawn.sample, drawn.manifest["sample"], answers)
        addresses.append(str(folder / f"{name}.json"))
        (folder / f"{name}.json").write_text(json.dumps(labels))
    return run, drawn, addresses


@pytest.fixture(scope="module")
def found(review):
    run, _, addresses = review
    return score(run, addresses, precision=0.05, epsilon=0.15)[1]


def holds(interval, value):
    return interval["low"] <= value <= interval["high"]


# What people of known error give


def test_the_error_of_each_person_is_within_its_interval(found):
    for one in found["reader"]["with_each"]:
        assert holds(one["closed"]["is_subjective"]["same"], 1 - ERROR)


def test_the_agreement_of_two_people_is_that_of_independent_errors(found):
    assert len(found["people"]["pairs"]) == 3
    for pair in found["people"]["pairs"]:
        assert holds(pair["closed"]["is_subjective"]["same"], ERROR**2 + (1 - ERROR) ** 2)


def test_a_majority_errs_less_than_a_person(found):
    closed = found["reader"]["closed"]["is_subjective"]
    assert closed["same"]["value"] > 1 - ERROR
    assert closed["kappa"]["low"] > 0.6
    assert set(found["reader"]["gate"]) == {"sensitivity", "specificity", "wrong"}


def test_lists_are_compared_by_spelling_and_at_every_level_of_the_tree(found):
    lists = found["reader"]["lists"]["ai_values"]
    assert set(lists) == {"exact", "normalised", "level_1"}
    assert lists["normalised"]["f1"]["value"] > 0.8
    assert lists["level_1"]["f1"]["value"] >= lists["normalised"]["f1"]["value"] - 0.05


def test_a_confusion_matrix_holds_every_labelled_conversation_once(found):
    for table in found["reader"]["confusion"].values():
        assert np.sum(table["conversations"]) == found["labelled"] == 150
        assert np.sum(table["share"]) == pytest.approx(1, abs=1e-4)


def test_a_reader_that_people_judge_by_may_replace_one(found):
    test = found["alternative_test"]["is_subjective"]
    assert test["replaces"]
    assert test["winning_rate"] == 1
    assert len(test["duels"]) == 3


def test_a_quarter_of_the_width_takes_sixteen_times_the_labels(found):
    for one in found["more_labels"]["by_measure"].values():
        if one["half_width"] is None:
            continue
        assert one["needed"] == int(np.ceil(150 * (one["half_width"] / 0.05) ** 2))
        assert one["more"] == max(one["needed"] - 150, 0)
    wide = Estimate(0.5, 0.4, 0.6, 150)
    assert more_labels(wide, 150, 0.1) == {
        "half_width": pytest.approx(0.1),
        "needed": 150,
        "more": 0,
    }
    assert more_labels(wide, 150, 0.025)["needed"] == 16 * 150


# Intervals


def a_design(seed, sizes=(900, 90, 10), drawn=(30, 20, 10), per_account=1):
    strata = np.repeat(np.arange(3), drawn)
    accounts = [str(n // per_account) for n in range(strata.size)]
    return Design.of([f"s{s}" for s in strata], [sizes[s] for s in strata], accounts)


def test_weights_give_every_stratum_its_share_of_the_run():
    design = a_design(0)
    assert design.weights.mean() == pytest.approx(1)
    for stratum, size in enumerate((900, 90, 10)):
        part = design.weights[design.strata == stratum].sum() / design.weights.sum()
        assert part == pytest.approx(size / 1000)
    resampled = design.resampled(0, 50)
    for stratum, size in enumerate((900, 90, 10)):
        part = resampled[:, design.strata == stratum].sum(axis=1) / resampled.sum(axis=1)
        assert part == pytest.approx(size / 1000)


def test_the_spread_of_a_weighted_mean_is_that_of_a_stratified_sample():
    random = np.random.default_rng(1)
    design = a_design(0)
    x = random.normal(design.strata, 1.0)
    spread = (design.resampled(0, 20000) @ x / design.strata.size).var()
    shares = np.array([900, 90, 10]) / 1000
    by_formula = sum(
        w**2 * x[design.strata == s].var(ddof=1) / (design.strata == s).sum()
        for s, w in enumerate(shares)
    )
    assert spread == pytest.approx(by_formula, rel=0.05)


def test_conversations_of_one_account_widen_the_interval():
    random = np.random.default_rng(2)
    per_account = random.random(20) < 0.5
    values = np.repeat(per_account, 3).astype(float)
    alone, together = a_design(0), a_design(0, per_account=3)
    found = [estimate(ratio_of_sums(values, np.ones(60)), d) for d in (alone, together)]
    widths = [one.high - one.low for one in found]
    assert widths[1] > 1.3 * widths[0]
    shares = [share(values > 0, np.ones(60, bool), d) for d in (alone, together)]
    assert shares[1].high - shares[1].low > shares[0].high - shares[0].low


def test_a_share_of_all_or_nothing_still_has_a_width():
    design = a_design(0)
    every = np.ones(60, bool)
    assert share(every, every, design).low < 0.95
    assert share(~every, every, design).high > 0.05
    assert share(every, ~every, design).value is None


def test_a_stratum_with_one_label_is_put_with_its_neighbour():
    design = a_design(0)
    rows = (design.strata == 0) | (np.arange(60) == 55)
    within = design.where(rows)
    assert within.counts.tolist() == [31]
    assert within.sizes.tolist() == [1000]
    assert within.names == ("s0 + s1 + s2",)
    assert (1 / within.probability).sum() == pytest.approx(1000)


def test_where_all_agree_kappa_has_no_interval_that_would_feign_certainty():
    answers = np.repeat([0, 1, 1], (30, 20, 10))
    found = estimate(kappa(answers, answers, 2), a_design(0))
    assert (found.value, found.low, found.high) == (1.0, None, None)


@pytest.mark.slow
@pytest.mark.parametrize("rates", [(0.05, 0.25, 0.4), (0.2, 0.02, 0.02)])
def test_95_percent_intervals_of_shares_hold_in_at_least_94_percent_of_samples(rates):
    random = np.random.default_rng(4)
    design = a_design(0, sizes=(4000, 800, 200), drawn=(60, 40, 20))
    truth = float(np.array([0.8, 0.16, 0.04]) @ rates)
    every = np.ones(120, bool)
    drawn = (random.random(120) < np.array(rates)[design.strata] for _ in range(2000))
    found = [share(wrong, every, design) for wrong in drawn]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.94


@pytest.mark.slow
def test_95_percent_intervals_of_kappa_hold_in_about_95_percent_of_samples():
    random = np.random.default_rng(3)
    sizes = np.array([4000, 800, 200])
    reader = np.repeat([0, 1, 1], sizes)
    person = np.where(random.random(5000) < np.repeat([0.05, 0.25, 0.4], sizes), 1 - reader, reader)
    whole = kappa(person, reader, 2)
    truth = float(whole.value(whole.added.sum(axis=0)))
    held = 0
    for _ in range(300):
        rows = np.concatenate(
            [random.choice(np.flatnonzero(np.repeat(range(3), sizes) == s), n, replace=False)
             for s, n in enumerate((60, 40, 20))]
        )  # fmt: skip
        design = a_design(0, sizes=tuple(sizes), drawn=(60, 40, 20))
        one = estimate(kappa(person[rows], reader[rows], 2), design, rounds=400)
        held += one.low <= truth <= one.high
    assert 0.91 <= held / 300 <= 0.98


# The alt-test, by hand


def test_the_alternative_test_gives_what_a_hand_gives():
    # Four conversations, three labellers. Against the first one set aside: on the first two the
    # reader agrees with both others as the labeller does (ties), on the third the reader alone
    # agrees with them, on the fourth the labeller alone does.
    people = np.array([[0, 1, 1, 0], [0, 1, 0, 0], [0, 1, 0, 0]])
    reader = np.array([0, 1, 0, 1])
    codes = np.vstack([reader, people])

    def closeness(i, one, other):
        return float(codes[one + 1, i] == codes[other + 1, i])

    everything = np.ones(people.shape, bool)
    found = alternative_test(everything, everything[0], closeness, 0.2, fewest=4)
    first = found.duels[0]
    assert (first.reader_advantage, first.labeller_advantage) == (0.75, 0.75)
    differences = np.array([0, 0, -1, 1])
    statistic = (differences.mean() - 0.2) / (differences.std(ddof=1) / 2)
    assert first.p_value == pytest.approx(student.cdf(statistic, 3))
    # The second set aside: on the third conversation the reader, like him, agrees with one of two.
    second = found.duels[1]
    assert (second.reader_advantage, second.labeller_advantage) == (0.75, 1.0)
    assert found.advantage == pytest.approx(0.75)
    assert not found.replaces
    assert found.winning_rate == 0


def test_p_values_are_corrected_for_tests_that_depend_on_each_other():
    # Two of three p-values are 0; the third is just above what it takes after correction.
    random = np.random.default_rng(5)
    people = np.tile(random.integers(0, 2, 40), (3, 1))
    reader = people[0].copy()
    codes = np.vstack([reader, people])
    everything = np.ones(people.shape, bool)
    found = alternative_test(
        everything, everything[0], lambda i, a, b: float(codes[a + 1, i] == codes[b + 1, i]), 0.1
    )
    assert [duel.p_value for duel in found.duels] == [0, 0, 0]  # no spread: always a tie
    assert found.winning_rate == 1
    never = alternative_test(everything, everything[0], lambda i, a, b: float(a != READER), 0.1)
    assert never.winning_rate == 0
    assert never.advantage == 0


def test_the_alternative_test_says_what_it_lacks():
    everything = np.ones((3, 29), bool)
    found = alternative_test(everything, everything[0], lambda i, a, b: 1.0, 0.1)
    assert found.replaces is None
    assert "30 conversations" in found.reason
    alone = np.eye(3, 90, dtype=bool)
    assert alternative_test(alone, np.ones(90, bool), lambda i, a, b: 1.0, 0.1).reason


# What people say together


def test_the_majority_decides_and_ties_are_named():
    def said(level, response=None, values=()):
        return Labelled(
            conversation_id="c", subjectivity=level, response_type=response, ai_values=values
        )

    one = agreed(
        "c",
        [
            said(3, "reframing", ("honesty", "care")),
            said(4, "reframing", ("Honesty".lower(), "thrift")),
            said(1),
        ],
        3,
    )
    assert (one.label.subjectivity, one.label.response_type) == (3, "reframing")
    assert "honesty" in one.label.ai_values
    assert one.labellers == 3
    assert one.ties == ("ai_values",)  # care and thrift have one vote of two
    split = agreed("c", [said(2), said(3, "reframing")], 3)
    assert split.ties[:2] == ("subjectivity", "is_subjective")
    assert agreed("c", [Labelled(conversation_id="c", subjectivity=4, skipped=True)], 3) is None


def test_a_coin_falls_on_either_side_as_often_and_the_same_way_again():
    two = [Labelled(conversation_id="c", subjectivity=level) for level in (2, 3)]
    levels = [agreed(f"c-{n}", two, 3).label.subjectivity for n in range(400)]
    assert levels == [agreed(f"c-{n}", two[::-1], 3).label.subjectivity for n in range(400)]
    assert 150 < levels.count(3) < 250


# What is written


def test_reviewed_rows_are_of_the_form_that_statistics_read(review, found):
    run, drawn, _ = review
    lines = run.storage.read(f"{drawn.folder}/reviewed.jsonl").decode().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 150
    for row in rows:
        assert list(row) == [
            *("conversation_id", "stratum", "probability", "subjectivity", "response_type"),
            *("ai_values", "human_values", "labellers"),
        ]
        assert row["conversation_id"] in BY_ID
        assert row["subjectivity"] in (1, 2, 3, 4)
        assert (row["response_type"] is None) == (row["subjectivity"] < 3)
    assert sum(1 / row["probability"] for row in rows) == pytest.approx(
        drawn.manifest["population"]
    )


def test_score_json_names_no_conversation(review, found):
    run, drawn, addresses = review
    _, again = score(run, addresses, precision=0.05, epsilon=0.15)
    text = run.storage.read(f"{drawn.folder}/score.json").decode()
    assert json.loads(text) == again == found
    assert "c-0" not in text


def test_the_order_of_the_files_changes_no_reviewed_row(review):
    run, drawn, addresses = review
    before = run.storage.read(f"{drawn.folder}/reviewed.jsonl")
    score(run, addresses[::-1], precision=0.05, epsilon=0.15)
    assert run.storage.read(f"{drawn.folder}/reviewed.jsonl") == before


def test_the_command_prints_a_table(review, capsys):
    run, _, addresses = review
    assert main(["review", "score", run.address, *addresses]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert json.loads(last)["labelled"] == 150
    text = "\n".join(lines)
    for title in ("kappa", "alpha", "May it replace a person?", "more labels", "recall"):
        assert title in text
    assert max(map(len, lines)) <= 120


# Bad files


def changed(review, tmp_path, **changes):
    content = json.loads(Path(review[2][0]).read_text()) | changes
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    return str(path)


def one_label(**fields):
    return [{"conversation_id": "c-00001", "subjectivity": 1} | fields]


@pytest.mark.parametrize(
    ("says", "changes"),
    [
        ("format", {"format": "something else"}),
        ("labeller", {"labeller": ""}),
        ("sample", {"sample": "0" * 16}),
        ("entry 1: subjectivity", {"labels": one_label(subjectivity=7)}),
        ("entry 1: response_type", {"labels": one_label(response_type="agreed")}),
        ("entry 1: ai_values", {"labels": one_label(ai_values=["=SUM(A1)"])}),
        ("entry 1: ai_values", {"labels": one_label(ai_values=["care"] * 40)}),
        ("not in the sample", {"labels": one_label(conversation_id="a stranger")}),
        ("no conversation is labelled", {"labels": []}),
    ],
)
def test_a_bad_file_is_refused_with_the_field_and_without_its_content(
    says, changes, review, tmp_path
):
    path = changed(review, tmp_path, **changes)
    with pytest.raises(InputError, match=says) as error:
        score(review[0], [path], precision=0.05, epsilon=0.15)
    assert "SUM" not in str(error.value)
    assert "stranger" not in str(error.value)


def test_labels_that_are_there_twice_are_refused(review, tmp_path):
    run, _, addresses = review
    mine = json.loads(Path(addresses[0]).read_text())["labels"]
    twice = changed(review, tmp_path, labels=[*mine, mine[0]])
    with pytest.raises(InputError, match="labelled twice"):
        score(run, [twice], precision=0.05, epsilon=0.15)
    with pytest.raises(InputError, match="given twice"):
        score(run, [addresses[0]] * 2, precision=0.05, epsilon=0.15)
    with pytest.raises(InputError, match="same labeller"):
        score(run, [addresses[0], changed(review, tmp_path)], precision=0.05, epsilon=0.15)


@pytest.mark.parametrize("content", ["", "[", "[" * 100_000, "7", '"text"', "\x00", "{}"])
def test_what_is_no_file_of_labels_is_an_error_that_names_the_file(content, tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"labels\.json"):
        read_labels(str(path))
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(str(tmp_path / "nothing.json"))


def test_a_run_that_was_read_anew_has_lost_its_sample(tmp_path, review):
    addresses = review[2]
    other = write_run(tmp_path / "run", ROWS)
    with pytest.raises(OutputError, match="no sample"):
        score(other, addresses, precision=0.05, epsilon=0.15)
    draw(other, DrawConfig(size=150, labellers=3, overlap=0.8))
    content = json.loads(other.storage.read("run.json"))
    content["stages"][1]["folder"] = "2_extractions-1"
    other.storage.write("run.json", json.dumps(content).encode())
    with pytest.raises(OutputError, match="read anew"):
        score(open_run(other.address), addresses, precision=0.05, epsilon=0.15)


def test_one_person_alone_can_be_scored(review):
    run, _, addresses = review
    found = score(run, addresses[:1], precision=0.05, epsilon=0.15)[1]
    assert found["people"] == {"alpha": {}, "pairs": []}
    assert found["alternative_test"]["is_subjective"]["reason"]
    assert found["reader"]["closed"]["is_subjective"]["same"]["value"] < 1
