"""Public folders of a run folder that were made with lower thresholds than the run has now.

They stay when a run is repeated with higher thresholds, and hold what the new ones hide.
"""

import json
import re

from vitw_ray import paper
from vitw_ray.config import LabelsConfig
from vitw_ray.errors import OutputError
from vitw_ray.finished_run import FinishedRun
from vitw_ray.run_folder import SUCCESS
from vitw_ray.storage import PRIVATE, Storage

_MANIFEST = re.compile(rf"(\d_[a-z]+-[0-9a-f]+)/{re.escape(SUCCESS)}")
_LEAST = {"min_conversations": paper.MIN_CONVERSATIONS, "min_accounts": paper.MIN_ACCOUNTS}


def refuse_lower_folders(storage: Storage, finished: FinishedRun) -> None:
    """Refuse to publish a run of lower thresholds than any release, or beside its folders.

    Raises:
        OutputError: it names the thresholds, or the folders.
    """
    own = finished.config.labels
    if any(getattr(own, name) < least for name, least in _LEAST.items()):
        made = " and ".join(f"{name} {getattr(own, name)}" for name in _LEAST)
        flags = " ".join(f"--{name.replace('_', '-')} {least}" for name, least in _LEAST.items())
        raise OutputError(
            f"{storage.root} was made with {made}: its tables show smaller groups than a release",
            f"run it again with {flags} (all answers are kept), then publish",
        )
    lower = lower_folders(storage, own)
    if lower:
        raise OutputError(
            f"{storage.root} still holds folders that were made with lower thresholds, and show"
            f" what this run hides: {', '.join(lower)}",
            f"delete them, and report.html if it is older: rm -r {' '.join(lower)}",
        )


def lower_folders(storage: Storage, labels: LabelsConfig) -> list[str]:
    """Names of the folders whose thresholds are below those of a run, or of any release."""
    found = []
    for stat in storage.list():
        named = _MANIFEST.fullmatch(stat.path)
        if named is None:
            continue
        manifest = json.loads(storage.read(stat.path))
        if all(entry["path"].startswith(f"{PRIVATE}/") for entry in manifest["files"]):
            continue  # it shows nothing
        made = manifest.get("config", {}).get("labels")
        if made and any(
            made.get(name, least) < max(least, getattr(labels, name))
            for name, least in _LEAST.items()
        ):
            found.append(named[1])
    return sorted(found)
