"""Names and descriptions of clusters from their members, without a language model.

A member represents its cluster if it is near the centre and frequent. A phrase is only used if it
has enough conversations. If no phrase has, single words with enough conversations in the cluster
are used, and otherwise the cluster is only lettered. So a rare phrase, which one person may have
written, never becomes public, neither as a whole nor word by word.
"""

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitw_ray.alphabet import CLUSTER_NAME

MAX_NAME_WORDS = 10  # Clio, 5.1
DESCRIBED_MEMBERS = 5  # ours: one line of text
NAME_WORDS = 3  # ours: single words carry little meaning; a longer list only looks like a phrase
SECOND_PHRASE = 0.5  # ours: below this share of the first score, a second phrase is an outlier
STEM_LETTERS = 5  # ours: avoids redundant names such as "educational value and education"

PLAIN = re.compile(CLUSTER_NAME)  # the characters of a phrase that may be shown
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


class _Everything:
    def __contains__(self, text: object) -> bool:
        return True


@dataclass(frozen=True)
class Public:
    """The phrases and the words that may be shown; by default all."""

    phrases: Container[str] = _Everything()
    words: Container[str] = _Everything()


ALL = Public()


def is_name(text: str) -> bool:
    """Whether a text is a valid cluster name: at most ten words in the allowed alphabet."""
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
    public: Public = ALL,
    unnamed: Container[int] = (),
) -> list[Named]:
    """Name every cluster of one level.

    Args:
        phrases: (n,) unique members: labels, or task texts.
        vectors: (n, d) unit vectors of the phrases.
        conversations: (n,) number of conversations of each phrase.
        clusters: (n,) cluster of each phrase, from 0 without gaps.
        noun: kind of the members, for descriptions and for clusters without a name.
        min_conversations: conversations that a phrase or a word needs in its cluster to be shown.
            Labels have already passed a threshold, so 1 shows all.
        taken: names of other clusters of the level, which are not named here.
        public: the phrases and words that may be shown at all.
        unnamed: clusters that are only lettered, for what they hold has nothing in common.

    Returns:
        Name and description of each cluster. Names are unique, not taken, at most ten words, and
        made of letters, spaces, hyphens, commas and apostrophes; a description is one line.
    """
    order = np.argsort(clusters, kind="stable")
    starts = np.searchsorted(clusters[order], np.arange(1, clusters.max(initial=-1) + 1))
    found: list[Showable] = []
    for number, members in enumerate(np.split(order, starts) if len(order) else []):
        support = {phrases[i]: int(conversations[i]) for i in map(int, members)}
        scores = _representativeness(support, vectors[members])
        phrases_shown = {
            phrase: (score, support[phrase])
            for phrase, score in scores.items()
            if support[phrase] >= min_conversations and PLAIN.fullmatch(phrase)
            if phrase in public.phrases and number not in unnamed
        }
        common = _common_words(support, min_conversations) if number not in unnamed else []
        words = [word for word in common if word in public.words]
        found.append(Showable(phrases_shown, words))
    return names_of(found, noun=noun, taken=taken)


@dataclass(frozen=True)
class Showable:
    """What may be shown of a cluster.

    Attributes:
        phrases: of each its score, a cosine with the mean times log(1 + conversations), and its
            conversations.
        words: those of its phrases with enough conversations in it, most frequent first.
    """

    phrases: Mapping[str, tuple[float, int]]
    words: Sequence[str]


def names_of(clusters: Iterable[Showable], *, noun: Noun, taken: Iterable[str] = ()) -> list[Named]:
    """Name and description of each cluster of a level; see `name_clusters`."""
    names: list[Named] = []
    used = {name.casefold() for name in taken}
    for cluster in clusters:
        by_score = sorted(cluster.phrases.items(), key=lambda item: (-item[1][0], item[0]))
        shown = {phrase: score for phrase, (score, _) in by_score}
        candidates = _names(shown, cluster.words, noun)
        name = next(name for name in candidates if name.casefold() not in used)
        used.add(name.casefold())
        frequent = sorted(shown, key=lambda phrase: (-cluster.phrases[phrase][1], phrase))
        names.append((name, _description(frequent[:DESCRIBED_MEMBERS], cluster.words, noun)))
    return names


def _representativeness(support: dict[str, int], vectors: NDArray[np.float32]) -> dict[str, float]:
    """Score of each member: its cosine with the mean, times log(1 + conversations)."""
    points = vectors.astype(np.float64)
    centre = points.mean(axis=0)
    cosines = (points @ centre / max(float(np.linalg.norm(centre)), 1e-12)).clip(min=0)
    scores = cosines * np.log1p(list(support.values()))
    return dict(zip(support, scores.tolist(), strict=True))


def content_words(phrase: str) -> set[str]:
    """The words of a phrase that carry meaning."""
    return set(_WORD.findall(phrase.lower())) - _EMPTY_WORDS


def _common_words(support: dict[str, int], min_conversations: int) -> list[str]:
    """Words of a cluster's phrases with enough conversations in it, most frequent first."""
    totals: Counter[str] = Counter()
    for phrase, conversations in support.items():
        for word in content_words(phrase):
            totals[word] += conversations
    enough = [word for word, total in totals.items() if total >= min_conversations]
    return sorted(enough, key=lambda word: (-totals[word], word))


def _names(shown: dict[str, float], words: Sequence[str], noun: Noun) -> Iterator[str]:
    """Yield candidate names of one cluster, best first, without end."""
    for first, score in shown.items():
        second = (
            phrase
            for phrase, other in shown.items()
            if other >= SECOND_PHRASE * score and not _share_stem(first, phrase)
        )
        for parts in ([first, *islice(second, 1)], [first]):
            if is_name(name := " ".join(" and ".join(parts).split())):
                yield _capitalised(name)
    for length in range(min(NAME_WORDS, len(words)), 0, -1):
        yield _capitalised(_listed(words[:length]))
    yield from spare_names(noun)


def spare_names(noun: Noun) -> Iterator[str]:
    """Names for clusters that nothing else may name, without end."""
    return (f"Other {noun} {_letters(number)}" for number in count())


def describe(members: Sequence[str], noun: Noun) -> str:
    """A description made of members that may be shown, of which the first are named."""
    return _description(members[:DESCRIBED_MEMBERS], [], noun)


def _description(phrases: Sequence[str], words: Sequence[str], noun: Noun) -> str:
    if phrases:
        return f"{noun.capitalize()} such as {_listed(phrases)}."
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
    """0, 1, ... as A, B, ..., Z, AA, AB, ..., because names have no digits."""
    letters = ""
    while number >= 0:
        number, letter = divmod(number, 26)
        letters = chr(ord("A") + letter) + letters
        number -= 1
    return letters
