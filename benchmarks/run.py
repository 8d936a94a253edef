"""Run all benchmarks, print their tables, and write each JSON line to `results/`.

Example: python benchmarks/run.py --quick
"""

import json
import subprocess
import sys
from pathlib import Path

from harness import arguments

HERE = Path(__file__).parent
BENCHMARKS = ("read", "extract", "embed", "kmeans", "statistics", "full_run")


def main() -> int:
    """Run one after the other; 1 when one of them failed."""
    quick = arguments(__doc__).quick
    failed = []
    for name in BENCHMARKS:
        print(f"\n== bench_{name}", flush=True)
        command = [sys.executable, str(HERE / f"bench_{name}.py"), *(["--quick"] if quick else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, flush=True)
        if done.returncode != 0:
            failed.append(name)
            continue
        result = json.loads(done.stdout.strip().splitlines()[-1])
        suffix = "-quick" if quick else ""
        file = HERE / "results" / f"{name}{suffix}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
