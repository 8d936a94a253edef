"""The kind of conversation: an interview or not, the task, and how harmful the request is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from vitw_ray.extraction.lexicon.evidence import Turn
from vitw_ray.extraction.lexicon.vocabulary import TaskEntry, TaskKind, Vocabulary
from vitw_ray.inference.embedder import Embedder, embed_unique

REQUEST_CHARS = 100  # ours: about 20 word pieces; what is embedded decides the speed
REPLY_CHARS = 60  # ours: the start of a reply shows its manner
HARM_CUES = frozenset({"violence", "crime", "deceit", "spying", "hate", "hatejoke", "selfharm"})
SPEECH_KINDS: tuple[TaskKind, ...] = ("opinion", "chat", "advice")
_TEMPERATURE = 0.03  # ours: weights of cosines that differ by this much are about 3 : 1
_GREETING_WORDS = 4  # a shorter first message is a greeting; the request is the next one


@dataclass(frozen=True)
class Situation:
    """How well each task of the catalogue fits, and what is derived from that."""

    interview: bool  # the assistant interviews the user
    weights: np.ndarray  # shape (tasks,), sums to 1
    tasks: tuple[TaskEntry, ...]
    harm_turns: int  # user turns with a harm cue
    harm_margin: float  # cosine with the nearest harmful task minus that with the nearest other
    request_row: np.ndarray  # unit vectors, shape (dim,)
    reply_row: np.ndarray

    @property
    def task(self) -> TaskEntry:
        """The task that fits best."""
        return self.tasks[int(self.weights.argmax())]

    @cached_property
    def kinds(self) -> dict[TaskKind, float]:
        """Weight (0-1) of each kind of task."""
        sums: dict[TaskKind, float] = {}
        for task, weight in zip(self.tasks, self.weights.tolist(), strict=True):
            sums[task.kind] = sums.get(task.kind, 0.0) + weight
        return sums

    @cached_property
    def harm(self) -> float:
        """Probability (0-1) of a harmful request, from the task, or from cues in free talk."""
        if self.interview:
            return 0.0
        talk = sum(self.kinds.get(kind, 0.0) for kind in SPEECH_KINDS)
        insistence = (0.0, 0.5, 0.8)[min(self.harm_turns, 2)]  # ours: one cue may be by chance
        return max(self.kinds.get("harm", 0.0), talk * insistence)

    @property
    def level(self) -> float:
        """Expected subjectivity (1-4) of the request."""
        return float(self.weights @ [task.subjectivity for task in self.tasks])


class Catalogue:
    """The embedded tasks, and their weights for a request."""

    def __init__(self, vocabulary: Vocabulary, embedder: Embedder) -> None:
        self._tasks = vocabulary.tasks
        # One conversation per batch: the last bits of a transformer depend on the whole batch.
        self._embed = lru_cache(maxsize=1024)(lambda *texts: embedder.encode(texts))
        self._names = embed_unique(embedder, [task.task for task in self._tasks])
        examples = [(i, text) for i, task in enumerate(self._tasks) for text in task.requests]
        self._examples = embed_unique(embedder, [text for _, text in examples])
        self._owner = np.array([i for i, _ in examples])
        self._interview = np.array([task.kind == "interview" for task in self._tasks])
        self._harm = np.array([task.kind == "harm" for task in self._tasks])
        self._translation = np.array(["translate" in task.task for task in self._tasks])

    def situation(self, turns: Sequence[Turn]) -> Situation:
        """Compute the weights of the tasks from the user's request."""
        interview = is_interview(turns)
        request = request_text(turns, interview)
        row, reply_row = self._embed(request, reply_text(turns))
        example = np.full(len(self._tasks), -1.0, dtype=np.float32)
        np.maximum.at(example, self._owner, self._examples @ row)
        scores = (self._names @ row + example) / 2
        scores[self._interview != interview] = -np.inf
        if not request.isascii() and _latin_share(request) < 0.5:
            scores[self._translation] = -np.inf  # every request in another script resembles these
        weights = np.exp((scores - scores.max()) / _TEMPERATURE)
        harm_turns = sum(
            turn.speaker == "user" and not HARM_CUES.isdisjoint(turn.cues) for turn in turns
        )
        margin = float(scores[self._harm].max() - scores[~self._harm].max())
        return Situation(
            interview,
            weights / weights.sum(),
            self._tasks,
            harm_turns,
            0.0 if interview else margin,
            row,
            reply_row,
        )


def is_interview(turns: Sequence[Turn]) -> bool:
    """Whether the assistant starts, has four turns or more, and ends most with a question."""
    own = [turn.asks for turn in turns if turn.speaker == "assistant"]
    return len(own) >= 4 and turns[0].speaker == "assistant" and sum(own) >= len(own) / 2


def request_text(turns: Sequence[Turn], interview: bool) -> str:
    """The start of the message that holds the request, or the answer of an interviewee."""
    own = [turn for turn in turns if turn.speaker == "user"]
    long_enough = 8 if interview else _GREETING_WORDS
    chosen = next(
        (turn for turn in own[: None if interview else 2] if turn.words >= long_enough), None
    )
    text = (chosen or own[0]).request if own else ""
    return _start(text, REQUEST_CHARS)


def reply_text(turns: Sequence[Turn]) -> str:
    """The start of the assistant's first message."""
    return next((_start(t.text, REPLY_CHARS) for t in turns if t.speaker == "assistant"), "")


def _start(text: str, most: int) -> str:
    return re.sub(r"\s+", " ", text[: 4 * most]).strip()[:most]


def _latin_share(text: str) -> float:
    letters = [character for character in text if character.isalpha()]
    return sum(letter < "\u0250" for letter in letters) / max(len(letters), 1)
