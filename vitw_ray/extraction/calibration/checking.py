"""The check of a reader: it reads labelled conversations, and the record says how well.

The record has scores, shares and counts; no text of a conversation, and no label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.extraction.answers import Extracted, Extractor
from vitw_ray.extraction.calibration.fitting import read_calibration_set
from vitw_ray.extraction.calibration.labelled import Labelled, calibration_set, own_labelled
from vitw_ray.extraction.calibration.scores import (
    Matching,
    commonest,
    lexicon_scores,
    matching_here,
    score,
)
from vitw_ray.extraction.closed import Calibration
from vitw_ray.extraction.questions import questions_for
from vitw_ray.extraction.signs import CHECK, Sign, chance, examples_in, signs_of, tally
from vitw_ray.paper import SUBJECTIVE_FROM


def make_check(
    config: RunConfig,
    extractor: Extractor,
    matching: Matching | None = None,
    stored: Calibration | None = None,
) -> tuple[dict[str, Any], Calibration | None]:
    """Have the labelled conversations read, and score them.

    Returns:
        The record, and the calibration of a reader that is asked closed questions.
    """
    matching = matching or matching_here()
    sets = {"calibration": calibration_set()}
    if config.execution.labelled:
        sets["labelled"] = own_labelled(config.execution.labelled)
    read = read_calibration_set(
        extractor,
        [one for labelled in sets.values() for one in labelled],
        config.extraction.subjective_from,
        fitted_to=len(sets["calibration"]),
        stored=stored,
    )
    found = read.found
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
    record = {"matching": matching, "sets": scored, "signs": [asdict(sign) for sign in signs]}
    return record, read.calibration


def tolerated(config: RunConfig, shares: Mapping[str, float]) -> dict[str, float]:
    """The tolerated shares of `signs` for the settings of a run."""
    mine = {**shares, "errors": max(shares["errors"], config.extraction.max_error_share)}
    if config.extraction.explicit_only:
        del mine["empty_lists"]  # then an empty list is often right
    return mine


def examples(config: RunConfig) -> frozenset[str]:
    """The examples in the prompts of a run."""
    return examples_in(questions_for(config.extraction).all)


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
