"""What is true of a planted conversation: drawn here, before a word of it is written.

The rates are the published ones where they are known, so that a run over planted conversations
should return the paper's numbers. What has to be found again beyond the rates: values that belong
to tasks, values that answer a user's value, values that go with a kind of response, one label on
both sides (mirroring), one model that prefers certain values, and, as a true null, response types
that do not depend on the model.

`planted_texts/world.json` holds topics, labels, weights and who goes with whom.
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, Generic, TypeVar

from vitw_ray.errors import ConfigError
from vitw_ray.facets import ResponseType

T = TypeVar("T")

TEXTS = Path(__file__).parent / "planted_texts"

HOME_SHARE = 0.3  # ours: conversations of an account on its own topic; makes accounts clusters
OWN_VALUE_SHARE = 0.5  # ours: human values that belong to the topic
RESISTED_OWN_VALUE_SHARE = 0.9  # ours: whoever asks for harm shows it (paper, 3.4: rule-breaking)
TOPIC_SHARE, MET_SHARE, FAVOUR_SHARE = 0.3, 0.15, 0.1  # ours: where an AI value comes from
EXPLICIT_SHARE = 0.4  # ours: AI values said outright; the rest is shown
EXPLICIT_SHARE_WHEN = {  # ours in size; the order is the paper's (3.4, explicit-only analysis)
    "reframing": 0.5,
    "mild_resistance": 0.6,
    "strong_resistance": 0.6,
}
MOST_AI_VALUES, MOST_HUMAN_VALUES = 8, 5  # ours: every language has words for as many
OFTEN_EXPLICIT = {"intellectual honesty", "harm prevention", "epistemic humility"}  # paper, 3.4
FURTHER_STATED_SHARE = 0.7  # ours: later human values said outright, when the first one is


@dataclass(frozen=True, kw_only=True)
class PlantedModel:
    """A model under study; `favours` are AI values that it shows more often than the others do."""

    name: str
    share: float
    favours: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlantedConfig:
    """How many conversations, and the rates that they are drawn from."""

    conversations: int = 400
    """Size of the whole set; a row does not depend on it."""
    seed: int = 0
    """Another seed is another set."""
    subjective_share: float = 0.44
    """Levels 3 and 4 (paper, 1.1)."""
    response_rates: tuple[tuple[ResponseType, float], ...] = (
        ("strong_support", 0.282),
        ("mild_support", 0.145),
        ("neutral_acknowledgment", 0.096),
        ("reframing", 0.066),
        ("mild_resistance", 0.024),
        ("strong_resistance", 0.030),
        ("no_values", 0.357),
    )
    """Of subjective conversations (paper, 2)."""
    mirroring_rates: tuple[tuple[ResponseType, float], ...] = (
        ("strong_support", 0.201),
        ("mild_support", 0.201),
        ("neutral_acknowledgment", 0.08),
        ("reframing", 0.153),
        ("mild_resistance", 0.05),
        ("strong_resistance", 0.012),
    )
    """Conversations with one label on both sides (paper, 2; the two unpublished ones are ours)."""
    ai_value_counts: tuple[float, ...] = (0.014, 0.05, 0.13, 0.20, 0.23, 0.18, 0.12, 0.05, 0.026)
    """Subjective conversations with 0, 1, ... AI values; mean 4.0, none in 1.4 % (paper, 1.3)."""
    human_value_counts: tuple[float, ...] = (0.0, 0.25, 0.37, 0.24, 0.11, 0.03)
    """As above, where the user brings values: 1.48 / 0.643 = 2.3 on average (paper, 1.3)."""
    stated_share: float = 0.451 / 0.643
    """Of those, with a value said outright (paper, 1.3: found in 45.1 %, answered in 64.3 %)."""
    models: tuple[PlantedModel, ...] = (
        PlantedModel(name="heron-large", share=0.55),
        PlantedModel(name="heron-small", share=0.30),
        PlantedModel(
            name="osprey-1",
            share=0.15,
            favours=(  # as Opus against the Sonnets (paper, 3.5)
                "academic rigor",
                "emotional authenticity",
                "harm prevention",
                "ethical boundaries",
            ),
        ),
    )
    """Invented names; shares are ours: each large enough to be compared."""
    languages: tuple[tuple[str, float], ...] = (("en", 0.94), ("es", 0.03), ("de", 0.03))
    """Ours: mostly English; the others with fewer topics and values."""
    conversations_per_account: int = 3
    """On average (ours); the most active accounts have four times as many."""
    first_day: date = date(2025, 2, 18)
    """Of the week in which the conversations take place (paper, 1.1)."""
    days: int = 7
    """Length of that time (paper, 1.1)."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, by the name of the field."""
        if self.conversations < 1:
            raise ConfigError(f"--conversations is {self.conversations}", "give at least 1")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"--seed is {self.seed}", "give a number from 0 to 4294967295")
        for name, most in (
            ("ai_value_counts", MOST_AI_VALUES),
            ("human_value_counts", MOST_HUMAN_VALUES),
        ):
            if len(getattr(self, name)) > most + 1:
                raise ConfigError(f"{name} goes beyond {most} values", "end the list there")


@dataclass(frozen=True, slots=True)
class Truth:
    """All that an extractor should find in one conversation; values are (label, explicit)."""

    topic: str
    task: str
    subjectivity: int
    human_values: tuple[tuple[str, bool], ...] = ()
    ai_values: tuple[tuple[str, bool], ...] = ()
    response_type: ResponseType | None = None


class Choice(Generic[T]):
    """Items with weights; `draw` turns a uniform number into one of them."""

    def __init__(self, weighted: Iterable[tuple[T, float]]) -> None:
        pairs = [(item, weight) for item, weight in weighted if weight > 0]
        self.items = tuple(item for item, _ in pairs)
        self._ends = tuple(accumulate(weight for _, weight in pairs))
        self._last = len(pairs) - 1

    def draw(self, uniform: float) -> T:
        """`uniform` is in [0, 1)."""
        return self.items[bisect_right(self._ends, uniform * self._ends[-1], 0, self._last)]


class World:
    """The tables of world.json, cut down to what one language has words for.

    Args:
        tasks: Task phrases of every topic that the language can talk about.
        ai_values: Labels that the language can express.
        human_values: As `ai_values`.
        config: The rates.
    """

    def __init__(
        self,
        tasks: Mapping[str, Collection[str]],
        ai_values: Collection[str],
        human_values: Collection[str],
        config: PlantedConfig,
    ) -> None:
        raw = json.loads((TEXTS / "world.json").read_text(encoding="utf-8"))
        topics: dict[str, dict[str, Any]] = {n: t for n, t in raw["topics"].items() if n in tasks}

        def spoken(labels: Collection[str], known: Collection[str]) -> tuple[str, ...]:
            return tuple(label for label in labels if label in known)

        self.tasks = {name: tuple(tasks[name]) for name in topics}
        self.level = {name: topic["level"] for name, topic in topics.items()}
        self.own_ai = {n: spoken(t.get("ai_values", ()), ai_values) for n, t in topics.items()}
        self.own_human = {
            n: spoken(t.get("human_values", ()), human_values) for n, t in topics.items()
        }
        weights = {name: topic["weight"] for name, topic in topics.items()}
        resisted = {name for name, topic in topics.items() if topic.get("resisted")}
        self.objective = Choice((n, w) for n, w in weights.items() if self.level[n] < 3)
        self.resisted = Choice((n, weights[n]) for n in topics if n in resisted)
        self.subjective = Choice(
            (n, w) for n, w in weights.items() if self.level[n] >= 3 and n not in resisted
        )
        self.ai_values = Choice((v, w) for v, w in raw["ai_values"].items() if v in ai_values)
        people = {v: d for v, d in raw["human_values"].items() if v in human_values}
        self.human_values = Choice((v, d["weight"]) for v, d in people.items())
        self.mirrorable = Choice((v, d["weight"]) for v, d in people.items() if v in ai_values)
        self.met_with = {v: spoken(d.get("met_with", ()), ai_values) for v, d in people.items()}
        self.stance_ai = {
            kind: (stance["share"], spoken(stance["ai_values"], ai_values))
            for kind, stance in raw["stances"].items()
        }
        self.resisted_share = {k: s.get("resisted", 0.0) for k, s in raw["stances"].items()}
        self.favours = {m.name: spoken(m.favours, ai_values) for m in config.models}
        self.response_types: Choice[ResponseType] = Choice(config.response_rates)
        self.ai_count = Choice(enumerate(config.ai_value_counts))
        self.human_count = Choice(enumerate(config.human_value_counts))
        # A conversation without AI values cannot mirror: the others make up for it.
        some = 1 - config.ai_value_counts[0]
        self.mirroring = {kind: rate / some for kind, rate in config.mirroring_rates}
        self.subjective_share, self.stated_share = config.subjective_share, config.stated_share


def draw_truth(world: World, model: str, taste: float, rng: Random) -> Truth:
    """Draw one conversation's truth.

    Args:
        world: Tables of the conversation's language.
        model: Name of the one who answers.
        taste: The account's own number in [0, 1), which picks the topic that it returns to.
        rng: Only its `random()` is used: that sequence is the same in every Python version.
    """
    r = rng.random
    if r() >= world.subjective_share:
        topic = world.objective.draw(r())
        return Truth(topic, _one_of(world.tasks[topic], r()), world.level[topic])
    kind = world.response_types.draw(r())
    resisted = r() < world.resisted_share.get(kind, 0.0)
    if resisted:
        topic = world.resisted.draw(r())
    else:
        topic = world.subjective.draw(taste if r() < HOME_SHARE else r())
    ai_count = world.ai_count.draw(r())
    mirrors = ai_count > 0 and r() < world.mirroring.get(kind, 0.0)
    human: list[str] = []
    if kind != "no_values":
        shared = [world.mirrorable.draw(r())] if mirrors else []
        own_share = RESISTED_OWN_VALUE_SHARE if resisted else OWN_VALUE_SHARE
        sources = [(own_share, world.own_human[topic])]
        human = _distinct(shared, world.human_count.draw(r()), sources, world.human_values, (), r)
    sources = [
        world.stance_ai.get(kind, (0.0, ())),
        (TOPIC_SHARE, world.own_ai[topic]),
        (MET_SHARE, [value for label in human for value in world.met_with[label]]),
        (FAVOUR_SHARE, world.favours[model]),
    ]
    ai = _distinct(human[:1] if mirrors else [], ai_count, sources, world.ai_values, human, r)
    share = EXPLICIT_SHARE_WHEN.get(kind, EXPLICIT_SHARE)
    said = [(v, r() < (2 * share if v in OFTEN_EXPLICIT else share)) for v in ai]
    stated = r() < world.stated_share
    brought = [(v, stated and (k == 0 or r() < FURTHER_STATED_SHARE)) for k, v in enumerate(human)]
    task = _one_of(world.tasks[topic], r())
    return Truth(topic, task, world.level[topic], tuple(brought), tuple(said), kind)


def _one_of(items: Sequence[str], uniform: float) -> str:
    return items[int(uniform * len(items))]


def _distinct(
    first: list[str],
    count: int,
    sources: Iterable[tuple[float, Sequence[str]]],
    otherwise: Choice[str],
    banned: Collection[str],
    r: Callable[[], float],
) -> list[str]:
    """`first`, and further labels up to `count`: each source is tried with its share, in order."""
    drawn = list(first)
    while len(drawn) < count:
        for share, labels in sources:
            if labels and r() < share:
                value = _one_of(labels, r())
                break
        else:
            value = otherwise.draw(r())
        if value not in drawn and value not in banned:
            drawn.append(value)
    return drawn
