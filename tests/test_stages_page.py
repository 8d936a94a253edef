"""The page of all stages says what the committed results say."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_page_of_all_stages_is_up_to_date():
    command = [sys.executable, "benchmarks/stages.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_step_for_a_gpu_has_a_limit_and_names_files_that_exist():
    steps = json.loads((ROOT / "benchmarks" / "gpu_steps.json").read_text())
    assert len({step["name"] for step in steps}) == len(steps)
    for step in steps:
        assert 0 < step["limit"] <= 600
        for command in (step["command"], step["here"]):
            files = [word for word in command.split() if word.startswith(("benchmarks/", "tests/"))]
            assert files
            assert all((ROOT / file).exists() for file in files)
