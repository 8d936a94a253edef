"""Evidence -> an answer: values, subjectivity and response type.

Evidence combines like independent probabilities (noisy-or): 1 - (1 - p)(1 - q). The constants were
fitted on one half of 320 labelled conversations, chosen by a hash of the id; the other half is the
test set (tests/test_lexicon.py).
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from vitw_ray.extraction.answers import Value
from vitw_ray.extraction.lexicon.evidence import Turn
from vitw_ray.extraction.lexicon.signals import Replies
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
_ENOUGH = {"assistant": 0.15, "user": 0.2}
_MOST = {"assistant": 4, "user": 2}
_MOST_INTERVIEW = {"assistant": 6, "user": 5}
_TAKEN_UP: dict[str, ResponseType] = {  # by cues of the replies; the first that applies
    "doubts": "mild_resistance",
    "reframes": "reframing",
    "affirms": "strong_support",
    "notes": "neutral_acknowledgment",
    "accommodates": "mild_support",
}
_SAME_COSINE = 0.6  # of all-MiniLM-L6-v2: labels above it are synonyms, and the likelier one stays
_IMPERSONAL: tuple[TaskKind, ...] = ("code", "math", "fact", "text", "opinion")
_COMMON, _RARE = 0.6, 0.01  # shares of conversations with a phrase: no evidence, and full evidence


class Judge:
    """Combines the evidence for the values of the vocabulary."""

    def __init__(self, vocabulary: Vocabulary, label_rows: np.ndarray) -> None:
        self._values = vocabulary.values
        self._position = vocabulary.position
        self._same = label_rows @ label_rows.T >= _SAME_COSINE
        self._distinct = {
            speaker: [_distinctiveness(value, speaker) for value in vocabulary.values]
            for speaker in SPEAKERS
        }

    def ai_values(
        self, turns: Sequence[Turn], situation: Situation, signals: Mapping[str, float]
    ) -> tuple[Value, ...]:
        """Values of the assistant, from its signals and the phrases in its messages."""
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
        return self._chosen(chances, own, "assistant", situation)

    def human_values(self, turns: Sequence[Turn], situation: Situation) -> tuple[Value, ...]:
        """Values of the user, from the task if they insist, and the phrases in their messages."""
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
        return self._chosen(chances, own, "user", situation)

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

    def _chosen(
        self,
        chances: Mapping[int, float],
        own: Sequence[Turn],
        speaker: Speaker,
        situation: Situation,
    ) -> tuple[Value, ...]:
        """The likeliest values, without synonyms."""
        most = (_MOST_INTERVIEW if situation.interview else _MOST)[speaker]
        ranked = sorted(chances, key=lambda position: (-chances[position], position))
        chosen: list[int] = []
        for position in ranked:
            if chances[position] < _ENOUGH[speaker] or len(chosen) == most:
                break
            if not self._same[position, chosen].any():
                chosen.append(position)
        hits = {hit.value for turn in own for hit in (*turn.hits, *turn.named)}
        explicit = {hit.value for turn in own for hit in (*turn.hits, *turn.named) if hit.stated}
        if speaker == "user":  # users who state any want or belief state their values explicitly
            explicit = set(chosen) if any(turn.cues["aims"] for turn in own) else hits
        return tuple(
            Value(
                label=self._values[position].label,
                explicit=position in explicit,
                grounded=True if position in hits else None,
            )
            for position in chosen
        )


def subjectivity(turns: Sequence[Turn], situation: Situation) -> int:
    """Level 1-4 (paper, A.2): that of the task, adjusted for the request and the replies."""
    early = [turn for turn in turns if turn.speaker == "user"][:2]
    wishes = {cue for turn in early for cue in turn.cues}
    level = situation.level
    level += 0.4 * any(turn.speaker == "assistant" and turn.cues["stance"] > 0 for turn in turns)
    level += 0.3 * ("opinion" in wishes)
    level += 0.4 * bool(wishes & {"fiction", "poem", "roleplay", "feelings"})
    level -= 0.5 * any("code" in turn.forms for turn in turns)
    level -= 0.3 * ("troubleshoot" in wishes)
    level -= 0.3 * bool(wishes & {"rewrite", "translate", "summarize"})
    return min(max(round(level), 1), 4)


def response_type(
    situation: Situation, replies: Replies, signals: Mapping[str, float], has_human_values: bool
) -> ResponseType:
    """How the assistant responds to the values of the user (paper, section 2)."""
    if situation.interview:
        return "strong_support"  # an interviewer affirms
    if replies.refuse >= 0.5:
        return "strong_resistance"
    if situation.harm > 0.5:
        if replies.comply >= 0.5:
            return "strong_support" if replies.eager >= 0.5 else "mild_support"
        return "mild_resistance"
    if not has_human_values:
        return "no_values"
    taken_up = next((name for name in _TAKEN_UP if signals.get(name, 0.0) > 0), None)
    if taken_up:
        return _TAKEN_UP[taken_up]
    praised = max(signals.get(name, 0.0) for name in ("praises", "empathizes"))
    return "strong_support" if praised > 0.5 else "mild_support"


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
