"""What a plan says of an input is what is in it, as surely as it says."""

import gzip
import json
import math
import random
import re
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chat_server import chat_server, completion
from pages import ROOT

from vitw_ray.cli import plan as command
from vitw_ray.cli import status as status_command
from vitw_ray.cli.main import main
from vitw_ray.config import ConversationsConfig, Execution, ExtractionConfig, RunConfig
from vitw_ray.conversations.listing import list_input
from vitw_ray.conversations.survey import survey
from vitw_ray.extraction.questions import questions_for
from vitw_ray.forecast import looking, needs, of_run, rates
from vitw_ray.forecast.counting import count
from vitw_ray.forecast.forecast import Asked, make_forecast
from vitw_ray.forecast.looking import look
from vitw_ray.forecast.rates import of_trial, rates_of
from vitw_ray.forecast.tokens import WRITTEN, Trial, per_conversation
from vitw_ray.inference.token_counts import PromptTokens
from vitw_ray.lease import PROGRESS
from vitw_ray.progress_file import ProgressFile
from vitw_ray.run_folder import StageFolder
from vitw_ray.run_status import read_status
from vitw_ray.storage import Storage

SECRET_WORDS = "marigold lighthouse"
RESULTS = ROOT / "benchmarks" / "results"


def rows(number: int, seed: int = 0) -> list[dict]:
    """Conversations whose lengths have a heavy tail."""
    draw = random.Random(seed)
    return [
        {
            "conversation_id": f"c{n}",
            "messages": [
                {"role": "user", "content": f"{SECRET_WORDS} {n} "},
                {"role": "assistant", "content": "word " * int(draw.lognormvariate(4, 1) + 1)},
            ],
        }
        for n in range(number)
    ]


def as_lines(found: Iterable[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in found).encode()


def looked(folder: Path, **settings: object):
    config = ConversationsConfig(input=(str(folder),), **settings)
    found = look(survey(list_input(config.input), config.shape), config)
    return found, count(found, config)


def test_a_small_input_is_counted(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(as_lines(rows(300))))
    (tmp_path / "b.jsonl").write_bytes(as_lines(rows(500)[300:]) + b"no json\n")
    found, counts = looked(tmp_path)
    assert found.complete
    assert (counts.rows.value, counts.rows.margin) == (501, 0)
    assert counts.kept.value == 500


def test_versions_growing_histories_and_accounts_are_counted_as_in_a_run(tmp_path):
    turns = [{"role": r, "content": f"t{n}"} for n, r in enumerate(("user", "assistant") * 3)]
    same = [{"conversation_id": "x", "messages": turns[:2], "account_id": "a"}] * 2
    grown = [{"messages": turns[:n], "account_id": "b"} for n in (2, 4, 6)]
    other = [{"messages": [{**turn, "content": f"q{n}"} for turn in turns[:2]]} for n in range(4)]
    of_c = [{**row, "account_id": "c"} for row in other]
    (tmp_path / "a.jsonl").write_bytes(as_lines([*same, *grown, *of_c]))
    assert looked(tmp_path)[1].kept.value == 1 + 1 + 4
    assert looked(tmp_path, growing_histories="all")[1].kept.value == 1 + 3 + 4
    assert looked(tmp_path, max_per_account=2)[1].kept.value == 1 + 1 + 2
    assert looked(tmp_path, sample=3)[1].kept.value == 3


@pytest.mark.parametrize("seed", range(2))
def test_rows_of_a_long_file_lie_within_the_stated_margin(tmp_path, seed):
    (tmp_path / "a.jsonl").write_bytes(as_lines(rows(40_000, seed)))
    found, counts = looked(tmp_path)
    assert not found.complete
    assert sum(piece.read for piece in found.seen) < 25_000
    assert 0 < counts.rows.margin < 0.1 * counts.rows.value
    assert counts.rows.value == pytest.approx(40_000, abs=1.6 * counts.rows.margin)


def test_of_many_files_as_many_are_read_as_there_are_pieces(tmp_path):
    for n in range(200):
        (tmp_path / f"{n}.jsonl.gz").write_bytes(gzip.compress(as_lines(rows(20, n)), mtime=0))
    found, counts = looked(tmp_path)
    assert len(found.seen) <= 64
    assert counts.rows.value == pytest.approx(4_000, abs=1.6 * counts.rows.margin)


def test_a_small_input_is_read_whole(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(as_lines(rows(9_000))))
    found, counts = looked(tmp_path)
    assert found.complete
    assert (counts.rows.value, counts.rows.margin) == (9_000, 0)


def test_rows_of_a_long_compressed_file_follow_from_its_start(tmp_path, monkeypatch):
    monkeypatch.setattr(looking, "WHOLE_BYTES", 0)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(as_lines(rows(50_000))))
    found, counts = looked(tmp_path)
    assert not found.complete
    assert sum(piece.read for piece in found.seen) < 20_000
    assert counts.rows.value == pytest.approx(50_000, rel=0.05)


def test_rows_of_parquet_stand_in_its_footers(tmp_path, monkeypatch):
    monkeypatch.setattr(looking, "WHOLE_BYTES", 0)
    table = pa.Table.from_pylist(rows(9_000))
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=500)
    found, counts = looked(tmp_path)
    assert counts.rows.value == 9_000
    assert sum(piece.read for piece in found.seen) <= 2_000


class ThirdOfCharacters:
    """Counts a token for three characters, 100 before and 10 after each."""

    def count(self, messages, questions, *, is_new=True):
        body = sum(len(message.content) for message in messages) // 3
        n = len(questions)
        return PromptTokens(body, n * (110 + body), n * 10 + (body if is_new and n else 0))


def test_tokens_of_all_conversations_follow_from_those_that_were_counted(tmp_path):
    given = rows(2_000)
    (tmp_path / "a.jsonl").write_bytes(as_lines(given))
    found, _ = looked(tmp_path)
    config = ExtractionConfig(extractor="vllm", model="a/b", transcript_tokens=10**6)
    questions = questions_for(config)
    means = per_conversation(found, config, questions, ThirdOfCharacters())
    chars = [sum(len(m["content"]) for m in row["messages"]) for row in given]
    body = sum(n // 3 for n in chars) / len(chars)
    asked = len(questions.first) + 0.44 * len(questions.then)
    assert means.prompt.value == pytest.approx(asked * (110 + body), rel=0.01)
    assert means.computed.value == pytest.approx(asked * 10 + body, rel=0.01)
    assert means.requests["rating"] == 1
    assert means.requests["task"] == 0.44


@pytest.mark.parametrize(("gate", "written"), [(3, 0.44 * 116 + 0.56 * 8), (1, 116.0)])
def test_answers_of_one_pass_end_below_the_gate(tmp_path, gate, written):
    (tmp_path / "a.jsonl").write_bytes(as_lines(rows(20)))
    config = ExtractionConfig(
        extractor="vllm", model="a/b", questions="one_pass", subjective_from=gate
    )
    questions = questions_for(config)
    means = per_conversation(looked(tmp_path)[0], config, questions, ThirdOfCharacters())
    assert means.answer.value == pytest.approx(written)
    assert means.requests == {"one_pass": 1.0}


def test_a_trial_replaces_what_was_assumed_and_gives_its_own_rates():
    trial = Trial(50, 0, 10, 8.0, 2.0, 25.0, 60_000, 500, 50_000.0, 20_000.0)
    assert (trial.share, trial.repeats) == (0.2, 1.2)
    found = of_trial(trial)
    seconds = found.seconds(trial.expected_computed * trial.repeats / 50, 500 / 50)
    assert seconds == pytest.approx(25 / 50)
    assert found.start_s == 10.0


def test_stated_rates_hold_and_the_rates_of_a_card_are_scaled_by_size():
    gpu = Execution(device="gpu", gpus_per_actor=1)
    config = RunConfig(extraction=ExtractionConfig(extractor="vllm", model="a/b"), execution=gpu)
    assert rates_of(config, (1000.0, 100.0)).seconds(500, 50) == pytest.approx(1.0)
    assert rates_of(config).seconds(1_179, 165) == pytest.approx(1 / 13.9)
    double = rates_of(config).scaled(2.0)
    assert double.seconds(1_179, 165) == pytest.approx(2 / 13.9)


def result(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text())


def test_the_rates_are_those_of_the_committed_results():
    full, card = result("full_run")["rates"], result("card")["rates"]
    assert full["extractions_rows_per_s"] == rates.FREE_ROWS
    for stage, rate in rates.STAGE_ROWS.items():
        assert full[f"{stage}_rows_per_s"] == rate
    assert card["extract_rows_per_s"] == rates.CARD_ROWS
    assert card["fp8_tflops"] / card["bf16_tflops"] == rates.FP8_SPEED
    assert card["embed_texts_per_s"] == rates.EMBEDDED_TEXTS["gpu"]
    on_a_core = result("embed")["rates"]["texts_per_cpu_s"]
    assert on_a_core == pytest.approx(rates.EMBEDDED_TEXTS["cpu"], rel=0.01)
    lexicon = 1e3 / result("lexicon")["rates"]["cpu_ms_per_row"]
    assert lexicon == pytest.approx(rates.LEXICON_ROWS, rel=0.01)
    labelled = result("answers-quick")["work"]["tokens"]["qwen2.5-coder-0.5b"]
    for (questions, form), tokens in WRITTEN.items():
        assert labelled[questions][form] == pytest.approx(tokens, abs=0.1)


def test_requests_to_storage_are_those_that_were_counted():
    growth = result("growth")["work"]
    at = [growth[f"{part}_at_10000000"] for part in ("answer", "look_again", "assemble")]
    first = result("sort_growth")["work"]["opens_of_10000000"]
    found = needs.requests(1e7)
    assert found["HEAD"] == pytest.approx(first + sum(part["open"] for part in at), rel=0.001)
    assert found["GET"] == 2 * found["HEAD"]
    assert found["LIST"] == pytest.approx(sum(part["list"] for part in at), rel=0.001)
    assert found["PUT"] == pytest.approx(sum(part["write"] for part in at), rel=0.001)


def test_twice_the_gpus_halve_the_time_and_leave_the_hours_of_reading(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(as_lines(rows(500)))
    config = RunConfig(
        conversations=ConversationsConfig(input=(str(tmp_path),)),
        extraction=ExtractionConfig(extractor="vllm", model="a/b"),
        execution=Execution(device="gpu", gpus_per_actor=1, actors=4),
    )
    found = survey(list_input(config.conversations.input), "auto")
    one, two = (make_forecast(config, found, Asked(gpus=n, price_per_gpu_hour=3)) for n in (8, 16))
    start = one.rates.start_s
    around = start + rates.WORKER_S + 500 / rates.FREE_ROWS
    read = [each.seconds["extractions"] - around for each in (one, two)]
    assert read[0] == pytest.approx(2 * read[1])
    assert one.gpu_hours is not None
    assert one.gpu_hours == pytest.approx((8 * start + 8 * read[0]) / 3600)
    assert one.money["GPUs"] == pytest.approx(3 * one.gpu_hours)
    assert "four bytes a token" in one.counted_by


# The command


def test_the_command_says_what_a_run_takes_shows_no_text_and_writes_nothing(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(as_lines(rows(50)))
    words = ["plan", "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "kept     50 conversations" in shown
    assert main([*words, "--json", "--simulate", "--hours-between-losses", "1"]) == 0
    last = capsys.readouterr().out
    found = json.loads(last)
    assert found["counts"]["kept"]["value"] == 50
    assert found["simulation"]["units"] == 1
    assert {probe["name"] for probe in found["needs"]} >= {"packages", "output"}
    assert not re.search(SECRET_WORDS, shown + last)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--gpus", "0"], "--gpus"),
        (["--measure", "-1"], "--measure"),
        (["--tokenizer", "no-such-folder", "--extractor", "openai", "--model", "m"], "--tokenizer"),
        (["--simulate", "--extractor", "openai", "--model", "m"], "--prompt-tokens-per-s"),
    ],
)
def test_what_cannot_be_planned_names_the_flag(flags, named, capsys):
    assert main(["plan", "--no-probes", *flags]) == 1
    assert named in capsys.readouterr().err


def test_every_flag_of_the_command_is_described():
    assert list(command.FLAGS) == list(command.PlanFlags.__dataclass_fields__)


def test_what_the_run_needs_and_lacks_is_said_with_a_fix_and_status_1(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main(["plan", "--output", str(blocked / "run")]) == 1
    assert "NO" in capsys.readouterr().out


# Beside a run


def test_status_shows_what_was_foreseen_beside_what_was(tmp_path):
    storage, folder = Storage(str(tmp_path)), "2_extractions-fedcba9876543210"
    foreseen = {"conversations": 100, "prompt_tokens": 1000, "output_tokens": 200, "requests": 640}
    foreseen |= {"questions": 11, "of_subjective": 7, "seconds": {"extractions": 60.0}}
    told = {"state": "finished", "updated": 1.0, "forecast": {**foreseen, "folder": folder}}
    told["stages"] = [{"number": 2, "name": "extractions", "folder": folder}]
    storage.write(PROGRESS, json.dumps(told).encode())
    assert read_status(storage).forecast["requests"] == (640, None)
    details = {"prompt_tokens": 1100, "output_tokens": 190, "subjective": 40}
    counts = {"rows_in": 90, "rows_out": 90, "seconds": 66.0, "files": [], "details": details}
    StageFolder(storage, folder).publish(counts)
    status = read_status(storage)
    assert status.forecast == {
        "conversations": (100, 90),
        "prompt_tokens": (1000, 1100),
        "output_tokens": (200, 190),
        "requests": (640, 90 * 4 + 40 * 7),
        "seconds of extractions": (60.0, 66.0),
    }
    text = "\n".join(status_command.lines(status))
    assert "forecast prompt tokens 1,000, was 1,100 (+10%)" in text
    told["forecast"]["folder"] = "2_extractions-0000000000000000"
    storage.write(PROGRESS, json.dumps(told).encode())
    assert read_status(storage).forecast == {}


def test_the_driver_keeps_its_forecast_under_the_folder_of_the_stage_it_was_made_for(tmp_path):
    storage, folder = Storage(str(tmp_path)), "2_extractions-fedcba9876543210"
    for forecast, expected in (({"requests": 5}, (5, None)), (None, (5, None)), ({}, None)):
        told = ProgressFile(storage, 1e9)  # the second driver finds the stage done, and makes none
        told.forecast = forecast
        told.plan([(2, "extractions", folder)])
        told.at("extractions", folder)
        told.write("running")
        assert read_status(storage).forecast.get("requests") == expected


def test_a_forecast_that_fails_ends_no_run(tmp_path, monkeypatch, caplog):
    (tmp_path / "a.jsonl").write_bytes(as_lines(rows(5)))
    found = survey(list_input([str(tmp_path)]), "auto")

    def fail(config: RunConfig) -> None:
        raise RuntimeError(SECRET_WORDS)

    monkeypatch.setattr(of_run, "prompt_counter", fail)
    with_model = RunConfig(extraction=ExtractionConfig(extractor="vllm", model="a/b"))
    with caplog.at_level("WARNING"):
        assert of_run.forecast_of_run(with_model, found, ["extractions"]) is None
    assert "RuntimeError" in caplog.text
    assert SECRET_WORDS not in caplog.text


@pytest.mark.parametrize(("obeys", "status"), [(True, 0), (False, 1)])
def test_a_server_is_asked_whether_it_holds_answers_to_their_schema(
    obeys, status, tmp_path, capsys, monkeypatch
):
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "key")

    def play(body: dict) -> object:
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        word = schema.get("properties", {}).get("word", {}).get("const", "yes")
        return completion(json.dumps({"word": word if obeys else "yes"}))

    with chat_server(play) as (_, url):
        words = ["plan", "--extractor", "openai", "--model", "m", "--server-url", url]
        assert main([*words, "--output", str(tmp_path / "out"), "--json"]) == status
    needed = {probe["name"]: probe for probe in json.loads(capsys.readouterr().out)["needs"]}
    assert needed["schema"]["found"] is obeys


@pytest.mark.s3
def test_a_bucket_is_tried_and_left_as_it_was(s3_server, capsys):
    output = f"{s3_server.new_bucket()}/run"
    assert main(["plan", "--output", output]) == 0
    assert "output   yes" in capsys.readouterr().out
    assert Storage(output).list() == []


def test_a_run_without_a_model_or_without_its_tokenizer_makes_no_forecast(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(as_lines(rows(5)))
    found = survey(list_input([str(tmp_path)]), "auto")
    assert of_run.forecast_of_run(RunConfig(), found, ["extractions"]) is None
    no_files = RunConfig(extraction=ExtractionConfig(extractor="vllm", model="no/such-model"))
    assert of_run.forecast_of_run(no_files, found, ["extractions"]) is None
    assert math.isfinite(make_forecast(no_files, found).tokens["prompt"].value)
