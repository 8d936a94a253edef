"""The six measures that a reader is judged by first: on the terminal and at the top of the page."""

from collections.abc import Mapping
from typing import Any

QUALITY = ("subj. kappa", "level AUC", "type kappa", "3-group", "AI F1", "human F1")
NOTHING = {"value": None, "low": None, "high": None, "conversations": 0}


def sign_count(reader: Mapping[str, Any]) -> int:
    """Signs that a reader does not read: in the sample, and in the check before it."""
    check = reader["reader_check"]
    return len(reader["signs"]) + (len(check["signs"]) if check else 0)


def quality_of(measured: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The headline measures of a pair of readings, of which one may be the truth.

    Kappa of subjective or not; AUC of the level, against a truth only; kappa of the response type
    and of its three groups; F1 of both lists, by meaning where an embedder is at hand.
    """
    closed, lists = measured["closed"], measured["lists"]
    ai, human = (
        lists[facet].get("near", lists[facet]["normalised"])["f1"]
        for facet in ("ai_values", "human_values")
    )
    subjective, kind, group = (
        closed[facet]["kappa"] for facet in ("is_subjective", "response_type", "response_group")
    )
    ranking = measured.get("level_auc", NOTHING)
    return dict(zip(QUALITY, (subjective, ranking, kind, group, ai, human), strict=True))
