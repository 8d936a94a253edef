"""Phrase search by word stems, so that one phrase matches all inflected forms."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Generic, TypeVar

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_ANY = "*"  # in a phrase: any one word
_CONTRACTED = {
    "won't": ("will", "not"),
    "can't": ("can", "not"),
    "cannot": ("can", "not"),
    "let's": ("let", "us"),
}
_ENDINGS = {"'m": "am", "'re": "are", "'ll": "will", "'ve": "have", "'d": "would", "'s": "is"}

_Key = TypeVar("_Key")


def sentences(text: str) -> list[str]:
    """Split a turn at sentence ends and line breaks; sentences keep their final punctuation."""
    return [part for part in _SENTENCE.findall(text) if part.strip()]


def plain_words(text: str) -> list[str]:
    """The words of a text in lower case, as they stand."""
    return _WORD.findall(text.lower().replace("\u2019", "'"))


def stems(text: str) -> list[str]:
    """The stems of a text's English words, with contractions expanded."""
    found: list[str] = []
    for word in plain_words(text):
        found.extend(_stems_of(word))
    return found


@lru_cache(maxsize=100_000)
def _stems_of(word: str) -> tuple[str, ...]:
    if word in _CONTRACTED:
        return tuple(map(_stem, _CONTRACTED[word]))
    if word.endswith("n't"):
        return _stem(word[:-3]), "not"
    start, mark, _ = word.partition("'")
    ending = _ENDINGS.get(word[len(start) :]) if mark else None
    return (_stem(start), ending) if ending else (_stem(start),)


def _stem(word: str) -> str:
    """Strip plural and verb endings; approximate, but the same for phrases and texts."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 2 and word.endswith(ending):
            word = word[: -len(ending)]
            if word[-1] == word[-2] and word[-1] not in "sl":
                word = word[:-1]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


class Phrases(Generic[_Key]):
    """An index of phrases that finds all of them in one pass over the stems of a text."""

    def __init__(self, phrases: Iterable[tuple[str, _Key]]) -> None:
        self._single: dict[str, list[_Key]] = {}
        self._longer: dict[tuple[str, str], list[tuple[tuple[str, ...], _Key]]] = {}
        for phrase, key in phrases:
            first, *rest = [
                stem
                for word in phrase.split()
                for stem in ([_ANY] if word == _ANY else stems(word))
            ]
            if rest:
                self._longer.setdefault((first, rest[0]), []).append((tuple(rest[1:]), key))
            else:
                self._single.setdefault(first, []).append(key)

    def find(self, words: Sequence[str]) -> Iterator[tuple[_Key, int]]:
        """Yield the key of every phrase that occurs in the stems, with its number of words."""
        for position, first in enumerate(words):
            for key in self._single.get(first, ()):
                yield key, 1
            if position + 1 == len(words):
                return
            for second in (words[position + 1], _ANY):
                for tail, key in self._longer.get((first, second), ()):
                    if not tail or _continues(words, position + 2, tail):
                        yield key, 2 + len(tail)


def _continues(words: Sequence[str], start: int, tail: tuple[str, ...]) -> bool:
    following = words[start : start + len(tail)]
    return len(following) == len(tail) and all(
        want in (_ANY, have) for want, have in zip(tail, following, strict=True)
    )
