"""What `release.json` and the card say; of the data only what the release may show."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import floor, log10
from typing import Any

import numpy as np

from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.facts import extractor_name
from vitw_ray.finished_run import FinishedRun
from vitw_ray.keys import Keyed
from vitw_ray.release.settings import ReleaseSettings, kind_of
from vitw_ray.release.strict import tables as strict_tables
from vitw_ray.release.strict.bounds import AI
from vitw_ray.release.strict.measure import HEAD, Findings
from vitw_ray.run_folder import TableRef, read_part
from vitw_ray.storage import Storage
from vitw_ray.versions import versions

SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
"""Size categories of the Hugging Face hub."""


@dataclass(frozen=True)
class PublishedRun:
    """The run that a release is made from."""

    storage: Storage
    finished: FinishedRun
    tables: Mapping[str, TableRef]
    keyed: Keyed


def about_release(
    run: PublishedRun, settings: ReleaseSettings, conversations: int
) -> dict[str, Any]:
    """What both kinds of release say; `conversations` is the released number."""
    config = run.finished.config
    extracted = run.finished.manifests["extractions"]["details"]
    kind = EXTRACTORS[config.extraction.extractor]
    described = extracted.get("settings", {})
    return {
        "kind": kind_of(settings),
        "name": config.release.release_name,
        "license": config.release.release_license.lower(),
        "conversations": conversations,
        "size_category": SIZES[min(max(floor(log10(max(conversations, 1))) - 2, 0), 6)],
        "settings": asdict(settings),
        "max_per_account": config.conversations.max_per_account,
        "reader": {
            "name": extractor_name(config.extraction.extractor, described),
            "revision": described.get("revision"),
            "key": _reader_key(run),
            "baseline": kind.is_baseline,
            "made_up": kind.is_made_up,
        },
        "check": extracted.get("reader_check"),
        "versions": versions(),
    }


def _reader_key(run: PublishedRun) -> str:
    """Hash of the reader's model, prompts and settings: the name of its committed answers."""
    for file in run.tables["extractions"].files if "extractions" in run.tables else ():
        if file.rows:
            first = read_part(run.storage, file, ["extractor"])["extractor"][0].as_py()
            return str(first).rpartition("@")[2]
    return "unknown"


def utility(found: Findings) -> dict[str, Any]:
    """How exact the numbers are, from the scale of the noise and what is released."""
    measured = found.facets[AI]
    errors = 100 * strict_tables.share_errors(measured, found)
    return {
        "certain_of_top_100": strict_tables.certain_of_top(found),
        "error_head_points": _largest(errors[:HEAD]),
        "error_points": _largest(errors[HEAD:]),
        "sure_from": {facet: int(np.ceil(size)) for facet, size in found.sure_from.items()},
    }


def _largest(errors: np.ndarray) -> float | None:
    return round(float(errors.max()), 4) if errors.size else None
