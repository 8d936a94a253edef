"""The certificate of a finished run: which one stands, and what it says of the run's tables.

A certificate is made after the run, by `vitw certify`. It stands in `run.json` as long as the
tables that its headlines come from are the same, and the page shows it.
"""

import json
from collections.abc import Mapping
from typing import Any

from vitw_ray.run_folder import SUCCESS, TableRef, read_run_file, tables_of
from vitw_ray.storage import Storage

NAME, NUMBER = "certificate", 8
READS = (
    "labels",
    "taxonomy",
    "response_types",
    "associations",
    "variation",
    "model_comparison",
)
"""The tables that headlines come from."""


def inputs_of(tables: Mapping[str, TableRef]) -> dict[str, str]:
    """Digest of each table that a certificate is about."""
    return {name: tables[name].digest for name in READS}


def standing(storage: Storage, tables: Mapping[str, TableRef]) -> dict[str, dict[str, Any]]:
    """The manifest of the certificate of these tables, by its name; empty without one."""
    if any(name not in tables for name in READS):
        return {}
    for stage in (read_run_file(storage) or {}).get("stages", ()):
        path = f"{stage['folder']}/{SUCCESS}"
        if stage["name"] == NAME and storage.exists(path):
            manifest = json.loads(storage.read(path))
            if manifest["inputs"] == inputs_of(tables):
                return {NAME: manifest}
    return {}


def table_of(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, TableRef]:
    """The table of a standing certificate, by its name; empty without one."""
    return tables_of(manifests[NAME]) if NAME in manifests else {}
