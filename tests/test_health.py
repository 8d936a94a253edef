"""A reader that does not read is caught before the first conversation, and one that does is not."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from readers import Reader, but, config, constant, noisy, truth, values

from vitw_ray.config import Execution, RunConfig
from vitw_ray.errors import ConfigError, InputError, ReaderDegenerate
from vitw_ray.extraction import health
from vitw_ray.extraction.calibration import checking
from vitw_ray.extraction.calibration.fitting import read_calibration_set
from vitw_ray.extraction.calibration.labelled import calibration_set
from vitw_ray.extraction.calibration.scores import lexicon_scores
from vitw_ray.extraction.health import FOLDER, check_reader, refuse_degenerate, stored_check
from vitw_ray.reader_check import check_lines, stopping
from vitw_ray.storage import Storage


@pytest.fixture(autouse=True)
def by_spelling(monkeypatch):
    """No embedder is loaded: these tests are not about the similarity of labels."""
    monkeypatch.setattr(checking, "matching_here", lambda: "spelling")
    monkeypatch.setattr(health, "POLL_S", 0.01)


@pytest.fixture
def storage(tmp_path) -> Storage:
    return Storage(str(tmp_path / "run"))


def make_check(of, reader) -> dict:
    return checking.make_check(of, reader)[0]


def signs(reply, **settings) -> set[tuple[str, str]]:
    """Name and facet of the signs that stop a run."""
    record = make_check(config(**settings), Reader(reply))
    return {(sign["name"], sign["facet"]) for sign in stopping(record)}


def names(reply, **settings) -> set[str]:
    return {name for name, _ in signs(reply, **settings)}


def scores(reply) -> dict[str, dict]:
    record = make_check(config(), Reader(reply))
    return {one["facet"]: one for one in record["sets"][0]["scores"]}


# What is caught


def test_the_truth_shows_no_sign_and_has_the_best_scores():
    assert signs(truth) == set()
    assert {one["value"] for one in scores(truth).values()} == {1.0}
    assert not make_check(config(), Reader(truth))["signs"]


@pytest.mark.parametrize("seed", range(5))
def test_a_reader_with_a_fifth_of_its_answers_wrong_passes(seed):
    assert signs(noisy(0.2, seed)) == set()


@pytest.mark.parametrize("seed", range(5))
def test_a_reader_that_guesses_is_caught(seed):
    assert "chance" in names(noisy(1.0, seed))


def test_a_constant_reader_is_caught_by_all_that_is_constant():
    expected = {"constant_level", "constant_side", "constant_response", "one_task", "one_label"}
    assert expected | {"same_list", "chance"} <= names(constant)


@pytest.mark.parametrize(
    ("fields", "sign"),
    [
        ({"ai_values": ()}, ("empty_lists", "ai_values")),
        ({"task": "healthy boundaries"}, ("copied_task", "task")),
        ({"task": "answer the question"}, ("one_task", "task")),
        ({"ai_values": values("honesty", "clarity")}, ("same_list", "ai_values")),
        ({"human_values": values("healthy boundaries")}, ("copied_label", "human_values")),
        ({"ai_values": values("honestidad", "libertad")}, ("not_english", "ai_values")),
        ({"response_type": "neutral_acknowledgment"}, ("constant_response", "response_type")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_each_sign_is_seen_where_only_that_facet_is_wrong(fields, sign):
    found = signs(but(**fields), questions="one_pass")  # whose prompt has examples
    assert sign in found
    assert {facet for _, facet in found} == {sign[1]}


def test_a_reader_whose_server_is_down_is_caught_by_its_errors():
    assert names(lambda one: None) == {"errors"}


def test_a_sign_in_one_language_is_said_and_does_not_stop():
    def only_chinese(one):
        return but(ai_values=())(one) if one.language == "zh" else one.answer

    record = make_check(config(), Reader(only_chinese))
    assert [(sign["name"], sign["language"]) for sign in record["signs"]] == [("empty_lists", "zh")]
    assert not stopping(record)
    refuse_degenerate(config(), record)


def test_settings_that_allow_it_are_allowed():
    assert names(but(ai_values=()), explicit_only=True) == set()
    ten_fail = {one.conversation.conversation_id for one in calibration_set()[::4]}

    def reply(one):
        return None if one.conversation.conversation_id in ten_fail else one.answer

    assert "errors" in names(reply)
    assert "errors" not in names(reply, max_error_share=0.5)


def test_a_wrong_level_costs_the_facets_behind_the_gate():
    assert scores(lambda one: one.answer.model_copy(update={"subjectivity": 1}))["ai_values"][
        "value"
    ] == pytest.approx(0.0)


def test_always_the_commonest_answer_is_as_good_as_guessing_and_stands_beside_each_score():
    found = scores(noisy(0.2))
    assert found["subjective"]["commonest"] == found["response_type"]["commonest"] == 0.0
    assert 0 < found["ai_values"]["commonest"] < found["ai_values"]["value"]
    assert found["subjective"]["lexicon"] == lexicon_scores()["minilm"]["subjective"]


def test_an_interval_holds_its_score():
    for one in scores(noisy(0.4)).values():
        assert one["low"] <= one["value"] <= one["high"]


# What a run does


def test_a_degenerate_reader_stops_with_what_was_seen_and_what_to_do(storage):
    with pytest.raises(ReaderDegenerate) as caught:
        check_reader(config(), storage, Reader(constant), epoch=1)
    assert "100% of the answers have the same level of subjectivity" in caught.value.problem
    assert caught.value.problem.count("\n") >= 5
    assert "--reader-check warn" in caught.value.fix


def test_told_to_warn_the_next_run_goes_on_without_reading_again(storage):
    first, second = Reader(constant), Reader(constant)
    with pytest.raises(ReaderDegenerate):
        check_reader(config(), storage, first, epoch=1)
    check_reader(config(reader_check="warn"), storage, second, epoch=2)
    assert (first.read, second.read) == (64, 0)
    with pytest.raises(ReaderDegenerate):
        check_reader(config(), storage, second, epoch=3)
    assert second.read == 0


def test_turned_off_nothing_is_read(storage):
    reader = Reader(constant)
    check_reader(config(reader_check="off"), storage, reader, epoch=1)
    assert reader.read == 0
    assert storage.list() == []


def test_two_actors_read_the_set_once_and_both_know_the_result(storage):
    started = threading.Barrier(2)
    readers = [Reader(noisy(0.2)), Reader(noisy(0.2))]

    def actor(reader):
        started.wait()
        check_reader(config(), storage, reader, epoch=1)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(actor, readers))
    assert sorted(reader.read for reader in readers) == [0, 64]
    assert stored_check(config(), storage, 9) is not None


def test_both_actors_stop_for_a_degenerate_reader(storage):
    def actor(reader):
        with pytest.raises(ReaderDegenerate):
            check_reader(config(), storage, reader, epoch=1)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(actor, [Reader(constant), Reader(constant)]))


class Killed(BaseException):
    """What ends an actor in the middle of its work."""


def killed_in_the_middle(storage, epoch: int) -> None:
    reader = Reader(truth)

    def reply(one):
        if reader.read == 30:
            raise Killed
        return one.answer

    reader.reply = reply
    with pytest.raises(Killed):
        check_reader(config(), storage, reader, epoch)


def test_after_a_kill_in_the_middle_the_next_run_reads_at_once(storage):
    killed_in_the_middle(storage, epoch=1)
    reader = Reader(truth)
    check_reader(config(), storage, reader, epoch=2, wait_s=3600)
    assert reader.read == 64


def test_after_a_kill_in_the_middle_another_actor_of_the_run_waits_and_then_reads(storage):
    killed_in_the_middle(storage, epoch=1)
    reader = Reader(truth)
    check_reader(config(), storage, reader, epoch=1, wait_s=0.05)
    assert reader.read == 64


def test_after_the_death_of_the_actor_that_read_another_of_its_host_reads_at_once(storage):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    killed_in_the_middle(storage, epoch=1)
    (claim,) = [file.path for file in storage.list(FOLDER)]
    held = json.loads(storage.read(claim))
    storage.write(claim, json.dumps(held | {"pid": dead.pid}).encode())
    reader = Reader(truth)
    check_reader(config(), storage, reader, epoch=1, wait_s=3600)
    assert reader.read == 64


def test_errors_hold_for_their_run_only(storage):
    with pytest.raises(ReaderDegenerate, match="failed"):
        check_reader(config(), storage, Reader(lambda one: None), epoch=1)
    reader = Reader(truth)
    check_reader(config(), storage, reader, epoch=2)
    assert reader.read == 64


@pytest.mark.parametrize("gate", [1, 2, 3, 4])
def test_the_truth_passes_wherever_the_gate_is(gate):
    assert signs(truth, subjective_from=gate) == set()


def test_another_reader_is_checked_for_itself(storage):
    check_reader(config(), storage, Reader(truth), epoch=1)
    other = Reader(truth)
    check_reader(config(subjective_from=2), storage, other, epoch=1)
    assert other.read == 64


# The user's own conversations


def own_file(folder, rows: int = 8, **changes) -> str:
    file = folder / "own.jsonl"
    with file.open("w", encoding="utf-8") as lines:
        for one in calibration_set()[:rows]:
            messages = [{"role": m.role, "content": m.content} for m in one.conversation.messages]
            row = {"messages": messages, **one.answer.model_dump(mode="json"), **changes}
            lines.write(json.dumps(row) + "\n")
    return str(file)


def test_own_labelled_conversations_are_read_beside_the_set_and_scored_apart(tmp_path, storage):
    settings = config(labelled=own_file(tmp_path))
    reader = Reader(truth)
    check_reader(settings, storage, reader, epoch=1)
    record = stored_check(settings, storage, 1)
    assert reader.read == 72
    assert [(one["name"], one["conversations"]) for one in record["sets"]] == [
        ("calibration", 64),
        ("labelled", 8),
    ]
    assert "your labelled conversations (8): subjective kappa" in check_lines(record)[1]


def test_a_file_that_labels_levels_alone_has_no_score_for_the_rest(tmp_path):
    address = own_file(
        tmp_path, task=None, response_type=None, human_values=[], ai_values=[], rows=16
    )
    record = make_check(config(labelled=address), Reader(truth))
    found = {one["facet"]: one["value"] for one in record["sets"][1]["scores"]}
    assert found["subjective"] == 1.0
    assert found["response_type"] is None


def test_another_labelled_file_is_another_check(tmp_path, storage):
    check_reader(config(labelled=own_file(tmp_path)), storage, Reader(truth), epoch=1)
    assert stored_check(config(), storage, 1) is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"subjectivity": 5}, "row 1: subjectivity"),
        ({"messages": []}, "row 1: messages"),
        ({"response_type": "applause"}, "row 1: response_type"),
        ({"ai_values": [{"label": "X!"}]}, "row 1: ai_values.0.label"),
    ],
)
def test_a_row_that_is_no_labelled_conversation_is_named_and_not_quoted(tmp_path, changes, named):
    settings = config(labelled=own_file(tmp_path, **changes))
    with pytest.raises(InputError) as caught:
        stored_check(settings, Storage(str(tmp_path / "run")), 1)
    assert named in caught.value.problem
    assert "X!" not in str(caught.value)


def test_a_labelled_file_without_a_model_to_read_it_is_refused():
    with pytest.raises(ConfigError, match="--labelled"):
        RunConfig(execution=Execution(labelled="own.jsonl"))


def test_a_labelled_file_that_is_missing_is_named(tmp_path, storage):
    with pytest.raises(InputError, match="--labelled"):
        stored_check(config(labelled=str(tmp_path / "none.jsonl")), storage, 1)


# What is kept and said


def test_the_record_holds_no_text_and_no_label(storage):
    check_reader(config(reader_check="warn"), storage, Reader(constant), epoch=1)
    kept = b"".join(storage.read(f.path) for f in storage.list(FOLDER))
    for word in (b"helpfulness", b"help the user", b"Jain", b"nursing"):
        assert word not in kept


def test_the_lines_of_a_record_have_the_scores_with_their_intervals():
    first = check_lines(make_check(config(), Reader(truth)))[0]
    assert first.startswith("the calibration set (64): subjective kappa 1.00 [1.00, 1.00]")
    lexicon = lexicon_scores()["minilm"]["subjective"]
    assert f"(lexicon {lexicon:.2f}, commonest 0.00)" in first


def test_the_set_is_read_in_its_order():
    found = read_calibration_set(Reader(truth), calibration_set(), 3, 64).found
    assert [one.answer for one in found] == [one.answer for one in calibration_set()]
