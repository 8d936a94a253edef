"""Render a planted truth as text, from templates with alternatives and slots, per language.

In a template `[a|b]` means either wording (all variants are expanded when the file is loaded), and
`{slot}` is a filling drawn once per conversation; `{Slot}` is the same, capitalised. A value is
either shown by behaviour or stated explicitly. Every value of the truth is one sentence, in a
random turn of its speaker.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice
from random import Random
from typing import Any, TypeVar

from vitw_ray.evaluation.planted_truth import TEXTS, Choice, Truth

T = TypeVar("T")
Templates = tuple[str, ...]

_ALTERNATIVES = re.compile(r"\[([^\[\]]*)\]")
_TURNS = Choice(
    ((1, 0.45), (2, 0.30), (3, 0.16), (4, 0.05), (5, 0.03), (6, 0.01))
)  # ours: 2-12 messages
_GREETING_SHARE, _CLOSING_SHARE, _ASIDE_SHARE = 0.3, 0.2, 0.1  # ours
_ASIDE_SHARE_OF_FACTS = 0.6  # ours: otherwise short questions would often be identical
_FIRST_TURN_SHARE = 0.7  # ours: user values in the first turn; the others are in the second
_VALUE_FIRST_SHARE = 0.3  # ours: a value comes before the request instead of after it
_PARAGRAPHS_SHARE = 0.25  # ours: answers divided into paragraphs


@dataclass(frozen=True, slots=True)
class TopicWords:
    """Templates of one topic; `facts` are pairs (question, answer), one per turn."""

    slots: Mapping[str, Templates]
    asks: Mapping[str, Templates]
    answers: Templates
    follow_ups: Templates
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ValueWords:
    """Sentences that show a value or state it, and noun phrases for it in the other's replies."""

    shown: Templates
    said: Templates
    gists: Templates = ()


@dataclass(frozen=True, slots=True)
class Wording:
    """All templates of one language."""

    greetings: Templates
    closings: Templates
    asides: Templates
    answers: Templates  # for any topic
    follow_ups: Templates  # for any topic
    stances: Mapping[str, Templates]
    topics: Mapping[str, TopicWords]
    ai_values: Mapping[str, ValueWords]
    human_values: Mapping[str, ValueWords]


def spelled_out(templates: Sequence[str]) -> Templates:
    """All variants of templates with `[a|b]` alternatives, in order."""
    variants: list[str] = []
    for template in templates:
        found = _ALTERNATIVES.search(template)
        if found is None:
            variants.append(template)
            continue
        head, tail = template[: found.start()], template[found.end() :]
        variants += spelled_out([head + choice + tail for choice in found[1].split("|")])
    return tuple(variants)


@lru_cache
def wording(language: str) -> Wording:
    """Read the templates of `language` from its file in planted_texts."""
    raw = json.loads((TEXTS / f"{language}.json").read_text(encoding="utf-8"))

    def topic(words: dict[str, Any]) -> TopicWords:
        return TopicWords(
            slots={slot: tuple(fillings) for slot, fillings in words["slots"].items()},
            asks={task: spelled_out(asks) for task, asks in words["asks"].items()},
            answers=spelled_out(words["answers"]),
            follow_ups=spelled_out(words["follow_ups"]),
            facts=tuple((question, answer) for question, answer in words.get("facts", ())),
        )

    def values(labels: dict[str, Any]) -> dict[str, ValueWords]:
        return {
            label: ValueWords(
                spelled_out(v["shown"]), spelled_out(v["said"]), tuple(v.get("gist", ()))
            )
            for label, v in labels.items()
        }

    return Wording(
        greetings=spelled_out(raw["greetings"]),
        closings=spelled_out(raw["closings"]),
        asides=spelled_out(raw["asides"]),
        answers=spelled_out(raw["answers"]),
        follow_ups=spelled_out(raw["follow_ups"]),
        stances={kind: spelled_out(sentences) for kind, sentences in raw["stances"].items()},
        topics={name: topic(words) for name, words in raw["topics"].items()},
        ai_values=values(raw["ai_values"]),
        human_values=values(raw["human_values"]),
    )


def render(truth: Truth, words: Wording, rng: Random) -> list[dict[str, str]]:
    """Render the messages: user and assistant alternate, and the assistant is last."""
    r = rng.random
    topic = words.topics[truth.topic]
    fill = _fillings(topic, r)
    turns = _TURNS.draw(r())
    brought, stance, stance_turn = _user_values(truth, words, fill, turns, r)
    shown: list[Templates] = [()] * turns
    for label, explicit in truth.ai_values:
        value = words.ai_values[label]
        shown[int(r() * turns)] += (_pick(value.said if explicit else value.shown, r),)
    facts = _turned(topic.facts, (), r)
    shared = ((), ()) if topic.facts else (words.follow_ups, words.answers)
    follow_ups = _turned(topic.follow_ups, shared[0], r)
    answers = _turned(topic.answers, shared[1], r)
    ask = _pick(topic.asks[truth.task], r)
    messages = []
    for turn in range(turns):
        if topic.facts:
            question, answer = next(facts)
            _fill_in(fill, "q", question)
            _fill_in(fill, "a", answer)
        user = (next(follow_ups) if turn else ask, *brought[turn])
        if r() < _VALUE_FIRST_SHARE:
            user = user[::-1]
        if turn == 0:
            user = _with_manners(user, topic, words, r)
        count = 1 if topic.facts or r() < 0.5 else 2
        assistant = tuple(islice(answers, count))
        assistant = assistant + shown[turn] if r() < 0.5 else shown[turn] + assistant
        if turn == stance_turn:
            assistant = (stance, *assistant)
        break_ = "\n\n" if r() < _PARAGRAPHS_SHARE else " "
        messages.append({"role": "user", "content": _say(" ".join(user), fill)})
        messages.append({"role": "assistant", "content": _say(break_.join(assistant), fill)})
    return messages


def _user_values(
    truth: Truth, words: Wording, fill: dict[str, str], turns: int, r: Callable[[], float]
) -> tuple[list[Templates], str, int]:
    """The user's value sentences by turn, the assistant's response to them, and its turn."""
    brought: list[Templates] = [()] * turns
    stance, stance_turn = "", turns
    for label, explicit in truth.human_values:
        turn = int(turns > 1 and r() >= _FIRST_TURN_SHARE)
        value = words.human_values[label]
        brought[turn] += (_pick(value.said if explicit else value.shown, r),)
        if turn < stance_turn and truth.response_type is not None:
            stance_turn, stance = turn, _pick(words.stances[truth.response_type], r)
            _fill_in(fill, "gist", _pick(value.gists, r))
    return brought, stance, stance_turn


def _with_manners(
    user: Templates, topic: TopicWords, words: Wording, r: Callable[[], float]
) -> Templates:
    """Add a greeting, an aside or a closing with some probability."""
    if r() < (_ASIDE_SHARE_OF_FACTS if topic.facts else _ASIDE_SHARE):
        user = (*user, _pick(words.asides, r))
    if r() < _GREETING_SHARE:
        user = (_pick(words.greetings, r), *user)
    if r() < _CLOSING_SHARE:
        user = (*user, _pick(words.closings, r))
    return user


def _fillings(topic: TopicWords, r: Callable[[], float]) -> dict[str, str]:
    """One filling for every slot; a filling may use earlier slots."""
    minute = int(r() * 1440)
    fill = {
        "n": str(3 + int(r() * 38)),
        "m": str(41 + int(r() * 900)),
        "time": f"{minute // 60}:{minute % 60:02d}",
    }
    for slot, fillings in topic.slots.items():
        _fill_in(fill, slot, _say(_pick(fillings, r), fill))
    return fill


def _fill_in(fill: dict[str, str], slot: str, text: str) -> None:
    fill[slot] = text
    fill[slot.capitalize()] = text[0].upper() + text[1:]


def _say(text: str, fill: Mapping[str, str]) -> str:
    return text.format_map(fill) if "{" in text else text


def _pick(templates: Templates, r: Callable[[], float]) -> str:
    return templates[int(r() * len(templates))]


def _turned(own: tuple[T, ...], shared: tuple[T, ...], r: Callable[[], float]) -> Iterator[T]:
    """Cycle through `own`, then `shared`, each from a random start; cheaper than a shuffle."""
    a, b = int(r() * len(own)), int(r() * len(shared))
    return cycle(own[a:] + own[:a] + shared[b:] + shared[:b])
