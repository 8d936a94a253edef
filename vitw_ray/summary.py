"""`run.json`: what a run was made of, and what it counted.

Names of files, folders and columns are the user's own and may name people: those of the input stand
in `private/inputs.json`, in the order in which `run.json` describes the files.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.run_folder import TableRef, tables_of
from vitw_ray.stages import RunSetup
from vitw_ray.versions import versions

NOT_NAMED = "(see private/inputs.json)"


def summarise(
    setup: RunSetup, manifests: Mapping[str, Mapping[str, Any]], tables: Mapping[str, TableRef]
) -> dict[str, Any]:
    """The content of `run.json`."""
    read, extracted = manifests["conversations"], manifests.get("extractions")
    report = manifests.get("report")
    shown = ("number", "key", "rows_in", "rows_out", "rejected", "failed")
    times = ("finished", "seconds", "rows_per_s")
    return {
        "vitw_ray": versions()["vitw_ray"],
        "secret_fingerprint": setup.keyed.fingerprint,
        "config": public_settings(setup.config),
        "inputs": [
            {"content": f.content, "size_bytes": f.size_bytes, "shape": setup.shapes.get(f.name)}
            for f in setup.inputs
        ],
        "passed_over": dict(sorted(Counter(setup.passed_over.values()).items())),
        "stages": [
            {"name": m["stage"], "folder": folder_name(m), "details": m["details"]}
            | {name: m[name] for name in shown}
            | {name: m[name] for name in times if name in m}  # older manifests lack `finished`
            for m in manifests.values()
        ],
        "tables": {
            name: {
                "stage": next(folder_name(m) for m in manifests.values() if name in tables_of(m)),
                "rows": table.rows,
                "digest": table.digest,
                "files": [file.path for file in table.files],
            }
            for name, table in tables.items()
        },
        "totals": {
            "rows_read": read["rows_in"],
            "conversations": read["rows_out"],
            "rejected": sum(read["rejected"].values()),
            "extractions": extracted["rows_out"] if extracted else 0,
            "failed": sum(extracted["failed"].values()) if extracted else 0,
        },
        "report": report["files"][0]["path"] if report else None,
        "versions": versions(),
    }


def inputs_of(setup: RunSetup) -> dict[str, Any]:
    """The content of `private/inputs.json`: the files of the input by name."""
    return {
        "input": list(setup.config.conversations.input),
        "files": [asdict(file) for file in setup.inputs],
        "passed_over": dict(setup.passed_over),
        "not_read": list(setup.not_read),
    }


def public_settings(config: RunConfig) -> dict[str, Any]:
    """All settings, but for what `--input` names."""
    settings = asdict(config)
    settings["conversations"]["input"] = [NOT_NAMED] * bool(config.conversations.input)
    return settings


def folder_name(manifest: Mapping[str, Any]) -> str:
    """The folder of a finished stage."""
    return f"{manifest['number']}_{manifest['stage']}-{manifest['key']}"
