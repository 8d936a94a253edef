"""Whether a reader reads: it reads the calibration set first, and the run knows how well.

One actor reads the set and writes the record; the others wait for it. The record is kept beside the
answers, under a key of all that decides it, so each reader is checked once. A record with too many
errors holds for this run only: a server that was down says nothing about its model.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.errors import ReaderDegenerate
from vitw_ray.extraction.answers import Extracted, Extractor, in_order
from vitw_ray.extraction.calibration.labelled import (
    Labelled,
    calibration_set,
    own_digest,
    own_labelled,
)
from vitw_ray.extraction.calibration.scores import (
    Matching,
    commonest,
    lexicon_scores,
    matching_here,
    score,
)
from vitw_ray.extraction.extractors import extractor_key
from vitw_ray.extraction.questions import questions_for
from vitw_ray.extraction.signs import CHECK, Sign, chance, examples_in, signs_of, tally
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.keys import content_key
from vitw_ray.paper import SUBJECTIVE_FROM
from vitw_ray.reader_check import sign_line, stopping
from vitw_ray.source_code import code_digest
from vitw_ray.storage import PRIVATE, Storage

FOLDER = f"{PRIVATE}/reader-checks"
WAIT_S = 600.0  # ours: longer than 64 conversations take; then an actor reads them itself
POLL_S = 0.5  # ours: short against the time to load a model


def is_due(config: RunConfig) -> bool:
    """Whether the reader of a run is checked."""
    has_model = EXTRACTORS[config.extraction.extractor].has_model
    return has_model and config.execution.reader_check != "off"


def read_calibration_set(extractor: Extractor, labelled: Sequence[Labelled]) -> list[Extracted]:
    """What a reader finds in labelled conversations, in their order."""
    return in_order(extractor, [one.conversation for one in labelled])


def stored_check(config: RunConfig, storage: Storage, epoch: int) -> dict[str, Any] | None:
    """The record of a run's reader, if there is one.

    Raises:
        InputError: `--labelled` names a file that cannot be read.
    """
    for path in _places(config, epoch):
        try:
            return json.loads(storage.read(path))
        except FileNotFoundError:
            continue
    return None


def check_reader(
    config: RunConfig,
    storage: Storage,
    extractor: Extractor,
    epoch: int,
    wait_s: float = WAIT_S,
) -> None:
    """See that there is a record, and what it says. Called by each actor before its first unit.

    Raises:
        ReaderDegenerate: the reader does not read, and the run stops for that.
    """
    if not is_due(config):
        return
    found = stored_check(config, storage, epoch)
    if found is None and not storage.create(f"{_places(config, epoch)[1]}.claim", b""):
        found = _wait(config, storage, epoch, wait_s)
    if found is None:
        found = make_check(config, extractor)
        lasting, of_this_run = _places(config, epoch)
        failed = any(sign["name"] == "errors" for sign in found["signs"])
        # The first record stands, should two actors have made one.
        storage.create(of_this_run if failed else lasting, json.dumps(found, indent=1).encode())
        found = stored_check(config, storage, epoch) or found
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


def make_check(
    config: RunConfig, extractor: Extractor, matching: Matching | None = None
) -> dict[str, Any]:
    """Have the labelled conversations read, and score them."""
    matching = matching or matching_here()
    sets = {"calibration": calibration_set()}
    if config.execution.labelled:
        sets["labelled"] = own_labelled(config.execution.labelled)
    found = read_calibration_set(extractor, [one for labelled in sets.values() for one in labelled])
    scored, start = [], 0
    for name, labelled in sets.items():
        mine = found[start : start + len(labelled)]
        start += len(labelled)
        scored.append(
            {
                "name": name,
                "conversations": len(labelled),
                "errors": sum(one.error is not None for one in mine),
                "scores": _beside(config, name, labelled, mine, matching),
            }
        )
    signs = _signs(config, sets["calibration"], found)
    if all(sign.name != "errors" for sign in signs):  # kappa counts errors as wrong answers
        signs += chance(scored[0]["scores"])
    return {"matching": matching, "sets": scored, "signs": [asdict(sign) for sign in signs]}


def tolerated(config: RunConfig, shares: Mapping[str, float]) -> dict[str, float]:
    """The tolerated shares of `signs` for the settings of a run."""
    mine = {**shares, "errors": max(shares["errors"], config.extraction.max_error_share)}
    if config.extraction.explicit_only:
        del mine["empty_lists"]  # then an empty list is often right
    return mine


def examples(config: RunConfig) -> frozenset[str]:
    """The examples in the prompts of a run."""
    return examples_in(questions_for(config.extraction))


def _beside(
    config: RunConfig,
    name: str,
    labelled: Sequence[Labelled],
    found: Sequence[Extracted],
    matching: Matching,
) -> list[dict[str, Any]]:
    """Scores of the reader, of always the commonest answer, and of the lexicon where known."""
    gate = config.extraction.subjective_from
    constant = score(labelled, commonest(labelled), gate, matching)
    known = name == "calibration" and gate == SUBJECTIVE_FROM
    lexicon = lexicon_scores()[matching] if known else {}
    return [
        one | {"commonest": other["value"], "lexicon": lexicon.get(one["facet"])}
        for one, other in zip(score(labelled, found, gate, matching), constant, strict=True)
    ]


def _signs(
    config: RunConfig, labelled: Sequence[Labelled], found: Sequence[Extracted]
) -> list[Sign]:
    """Signs over all answers, and those that one language alone shows."""
    gate, copied, limits = (
        config.extraction.subjective_from,
        examples(config),
        tolerated(config, CHECK),
    )
    pairs = list(zip(labelled, found, strict=False))
    signs = signs_of(tally([one for _, one in pairs], gate, copied), limits)
    everywhere = {(sign.name, sign.facet) for sign in signs}
    for language in sorted({one.language for one, _ in pairs if one.language}):
        mine = [one for of, one in pairs if of.language == language]
        signs += [
            sign
            for sign in signs_of(tally(mine, gate, copied), limits, language)
            if (sign.name, sign.facet) not in everywhere
        ]
    return signs


def _wait(config: RunConfig, storage: Storage, epoch: int, wait_s: float) -> dict[str, Any] | None:
    """Wait for the record of the actor that reads; None if it takes too long."""
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        found = stored_check(config, storage, epoch)
        if found is not None:
            return found
        time.sleep(POLL_S)
    return None


def _places(config: RunConfig, epoch: int) -> tuple[str, str]:
    """Where the record lies if it holds for all runs, and if it holds for this run only."""
    own = config.execution.labelled
    key = content_key(
        {
            "extractor": extractor_key(config),
            "labelled": own_digest(own) if own else None,
            "max_error_share": config.extraction.max_error_share,
            "code": code_digest("extraction.health"),
        }
    )
    return f"{FOLDER}/{key}.json", f"{FOLDER}/{key}-e{epoch:08d}.json"
