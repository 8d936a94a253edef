"""The leaderboard: what several readers found in the same conversations, as one JSON value.

It names no label, no task and no conversation: they may be private.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from itertools import combinations
from typing import Any

import numpy as np

from vitw_ray.agreement.estimates import estimate, mean
from vitw_ray.agreement.measures import Similarity
from vitw_ray.comparison.readers.checks import CHECKS
from vitw_ray.comparison.readers.compared import (
    Compared,
    Ways,
    alphas,
    compare,
    level_ranking,
    measures,
    swapped,
)
from vitw_ray.comparison.readers.costs import Costs
from vitw_ray.comparison.readers.known import Known
from vitw_ray.comparison.readers.modelled import modelled
from vitw_ray.comparison.readers.readings import CLOSED, Reading, part_of, reading_of
from vitw_ray.comparison.readers.reliability import reliability
from vitw_ray.comparison.readers.signs import signs
from vitw_ray.comparison.readers.strata import Origin, strata
from vitw_ray.intervals import wilson

TRUTHS = ("labelled", "planted")
"""Sets that have every facet; the others are outside checks."""
REFUSED = "refused"


@dataclass(frozen=True, eq=False)
class Entry:
    """One reader: its answers to all conversations, the settings that differ, what it cost.

    `check` is the record of the calibration set that it read first, if it did.
    """

    reading: Reading
    settings: Mapping[str, str]
    costs: Costs
    check: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Conversations:
    """What every reader was given, in the order of the answers.

    Attributes:
        ids: of the conversations; those of known sets begin with `known:`.
        origins: where each comes from.
        known: sets of which something is known.
    """

    ids: tuple[str, ...]
    origins: tuple[Origin, ...]
    known: tuple[Known, ...]

    def of(self, known: Known | None) -> np.ndarray:
        """Positions of a set, or of the sample."""
        if known is not None:
            wanted = known.truth_by_id()
            return np.array([n for n, i in enumerate(self.ids) if i in wanted], np.int64)
        inside = {i for known in self.known for i in known.truth_by_id()}
        return np.array([n for n, i in enumerate(self.ids) if i not in inside], np.int64)

    def truth(self, known: Known) -> list[dict[str, Any]]:
        """What is known of a set, in the same order."""
        by_id = known.truth_by_id()
        return [by_id[self.ids[n]] for n in self.of(known)]


def leaderboard(
    entries: Sequence[Entry],
    conversations: Conversations,
    similarity: Similarity | None = None,
    ways: Ways | None = None,
) -> dict[str, Any]:
    """Compare readers.

    Args:
        entries: the readers; their answers line up.
        conversations: what they read.
        similarity: cosines of all labels, of names of values and of anchors; None: not at hand.
        ways: how lists are compared; default: with `similarity`, without a tree.
    """
    ways = ways or Ways(similarity)
    sample = conversations.of(None)
    readings = [part_of(entry.reading, sample) for entry in entries]
    origins = [conversations.origins[n] for n in sample]
    pairs = {
        (a, b): compare(readings[a], readings[b], ways)
        for a, b in combinations(range(len(readings)), 2)
    }
    pairs |= {(b, a): swapped(pair) for (a, b), pair in pairs.items()}
    readers = []
    for n, entry in enumerate(entries):
        others = [pairs[a, b] for a, b in pairs if b == n]
        described = _described(entry, readings[n])
        described["strata"] = {"readers": list(strata(readings[n], origins, others))}
        quality, by_truth = _quality(entry.reading, conversations, ways)
        described |= {"quality": quality, "checks": _checks(entry, conversations, similarity)}
        described["strata"] |= by_truth
        readers.append(described)
    return _plain(
        {
            "sample": len(sample),
            "known": [
                {"name": k.name, "conversations": len(conversations.of(k)), "missing": k.missing}
                for k in conversations.known
            ],
            "readers": readers,
            "alpha": alphas(readings) if len(readings) > 1 else {},
            "modelled": modelled(readings),
            "pairs": [_pair(pairs[a, b]) for a, b in pairs if a < b],
        }
    )


def _pair(compared: Compared) -> dict[str, Any]:
    names = {"first": compared.first.name, "second": compared.second.name}
    return names | measures(compared)


def _described(entry: Entry, sample: Reading) -> dict[str, Any]:
    """What the answers of one reader look like."""
    reading = entry.reading
    errors = Counter(error for error in reading.errors if error is not None)
    failed, rows = sum(errors.values()), len(reading)
    low, high = wilson(failed, rows)
    grounded = [g for marks in reading.marks.values() for _, g in marks if g is not None]
    subjective = sample.subjective
    return {
        "name": reading.name,
        "settings": dict(entry.settings),
        "rows": rows,
        "valid": rows - failed,
        "errors": dict(sorted(errors.items())),
        "error_share": {
            "value": failed / rows if rows else None,
            "low": float(low) if rows else None,
            "high": float(high) if rows else None,
            "conversations": rows,
        },
        "refusals": errors[REFUSED],
        "costs": entry.costs,
        "grounded_share": sum(grounded) / len(grounded) if grounded else None,
        "explicit_share": {f: _share(e for e, _ in marks) for f, marks in reading.marks.items()},
        "values_per_conversation": {
            facet: estimate(mean(np.array([len(found) for found in lists])[subjective]))
            for facet, lists in sample.labels.items()
        },
        "distributions": {
            facet.name: _distribution(sample.codes[facet.name], facet.categories)
            for facet in CLOSED
        },
        "signs": signs(sample),
        "reader_check": entry.check,
    }


def _share(flags: Any) -> float | None:
    listed = list(flags)
    return sum(listed) / len(listed) if listed else None


def _distribution(codes: np.ndarray, categories: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(codes[codes >= 0], minlength=len(categories))
    return dict(zip(categories, counts.tolist(), strict=True))


def _quality(
    reading: Reading, conversations: Conversations, ways: Ways
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measures against each truth, and the strata of each."""
    quality, by_truth = {}, {}
    for known in conversations.known:
        if known.name in TRUTHS:
            rows = conversations.of(known)
            truth = reading_of(known.name, conversations.truth(known))
            part = part_of(reading, rows)
            compared = compare(truth, part, ways)
            quality[known.name] = measures(compared) | {
                "level_auc": level_ranking(truth, part),
                "reliability": reliability(truth, part),
            }
            origins = [conversations.origins[n] for n in rows]
            by_truth[known.name] = list(strata(part, origins, [compared]))
    return quality, by_truth


def _checks(
    entry: Entry, conversations: Conversations, similarity: Similarity | None
) -> dict[str, Any]:
    return {
        known.name: CHECKS[known.name](
            conversations.truth(known),
            part_of(entry.reading, conversations.of(known)),
            similarity,
        )
        for known in conversations.known
        if known.name in CHECKS
    }


def _plain(value: Any) -> Any:
    """The same with dataclasses as dictionaries, as JSON has them."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
