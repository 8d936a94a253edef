"""Run what is to be measured on a GPU, step by step, each within its limit (`gpu_steps.json`).

A step that fails or runs out of time does not stop the others. The output of each is kept. `--here`
runs the form of each step for a machine without a GPU: it works, or says that it needs one.

    python benchmarks/gpu_steps.py --output FOLDER [--here] [NAME ...]
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
NEEDS_A_GPU = "no GPU"  # what a step without one says


def run(step: dict[str, str | int], here: bool, folder: Path) -> str:
    """Run a step; return `done`, `needs a GPU`, `failed` or `out of time`."""
    command = shlex.split(str(step["here" if here else "command"]))
    if command[0] == "python":
        command[0] = sys.executable
    path, limit = folder / f"{step['name']}.log", int(step["limit"])
    with path.open("w") as log:
        try:
            done = subprocess.run(
                command, stdout=log, stderr=log, cwd=HERE.parent, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired:
            return "out of time"
    if done.returncode == 0:
        return "done"
    return "needs a GPU" if NEEDS_A_GPU in path.read_text() else "failed"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="steps; default: all")
    parser.add_argument("--output", type=Path, required=True, help="folder of the logs")
    parser.add_argument("--here", action="store_true", help="the form without a GPU")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    states = []
    for step in json.loads((HERE / "gpu_steps.json").read_text()):
        if not given.names or step["name"] in given.names:
            start = time.monotonic()
            states.append(run(step, given.here, given.output))
            print(f"{step['name']}: {states[-1]}, {time.monotonic() - start:.0f} s", flush=True)
    return 0 if set(states) <= {"done", "needs a GPU"} else 1


if __name__ == "__main__":
    sys.exit(main())
