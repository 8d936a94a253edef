"""While a run goes on, each group of answers is watched for the signs of a reader that sleeps."""

from collections import Counter

import pytest
from readers import but, config, constant, noisy, truth, values

from vitw_ray.extraction.answers import Extracted
from vitw_ray.extraction.calibration.checking import examples, tolerated
from vitw_ray.extraction.calibration.labelled import calibration_set
from vitw_ray.extraction.signs import WATCH
from vitw_ray.extraction.watching import WATCHED, GroupTallies, Watch

A, B = ("assistant-a", "en"), ("assistant-b", None)


def answers(reply, rows: int, group=A):
    labelled = calibration_set()
    return [(group, Extracted(reply(labelled[n % len(labelled)]))) for n in range(rows)]


def watched(*batches, **settings) -> Watch:
    counting = GroupTallies(3, examples(config()))
    watch = Watch(tolerated(config(**settings), WATCH))
    for batch in batches:
        watch.add(counting.count(batch))
    return watch


def found(*batches, **settings) -> set[str]:
    return {sign["name"] for sign in watched(*batches, **settings).found()}


def test_a_reader_that_reads_shows_no_sign():
    assert found(answers(truth, 128), answers(noisy(0.3), 128, B)) == set()


def test_a_constant_reader_is_seen_in_its_group_alone():
    signs = watched(answers(constant, 200), answers(truth, 128, B)).found()
    assert {(sign["model"], sign["language"], sign["answers"]) for sign in signs} == {
        ("assistant-a", "en", 200)
    }
    assert {"constant_level", "constant_response", "same_list"} <= {s["name"] for s in signs}


def test_empty_lists_are_seen_unless_they_are_asked_for():
    assert found(answers(but(ai_values=()), 128)) == {"empty_lists"}
    assert found(answers(but(ai_values=()), 128), explicit_only=True) == set()


def test_traffic_of_one_kind_is_no_sign():
    """Objective conversations only, and one task in a third of the others."""
    objective = [row for row in answers(truth, 640) if row[1].answer.subjectivity < 3]
    assert "constant_response" not in found(objective[:100])
    tasks = iter(range(1000))

    def a_third(one):
        return but(task="translate a text")(one) if next(tasks) % 3 == 0 else one.answer

    assert found(answers(a_third, 256)) == set()


def test_a_few_answers_are_no_sign():
    assert found(answers(constant, 40)) == set()


def test_each_sign_is_logged_once_with_the_assistant_and_no_label(log_lines):
    batches = [answers(but(ai_values=values("zeal")), 64, group) for group in (A, A, B, B)]
    watched(*batches)
    assert Counter(log_lines).most_common(1)[0][1] == 1
    assert len(log_lines) == 2  # one label, and the same list
    assert all("assistant-a" in line and "en" in line for line in log_lines)
    assert "zeal" not in "".join(log_lines)


def test_only_the_first_answers_of_a_group_are_counted():
    counting = GroupTallies(3, frozenset())
    sizes = [
        sum(t["answers",] for t in counting.count(answers(truth, 256)).values()) for _ in "123"
    ]
    assert sizes == [256, WATCHED - 256, 0]


def test_of_several_actors_no_more_are_counted_than_the_last_unit_holds():
    watch = Watch(tolerated(config(), WATCH))
    for actor in [GroupTallies(3, frozenset()) for _ in range(4)]:
        watch.add(actor.count(answers(constant, 200)))
    assert {sign["answers"] for sign in watch.found()} == {600}


@pytest.mark.parametrize("split", [1, 7, 50])
def test_counts_add_up_however_answers_come_in_units(split):
    rows = answers(noisy(0.5), 200)
    units = [rows[start : start + split] for start in range(0, len(rows), split)]
    assert watched(*units).found() == watched(rows).found()


def test_what_actors_send_holds_no_label_and_no_task():
    sent = repr(GroupTallies(3, frozenset()).count(answers(but(ai_values=values("zeal")), 64)))
    assert "zeal" not in sent
    assert "nurse" not in sent
