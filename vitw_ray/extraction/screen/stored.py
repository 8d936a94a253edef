"""The screen of a run: what decides it, where it is kept, and the file that holds it.

`private/screen-<key>/screen.json` holds the head and the certificate. It is created once, so a run
that is resumed screens with the same head. `private/screen-<key>/decided/` holds the conversations
that were screened out, in segments as the answers are. The key covers the conversations: what is
certified on one month's traffic says nothing about the next.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.extraction.screen.certify import Certificate
from vitw_ray.extraction.screen.head import Head
from vitw_ray.inference.embedder_files import embedder_key
from vitw_ray.keys import content_key
from vitw_ray.source_code import code_digest
from vitw_ray.storage import PRIVATE, Storage

HEADS = "heads.json"
"""The file of the folder that `vitw distill` writes."""
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Screen:
    """A head, and what is certified of it. `trained` conversations of this run trained it."""

    head: Head
    certificate: Certificate
    trained: int

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        certificate = asdict(self.certificate)
        return {
            "head": self.head.as_json(),
            "certificate": certificate,
            "trained": self.trained,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Screen":
        """What `as_json` wrote."""
        return cls(
            head=Head.from_json(record["head"]),
            certificate=Certificate(**record["certificate"]),
            trained=record["trained"],
        )


def screen_settings(config: RunConfig) -> dict[str, Any] | None:
    """What determines which conversations are screened out; None: none are."""
    extraction = config.extraction
    if not extraction.screen:
        return None
    heads = extraction.screen_heads
    return {
        "loss": extraction.screen_loss,
        "sample": extraction.screen_sample,
        "subjective_from": extraction.subjective_from,
        "embedder": screen_embedder_key(config),
        "heads": None if heads is None else read_heads(heads)["digest"],
    }


def screen_embedder_key(config: RunConfig) -> str:
    """Hash of everything that decides a vector of the screen, which is computed on the CPU."""
    taxonomy = replace(
        config.taxonomy, embedder=config.extraction.screen_embedder, embedder_revision=None
    )
    execution = replace(config.execution, device="cpu")
    return embedder_key(replace(config, taxonomy=taxonomy, execution=execution))


def screen_folder(config: RunConfig, reader_key: str, conversations: str) -> str:
    """Where the screen of a run is kept.

    Args:
        config: the run.
        reader_key: key of the reader whose answers the screen foresees.
        conversations: digest of the table.
    """
    parts = {
        "reader": reader_key,
        "conversations": conversations,
        "settings": screen_settings(config),
        "code": code_digest("extraction.screen.training"),
    }
    return f"{PRIVATE}/screen-{content_key(parts)}"


def decided_folder(folder: str) -> str:
    """Where the conversations that were screened out are listed."""
    return f"{folder}/decided"


def read_screen(storage: Storage, folder: str) -> Screen | None:
    """The screen that was made before, if one was."""
    path = f"{folder}/screen.json"
    return Screen.from_json(json.loads(storage.read(path))) if storage.exists(path) else None


def store_screen(storage: Storage, folder: str, screen: Screen) -> Screen:
    """Keep a screen; returns the one that stands, which is the first."""
    storage.create(f"{folder}/screen.json", json.dumps(screen.as_json()).encode())
    standing = read_screen(storage, folder)
    assert standing is not None
    return standing


def heads_digest(record: Mapping[str, Any]) -> str:
    """Hash of what decides the scores of distilled heads."""
    decisive = {name: record[name] for name in ("format", "embedder_key", "features", "heads")}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def features_digest() -> str:
    """Hash of the code that computes features."""
    return code_digest("extraction.screen.features", leaving_out=("inference.embedder", "records"))


def read_heads(folder: str) -> dict[str, Any]:
    """The distilled heads of a folder.

    Raises:
        ConfigError: there are none, or they were changed.
    """
    path = Path(folder) / HEADS
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        intact = record["digest"] == heads_digest(record) and record["format"] == FORMAT
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"--screen-heads {folder} holds no readable {HEADS} ({type(error).__name__})",
            "give a folder that vitw distill wrote",
        ) from None
    if not intact:
        raise ConfigError(
            f"--screen-heads {folder}: {HEADS} is not as vitw distill wrote it",
            "distill the run again",
        )
    return record


def distilled_head(config: RunConfig) -> Head | None:
    """The head that the settings name, for subjective or not; None: one is to be trained.

    Raises:
        ConfigError: it was trained on other features than this run computes.
    """
    folder = config.extraction.screen_heads
    if folder is None:
        return None
    record = read_heads(folder)
    found = record["embedder_key"], record["features"]
    if found != (screen_embedder_key(config), features_digest()):
        raise ConfigError(
            f"--screen-heads {folder} was trained on vectors of {record['embedder']} as another"
            " version computes them, or of another embedder",
            f"set --screen-embedder {record['embedder']}, or distill the run again",
        )
    return Head.from_json(record["heads"]["subjective"])
