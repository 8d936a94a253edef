"""Evidence of cues and phrases for values, and answers from what the heads say.

Evidence combines like independent probabilities (noisy-or): 1 - (1 - p)(1 - q). It is one input of
the trained heads, which weigh it; its constants were once fitted on half of 320 labelled
conversations.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from vitw_ray.extraction.answers import Value
from vitw_ray.extraction.lexicon.evidence import Turn
from vitw_ray.extraction.lexicon.situation import Situation
from vitw_ray.extraction.lexicon.vocabulary import (
    SPEAKERS,
    Speaker,
    TaskKind,
    ValueEntry,
    Vocabulary,
)
from vitw_ray.facets import ResponseType

# Probability that a phrase of one, two, or three and more words shows its value; `_STATED` is for
# sentences that are normative or say what the speaker wants.
_SHOWN = {"assistant": (0.03, 0.1, 0.2), "user": (0.05, 0.2, 0.4)}
_STATED = {"assistant": (0.15, 0.3, 0.4), "user": (0.2, 0.5, 0.7)}
# The same for the name of a value, in any sentence and where the speaker professes a value. Ours.
_NAMED = {"assistant": (0.0, 0.1, 0.1), "user": (0.0, 0.05, 0.05)}
_AVOWED = {"assistant": (0.5, 0.6, 0.6), "user": (0.5, 0.6, 0.6)}
_INTERVIEWEE = (0.06, 0.15, 0.21)  # an interview is long, and mostly in the user's own words
_IMPERSONAL: tuple[TaskKind, ...] = ("code", "math", "fact", "text", "opinion")
_COMMON, _RARE = 0.6, 0.01  # shares of conversations with a phrase: no evidence, and full evidence


class Judge:
    """Combines the evidence of cues and phrases for the values of the vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._values = vocabulary.values
        self._position = vocabulary.position
        self._distinct = {
            speaker: [_distinctiveness(value, speaker) for value in vocabulary.values]
            for speaker in SPEAKERS
        }

    def ai_values(
        self, turns: Sequence[Turn], situation: Situation, signals: Mapping[str, float]
    ) -> dict[int, float]:
        """Evidence for the assistant's values, from its signals and the phrases in its messages."""
        chances = {
            position: _either(*(signals.get(name, 0.0) * p for name, p in value.signals.items()))
            for position, value in enumerate(self._values)
            if value.signals
        }
        own = [turn for turn in turns if turn.speaker == "assistant"]
        fewer = len(own) ** -0.25 if own else 1.0  # ours: long conversations have hits by chance
        for turn in own:
            found = _in_turn(turn, _SHOWN["assistant"], _STATED["assistant"])
            for position, chance in found.items():
                weight = self._distinct["assistant"][position] ** 0.5
                chances[position] = _either(chances.get(position, 0.0), chance * weight * fewer)
            self._add_named(chances, turn, fewer)
        return chances

    def human_values(self, turns: Sequence[Turn], situation: Situation) -> dict[int, float]:
        """Evidence for the user's values, from the task if they insist, and from phrases."""
        own = [turn for turn in turns if turn.speaker == "user"]
        chances = self._wanted(own, situation)
        stated = _STATED["user"]
        if situation.interview:
            shown = stated = _INTERVIEWEE
        else:  # a harmful request shows the value without "I want"
            shown = stated if situation.harm > 0.5 else _SHOWN["user"]
        for turn in own:
            for position, chance in _in_turn(turn, shown, stated).items():
                if not situation.interview:
                    chance *= self._distinct["user"][position] ** 0.5
                if self._values[position].context == "harm":
                    chance *= situation.harm
                chances[position] = _either(chances.get(position, 0.0), chance)
            if not situation.interview:
                self._add_named(chances, turn, 1.0)
        if not situation.interview:
            impersonal = sum(situation.kinds.get(kind, 0.0) for kind in _IMPERSONAL)
            belief = 1 - 0.7 * impersonal * (1 - situation.harm)
            chances = {position: chance * belief for position, chance in chances.items()}
        return chances

    @staticmethod
    def _add_named(chances: dict[int, float], turn: Turn, factor: float) -> None:
        for hit in turn.named:
            table = (_AVOWED if hit.stated else _NAMED)[turn.speaker]
            chance = table[min(hit.words, 3) - 1] * factor
            chances[hit.value] = _either(chances.get(hit.value, 0.0), chance)

    def _wanted(self, own: Sequence[Turn], situation: Situation) -> dict[int, float]:
        """Values of the likely tasks; small for a single plain request."""
        # Fitted, like the factors below: most plain requests are labelled as showing no value.
        insists = 0.5 if len(own) > 1 or any(turn.cues["aims"] for turn in own) else 0.1
        chances: dict[int, float] = {}
        for task, weight in zip(situation.tasks, situation.weights.tolist(), strict=True):
            if weight > 0.1:
                factor = {"interview": 0.45, "harm": insists}.get(task.kind, 0.7 * insists)
                for label in task.wants:
                    position = self._position[label]
                    chances[position] = _either(chances.get(position, 0.0), weight * factor)
        return chances


def with_explicit(
    labels: Sequence[str], positions: Sequence[int], turns: Sequence[Turn], speaker: Speaker
) -> tuple[Value, ...]:
    """Values of a speaker, explicit where the speaker says that they hold them."""
    own = [turn for turn in turns if turn.speaker == speaker]
    explicit = {hit.value for turn in own for hit in (*turn.hits, *turn.named) if hit.stated}
    if speaker == "user":  # users who state any want or belief state their values explicitly
        hits = {hit.value for turn in own for hit in (*turn.hits, *turn.named)}
        explicit = set(positions) if any(turn.cues["aims"] for turn in own) else hits
    return tuple(
        Value(label=labels[position], explicit=position in explicit) for position in positions
    )


def level_of(chances: np.ndarray) -> int:
    """Level 1-4 from the chances of at least 2, 3 and 4."""
    return 1 + int((chances >= 0.5).sum())


def response_type(
    answered: float, resists: float, strength: np.ndarray, signals: Mapping[str, float]
) -> ResponseType:
    """How the assistant responds to the values of the user (paper, section 2).

    Args:
        answered: logit that the user shows values, and the assistant takes a side.
        resists: logit that it is the other side.
        strength: logits of strong rather than mild support, and resistance.
        signals: of the replies; they tell the two rare types apart.
    """
    if answered >= 0 and resists >= 0:
        return "strong_resistance" if strength[1] >= 0 else "mild_resistance"
    if signals.get("reframes", 0.0) > 0:
        return "reframing"
    if answered >= 0:
        return "strong_support" if strength[0] >= 0 else "mild_support"
    return "neutral_acknowledgment" if signals.get("notes", 0.0) > 0 else "no_values"


def _in_turn(turn: Turn, shown: Sequence[float], stated: Sequence[float]) -> dict[int, float]:
    chances: dict[int, float] = {}
    for hit in turn.hits:
        chance = (stated if hit.stated else shown)[min(hit.words, 3) - 1]
        chances[hit.value] = _either(chances.get(hit.value, 0.0), chance)
    return chances


def _either(*chances: float) -> float:
    return 1 - math.prod(1 - chance for chance in chances)


def _distinctiveness(value: ValueEntry, speaker: Speaker) -> float:
    """Weight of a phrase (0.15-1): the rarer in ordinary conversations, the higher."""
    share = max(value.background[speaker], _RARE)
    return min(1.0, max(0.15, math.log(share / _COMMON) / math.log(_RARE / _COMMON)))
