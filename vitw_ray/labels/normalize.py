"""Merging spellings into one label. Pure functions; the rule of every merge is recorded.

The published list has 29 pairs of labels that differ in a hyphen, and about 55 groups of similar
variants (paper, 1.4). Separate counts split the share of a value. Each rule can be switched off.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping

from vitw_ray.config import LabelsConfig

SHORTEST_LABEL = 2  # characters, as in `alphabet.LABEL`
_HYPHENS = re.compile(r"[\u2010-\u2015\-]+")
_SPACE = re.compile(r"\s+")


def fold_case(label: str) -> str:
    """Lower case, single spaces, compatibility forms (NFKC: full-width letters become plain)."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", label)).strip().casefold()


def fold_hyphens(label: str) -> str:
    """Hyphens become spaces."""
    return _SPACE.sub(" ", _HYPHENS.sub(" ", label)).strip()


def singular(label: str) -> str:
    """Each word without its plural ending: a grouping key, not for display."""
    return " ".join(_singular_word(word) for word in label.split(" "))


def _singular_word(word: str) -> str:
    if len(word) <= 3 or word.endswith(("ss", "us", "is")):  # kindness, consensus, analysis
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "zes", "ches", "shes")):
        return word[:-2]
    return word.removesuffix("s")


def merge_labels(counts: Mapping[str, int], config: LabelsConfig) -> dict[str, tuple[str, str]]:
    """The label that each variant counts as.

    Args:
        counts: conversations of each label as the reader wrote it.
        config: which rules apply.

    Returns:
        variant -> (label, name of the last rule that changed it), only for variants that change.
        Idempotent: no target of a merge is itself merged.
    """
    current = {label: label for label in counts}
    rule: dict[str, str] = {}

    def apply(name: str, target: Mapping[str, str]) -> None:
        for variant, label in current.items():
            if target[label] != label:
                current[variant] = target[label]
                rule[variant] = name

    if config.merge_case:
        apply("case", {label: _folded(fold_case, label) for label in set(current.values())})
    if config.merge_hyphens:
        apply("hyphen", {label: _folded(fold_hyphens, label) for label in set(current.values())})
    if config.merge_plurals:
        apply("plural", _most_common_variants(_totals(current, counts)))
    return {v: (label, rule[v]) for v, label in sorted(current.items()) if label != v}


def _folded(fold: Callable[[str], str], label: str) -> str:
    """The folded label; the label itself where too little is left of it to be one."""
    folded = fold(label)
    return folded if len(folded) >= SHORTEST_LABEL else label


def _totals(current: Mapping[str, str], counts: Mapping[str, int]) -> dict[str, int]:
    totals: dict[str, int] = defaultdict(int)
    for variant, label in current.items():
        totals[label] += counts[variant]
    return totals


def _most_common_variants(totals: Mapping[str, int]) -> dict[str, str]:
    """Labels that differ only in a plural ending, each mapped to the most common of its group."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label in totals:
        groups[singular(label)].append(label)
    return {
        label: min(group, key=lambda twin: (-totals[twin], twin))
        for group in groups.values()
        for label in group
    }
