"""The reading of labelled conversations, and the fit of closed answers to them.

A reader's calibration is stored once and never changed: all its answers are read with it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from vitw_ray.errors import StageFailed
from vitw_ray.extraction.answers import Answer, Extracted, Extractor, in_order
from vitw_ray.extraction.calibration.labelled import Labelled
from vitw_ray.extraction.closed import Calibration, Logprobs, calibrate, held_out
from vitw_ray.extraction.model_extractor import ModelExtractor
from vitw_ray.facets import ResponseType
from vitw_ray.storage import PRIVATE, Storage

FEWEST = 32  # ours: half of the calibration set; with fewer answers a fit is guesswork


@dataclass(frozen=True)
class Read:
    """What a reader found in labelled conversations, and the calibration that follows from it."""

    found: list[Extracted]
    calibration: Calibration | None


def needs_calibration(extractor: Extractor) -> bool:
    """Whether a reader is asked closed questions."""
    return isinstance(extractor, ModelExtractor) and bool(extractor.questions.closed)


def calibration_path(extractor_key: str) -> str:
    """Where the calibration of a reader is stored."""
    return f"{PRIVATE}/calibrations/{extractor_key}.json"


def stored_calibration(storage: Storage, extractor_key: str) -> Calibration | None:
    """The calibration of a reader, if it has been fitted."""
    try:
        return Calibration.of_json(json.loads(storage.read(calibration_path(extractor_key))))
    except FileNotFoundError:
        return None


def store_calibration(
    storage: Storage, extractor_key: str, calibration: Calibration
) -> Calibration:
    """Store a calibration, unless there is one; the one that is stored."""
    content = json.dumps(calibration.as_json(), indent=1).encode()
    storage.create(calibration_path(extractor_key), content)
    return stored_calibration(storage, extractor_key) or calibration


def read_calibration_set(
    extractor: Extractor,
    labelled: Sequence[Labelled],
    gate: int,
    fitted_to: int,
    stored: Calibration | None = None,
) -> Read:
    """Have a reader read labelled conversations.

    Closed answers are read with a calibration that has not seen the conversation, so that the
    scores are those of new conversations.

    Args:
        extractor: the reader.
        labelled: the conversations.
        gate: lowest level of subjectivity at which all questions are asked.
        fitted_to: the calibration is fitted to this many of them, from the first on.
        stored: the calibration of this reader, if it has been fitted before.

    Raises:
        StageFailed: too few conversations were answered for a fit.
    """
    conversations = [one.conversation for one in labelled]
    if not isinstance(extractor, ModelExtractor) or not extractor.questions.closed:
        return Read(in_order(extractor, conversations), None)
    pairs = extractor.read_labelled(conversations)
    known = [n for n in range(min(fitted_to, len(pairs))) if pairs[n][1]]
    if len(known) < min(FEWEST, fitted_to):
        raise StageFailed(
            f"the reader answered {len(known)} of the {fitted_to} conversations of the calibration"
            " set",
            "see the engine's or the server's log; a rerun asks again",
        )
    rows = [pairs[n][1] for n in known]
    levels = [labelled[n].answer.subjectivity for n in known]
    responses: list[ResponseType | None] = [labelled[n].answer.response_type for n in known]
    fitted = stored or calibrate(rows, levels, responses)
    unseen = dict(zip(known, held_out(rows, levels, responses), strict=True))
    found = [
        _calibrated(extracted, logprobs, unseen.get(n, fitted), gate)
        for n, (extracted, logprobs) in enumerate(pairs)
    ]
    return Read(found, fitted)


def _calibrated(
    extracted: Extracted, logprobs: Logprobs, calibration: Calibration, gate: int
) -> Extracted:
    """The answer that a run would have: with calibrated closed answers, and cut at the gate."""
    if extracted.answer is None or not logprobs:
        return extracted
    level, confidence = calibration.level(logprobs, gate)
    answer = Answer(subjectivity=level)
    if level >= gate:
        response = calibration.response_type(logprobs)
        answer = extracted.answer.model_copy(
            update={"subjectivity": level, "response_type": response}
        )
    return Extracted(answer, None, confidence=confidence)
