"""Which heads would make a better screen: features and models compared on labelled conversations.

Cross-validated, three times five folds; answers to one prompt and near-duplicates stay together.
`saved_at_2` is the share of objective conversations below the score that 2 % of the subjective ones
are below: what the best of screens saves of them, if its certificate costs nothing.

    python benchmarks/screen_heads.py [--cache FOLDER]

Needs labelled conversations in `VITW_RAY_DATA` (or `../shared/data`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_screen import DATA, labelled, pool_of
from harness import Result, parser_of, with_one_thread

from vitw_ray.evaluation.lexicon_examples import examples
from vitw_ray.evaluation.lexicon_training import fit_columns
from vitw_ray.inference.embedder import load_embedder

SEEDS, FOLDS = 3, 5
LOSSES = (0.01, 0.02, 0.05)
PLANTED_WEIGHT = 0.5  # ours: synthetic text is narrower than real text
Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Examples:
    """What the lexicon reads in conversations: first the labelled ones, then planted ones."""

    numbers: np.ndarray
    subjective: np.ndarray
    groups: np.ndarray
    labelled: int


def read_examples(data: Path, labelled: int) -> Examples:
    found, _ = examples(data, load_embedder("minilm"))
    columns = fit_columns(found)
    return Examples(
        numbers=np.array([columns.row(example.reading) for example in found]),
        subjective=np.array([example.truth["subjectivity"] >= 3 for example in found]),
        groups=np.array([example.group for example in found[:labelled]]),
        labelled=labelled,
    )


def heads_of(embeddings: np.ndarray, known: Examples) -> dict[str, Scores]:
    """Each head: from the rows that train it and the rows that test it to scores of the latter."""
    own, planted = known.numbers[: known.labelled], known.numbers[known.labelled :]

    def logistic(features: np.ndarray, penalty: float, more: np.ndarray | None = None) -> Scores:
        from sklearn.linear_model import LogisticRegression

        def scores(train: np.ndarray, test: np.ndarray) -> np.ndarray:
            rows, wanted, weights = features[train], known.subjective[train], np.ones(len(train))
            if more is not None:
                rows = np.concatenate([rows, more])
                wanted = np.concatenate([wanted, known.subjective[known.labelled :]])
                weights = np.concatenate([weights, np.full(len(more), PLANTED_WEIGHT)])
            model = LogisticRegression(C=penalty, max_iter=500).fit(rows, wanted, weights)
            return model.decision_function(features[test])

        return scores

    def trees(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        from sklearn.ensemble import ExtraTreesClassifier

        model = ExtraTreesClassifier(300, min_samples_leaf=3, random_state=0)
        return model.fit(own[train], known.subjective[train]).predict_proba(own[test])[:, 1]

    return {
        "embeddings": logistic(embeddings, 1.0),
        "lexicon": logistic(own, 0.01),
        "lexicon and planted": logistic(own, 0.01, planted),
        "trees on the lexicon": trees,
    }


def compare(
    embeddings: np.ndarray, subjective: np.ndarray, data: Path
) -> dict[str, dict[str, float]]:
    """AUC and savings of each head.

    Args:
        embeddings: features of the screen, of the labelled conversations in the order of theirs.
        subjective: their labels.
        data: the folder of labelled conversations.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    known = read_examples(data, len(subjective))
    assert (known.subjective[: known.labelled] == subjective).all()
    heads = heads_of(embeddings, known)
    collected: dict[str, list[list[float]]] = {}
    for seed in range(SEEDS):
        split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        said = {name: np.zeros(len(subjective)) for name in heads}
        for train, test in split.split(embeddings, subjective, known.groups):
            for name, head in heads.items():
                scores = head(train, test)
                said[name][test] = (scores - scores.mean()) / scores.std()
        four = sum((said[name] for name in heads), np.zeros(len(subjective)))
        said["mean of embeddings and lexicon"] = said["embeddings"] + said["lexicon"]
        said["mean of these four"] = four
        for name, scores in said.items():
            collected.setdefault(name, []).append(figures_of(scores, subjective))
    names = ("auc", *(f"saved_at_{loss:.0%}".rstrip("%") for loss in LOSSES))
    return {
        head: dict(zip(names, np.mean(found, axis=0).tolist(), strict=True))
        for head, found in collected.items()
    }


def figures_of(scores: np.ndarray, subjective: np.ndarray) -> list[float]:
    """AUC, and the share of objective conversations that each loss saves."""
    from sklearn.metrics import roc_auc_score

    cuts = np.quantile(scores[subjective], LOSSES)
    below = [float((scores[~subjective] < cut).mean()) for cut in cuts]
    return [float(roc_auc_score(subjective, scores)), *below]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--cache", type=Path, help="folder that keeps features between runs")
    given = parser.parse_args()
    with_one_thread()
    pool = pool_of(labelled(DATA), given.cache, "gold", "minilm")
    result = Result("screen_heads", given.quick, work={"labelled": len(pool.subjective)})
    found = compare(pool.features, pool.subjective, DATA)
    for head, figures in found.items():
        short = head.replace(" ", "_")
        result.ratios |= {f"{short}_{name}": figure for name, figure in figures.items()}
        result.rows.append((head, *(f"{figure:.3f}" for figure in figures.values())))
    result.report(("head", *next(iter(found.values()))))


if __name__ == "__main__":
    main()
