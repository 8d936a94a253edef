"""Trains the heads of the lexicon: the recipe of extraction/lexicon/heads.json.

    python -m vitw_ray.evaluation.lexicon_training --data FOLDER

needs scikit-learn. The data are the labelled conversations of FOLDER (`labels/gold_open.jsonl.gz`)
and planted ones (`lexicon_examples`). Penalties of the closed heads, and the cut of the labels, are
chosen by folds within the training data, which keep answers to one prompt together.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vitw_ray.agreement.measures import label_scores, similarity_of
from vitw_ray.evaluation.lexicon_examples import Example, examples
from vitw_ray.evaluation.lexicon_material import FACETS, Material, material
from vitw_ray.evaluation.lexicon_values import fit_values
from vitw_ray.extraction.lexicon.extractor import FEWEST_VALUES, MOST_VALUES
from vitw_ray.extraction.lexicon.features import ROWS
from vitw_ray.extraction.lexicon.heads import (
    FILE,
    Columns,
    Heads,
    Linear,
    ValueHead,
    choose,
)
from vitw_ray.extraction.lexicon.vocabulary import Speaker, vocabulary
from vitw_ray.inference.embedder import load_embedder

SIDES = {
    "strong_support": "support",
    "mild_support": "support",
    "mild_resistance": "resist",
    "strong_resistance": "resist",
}
"""Response types in three classes; all others are `none`."""
PENALTIES = (0.003, 0.01, 0.03)  # ours: of logistic regression, as its C; small is strong
CUTS = (0.1, 0.13, 0.16, 0.19, 0.22, 0.26, 0.3)
ANSWERED = (0.006,)  # ours: chosen by folds over all examples, like `RESISTS` and `_RULE`
RESISTS = (0.04,)
_RULE = 1.5  # ours: scale of the first guess, so that the penalty spares it
_DIRECTIONS = 16  # ours: of 384; more did not help
_INNER_FOLDS = 4
_RARE = 0.05  # ours: keeps numbers that are nearly always 0 from having a huge scale


def fit(data: Material, chosen: np.ndarray) -> Heads:
    """Train all heads on the chosen examples."""
    used = [data.examples[i] for i in chosen]
    columns = fit_columns(used)
    rows = np.array([columns.row(example.reading) for example in used])
    weights = np.array([example.weight for example in used])
    folds = inner_folds(data.groups[chosen], _INNER_FOLDS)
    numbers = np.arange(rows.shape[1]) < len(columns.names)
    of_user = np.array([_is_of_the_user(name) for name in columns.all_names])
    truth = [example.truth for example in used]
    levels = np.array([row["subjectivity"] for row in truth])
    sides = np.array([SIDES.get(row["response_type"], "none") for row in truth])
    strong = np.array([(row["response_type"] or "").startswith("strong") for row in truth])
    present = np.array([bool(row["human_values"]) for row in truth])

    def binary(answers: np.ndarray, mask: np.ndarray, only: np.ndarray | None = None) -> Linear:
        kept = np.ones(len(rows), bool) if only is None else only
        return logistic(rows[kept], answers[kept], weights[kept], folds[kept], mask)

    told = np.array([_tells_the_response(name) for name in columns.all_names])

    def balanced(
        answers: np.ndarray, penalties: Sequence[float], only: np.ndarray | None = None
    ) -> Linear:
        kept = np.ones(len(rows), bool) if only is None else only
        parts = (rows[kept], answers[kept], weights[kept], folds[kept])
        return logistic(*parts, told, penalties, "balanced")

    human_present = binary(present, numbers & of_user)
    value_heads: dict[Speaker, ValueHead] = {}
    for speaker in FACETS:
        seen = np.where(of_user, rows, 0.0) if speaker == "user" else rows
        head, inner = fit_values(speaker, data, chosen, seen, human_present, folds)
        value_heads[speaker] = _with_cut(head, inner, data, chosen, speaker)
    return Heads(
        columns,
        stacked([binary(levels >= level, of_user) for level in (2, 3, 4)]),
        balanced(sides != "none", ANSWERED),
        balanced(sides == "resist", RESISTS, sides != "none"),
        stacked([binary(strong, numbers, sides == side) for side in ("support", "resist")]),
        human_present,
        value_heads,
    )


def fit_columns(used: Sequence[Example]) -> Columns:
    """Names, scales and main directions."""
    from sklearn.decomposition import PCA

    names = tuple(sorted({name for example in used for name in example.reading.numbers}))
    numbers = np.array([[e.reading.numbers.get(name, 0.0) for name in names] for e in used])
    vectors = np.array([example.reading.rows for example in used])
    pca = PCA(_DIRECTIONS, svd_solver="full").fit(vectors.reshape(-1, vectors.shape[-1]))
    basis: np.ndarray = np.asarray(pca.components_)
    directions = vectors @ basis.T
    return Columns(
        names,
        numbers.mean(axis=0),
        (numbers.std(axis=0) + _RARE) / [_RULE if n.startswith("rule ") else 1.0 for n in names],
        basis,
        directions.mean(axis=0),
        np.sqrt(directions.var(axis=0).mean(axis=1)) + 1e-6,
    )


_TELLING = {"harm", "harm margin", "harm turns", "level", "interview"}
_TELLING |= {"user asks", "assistant asks"} | {
    f"signal {name}"
    for name in (
        "harm_refused", "harm_deflected", "harm_questioned", "harm_complied", "harm_eager",
        "harm_mixed", "overcautious", "affirms", "accommodates", "notes", "reframes", "doubts",
        "praises", "empathizes", "agrees", "eager", "refuses", "warns", "moralizes", "corrects",
        "asks_back", "alternatives", "hostile", "apologizes", "stance", "balanced", "unsure",
        "overpraise",
    )
}  # fmt: skip
_TELLING_STARTS = ("rule ", "replies ", "kind ", "user evidence", "user cue ")


_OF_SITUATION = {"harm", "harm margin", "harm turns", "level", "interview"}
_OF_USER_STARTS = ("user ", "kind ", "request ")


def _is_of_the_user(name: str) -> bool:
    """Whether a column depends on the user's messages alone.

    The level is that of what the user asks for, and a user's values are the user's: two assistants
    that are asked the same must not differ in either. That the assistant leads an interview is the
    one thing about its turns that counts.
    """
    return name in _OF_SITUATION or name.startswith(_OF_USER_STARTS)


def _tells_the_response(name: str) -> bool:
    """How a reply looks says little about whose side it is on: few columns generalise better."""
    return name in _TELLING or name.startswith(_TELLING_STARTS)


def inner_folds(groups: np.ndarray, count: int) -> np.ndarray:
    """The fold of each example; a group is in one fold."""
    unique = np.unique(groups)
    fold = dict(zip(unique, np.random.default_rng(0).permutation(len(unique)) % count, strict=True))
    return np.array([fold[group] for group in groups])


def logistic(
    rows: np.ndarray,
    answers: np.ndarray,
    weights: np.ndarray,
    folds: np.ndarray,
    mask: np.ndarray,
    penalties: Sequence[float] = PENALTIES,
    class_weight: str | None = None,
) -> Linear:
    """Logistic regression on the masked columns, with the penalty of the least inner loss."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    def model(penalty: float, kept: np.ndarray) -> Any:
        made = LogisticRegression(C=penalty, class_weight=class_weight, max_iter=1000)
        return made.fit(rows[np.ix_(kept, mask)], answers[kept], weights[kept])

    def loss(penalty: float) -> float:
        total = 0.0
        for fold in np.unique(folds):
            inside, outside = folds != fold, folds == fold
            fitted = model(penalty, inside)
            chances = fitted.predict_proba(rows[np.ix_(outside, mask)])
            total += log_loss(
                answers[outside],
                chances,
                sample_weight=weights[outside],
                labels=fitted.classes_,
                normalize=False,
            )
        return total

    best = model(min(penalties, key=loss), np.ones(len(rows), bool))
    single = np.zeros(rows.shape[1])
    single[mask] = best.coef_[0]
    return Linear(single, best.intercept_[0])


def stacked(heads: Sequence[Linear]) -> Linear:
    """Several heads of one output as one."""
    return Linear(
        np.stack([head.weights for head in heads], axis=1), np.array([head.bias for head in heads])
    )


def _with_cut(
    head: ValueHead, inner: np.ndarray, data: Material, chosen: np.ndarray, speaker: Speaker
) -> ValueHead:
    """The head with the cut that is best on real examples it was not trained on."""
    real = [n for n, i in enumerate(chosen) if data.examples[i].source != "planted"]

    def f1(cut: float) -> float:
        given = [labels_above(inner[n], cut, speaker, data) for n in real]
        true = [data.examples[chosen[n]].labels(FACETS[speaker]) for n in real]
        return f1_of(true, given, data)

    return replace(head, cut=max(CUTS, key=f1))


def labels_above(chances: np.ndarray, cut: float, speaker: Speaker, data: Material) -> list[str]:
    """The chosen labels, as words."""
    chosen = choose(chances, cut, MOST_VALUES, data.same, FEWEST_VALUES[speaker])
    return [vocabulary().values[n].label for n in chosen]


def f1_of(true: Sequence[list[str]], given: Sequence[list[str]], data: Material) -> float:
    """F1 of labels matched by cosine."""
    known = dict(
        zip((value.label for value in vocabulary().values), data.labels.names, strict=True)
    )
    vectors = known | dict(data.phrases)
    return label_scores(true, given, similarity_of(list(vectors), np.array([*vectors.values()]))).f1


def to_json(heads: Heads, rarity: Mapping[str, float]) -> dict[str, Any]:
    """The content of the file: weights by name, rounded to what changes nothing."""
    table, names = heads.columns, heads.columns.all_names
    columns = {"names": list(table.names)} | {
        key: rounded(getattr(table, key))
        for key in ("mean", "scale", "basis", "row_mean", "row_scale")
    }
    linear = {
        key: _by_name(getattr(heads, key), names)
        for key in ("levels", "answered", "resists", "strength", "human_present")
    }
    values = {
        speaker: {
            key: {"weights": rounded(part.weights), "bias": rounded(part.bias)}
            for key in ("towards", "shared", "pair")
            for part in [getattr(head, key)]
        }
        | {key: rounded(getattr(head, key)) for key in ("prior", "label_basis", "factors")}
        | {"cut": head.cut}
        for speaker, head in heads.values.items()
    }
    return {
        "made_by": "python -m vitw_ray.evaluation.lexicon_training",
        "trained_on": "320 labelled public conversations (gold_open), 320 planted ones (seed 7)",
        "rows": list(ROWS),
        "rarity": dict(rarity),
        "heads": {"columns": columns, **linear, "values": values},
    }


def rounded(array: np.ndarray) -> Any:
    """Three significant digits: far finer than the error of a weight."""
    flat = [float(f"{number:.3g}") for number in np.asarray(array, float).ravel()]
    return np.reshape(flat, np.shape(array)).tolist()


def _by_name(part: Linear, names: Sequence[str]) -> dict[str, Any]:
    weights = {n: rounded(w) for n, w in zip(names, part.weights, strict=True) if np.any(w)}
    return {"bias": rounded(part.bias), "weights": weights}


def main() -> None:
    """Train on all examples, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled conversations")
    parser.add_argument("--to", type=Path, default=FILE, help="file to write")
    given = parser.parse_args()
    embedder = load_embedder("minilm")
    found, rarity = examples(given.data, embedder)
    heads = fit(material(found, embedder), np.arange(len(found)))
    text = json.dumps(to_json(heads, rarity), separators=(",", ":"))
    given.to.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
