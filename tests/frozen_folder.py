"""The folder of a finished run, as far as `--taxonomy-from` needs it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitw_ray.config import LabelsConfig
from vitw_ray.keys import Keyed
from vitw_ray.run_folder import StageFolder
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.frozen.state import FrozenTree, write_state

STAGE = "4_taxonomy-0123456789abcdef"


def write_frozen_run(
    folder: Path,
    tree: FrozenTree,
    embedder: Mapping[str, Any],
    labels: LabelsConfig,
) -> Storage:
    """Write the tree with its manifest, and a `run.json` that names them."""
    storage = Storage(str(folder))
    stage = StageFolder(storage, STAGE, Keyed(b"0123456789abcdef"))
    entries = [vars(file) for file in write_state(stage, tree)]
    details = {"embedder": dict(embedder)}
    manifest = {"files": entries, "details": details, "stage": "taxonomy"}
    storage.write(f"{STAGE}/_SUCCESS.json", json.dumps(manifest).encode())
    run = {
        "config": {"labels": vars(labels)},
        "stages": [{"name": "taxonomy", "folder": STAGE, "details": details}],
        "tables": {},
        "totals": {},
    }
    storage.write("run.json", json.dumps(run).encode())
    return storage
