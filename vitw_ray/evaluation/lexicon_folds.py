"""How well the heads of the lexicon read conversations that they were not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitw_ray.agreement.measures import kappa, quadratic_kappa
from vitw_ray.evaluation.lexicon_material import FACETS, Material
from vitw_ray.evaluation.lexicon_training import SIDES, f1_of, fit, labels_above
from vitw_ray.extraction.lexicon.heads import Heads
from vitw_ray.extraction.lexicon.judgement import level_of, response_type


@dataclass(frozen=True)
class Held:
    """What the heads said about a real example outside their training folds."""

    level: int
    subjective: float  # chance
    response: str
    ai_values: list[str]
    human_values: list[str]


def outer_folds(data: Material, count: int, seed: int) -> list[np.ndarray]:
    """Test examples of each fold: sources spread over folds, groups kept together."""
    from sklearn.model_selection import StratifiedGroupKFold

    sources = np.array([example.source for example in data.examples])
    split = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return [test for _, test in split.split(sources, sources, data.groups)]


def held_out(data: Material, folds: Sequence[np.ndarray]) -> dict[int, Held]:
    """Answers for the real examples of the folds, each by heads trained on all the others."""
    found: dict[int, Held] = {}
    for test in folds:
        groups = set(data.groups[test].tolist())
        train = np.array([i for i, g in enumerate(data.groups) if g not in groups])
        heads = fit(data, train)
        real = [i for i in test.tolist() if data.examples[i].source != "planted"]
        found |= {i: _read(heads, data, i) for i in real}
    return found


def _read(heads: Heads, data: Material, number: int) -> Held:
    example = data.examples[number]
    row = heads.columns.row(example.reading)
    values = {
        facet: labels_above(
            heads.value_chances(speaker, example.reading, row, data.labels),
            heads.values[speaker].cut,
            speaker,
            data,
        )
        for speaker, facet in FACETS.items()
    }
    chances = heads.level_chances(row)
    sides = float(heads.answered(row)), float(heads.resists(row))
    response = response_type(*sides, heads.strength(row), example.signals)
    return Held(level_of(chances), float(chances[1]), response, **values)


def figures(data: Material, held: dict[int, Held]) -> dict[str, float]:
    """Agreement of the held-out answers with the labels."""
    order = sorted(held)
    said = [held[i] for i in order]
    truth = [data.examples[i].truth for i in order]
    levels = [row["subjectivity"] for row in truth]
    types = [row["response_type"] for row in truth]
    found = {
        "subjective_kappa": kappa([n >= 3 for n in levels], [s.level >= 3 for s in said]),
        "level_quadratic_kappa": quadratic_kappa(levels, [s.level for s in said], [1, 2, 3, 4]),
        "response_kappa": kappa(types, [s.response for s in said]),
        "response_in_three_kappa": kappa(
            [SIDES.get(name, "none") for name in types],
            [SIDES.get(s.response, "none") for s in said],
        ),
        "human_present_kappa": kappa(
            [bool(row["human_values"]) for row in truth], [bool(s.human_values) for s in said]
        ),
    }
    for facet in FACETS.values():
        true = [data.examples[i].labels(facet) for i in order]
        found[f"{facet}_f1"] = f1_of(true, [getattr(s, facet) for s in said], data)
    return found
