"""Run every check on a run folder and say what was found: the command line of the checker.

It goes by the documented form of a run folder alone: it hashes every file, compares every schema,
and counts again, from the extractions and the merges, what the published tables say. One line per
check: `ok`, or `FAILED` with what and where (ids, positions and counts, never text), or `skipped`
with why. The last line is JSON: {"run", "checks", "failed": [codes], "skipped": [codes]}. The exit
status is 0 when nothing failed, else 1.

Of a run whose `private/` was purged, only what needs those files is skipped.

Tables with a row per conversation are read in batches, in order, once for each check that needs
them. In memory stay the aggregates, and the accounts of one million conversations at a time.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence

from . import (
    associations,
    comparisons,
    contents,
    explicitness,
    folder,
    labels,
    outputs,
    response_types,
    rows,
    shares,
    successors,
    tables,
    task_values,
    trees,
    vectors,
)
from .problems import Note, Problems
from .reading import Unreadable
from .recounting import CheckedRun

SHOWN = 3  # ours: problems named in one line
CHECKS: dict[str, Callable[[CheckedRun], Problems]] = {
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
    # what is in the rows
    "spoken": contents.check_spoken,
    "times": contents.check_times,
    "versions": contents.check_versions,
    "successors": successors.check_successors,
    "answers": contents.check_answers,
    "duplicates": contents.check_duplicates,
    "raw": contents.check_raw,
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
    "response_types": response_types.check_response_types,
    "associations": associations.check_associations,
    "residuals": associations.check_residuals,
    "cooccurrence": associations.check_cooccurrence,
    "variation": associations.check_variation,
    "mirroring": shares.check_mirroring,
    "explicitness": explicitness.check_explicitness,
    "task_values": task_values.check_task_values,
    "model_comparison": comparisons.check_model_comparison,
    "corrected": shares.check_corrected,
    "intervals": shares.check_intervals,
    # what people get, and the input
    "release_frequencies": outputs.check_release_frequencies,
    "release_tree": outputs.check_release_tree,
    "report": outputs.check_report,
    "inputs": outputs.check_inputs,
}
"""Code -> check, in the order they are run."""


def findings(check: Callable[[CheckedRun], Problems], run: CheckedRun) -> tuple[list[str], int]:
    """The first lines that a check has to say, and how many problems it found.

    Raises:
        Unreadable: it needs what this run does not have, and found nothing wrong before.
    """
    shown: list[str] = []
    problems = 0
    try:
        for text in check(run):
            is_problem = not isinstance(text, Note)
            problems += is_problem
            if not is_problem or problems <= SHOWN:
                shown.append(text)
    except Unreadable:
        if not problems:
            raise
    except Exception as error:  # whatever a damaged folder provokes; its message may quote a row
        problems += 1
        shown.append(f"cannot be checked ({type(error).__name__})")
    return shown, problems


def verdicts(address: str) -> Iterator[tuple[str, str, str]]:
    """Each check's state (`ok`, `FAILED` or `skipped`), its code, and what it has to say."""
    try:
        run = CheckedRun.at(address)
    except (OSError, ValueError) as error:
        yield "FAILED", "run", f"run.json cannot be read ({type(error).__name__})"
        return
    for code, check in CHECKS.items():
        try:
            shown, problems = findings(check, run)
        except Unreadable as reason:
            yield "skipped", code, str(reason)
            continue
        promise = (check.__doc__ or "").split("\n")[0]
        more = f" (and {problems - SHOWN} more)" if problems > SHOWN else ""
        yield "FAILED" if problems else "ok", code, ("; ".join(shown) or promise) + more


def say(line: str) -> None:
    """Print one line, at once; when nobody reads the pipe any more, go on without output."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str], program: str | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Check a finished run folder with a program that shares no code with vitw_ray."
        " One line per check, then one line of JSON; exit status 1 when a check failed.",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="a run folder: a local path or an s3:// address")
    address = parser.parse_args(arguments).run
    codes: dict[str, list[str]] = {"ok": [], "FAILED": [], "skipped": []}
    for state, code, text in verdicts(address):
        say(f"{state:<7} {code:<20} {text}")
        codes[state].append(code)
    line = {
        "run": address,
        "checks": len(codes["ok"]) + len(codes["FAILED"]),
        "failed": codes["FAILED"],
        "skipped": codes["skipped"],
    }
    say(json.dumps(line))
    return 1 if codes["FAILED"] else 0
