"""What the answers of all readers say about their errors, without any truth."""

from collections.abc import Sequence
from typing import Any

from vitw_ray.agreement.dawid_skene import fit
from vitw_ray.comparison.readers.readings import BY_NAME, Reading

FACETS = ("is_subjective", "response_type")


def modelled(readings: Sequence[Reading]) -> dict[str, dict[str, Any]]:
    """By closed facet, shares of the answers and accuracies of the readers by Dawid and Skene.

    Readers that failed everywhere are left out. A facet is missing where fewer than three are left.
    """
    found = {}
    for name in FACETS:
        facet = BY_NAME[name]
        able = [reading for reading in readings if (reading.codes[name] >= 0).any()]
        fitted = fit([reading.codes[name] for reading in able], len(facet.categories))
        if fitted is None:
            continue
        right = fitted.tables.diagonal(axis1=1, axis2=2).tolist()
        found[name] = {
            "conversations": fitted.conversations,
            "converged": fitted.converged,
            "shares": dict(zip(facet.categories, fitted.shares.tolist(), strict=True)),
            "readers": [
                {
                    "name": reading.name,
                    "accuracy": accuracy,
                    "found": dict(zip(facet.categories, rates, strict=True)),
                }
                for reading, accuracy, rates in zip(
                    able, fitted.accuracy.tolist(), right, strict=True
                )
            ],
        }
    return found
