"""Labelled conversations, measured: what the heads of the lexicon are trained on.

Two sources: a folder of conversations with labels (`conversations.jsonl.gz`, `models.jsonl.gz` and
`labels/gold_open.jsonl.gz`), and planted conversations of another seed than the sample's.
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vitw_ray.evaluation.planted import plant
from vitw_ray.evaluation.planted_truth import PlantedConfig
from vitw_ray.extraction.lexicon.evidence import Turn, read_turns
from vitw_ray.extraction.lexicon.features import Reading
from vitw_ray.extraction.lexicon.measured import Meter
from vitw_ray.extraction.lexicon.phrases import plain_words
from vitw_ray.extraction.lexicon.vocabulary import Vocabulary, vocabulary
from vitw_ray.inference.embedder import Embedder
from vitw_ray.inference.transcript import transcript
from vitw_ray.records import Message

PLANTED = PlantedConfig(conversations=320, seed=7)  # ours: as many as labelled real ones
PLANTED_WEIGHT = 0.75  # ours: synthetic text is narrower than real text
TRANSCRIPT_TOKENS = 4096  # ours: more than the extractor reads of most conversations
_NEAR = 0.8  # cosine of two requests above which they are near-duplicates
_MOST_WORDS = 3_000


@dataclass(frozen=True)
class Example:
    """A measured conversation and its labels."""

    reading: Reading
    signals: Mapping[str, float]
    truth: Mapping[str, Any]  # subjectivity, response_type, human_values, ai_values
    source: str  # spreads the folds; never a feature
    group: int  # examples of one group stay in one fold
    weight: float

    def labels(self, facet: str) -> list[str]:
        """The true labels of a facet."""
        return [value["label"] for value in self.truth[facet]]


@dataclass(frozen=True)
class _Raw:
    turns: list[Turn]
    truth: Mapping[str, Any]
    source: str
    prompt: str | None


def examples(folder: Path, embedder: Embedder) -> tuple[list[Example], dict[str, float]]:
    """All examples, and the rarity of the lexicon's words in their texts."""
    words = vocabulary()
    raw = [*_labelled(folder, words), *_planted(words)]
    rarity = rarity_of(words, [[turn.text for turn in one.turns] for one in raw])
    meter = Meter(words, rarity, embedder)
    found = []
    for one in raw:
        _, signals, reading = meter.measured(one.turns)
        weight = PLANTED_WEIGHT if one.source == "planted" else 1.0
        found.append(Example(reading, signals, one.truth, one.source, 0, weight))
    groups = _groups([one.reading.rows[0] for one in found], raw)
    return [replace(e, group=g) for e, g in zip(found, groups, strict=True)], rarity


def rarity_of(vocabulary: Vocabulary, texts: Sequence[Sequence[str]]) -> dict[str, float]:
    """Log of how rare a conversation with the word is, for words of the lexicon's own files."""
    own = {
        word
        for value in vocabulary.values
        for text in (value.label, value.description, *value.names, *value.assistant, *value.user)
        for word in plain_words(text)
    }
    own |= {
        word
        for task in vocabulary.tasks
        for text in (task.task, *task.requests)
        for word in plain_words(text)
    }
    found = Counter(
        word for one in texts for word in {w for text in one for w in plain_words(text)} & own
    )
    kept = sorted(word for word, _ in found.most_common(_MOST_WORDS) if found[word] > 1)
    return {word: round(float(np.log(len(texts) / found[word])), 2) for word in kept}


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def _turns(messages: Sequence[Mapping[str, str]], words: Vocabulary) -> list[Turn]:
    cast = tuple(Message(m["role"], m["content"]) for m in messages)  # pyright: ignore[reportArgumentType]
    return read_turns(transcript(cast, TRANSCRIPT_TOKENS).messages, words)


def _labelled(folder: Path, words: Vocabulary) -> Iterable[_Raw]:
    truth = {row["conversation_id"]: row for row in _rows(folder / "labels/gold_open.jsonl.gz")}
    for name in ("conversations.jsonl.gz", "models.jsonl.gz"):
        for row in _rows(folder / name):
            if row["conversation_id"] in truth:
                extra = row.get("labels") or {}
                prompt = extra.get("proposition") or row.get("prompt_id")
                turns = _turns(row["messages"], words)
                yield _Raw(turns, truth[row["conversation_id"]], row["source"], prompt)


def _planted(words: Vocabulary) -> Iterable[_Raw]:
    for conversation, truth in plant(PLANTED):
        yield _Raw(_turns(conversation["messages"], words), truth, "planted", truth["task"])


def _groups(requests: Sequence[np.ndarray], raw: Sequence[_Raw]) -> list[int]:
    """Join answers to one prompt, and near-duplicate requests; interviews all open alike."""
    rows = np.array(requests)
    near = rows @ rows.T >= _NEAR
    group = list(range(len(raw)))
    interview = [one.turns[0].speaker == "assistant" for one in raw]
    for i, one in enumerate(raw):
        for j in range(i):
            same = one.prompt is not None and one.prompt == raw[j].prompt
            if same or (near[i, j] and not interview[i] and not interview[j]):
                old, new = group[i], group[j]
                group = [new if g == old else g for g in group]
    return group
