"""The phrases whose cosines a comparison may ask for."""

from collections.abc import Sequence

from vitw_ray.comparison.readers.leaderboard import TRUTHS, Conversations, Entry
from vitw_ray.comparison.readers.mapping import MAPPING
from vitw_ray.facets import VALUE_FACETS


def phrases_of(entries: Sequence[Entry], conversations: Conversations) -> list[str]:
    """Labels of all readers and truths, and the names and anchors of the outside checks."""
    found = {
        label
        for entry in entries
        for lists in entry.reading.labels.values()
        for labels in lists
        for label in labels
    }
    for known in conversations.known:
        if known.name in TRUTHS:
            found |= {v["label"] for row in known.truth for f in VALUE_FACETS for v in row[f]}
        if known.name == "valueeval":
            found |= {a for listed in MAPPING["valueeval"]["categories"].values() for a in listed}
        if known.name == "valuebench":
            found |= {row["value"].casefold() for row in known.truth}
    return sorted(found)
