"""What an attack found: where, and what it means, without the secret itself."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that should not be there. `what` names it and never quotes a secret."""

    attack: str
    where: str
    what: str


@dataclass
class Outcome:
    """What one attack did: how much it looked at, and what it found."""

    attack: str
    looked_at: int = 0
    unit: str = "cells"
    findings: list[Finding] = field(default_factory=list)
    skipped: str = ""
    """Why the attack could not be made, if so."""

    def found(self, where: str, what: str) -> None:
        """Note one thing."""
        self.findings.append(Finding(self.attack, where, what))


MOST_SHOWN = 10  # ours: findings of one attack in the table


def as_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """A table for people: a line for each attack, then the first findings of each."""
    lines = [f"{'attack':<14}{'looked at':>22}{'found':>8}"]
    for outcome in outcomes:
        looked = outcome.skipped or f"{outcome.looked_at:,} {outcome.unit}"
        lines.append(f"{outcome.attack:<14}{looked:>22}{len(outcome.findings):>8,}")
    for outcome in outcomes:
        lines += [f"  {f.attack}: {f.where}: {f.what}" for f in outcome.findings[:MOST_SHOWN]]
        if more := len(outcome.findings) - MOST_SHOWN:
            lines += [f"  {outcome.attack}: and {more:,} more"] if more > 0 else []
    return lines


def as_record(outcomes: Sequence[Outcome]) -> dict[str, dict[str, object]]:
    """The same for programs."""
    return {
        outcome.attack: {
            "looked_at": outcome.looked_at,
            "found": len(outcome.findings),
            "skipped": outcome.skipped,
            "places": dict(Counter(f.where for f in outcome.findings).most_common(MOST_SHOWN)),
        }
        for outcome in outcomes
    }
