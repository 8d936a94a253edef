"""What people say together: one answer per conversation, and how often they were split.

The level is the median of the levels, the response type the most frequent one among those who call
the conversation subjective, and a value stays when more than half of them list it, in any spelling.
Where votes are equal, a hash of the conversation decides: either side as often, and the same way in
every run. Such ties are counted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vitw_ray.comparison.readers.compared import spelling
from vitw_ray.conversations.sampling import sample_hash
from vitw_ray.evaluation.review.labels_file import Labelled
from vitw_ray.facets import VALUE_FACETS


@dataclass(frozen=True)
class Agreed:
    """The joint answer to one conversation."""

    label: Labelled
    labellers: int
    ties: tuple[str, ...]
    """Facets in which votes were equal."""


def agreed(identity: str, labels: Sequence[Labelled], subjective_from: int) -> Agreed | None:
    """The joint answer of those who answered; None if nobody did."""
    answered = [one for one in labels if one.answered]
    if not answered:
        return None
    ties = []
    levels = sorted(one.subjectivity or 0 for one in answered)
    low, high = levels[(len(levels) - 1) // 2], levels[len(levels) // 2]
    if low != high:
        ties.append("subjectivity")
    if low < subjective_from <= high:
        ties.append("is_subjective")
    level = (low, high)[_coin(identity, "subjectivity", 2)]
    if level < subjective_from:
        label = Labelled(conversation_id=identity, subjectivity=level)
        return Agreed(label, len(answered), tuple(ties))
    subjective = [one for one in answered if (one.subjectivity or 0) >= subjective_from]
    response = Counter(one.response_type for one in subjective if one.response_type)
    firsts = sorted(code for code, n in response.items() if n == max(response.values()))
    if len(firsts) > 1:
        ties.append("response_type")
    found = {}
    for facet in VALUE_FACETS:
        found[facet], split = _values(identity, [getattr(one, facet) for one in subjective])
        if split:
            ties.append(facet)
    chosen = firsts[_coin(identity, "response_type", len(firsts))] if firsts else None
    told = {"conversation_id": identity, "subjectivity": level, "response_type": chosen}
    label = Labelled.model_validate(told | found)
    return Agreed(label, len(answered), tuple(ties))


def _values(identity: str, lists: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], bool]:
    """Labels that more than half list, and whether any is listed by exactly half."""
    voters: Counter[str] = Counter()
    spelled: dict[str, set[str]] = {}
    for labels in lists:
        voters.update({spelling(label) for label in labels})
        for label in labels:
            spelled.setdefault(spelling(label), set()).add(label)
    kept = []
    split = False
    for key, votes in sorted(voters.items()):
        tied = 2 * votes == len(lists)
        split |= tied
        if 2 * votes > len(lists) or (tied and _coin(identity, key, 2)):
            kept.append(min(spelled[key]))
    return tuple(kept), split


def _coin(identity: str, what: str, sides: int) -> int:
    return sample_hash(f"{what}\0{identity}", 0) % sides
