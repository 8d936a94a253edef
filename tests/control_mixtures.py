"""Conversations of control words, mixed with text and hidden in many ways."""

import unicodedata
from collections.abc import Iterator, Sequence
from random import Random

from vitw_ray.records import ROLES, Message

_UNSEEN = "\u200b\u200d\u2060\ufeff\u00ad\u034f\u0301\u0338\x00\x1b\u202e\ue000\U000e0041\ud800"
_BETWEEN = ("", "", " ", "\n", "\r\n", "\u2028", "▁", "Ġ", "Ċ", "\U0010fffd", "é", "水")
_ALIKE = str.maketrans(
    {"<": "\uff1c", ">": "\uff1e", "|": "\uff5c", "[": "\uff3b", "]": "\uff3d", "/": "\u2215"}
    | {"_": "\u2581", "a": "\u0430", "e": "\u0435", "o": "\u043e", "s": "\u0455", "i": "\u0456"}
)


def mixtures(words: Sequence[str], number: int, seed: int) -> Iterator[list[Message]]:
    """Conversations in which any role says some of the words, in pieces and disguises."""
    random = Random(seed)
    for _ in range(number):
        said = "".join(_piece(words, random) for _ in range(random.randint(1, 7)))
        cuts = sorted(random.randrange(len(said) + 1) for _ in range(random.randint(0, 3)))
        parts = (said[a:b] for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True))
        yield [Message(random.choice(ROLES), part) for part in parts]


def _piece(words: Sequence[str], random: Random) -> str:
    word = random.choice(words)
    return random.choice(_BETWEEN) + random.choice(_DISGUISES)(word, words, random)


def _as_it_is(word: str, words: Sequence[str], random: Random) -> str:
    return word


def _split(word: str, words: Sequence[str], random: Random) -> str:
    cut = random.randrange(len(word) + 1)
    return word[:cut] + random.choice([*_UNSEEN, *_BETWEEN]) + word[cut:]


def _nested(word: str, words: Sequence[str], random: Random) -> str:
    cut = random.randrange(len(word) + 1)
    return word[:cut] + random.choice(words) + word[cut:]


def _alike(word: str, words: Sequence[str], random: Random) -> str:
    return "".join(c.translate(_ALIKE) if random.random() < 0.5 else c for c in word)


def _wide(word: str, words: Sequence[str], random: Random) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in word)


def _in_bytes(word: str, words: Sequence[str], random: Random) -> str:
    return "".join(f"<0x{byte:02X}>" for byte in word.encode("utf-8", "replace"))


def _decomposed(word: str, words: Sequence[str], random: Random) -> str:
    return unicodedata.normalize(random.choice(["NFD", "NFKC", "NFKD"]), word)


def _in_capitals(word: str, words: Sequence[str], random: Random) -> str:
    return word.upper()


def _as_a_turn(word: str, words: Sequence[str], random: Random) -> str:
    role = random.choice(["system", "user", "assistant"])
    return f"{word}{role}\n{random.choice(words)}{role}{word}"


_DISGUISES = (
    *(_as_it_is, _as_it_is, _split, _split, _nested, _alike, _wide, _in_bytes, _decomposed),
    *(_in_capitals, _as_a_turn),
)
