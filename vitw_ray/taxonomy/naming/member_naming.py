"""Names and descriptions of clusters from their own members, without a language model.

A member speaks for its cluster when it is near the centre and common. What may be shown is decided
before what is shown: a phrase needs enough conversations behind it, else single words do, each with
enough conversations in the cluster, else the cluster is only numbered. So a rare phrase, which one
person may have written, never becomes public, neither whole nor word by word.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitw_ray.alphabet import CLUSTER_NAME

MAX_NAME_WORDS = 10  # Clio, 5.1
DESCRIBED_MEMBERS = 5  # ours: a line of text
NAME_WORDS = 3  # ours: words without their phrase say little; more of them only look like a phrase
SECOND_VOICE = 0.5  # ours: below this share of the first, a second phrase tells of an outlier
STEM_LETTERS = 5  # ours: "educational value and education" says one thing twice

PLAIN = re.compile(CLUSTER_NAME)  # what a phrase is made of that may be shown
_WORD = re.compile(r"\b[a-z][a-z'\-]+[a-z]\b")
_STEM = re.compile(r"[a-z]{3,}")
_EMPTY_WORDS = frozenset(
    re.findall(
        r"\w+",
        "about after and are but for from has have how into its not off one our out over some than"
        " that the their them this what when which who with without you your",
    )
)

Noun = Literal["values", "tasks"]
Named = tuple[str, str]
"""Name and description of a cluster."""


def is_name(text: str) -> bool:
    """Whether a cluster may be called that: at most ten words of the allow-listed alphabet."""
    words = text.split()
    return bool(PLAIN.fullmatch(text)) and len(words) <= MAX_NAME_WORDS and text == " ".join(words)


def name_clusters(
    phrases: Sequence[str],
    vectors: NDArray[np.float32],
    conversations: NDArray[np.int64],
    clusters: NDArray[np.int32],
    *,
    noun: Noun,
    min_conversations: int = 1,
    taken: Iterable[str] = (),
) -> list[Named]:
    """Name every cluster of one level.

    Args:
        phrases: (n,) unique members: labels, or task texts.
        vectors: (n, d) their unit vectors.
        conversations: (n,) conversations behind each phrase.
        clusters: (n,) cluster of each phrase, from 0 without gaps.
        noun: what the members are, for descriptions and for clusters without a name.
        min_conversations: support that a phrase or a word needs to be shown. Labels have passed
            their own threshold, so 1 shows all; for tasks it is the only gate.
        taken: names that clusters of the level have which are not named here.

    Returns:
        What each cluster is called. Names are unique, not taken, of at most ten words and made of
        letters, spaces, hyphens, commas and apostrophes; a description is one line.
    """
    order = np.argsort(clusters, kind="stable")
    starts = np.searchsorted(clusters[order], np.arange(1, clusters.max(initial=-1) + 1))
    names: list[Named] = []
    used = {name.casefold() for name in taken}
    for members in np.split(order, starts) if len(order) else []:
        support = {phrases[i]: int(conversations[i]) for i in map(int, members)}
        voices = _representativeness(support, vectors[members])
        shown = {
            phrase: voice
            for phrase, voice in sorted(voices.items(), key=lambda item: (-item[1], item[0]))
            if support[phrase] >= min_conversations and PLAIN.fullmatch(phrase)
        }
        words = _common_words(support, min_conversations)
        candidates = _names(shown, words, noun)
        name = next(name for name in candidates if name.casefold() not in used)
        used.add(name.casefold())
        strongest = sorted(shown, key=lambda p: (-support[p], p))[:DESCRIBED_MEMBERS]
        names.append((name, _description(strongest, words, noun)))
    return names


def _representativeness(support: dict[str, int], vectors: NDArray[np.float32]) -> dict[str, float]:
    """How well each member speaks for all: cosine with their mean, times the log of its support."""
    points = vectors.astype(np.float64)
    centre = points.mean(axis=0)
    cosines = (points @ centre / max(float(np.linalg.norm(centre)), 1e-12)).clip(min=0)
    voices = cosines * np.log1p(list(support.values()))
    return dict(zip(support, voices.tolist(), strict=True))


def _common_words(support: dict[str, int], min_conversations: int) -> list[str]:
    """Words of a cluster's phrases, the most common first, each with enough conversations here."""
    totals: Counter[str] = Counter()
    for phrase, conversations in support.items():
        for word in set(_WORD.findall(phrase.lower())) - _EMPTY_WORDS:
            totals[word] += conversations
    enough = [word for word, total in totals.items() if total >= min_conversations]
    return sorted(enough, key=lambda word: (-totals[word], word))


def _names(shown: dict[str, float], words: Sequence[str], noun: Noun) -> Iterator[str]:
    """Names for one cluster, the best first, without end."""
    for first, voice in shown.items():
        second = (
            phrase
            for phrase, other in shown.items()
            if other >= SECOND_VOICE * voice and not _share_stem(first, phrase)
        )
        for parts in ([first, *islice(second, 1)], [first]):
            if is_name(name := " ".join(" and ".join(parts).split())):
                yield _capitalised(name)
    for length in range(min(NAME_WORDS, len(words)), 0, -1):
        yield _capitalised(_listed(words[:length]))
    yield from (f"Other {noun} {_letters(number)}" for number in count())


def _description(strongest: Sequence[str], words: Sequence[str], noun: Noun) -> str:
    if strongest:
        return f"{noun.capitalize()} such as {_listed(strongest)}."
    if words:
        return f"{noun.capitalize()} about {_listed(words[:NAME_WORDS])}."
    return f"{noun.capitalize()} too rare, one by one, to be shown."


def _share_stem(one: str, other: str) -> bool:
    stems = [{word[:STEM_LETTERS] for word in _STEM.findall(text.lower())} for text in (one, other)]
    return not stems[0].isdisjoint(stems[1])


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


def _letters(number: int) -> str:
    """0, 1, ... as A, B, ..., Z, AA, AB, ...: names hold no digits."""
    letters = ""
    while number >= 0:
        number, letter = divmod(number, 26)
        letters = chr(ord("A") + letter) + letters
        number -= 1
    return letters
