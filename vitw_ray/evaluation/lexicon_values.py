"""Trains the scores of value labels: which label does a conversation show?

Two small maps place a conversation among the labels; a logistic model over pairs of conversation
and label weighs them beside the evidence of phrases. It is fitted on placements of examples that
the maps were not fitted on.
"""

import numpy as np

from vitw_ray.evaluation.lexicon_material import Material
from vitw_ray.extraction.lexicon.heads import Linear, ValueHead, chance
from vitw_ray.extraction.lexicon.vocabulary import Speaker

_FACTORS = 16  # ours: groups of labels that occur together
_LABEL_DIRECTIONS = 16
_RIDGE = 200.0  # ours: 100 and 400 gave the same
_PAIR_PENALTY = 0.1


def fit_values(
    speaker: Speaker,
    data: Material,
    chosen: np.ndarray,
    rows: np.ndarray,
    present: Linear,
    folds: np.ndarray,
) -> tuple[ValueHead, np.ndarray]:
    """Train the head of a speaker.

    Returns:
        The head, with a cut of 0, and the chances of the chosen examples, from maps that have not
        seen them, shape (chosen, values).
    """
    from sklearn.linear_model import LogisticRegression

    weights = np.array([data.examples[i].weight for i in chosen])
    shown, points = data.shown[speaker][chosen], data.points[speaker][chosen]
    basis = np.linalg.svd(data.labels.names, full_matrices=False)[2][:_LABEL_DIRECTIONS]

    def maps(kept: np.ndarray) -> ValueHead:
        return _maps(rows[kept], shown[kept], points[kept], weights[kept], basis)

    def features(head: ValueHead, number: int) -> np.ndarray:
        reading = data.examples[chosen[number]].reading
        known = float(present(rows[number]))
        return head.features(speaker, reading, rows[number], data.labels, known)

    unseen: list[np.ndarray] = [np.empty(0)] * len(chosen)
    for fold in np.unique(folds):
        head = maps(folds != fold)
        for number in np.flatnonzero(folds == fold).tolist():
            unseen[number] = features(head, number)
    pairs = np.concatenate(unseen)
    mean, scale = pairs.mean(axis=0), pairs.std(axis=0) + 1e-6
    model = LogisticRegression(C=_PAIR_PENALTY, max_iter=300)
    repeated = np.repeat(weights, shown.shape[1])
    model.fit((pairs - mean) / scale, shown.ravel() > 0, repeated)
    coefficients = model.coef_[0] / scale
    bias = np.asarray(model.intercept_)[0] - mean @ coefficients
    pair = Linear(coefficients, bias)
    final = maps(np.ones(len(chosen), bool))
    head = ValueHead(final.prior, final.towards, basis, final.shared, final.factors, pair, cut=0.0)
    return head, chance(pair(pairs)).reshape(len(chosen), -1)


def _maps(
    rows: np.ndarray, shown: np.ndarray, points: np.ndarray, weights: np.ndarray, basis: np.ndarray
) -> ValueHead:
    share = (weights @ shown + 0.5) / (weights.sum() + 20)  # smoothed: most labels are rare
    factors = np.linalg.svd((shown - share) * np.sqrt(weights)[:, None], full_matrices=False)[2]
    factors = factors[:_FACTORS]
    nothing = Linear(np.zeros(1), np.zeros(1))
    return ValueHead(
        np.log(share),
        _ridge(rows, points @ basis.T, weights),
        basis,
        _ridge(rows, (shown - share) @ factors.T, weights),
        factors,
        nothing,
        cut=0.0,
    )


def _ridge(rows: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> Linear:
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=_RIDGE).fit(rows, targets, sample_weight=weights)
    return Linear(model.coef_.T, model.intercept_)
