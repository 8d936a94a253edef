"""Where readers fail: errors and agreement by length, language, source and assistant."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.agreement.estimates import Estimate, agreement, estimate, mean
from vitw_ray.comparison.readers.compared import Compared
from vitw_ray.comparison.readers.readings import Reading
from vitw_ray.intervals import wilson

LENGTHS = (1_000, 4_000, 16_000)  # ours, in characters: a short answer, a page, a long chat
MOST = 12  # ours: strata of a kind, the largest first
UNKNOWN = "unknown"
ANSWERED = ("is_subjective", "response_type")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a conversation comes from, and its length in characters."""

    language: str | None
    source: str | None
    model: str | None
    chars: int


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """One reader in one kind of conversations.

    `same` holds, by facet, the share of answers that are those of the other side: the truth, or the
    other readers on average. `found` holds, by value facet, the share of the other side's labels
    that the reader has too, spelling aside.
    """

    kind: str
    name: str
    conversations: int
    failed: Estimate
    same: Mapping[str, Estimate]
    found: Mapping[str, Estimate]


def length_name(chars: int) -> str:
    """The band of a length."""
    for low, high in zip((0, *LENGTHS), LENGTHS, strict=False):
        if chars < high:
            return f"{low:,} to {high:,} characters"
    return f"{LENGTHS[-1]:,} characters or more"


def strata(
    reading: Reading, origins: Sequence[Origin], others: Sequence[Compared]
) -> Iterator[Stratum]:
    """All strata of a reader.

    Args:
        reading: of the reader.
        origins: of the same conversations.
        others: the reader as the second side, against the truth or against each other reader.
    """
    failed = ~reading.valid
    for kind, name, rows in _parts(origins):
        low, high = wilson(failed[rows].sum(), rows.sum())
        share = float(failed[rows].mean())
        yield Stratum(
            kind=kind,
            name=name,
            conversations=int(rows.sum()),
            failed=Estimate(share, float(low), float(high), int(rows.sum())),
            same={facet: _same(facet, others, rows) for facet in ANSWERED} if others else {},
            found={facet: _found(facet, others, rows) for facet in reading.labels}
            if others
            else {},
        )


def _parts(origins: Sequence[Origin]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    kinds = {
        "length": [length_name(origin.chars) for origin in origins],
        "language": [origin.language or UNKNOWN for origin in origins],
        "source": [origin.source or UNKNOWN for origin in origins],
        "assistant": [origin.model or UNKNOWN for origin in origins],
    }
    for kind, names in kinds.items():
        of_rows = np.array(names, dtype=object)
        sizes = sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
        for name, _ in sizes[:MOST]:
            yield kind, name, of_rows == name


def _same(facet: str, others: Sequence[Compared], rows: NDArray[np.bool_]) -> Estimate:
    """With several others, each conversation counts once, with the mean over the others."""
    if len(others) == 1:
        (one,) = others
        return agreement(one.first.codes[facet][rows], one.second.codes[facet][rows])
    a = np.array([other.first.codes[facet][rows] for other in others])
    b = np.array([other.second.codes[facet][rows] for other in others])
    known = (a >= 0) & (b >= 0)
    shares = np.divide(
        ((a == b) & known).sum(axis=0),
        known.sum(axis=0),
        out=np.full(a.shape[1], np.nan),
        where=known.any(axis=0),
    )
    return estimate(mean(shares))


def _found(facet: str, others: Sequence[Compared], rows: NDArray[np.bool_]) -> Estimate:
    if len(others) == 1:
        (one,) = others
        return estimate(one.counted[facet]["normalised"].where(rows & one.listed).recall())
    sides = [other.counted[facet]["normalised"].where(rows) for other in others]
    matched = np.array([side.matched for side in sides]).mean(axis=0)
    wanted = np.array([side.first for side in sides]).mean(axis=0)
    share = np.divide(matched, wanted, out=np.full(matched.shape, np.nan), where=wanted > 0)
    return estimate(mean(share))
