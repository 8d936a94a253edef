"""Draw the truth of planted conversations, before any text is rendered.

Published rates are used where they are known, so a run over planted conversations should reproduce
the paper's numbers. Besides the rates, these effects are planted: values associated with tasks,
with a user's values and with response types; the same label on both sides (mirroring); one
assistant that prefers certain values. As a true null, response types do not depend on the
assistant.

`planted_texts/world.json` has topics, labels, weights and associations.
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

HOME_SHARE = 0.3  # ours: share of an account's conversations on its own topic; correlates them
OWN_VALUE_SHARE = 0.5  # ours: human values that belong to the topic
RESISTED_OWN_VALUE_SHARE = 0.9  # ours: the same for harmful requests (paper, 3.4: rule-breaking)
TOPIC_SHARE, MET_SHARE, FAVOUR_SHARE = 0.3, 0.15, 0.1  # ours: sources of an AI value
EXPLICIT_SHARE = 0.4  # ours: AI values stated explicitly; the others are shown
EXPLICIT_SHARE_WHEN = {  # values are ours; their order is the paper's (3.4, explicit-only analysis)
    "reframing": 0.5,
    "mild_resistance": 0.6,
    "strong_resistance": 0.6,
}
MOST_AI_VALUES, MOST_HUMAN_VALUES = 8, 5  # ours: limits that the texts of every language allow
OFTEN_EXPLICIT = {"intellectual honesty", "harm prevention", "epistemic humility"}  # paper, 3.4
FURTHER_STATED_SHARE = 0.7  # ours: further human values stated explicitly, if the first one is


@dataclass(frozen=True, kw_only=True)
class PlantedModel:
    """An assistant; `favours` are AI values that it shows more often than the others do."""

    name: str
    share: float
    favours: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlantedConfig:
    """The number of conversations, and the rates that they are drawn from."""

    conversations: int = 400
    """Size of the whole set; rows do not depend on it."""
    seed: int = 0
    """Random seed; every seed gives a different set."""
    subjective_share: float = 0.44
    """Share of levels 3 and 4 (paper, 1.1)."""
    response_rates: tuple[tuple[ResponseType, float], ...] = (
        ("strong_support", 0.282),
        ("mild_support", 0.145),
        ("neutral_acknowledgment", 0.096),
        ("reframing", 0.066),
        ("mild_resistance", 0.024),
        ("strong_resistance", 0.030),
        ("no_values", 0.357),
    )
    """Shares of subjective conversations (paper, 2)."""
    mirroring_rates: tuple[tuple[ResponseType, float], ...] = (
        ("strong_support", 0.201),
        ("mild_support", 0.201),
        ("neutral_acknowledgment", 0.08),
        ("reframing", 0.153),
        ("mild_resistance", 0.05),
        ("strong_resistance", 0.012),
    )
    """Shares with the same label on both sides (paper, 2; the two unpublished ones are ours)."""
    ai_value_counts: tuple[float, ...] = (0.014, 0.05, 0.13, 0.20, 0.23, 0.18, 0.12, 0.05, 0.026)
    """Subjective conversations with 0, 1, ... AI values; mean 4.0, none in 1.4 % (paper, 1.3)."""
    human_value_counts: tuple[float, ...] = (0.0, 0.25, 0.37, 0.24, 0.11, 0.03)
    """The same for human values, if there are any: mean 1.48 / 0.643 = 2.3 (paper, 1.3)."""
    stated_share: float = 0.451 / 0.643
    """Of those, share with an explicit value (paper, 1.3: found in 45.1 %, answered in 64.3 %)."""
    models: tuple[PlantedModel, ...] = (
        PlantedModel(name="heron-large", share=0.55),
        PlantedModel(name="heron-small", share=0.30),
        PlantedModel(
            name="osprey-1",
            share=0.15,
            favours=(  # as Opus compared with the Sonnets (paper, 3.5)
                "academic rigor",
                "emotional authenticity",
                "harm prevention",
                "ethical boundaries",
            ),
        ),
    )
    """Invented names; shares are ours, each large enough for comparisons."""
    languages: tuple[tuple[str, float], ...] = (("en", 0.94), ("es", 0.03), ("de", 0.03))
    """Ours: mostly English; the other languages have fewer topics and values."""
    conversations_per_account: int = 3
    """Mean (ours); the most active accounts have four times as many."""
    first_day: date = date(2025, 2, 18)
    """First day of the conversations (paper, 1.1)."""
    days: int = 7
    """Length of the period in days (paper, 1.1)."""

    def __post_init__(self) -> None:
        """Validate the fields."""
        if self.conversations < 1:
            raise ConfigError(f"--conversations is {self.conversations}", "give at least 1")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"--seed is {self.seed}", "give a number from 0 to 4294967295")
        for name, most in (
            ("ai_value_counts", MOST_AI_VALUES),
            ("human_value_counts", MOST_HUMAN_VALUES),
        ):
            if len(getattr(self, name)) > most + 1:
                raise ConfigError(f"{name} goes beyond {most} values", "shorten the list")


@dataclass(frozen=True, slots=True)
class Truth:
    """What a reader should find in one conversation; values are (label, explicit)."""

    topic: str
    task: str
    subjectivity: int
    human_values: tuple[tuple[str, bool], ...] = ()
    ai_values: tuple[tuple[str, bool], ...] = ()
    response_type: ResponseType | None = None


class Choice(Generic[T]):
    """Weighted items; `draw` maps a uniform number to one of them."""

    def __init__(self, weighted: Iterable[tuple[T, float]]) -> None:
        pairs = [(item, weight) for item, weight in weighted if weight > 0]
        self.items = tuple(item for item, _ in pairs)
        self._ends = tuple(accumulate(weight for _, weight in pairs))
        self._last = len(pairs) - 1

    def draw(self, uniform: float) -> T:
        """`uniform` is in [0, 1)."""
        return self.items[bisect_right(self._ends, uniform * self._ends[-1], 0, self._last)]


class World:
    """The tables of world.json, restricted to what the texts of one language cover.

    Args:
        tasks: Task phrases of every topic of the language.
        ai_values: AI value labels with texts in the language.
        human_values: Human value labels with texts in the language.
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
        # A conversation without AI values cannot mirror, so the rate of the others is higher.
        some = 1 - config.ai_value_counts[0]
        self.mirroring = {kind: rate / some for kind, rate in config.mirroring_rates}
        self.subjective_share, self.stated_share = config.subjective_share, config.stated_share


def draw_truth(world: World, model: str, taste: float, rng: Random) -> Truth:
    """Draw one conversation's truth.

    Args:
        world: Tables of the conversation's language.
        model: Name of the assistant.
        taste: The account's number in [0, 1), which selects its recurring topic.
        rng: Only `random()` is used: its sequence is the same in every Python version.
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
    """`first` and further labels up to `count`; each source in order is used with its share."""
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
