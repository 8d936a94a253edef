"""Closed answers from probabilities: how subjective a conversation is, and its response type.

The likeliest code of a closed question is biased: a small model gives one code to every
conversation. Its probability still orders conversations. Each decision therefore takes the log-odds
of a few short questions, standardises each and adds them up with equal weights, which so few
labelled conversations (`calibration/`) cannot better; a logistic curve, fitted to these
conversations once per reader, turns the sum into a probability.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitw_ray.facets import ResponseType

LEVELS = (1, 2, 3, 4)
LEVEL_CODES: Mapping[str, tuple[str, ...]] = {
    "rating": ("1", "2", "3", "4"),
    "kind": ("objective", "subjective"),
    "values": ("no", "yes"),
    "personal": ("no", "yes"),
}
"""Closed questions that decide the level, each with its codes. No two codes begin alike."""
RESPONSE_CODES: Mapping[str, tuple[str, ...]] = {
    "stance": ("A", "B", "C"),
    "resists": ("no", "yes"),
    "affirms": ("no", "yes"),
    "works": ("no", "yes"),
}
"""Closed questions that decide the response type, with the last one about the level."""
CODES = {**LEVEL_CODES, **RESPONSE_CODES}

PENALTY = 1.0  # inverse strength of the ridge penalty on the curve's slope: scikit-learn's default
FOLDS = 8  # ours: of decisions about conversations that the fit has seen

Logprobs = Mapping[str, Sequence[float]]
"""Of one conversation: for each closed question, the log-probabilities of its codes."""
Evidence = tuple[tuple[str, tuple[str, ...]], ...]
"""Questions, each with the codes that count for a yes."""


@dataclass(frozen=True)
class Decision:
    """A yes or no about the response type, and the types between which it decides."""

    evidence: Evidence
    yes: frozenset[ResponseType]
    no: frozenset[ResponseType]


def _types(*types: ResponseType) -> frozenset[ResponseType]:
    return frozenset(types)


_SUPPORT = _types("strong_support", "mild_support")
_AROUND = _types("neutral_acknowledgment", "no_values")
_RESIST = _types("reframing", "mild_resistance", "strong_resistance")
_AGAINST: Evidence = (("resists", ("yes",)), ("works", ("no",)))

RESPONSE_DECISIONS: Mapping[str, Decision] = {
    "resists": Decision((*_AGAINST, ("affirms", ("no",))), _RESIST, _SUPPORT | _AROUND),
    "supports": Decision((("works", ("yes",)), ("stance", ("A",))), _SUPPORT, _AROUND),
    "firmly": Decision(
        (*_AGAINST, ("stance", ("C",))),
        _types("strong_resistance"),
        _RESIST - {"strong_resistance"},
    ),
    "reframes": Decision((("resists", ("no",)),), _types("reframing"), _types("mild_resistance")),
    "warmly": Decision(
        (("affirms", ("yes",)), ("personal", ("yes",))),
        _types("strong_support"),
        _types("mild_support"),
    ),
    "notes": Decision(
        (("personal", ("yes",)),),
        _types("neutral_acknowledgment"),
        _types("no_values"),
    ),
}
"""The first two divide the types into three groups, the others divide the groups."""


def level_evidence(level: int) -> Evidence:
    """The evidence that a conversation reaches a level."""
    ratings = tuple(code for code in LEVEL_CODES["rating"] if int(code) >= level)
    return (
        ("rating", ratings),
        ("kind", ("subjective",)),
        ("values", ("yes",)),
        ("personal", ("yes",)),
    )


@dataclass(frozen=True)
class Curve:
    """The probability of a yes as a function of its evidence.

    Attributes:
        evidence: the questions.
        centre: mean log-odds of each over the labelled conversations.
        scale: their standard deviations.
        slope: of the log-odds of yes, per unit of the mean of the standardised evidence.
        offset: the log-odds of yes at the mean.
    """

    evidence: Evidence
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    slope: float
    offset: float

    def probability(self, logprobs: Logprobs) -> float:
        """The probability of a yes (0-1)."""
        odds = (_odds(logprobs, self.evidence) - np.array(self.centre)) / np.array(self.scale)
        return 1 / (1 + math.exp(-self.slope * float(odds.mean()) - self.offset))


def fit_curve(evidence: Evidence, rows: Sequence[Logprobs], truth: Sequence[bool]) -> Curve:
    """Fit a decision to labelled conversations.

    Where all of them have one answer, nothing can be learnt from the evidence: the curve is flat,
    at that answer. Where there are none, it is a no.
    """
    if not rows:
        return Curve(evidence, (0.0,) * len(evidence), (1.0,) * len(evidence), 0.0, -9.0)
    odds = np.stack([_odds(row, evidence) for row in rows])
    centre, scale = odds.mean(axis=0), odds.std(axis=0)
    scale[scale < 1e-6] = 1.0  # a question that is always answered alike tells nothing
    slope, offset = 0.0, 9.0 if truth[0] else -9.0
    if len(set(truth)) > 1:
        from sklearn.linear_model import LogisticRegression

        sums = ((odds - centre) / scale).mean(axis=1)
        model = LogisticRegression(C=PENALTY).fit(sums[:, None], truth)
        slope, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Curve(evidence, tuple(centre.tolist()), tuple(scale.tolist()), slope, offset)


def _odds(logprobs: Logprobs, evidence: Evidence) -> np.ndarray:
    return np.array([_log_odds(logprobs[name], CODES[name], yes) for name, yes in evidence])


def _log_odds(logprobs: Sequence[float], codes: Sequence[str], yes: Sequence[str]) -> float:
    sides = [[], []]
    for code, logprob in zip(codes, logprobs, strict=True):
        sides[code in yes].append(logprob)
    return float(np.logaddexp.reduce(sides[1]) - np.logaddexp.reduce(sides[0]))


@dataclass(frozen=True)
class Calibration:
    """How closed answers are read off probabilities, for one reader.

    Attributes:
        at_least: for each level above the first, the curve of "at least this level".
        response: the curves of `RESPONSE_DECISIONS`.
    """

    at_least: Mapping[int, Curve]
    response: Mapping[str, Curve]

    def level(self, logprobs: Logprobs, gate: int) -> tuple[int, float]:
        """The level of subjectivity, and the probability of its side of the gate."""
        reached = {level: curve.probability(logprobs) for level, curve in self.at_least.items()}
        subjective = reached.get(gate, 1.0)  # everything reaches level 1
        passed = 1 + sum(probability >= 0.5 for probability in reached.values())
        if subjective >= 0.5:
            return max(passed, gate), subjective
        return min(passed, gate - 1), 1 - subjective

    def response_type(self, logprobs: Logprobs) -> ResponseType:
        """The response type, one decision after the other."""

        def yes(decision: str) -> bool:
            return self.response[decision].probability(logprobs) >= 0.5

        return _response_type(yes)

    def as_json(self) -> dict[str, Any]:
        """In the form in which it is stored."""
        return {
            "at_least": {str(level): vars(curve) for level, curve in self.at_least.items()},
            "response": {name: vars(curve) for name, curve in self.response.items()},
        }

    @staticmethod
    def of_json(stored: Mapping[str, Any]) -> "Calibration":
        """Read what `as_json` wrote."""
        return Calibration(
            {int(level): _curve(curve) for level, curve in stored["at_least"].items()},
            {name: _curve(curve) for name, curve in stored["response"].items()},
        )


def _curve(stored: Mapping[str, Any]) -> Curve:
    evidence = tuple((name, tuple(codes)) for name, codes in stored["evidence"])
    return Curve(
        evidence,
        tuple(stored["centre"]),
        tuple(stored["scale"]),
        stored["slope"],
        stored["offset"],
    )


def _response_type(yes: Any) -> ResponseType:
    if yes("resists"):
        if yes("firmly"):
            return "strong_resistance"
        return "reframing" if yes("reframes") else "mild_resistance"
    if yes("supports"):
        return "strong_support" if yes("warmly") else "mild_support"
    return "neutral_acknowledgment" if yes("notes") else "no_values"


def calibrate(
    rows: Sequence[Logprobs],
    levels: Sequence[int],
    responses: Sequence[ResponseType | None],
) -> Calibration:
    """Fit all decisions about a reader's closed answers.

    Args:
        rows: log-probabilities of labelled conversations.
        levels: their levels.
        responses: their response types. Conversations without one, which are objective, say nothing
            about the others: the response type is asked past the gate alone.
    """
    response = {}
    for name, decision in RESPONSE_DECISIONS.items():
        among = [n for n, kind in enumerate(responses) if kind in decision.yes | decision.no]
        truth = [responses[n] in decision.yes for n in among]
        response[name] = fit_curve(decision.evidence, [rows[n] for n in among], truth)
    return Calibration(
        {
            n: fit_curve(level_evidence(n), rows, [level >= n for level in levels])
            for n in (2, 3, 4)
        },
        response,
    )


def held_out(
    rows: Sequence[Logprobs],
    levels: Sequence[int],
    responses: Sequence[ResponseType | None],
) -> list[Calibration]:
    """For each conversation, a calibration that has not seen it.

    Folds are drawn at random, with a fixed seed: in order, one fold may hold all of one kind.
    """
    fold_of = np.random.default_rng(0).permutation(len(rows)) % FOLDS
    found = []
    for fold in range(FOLDS):
        seen = [n for n in range(len(rows)) if fold_of[n] != fold] or list(range(len(rows)))
        found.append(
            calibrate(
                [rows[n] for n in seen],
                [levels[n] for n in seen],
                [responses[n] for n in seen],
            )
        )
    return [found[fold] for fold in fold_of]


# --- Without a calibration: as the model answers.


def plain_level(logprobs: Logprobs, gate: int) -> int:
    """The level that the answers themselves give, by the mean of the questions' probabilities."""
    chances = [
        1 / (1 + math.exp(-_log_odds(logprobs[name], CODES[name], yes)))
        for name, yes in level_evidence(gate)
        if gate > 1
    ]
    subjective = not chances or sum(chances) / len(chances) >= 0.5
    side = LEVELS[gate - 1 :] if subjective else LEVELS[: gate - 1]
    return max(side, key=lambda level: logprobs["rating"][level - 1])


def plain_response(logprobs: Logprobs) -> ResponseType:
    """The response type that the answers themselves give."""

    def yes(name: str) -> bool:
        evidence = RESPONSE_DECISIONS[name].evidence
        return float(_odds(logprobs, evidence).mean()) >= 0

    return _response_type(yes)
