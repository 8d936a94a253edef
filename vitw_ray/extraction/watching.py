"""Signs of a reader that does not read, watched while it answers the conversations of a run.

Actors count their answers by assistant and language (`GroupTallies`); the driver adds up the first
500 of each group (`Watch`) and warns.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from vitw_ray.extraction.answers import Extracted
from vitw_ray.extraction.signs import Sign, Tally, signs_of, tally
from vitw_ray.progress import log
from vitw_ray.reader_check import sign_line

Group = tuple[str | None, str | None]
"""Assistant and language, as the conversation names them."""
WATCHED = 500  # ours: answers of a group; the interval of a share is at most 9 points wide
FEWEST_OF_GROUP = 50  # ours: before that a group of one kind of conversation looks like a sign


class GroupTallies:
    """Counts the answers of one actor, the first ones of each group. Safe with several threads."""

    def __init__(self, gate: int, examples: Collection[str]) -> None:
        self._gate, self._examples = gate, examples
        self._seen = Counter[Group]()  # a lost update counts one answer more, which is harmless

    def count(self, found: Collection[tuple[Group, Extracted]]) -> dict[Group, Tally]:
        """Tallies of these answers, as far as their groups are still watched."""
        groups: dict[Group, list[Extracted]] = defaultdict(list)
        for group, extracted in found:
            if self._seen[group] < WATCHED:
                self._seen[group] += 1
                groups[group].append(extracted)
        return {group: tally(of, self._gate, self._examples) for group, of in groups.items()}


class Watch:
    """Adds up what the actors count, and logs each sign once."""

    def __init__(self, tolerated: Mapping[str, float]) -> None:
        """Watch for the signs that `tolerated` has a share for."""
        self._tolerated = tolerated
        self._groups: dict[Group, Tally] = defaultdict(Tally)
        self._told: set[tuple[str, str]] = set()

    def add(self, tallies: Mapping[Group, Tally]) -> None:
        """Add the counts of one unit, as far as their groups are still watched."""
        for group, counts in tallies.items():
            if self._groups[group]["answers",] >= WATCHED:
                continue
            self._groups[group].update(counts)
            for sign in self._signs(group):
                if (sign.name, sign.facet) not in self._told:
                    self._told.add((sign.name, sign.facet))
                    log.warning(
                        "extractions: of the first answers%s, %s",
                        _about(group),
                        sign_line(asdict(sign)),
                    )

    def found(self) -> list[dict[str, Any]]:
        """All signs, each with its assistant, language and the answers that were counted."""
        return [
            {**asdict(sign), "model": group[0], "answers": self._groups[group]["answers",]}
            for group in sorted(self._groups, key=repr)
            for sign in self._signs(group)
        ]

    def _signs(self, group: Group) -> list[Sign]:
        counts = self._groups[group]
        return (
            signs_of(counts, self._tolerated, group[1])
            if counts["answers",] >= FEWEST_OF_GROUP
            else []
        )


def _about(group: Group) -> str:
    model, _ = group
    return f" about {model}" if model else ""
