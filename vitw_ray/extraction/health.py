"""Whether a reader reads: it reads the calibration set first, and the run knows how well.

One actor reads the set and writes the record; the others wait for it. The record is kept beside the
answers, under a key of all that decides it, so each reader is checked once. A record with too many
errors holds for this run only: a server that was down says nothing about its model.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.errors import ReaderDegenerate
from vitw_ray.extraction.answers import Extractor
from vitw_ray.extraction.calibration.checking import examples, make_check, tolerated
from vitw_ray.extraction.calibration.fitting import (
    needs_calibration,
    store_calibration,
    stored_calibration,
)
from vitw_ray.extraction.calibration.labelled import own_digest
from vitw_ray.extraction.closed import Calibration
from vitw_ray.extraction.extractors import extractor_key
from vitw_ray.extraction.model_extractor import ModelExtractor
from vitw_ray.extraction.signs import WATCH
from vitw_ray.extraction.watching import GroupTallies, Watch
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.keys import content_key
from vitw_ray.progress import log
from vitw_ray.reader_check import set_lines, sign_line, stopping, warning_lines
from vitw_ray.source_code import code_digest
from vitw_ray.stages import StageContext
from vitw_ray.storage import PRIVATE, Storage

FOLDER = f"{PRIVATE}/reader-checks"
WAIT_S = 600.0  # ours: longer than 64 conversations take; then an actor reads them itself
_There = tuple[dict[str, Any], Calibration | None]
POLL_S = 0.5  # ours: short against the time to load a model


def is_due(config: RunConfig) -> bool:
    """Whether the reader of a run is checked."""
    has_model = EXTRACTORS[config.extraction.extractor].has_model
    return has_model and config.execution.reader_check != "off"


def stored_check(config: RunConfig, storage: Storage, epoch: int) -> dict[str, Any] | None:
    """The record of a run's reader, if there is one.

    Raises:
        InputError: `--labelled` names a file that cannot be read.
    """
    return _read(storage, _places(config, epoch))


def check_reader(
    config: RunConfig,
    storage: Storage,
    extractor: Extractor,
    epoch: int,
    wait_s: float = WAIT_S,
) -> None:
    """See that there are a calibration and a record, and what the record says.

    Called by each actor before its first unit. A reader that is asked closed questions is given its
    calibration, whether it is checked or not.

    Raises:
        ReaderDegenerate: the reader does not read, and the run stops for that.
        StageFailed: the reader could not be calibrated.
    """
    calibrated = needs_calibration(extractor)
    if not is_due(config) and not calibrated:
        return
    key = extractor_key(config)
    places = lasting, of_this_run = _places(config, epoch)

    def there() -> _There | None:
        found = _read(storage, places) if is_due(config) else {}
        calibration = stored_calibration(storage, key) if calibrated else None
        if found is None or (calibrated and calibration is None):
            return None
        return found, calibration

    claim = f"{of_this_run}.claim"
    known = there()
    if known is None and not storage.create(claim, _me()):
        known = _wait(storage, there, claim, wait_s)
    if known is None:
        record, calibration = make_check(
            config, extractor, stored=stored_calibration(storage, key) if calibrated else None
        )
        if calibration is not None:
            calibration = store_calibration(storage, key, calibration)
        failed = any(sign["name"] == "errors" for sign in record["signs"])
        # The first record stands, should two actors have made one.
        storage.create(of_this_run if failed else lasting, json.dumps(record, indent=1).encode())
        known = _read(storage, places) or record, calibration
    found, calibration = known
    if isinstance(extractor, ModelExtractor) and calibration is not None:
        extractor.use(calibration)
    if is_due(config):
        refuse_degenerate(config, found)


def refuse_degenerate(config: RunConfig, found: Mapping[str, Any] | None) -> None:
    """Stop a run whose reader does not read, unless told to go on.

    Raises:
        ReaderDegenerate: the record has a sign that concerns all answers.
    """
    signs = stopping(found) if found else []
    if config.execution.reader_check != "stop" or not signs:
        return
    lines = "".join(f"\n  - {sign_line(sign)}" for sign in signs)
    raise ReaderDegenerate(
        f"the reader {config.extraction.model} does not read: of the calibration set{lines}",
        "give another model, or --reader-check warn to go on",
    )


def tell_check(context: StageContext) -> bool:
    """Log the record once there is one; whether there is nothing more to tell.

    Raises:
        ReaderDegenerate: it is known that the reader does not read, so no model need be loaded.
    """
    if not is_due(context.config):
        return True
    found = stored_check(context.config, context.storage, context.epoch)
    if found is None:
        return False
    for line in set_lines(found):
        log.info("extractions: %s", line)
    for line in warning_lines(found):
        log.warning("extractions: %s", line)
    refuse_degenerate(context.config, found)
    return True


def new_tallies(config: RunConfig) -> GroupTallies | None:
    """What an actor counts its answers with; None where the reader is not checked."""
    if not is_due(config):
        return None
    return GroupTallies(config.extraction.subjective_from, examples(config))


def new_watch(config: RunConfig) -> Watch:
    """What the driver adds these counts up with."""
    return Watch(tolerated(config, WATCH))


def health_details(context: StageContext, watch: Watch) -> dict[str, Any]:
    """What the manifest says of the health of the reader; nothing where it is not checked."""
    if not is_due(context.config):
        return {}
    found = stored_check(context.config, context.storage, context.epoch)
    return {"reader_check": found, "reader_watch": watch.found()}


def _read(storage: Storage, places: tuple[str, str]) -> dict[str, Any] | None:
    for path in places:
        try:
            return json.loads(storage.read(path))
        except FileNotFoundError:
            continue
    return None


def _wait(
    storage: Storage, there: Callable[[], _There | None], claim: str, wait_s: float
) -> _There | None:
    """Wait for what the reading actor writes; None if it takes too long, or has died."""
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        found = there()
        if found is not None or _has_died(storage.read(claim)):
            return found
        time.sleep(POLL_S)
    return None


def _me() -> bytes:
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()


def _has_died(claim: bytes) -> bool:
    """Whether the actor behind a claim is gone. Of other hosts this is not known."""
    holder = json.loads(claim)
    if holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(holder["pid"], 0)  # sends nothing
    except ProcessLookupError:
        return True
    except PermissionError:  # alive, and another account's
        pass
    return False


def _places(config: RunConfig, epoch: int) -> tuple[str, str]:
    """Where the record lies if it holds for all runs, and if it holds for this run only."""
    own = config.execution.labelled
    key = content_key(
        {
            "extractor": extractor_key(config),
            "labelled": own_digest(own) if own else None,
            "max_error_share": config.extraction.max_error_share,
            "code": code_digest("extraction.calibration.checking"),
        }
    )
    return f"{FOLDER}/{key}.json", f"{FOLDER}/{key}-e{epoch:08d}.json"
