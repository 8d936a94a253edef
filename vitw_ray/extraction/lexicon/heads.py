"""Heads: small linear models over the numbers and vectors of a conversation.

Their weights are in heads.json, made by `vitw_ray.evaluation.lexicon_training`. Reading needs only
numpy.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vitw_ray.extraction.lexicon.features import ROWS, Reading
from vitw_ray.extraction.lexicon.vocabulary import Speaker, Vocabulary
from vitw_ray.inference.embedder import Embedder, embed_unique

FILE = Path(__file__).with_name("heads.json")
SAME_COSINE = 0.6  # of all-MiniLM-L6-v2: labels above it are synonyms, and the likelier one stays


def chance(logits: np.ndarray) -> np.ndarray:
    """Logistic function."""
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))


@dataclass(frozen=True)
class Columns:
    """Turns a reading into one standardised row of numbers."""

    names: tuple[str, ...]
    mean: np.ndarray  # of the numbers
    scale: np.ndarray
    basis: np.ndarray  # shape (directions, dim): the main directions of the four vectors
    row_mean: np.ndarray  # shape (len(ROWS), directions)
    row_scale: np.ndarray  # shape (len(ROWS),)

    @property
    def all_names(self) -> list[str]:
        """Names of the columns: numbers, then the directions of each vector."""
        return [*self.names, *(f"{row} {n}" for row in ROWS for n in range(len(self.basis)))]

    def row(self, reading: Reading) -> np.ndarray:
        """Shape (columns,)."""
        numbers = np.array([reading.numbers.get(name, 0.0) for name in self.names])
        directions = (reading.rows @ self.basis.T - self.row_mean) / self.row_scale[:, None]
        return np.concatenate([(numbers - self.mean) / self.scale, directions.ravel()])


@dataclass(frozen=True)
class Linear:
    """A linear map of columns; `weights` has shape (columns,) or (columns, outputs)."""

    weights: np.ndarray
    bias: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Logits."""
        return rows @ self.weights + self.bias


@dataclass(frozen=True)
class ValueHead:
    """Scores every label of the vocabulary for one speaker of a conversation."""

    prior: np.ndarray  # log share of conversations that show the label, shape (values,)
    towards: Linear  # columns -> a point among the embedded labels
    label_basis: np.ndarray  # shape (directions, dim)
    shared: Linear  # columns -> a few factors of which labels occur together
    factors: np.ndarray  # shape (factors, values)
    pair: Linear  # features of a pair of conversation and label -> logit
    cut: float  # labels below this chance are not given

    def features(
        self, speaker: Speaker, reading: Reading, row: np.ndarray, labels: "Labels", present: float
    ) -> np.ndarray:
        """Shape (values, features)."""
        evidence = reading.evidence[speaker]
        request, reply, user, assistant = reading.rows
        start, words = (reply, assistant) if speaker == "assistant" else (request, user)
        shared = self.shared(row) @ self.factors + np.exp(self.prior)
        columns = [
            evidence,
            np.log(evidence + 0.02),
            np.log1p(reading.hits[speaker]),
            labels.names @ words,
            labels.descriptions @ words,
            labels.names @ start,
            labels.descriptions @ start,
            labels.names @ request,
            self.prior,
            (labels.names @ self.label_basis.T) @ self.towards(row),
            np.log(np.maximum(shared, 0.0) + 0.01),
            np.full(len(evidence), present),
        ]
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Labels:
    """Unit vectors of the labels and of their descriptions, shape (values, dim)."""

    names: np.ndarray
    descriptions: np.ndarray


def labels_of(vocabulary: Vocabulary, embedder: Embedder) -> Labels:
    """Embed the vocabulary's labels."""
    values = vocabulary.values
    return Labels(
        embed_unique(embedder, [value.label for value in values]),
        embed_unique(embedder, [value.description for value in values]),
    )


@dataclass(frozen=True)
class Heads:
    """All heads."""

    columns: Columns
    levels: Linear  # subjectivity of at least 2, 3 and 4
    answered: Linear  # the user shows values that the assistant supports or resists
    resists: Linear  # if so, it resists
    strength: Linear  # strong rather than mild, of support and of resistance
    human_present: Linear  # the user shows a value
    values: Mapping[Speaker, ValueHead]

    def level_chances(self, row: np.ndarray) -> np.ndarray:
        """Chances that the subjectivity is at least 2, 3 and 4; they never rise."""
        return np.minimum.accumulate(chance(self.levels(row)))

    def value_chances(
        self, speaker: Speaker, reading: Reading, row: np.ndarray, labels: Labels
    ) -> np.ndarray:
        """Chance that the speaker shows each label, shape (values,)."""
        head = self.values[speaker]
        present = float(self.human_present(row))
        return chance(head.pair(head.features(speaker, reading, row, labels, present)))


def choose(
    chances: np.ndarray, cut: float, most: int, same: np.ndarray, fewest: int = 0
) -> list[int]:
    """The likeliest labels above the cut, without synonyms, most likely first.

    The likeliest `fewest` are chosen wherever the cut is.
    """
    chosen: list[int] = []
    for position in np.argsort(-chances, kind="stable").tolist():
        if len(chosen) == most or (chances[position] < cut and len(chosen) >= fewest):
            break
        if not same[position, chosen].any():
            chosen.append(position)
    return chosen


@cache
def trained() -> tuple[Heads, dict[str, float]]:
    """The heads of the package, and the rarity of known words."""
    data = json.loads(FILE.read_text(encoding="utf-8"))
    return from_json(data["heads"]), data["rarity"]


def from_json(data: Mapping[str, Any]) -> Heads:
    """The heads of a file."""
    table = data["columns"]
    columns = Columns(
        tuple(table["names"]),
        *(np.array(table[key]) for key in ("mean", "scale", "basis", "row_mean", "row_scale")),
    )
    names = columns.all_names
    linear = {key: _linear(data[key], names) for key in _LINEAR}
    values = {speaker: _value_head(data["values"][speaker]) for speaker in ("assistant", "user")}
    return Heads(columns, **linear, values=values)  # pyright: ignore[reportArgumentType]


_LINEAR = ("levels", "answered", "resists", "strength", "human_present")


def _linear(data: Mapping[str, Any], names: Sequence[str]) -> Linear:
    """Weights by name of column; what is not named is 0."""
    empty = np.zeros_like(np.array(data["bias"]))
    rows = [np.array(data["weights"][n]) if n in data["weights"] else empty for n in names]
    return Linear(np.array(rows), np.array(data["bias"]))


def _value_head(data: Mapping[str, Any]) -> ValueHead:
    def linear(key: str) -> Linear:
        return Linear(np.array(data[key]["weights"]), np.array(data[key]["bias"]))

    return ValueHead(
        prior=np.array(data["prior"]),
        towards=linear("towards"),
        label_basis=np.array(data["label_basis"]),
        shared=linear("shared"),
        factors=np.array(data["factors"]),
        pair=linear("pair"),
        cut=data["cut"],
    )
