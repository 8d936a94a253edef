"""The race's own parts: its server, its measurements, and how it counts what is kept."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path[:0] = [str(BENCHMARKS), str(BENCHMARKS / "races")]

import contestants  # noqa: E402
import measured  # noqa: E402
import race  # noqa: E402
import server as race_server  # noqa: E402
import stages  # noqa: E402

GOOD = '{"subjectivity": 2}'


def prompts(count: int) -> list[str]:
    return [f"conversation {number}" for number in range(count)]


def prompt_with(kind: str, always: bool) -> str:
    return next(p for p in prompts(100_000) if race_server.broken_kind(p) == (kind, always))


@pytest.fixture
def served(tmp_path):
    asked = [prompt_with(kind, False) for kind in ("", "invalid", "500", "types")]
    asked.append(prompt_with("types", True))
    rows, answers = tmp_path / "rows", tmp_path / "answers"
    rows.write_text("".join(json.dumps({"user": prompt}) + "\n" for prompt in asked))
    answers.write_text(f"{GOOD}\n" * len(asked))
    with race.served(rows, answers) as server:
        yield server, asked


def ask(server, prompt: str) -> str:
    body = json.dumps({"messages": [{"role": "user", "content": prompt}]}).encode()
    request = urllib.request.Request(f"{server.url}/v1/chat/completions", data=body)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)["choices"][0]["message"]["content"]
    except urllib.error.HTTPError as error:
        return str(error.code)


def test_one_prompt_in_twenty_is_broken_and_a_quarter_of_these_always():
    kinds = Counter(race_server.broken_kind(prompt) for prompt in prompts(40_000))
    broken = {key: count for key, count in kinds.items() if key[0]}
    of_kind = Counter({kind: broken[kind, False] + broken[kind, True] for kind, _ in broken})
    total = of_kind.total()
    assert total / 40_000 == pytest.approx(0.05, abs=0.004)
    assert of_kind["invalid"] / total == pytest.approx(0.5, abs=0.05)
    assert of_kind["500"] / total == pytest.approx(0.25, abs=0.04)
    always = sum(count for (_, is_always), count in broken.items() if is_always)
    assert always / total == pytest.approx(0.25, abs=0.04)


def test_in_bad_weather_the_second_answer_is_good_unless_it_never_is(served):
    server, (plain, invalid, error, types, never) = served
    server.weather(bad=True)
    first = [ask(server, prompt) for prompt in (plain, invalid, error, types, never)]
    assert first == [GOOD, GOOD[: len(GOOD) // 2], "500", *[race_server.WRONG_TYPES] * 2]
    second = [ask(server, prompt) for prompt in (plain, invalid, error, types, never)]
    assert second == [*[GOOD] * 4, race_server.WRONG_TYPES]
    assert server.counts()["calls"] == 10


def test_in_fine_weather_all_answers_are_good_and_other_requests_are_no_calls(served):
    server, asked = served
    server.weather(bad=False)
    assert {ask(server, prompt) for prompt in asked} == {GOOD}
    ask(server, "is anybody there?")
    counts = server.counts()
    assert (counts["calls"], counts["rows"], counts["others"]) == (5, 5, 1)


def test_what_is_broken_is_no_valid_answer_and_a_row_counts_once(tmp_path):
    folder = tmp_path / "answers"
    folder.mkdir()
    rows = [(0, GOOD), (0, GOOD), (1, race_server.WRONG_TYPES), (2, GOOD[:9]), (3, '{"error": 1}')]
    lines = [json.dumps({"row": row, "text": text}) for row, text in rows]
    (folder / "a.json").write_text("\n".join(lines))
    removed = {"id": "4", "metadata": {"rollout_results": []}}
    kept = {"id": "5", "metadata": {"rollout_results": [GOOD]}}
    (folder / "b.jsonl").write_text(f"{json.dumps(removed)}\n{json.dumps(kept)}\n")
    assert contestants.others_kept(tmp_path) == 2


BUSY = """
import subprocess, sys, time
child = "import time\\nwhile time.process_time() < 0.8: pass\\ntime.sleep(0.4)"
subprocess.run([sys.executable, "-c", child])
"""


def test_the_cpu_of_a_child_is_counted(tmp_path):
    usage = measured.run([sys.executable, "-c", BUSY], dict(os.environ), tmp_path / "log")
    assert usage.code == 0
    assert 0.75 < usage.cpu_s < 3
    assert usage.peak_bytes > 5_000_000


def test_after_a_kill_nothing_of_the_command_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "GONE_S", 0.5)
    child = f"open({str(tmp_path / 'child')!r}, 'w').write(str(__import__('os').getpid()))"
    sleeps = f"{child}; import time; time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {sleeps!r}])"
    found = tmp_path / "child"
    started = []

    def kill_when() -> bool:
        if found.exists() and found.read_text() and not started:
            started.append(time.monotonic())
        return bool(started) and time.monotonic() > started[0] + 1

    usage = measured.run(
        [sys.executable, "-c", code], dict(os.environ), tmp_path / "log", kill_when
    )
    assert usage.code == -9
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", found.read_text()], capture_output=True, text=True, check=False
    )
    assert state.stdout.strip()[:1] in ("", "Z")


def test_prices_are_what_a_page_is_written_from():
    card = stages.results("card")["rates"]
    dear = stages.Prices(gpu_hour=33.0, api_answer=6.0)
    assert "| 33.00 | 659.47 | measured |" in stages.money(card, dear)
    assert "| 65.95 | measured |" in stages.money(card, stages.Prices())
    # 1,179 tokens at 0.15, 967 at 0.075 and 165 at 6.0 dollars a million
    assert "1,239.38" in stages.money(card, dear)
