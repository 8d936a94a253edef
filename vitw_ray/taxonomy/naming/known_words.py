"""Words that a name by a model may have: those of kept labels, and a fixed list.

A model may repeat what it should not, or be hostile, and its names become public. A word that is in
no kept label and not in the list makes a name invalid, whatever it means.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

_WORD = re.compile(r"[a-z]+")
_ENDING = re.compile(r"(?:ness|ment|ful|ing|ion|ity|al|ly|ive|ed|er|es|s|e|y)$")
_SHORTEST_STEM = 4  # ours: below, different words would have one stem
GENERAL = frozenset(
    _WORD.findall(
        """
        a about across after all also an and any are around as at be being both but by can do each
        for from has have how in into is it its like more most not of on one or other others over
        own so than that the their them these they this those through to toward towards under up
        was what when where which while who whose with within without you your
        again aspect aspects balanced based basic behaviour belong broad care clear close common
        concern concerns conduct core different direct dimension dimensions effective everyday
        focus focused general good group groups helping human ideal ideals individual interaction
        interactions kind kinds life main make making matter matters mean means mutual norm norms
        part parts people person personal positive practical practice practices principle
        principles priority prioritizing promote promoting public quality qualities related
        relation relations set shared show showing social standard standards strong support
        supporting sense such theme themes together toward trait traits type types use value
        values valued valuing various way ways well whole work working world
        ai answer answers assistant assistants conversation conversations reply replies user users
        """
    )
)


def words_of(labels: Iterable[str]) -> frozenset[str]:
    """The stems of the words of labels."""
    return frozenset(_stem(word) for label in labels for word in _WORD.findall(label.lower()))


def is_of_known_words(text: str, known: frozenset[str]) -> bool:
    """Whether each word of a text is in the list, or is a form of a word in `words_of` labels."""
    words = _WORD.findall(text.lower())
    return all(word in GENERAL or _stem(word) in known for word in words)


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    """The word without common endings; nothing is added, so no new text fits a stem."""
    while True:
        shorter = _ENDING.sub("", word)
        if shorter == word or len(shorter) < _SHORTEST_STEM:
            return word
        word = shorter
