"""Check a finished run folder with a program that shares no code with the pipeline.

    python jobs/check.py runs/sample
    ray job submit --working-dir . -- python jobs/check.py s3://bucket/run

It goes by the documented form of a run folder alone: it hashes every file, compares every schema,
and counts again, from the extractions and the merges, what the published tables say. One line per
check: `ok`, or `FAILED` with what and where (ids, positions and counts, never text). The last line
is JSON: {"run", "checks", "failed": [codes]}. The exit status is 0 when nothing failed, else 1.

Tables with a row per conversation are read in batches, in order, once for each check that needs
them. In memory stay the aggregates, and the accounts of one million conversations at a time.
The checks themselves are in `jobs/checks/`; `CHECKS` is their table of contents.
"""

import argparse
import json
import sys
from collections.abc import Callable

from checks import (
    associations,
    comparisons,
    folder,
    labels,
    outputs,
    rows,
    shares,
    tables,
    trees,
    vectors,
)
from checks.problems import Note, Problems
from checks.reading import NotRun
from checks.recounting import Run

SHOWN = 3  # ours: problems named in one line
CHECKS: dict[str, Callable[[Run], Problems]] = {
    # the folder as a whole
    "manifests": folder.check_manifests,
    "run": folder.check_run,
    "files": folder.check_files,
    "strays": folder.check_strays,
    "digests": folder.check_digests,
    "lineage": folder.check_lineage,
    "schemas": tables.check_schemas,
    "private": tables.check_private,
    # one row per conversation
    "conversations": rows.check_conversations,
    "order": rows.check_order,
    "rejects": rows.check_rejects,
    "conservation": rows.check_conservation,
    "carried": rows.check_carried,
    "extractions": rows.check_extractions,
    # labels
    "merges": labels.check_merges,
    "labels": labels.check_labels,
    "accounts": labels.check_accounts,
    "kept": labels.check_kept,
    # taxonomy
    "tree": trees.check_tree,
    "taxonomy": trees.check_taxonomy,
    "tasks": trees.check_tasks,
    "vectors": vectors.check_vectors,
    # statistics
    "response_types": shares.check_response_types,
    "associations": associations.check_associations,
    "residuals": associations.check_residuals,
    "cooccurrence": associations.check_cooccurrence,
    "variation": associations.check_variation,
    "mirroring": shares.check_mirroring,
    "explicitness": associations.check_explicitness,
    "model_comparison": comparisons.check_model_comparison,
    "intervals": shares.check_intervals,
    # what people get, and the input
    "release_frequencies": outputs.check_release_frequencies,
    "release_tree": outputs.check_release_tree,
    "report": outputs.check_report,
    "inputs": outputs.check_inputs,
}
"""Code -> check, in the order they are run."""


def findings(check: Callable[[Run], Problems], run: Run) -> tuple[list[str], int]:
    """The first lines that a check has to say, and how many problems it found.

    Raises:
        NotRun: it is about a stage that was not run.
    """
    shown: list[str] = []
    problems = 0
    try:
        for text in check(run):
            is_problem = not isinstance(text, Note)
            problems += is_problem
            if not is_problem or problems <= SHOWN:
                shown.append(text)
    except NotRun:
        raise
    except Exception as error:  # whatever a damaged folder provokes; its message may quote a row
        problems += 1
        shown.append(f"cannot be checked ({type(error).__name__})")
    return shown, problems


def verdict(address: str) -> tuple[int, list[str]]:
    """Run every check and print a line for each; how many were run, and the codes that failed."""
    try:
        run = Run.at(address)
    except (OSError, ValueError) as error:
        print(f"FAILED  run: run.json cannot be read ({type(error).__name__})")
        return 1, ["run"]
    made, failed = 0, []
    for code, check in CHECKS.items():
        try:
            shown, problems = findings(check, run)
        except NotRun as stage:
            print(f"skipped {code:<20} the run ended before the stage {stage}")
            continue
        made += 1
        promise = (check.__doc__ or "").split("\n")[0]
        more = f" (and {problems - SHOWN} more)" if problems > SHOWN else ""
        line = f"{'FAILED' if problems else 'ok':<7} {code:<20} {'; '.join(shown) or promise}"
        print(line + more, flush=True)
        failed += [code] if problems else []
    return made, failed


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", help="a run folder: a local path or an s3:// address")
    address = parser.parse_args().run
    checks, failed = verdict(address)
    print(json.dumps({"run": address, "checks": checks, "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
