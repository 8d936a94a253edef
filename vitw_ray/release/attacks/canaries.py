"""Secrets that are planted in conversations, and the search for them in whatever form.

A search is for pieces of a secret, in the bytes of a file, in what is packed inside it, and in the
cells of its tables: plain or case-folded, as letters only, reversed, and in the usual encodings.
"""

import base64
import binascii
import codecs
import html
import json
import random
import re
import urllib.parse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitw_ray.release.attacks.findings import Outcome
from vitw_ray.release.attacks.folder import PublicFolder
from vitw_ray.release.attacks.views import views

PIECE = 12  # ours: characters of a secret that do not occur by chance
KINDS = ("name", "mail", "key", "address", "diagnosis")
_KEY_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
_NOT_LETTERS = re.compile(rb"[^a-z]+")


@dataclass(frozen=True, slots=True)
class Canary:
    """One secret of one kind."""

    number: int
    kind: str
    text: str


def make_canaries(count: int, seed: int = 7) -> list[Canary]:
    """Names, mail addresses, keys, street addresses and diagnoses that nobody has."""
    made = random.Random(seed)
    return [
        Canary(n, KINDS[n % len(KINDS)], _secret(KINDS[n % len(KINDS)], made)) for n in range(count)
    ]


def _secret(kind: str, made: random.Random) -> str:
    def word(syllables: int) -> str:
        pairs = (
            made.choice("bcdfghjklmnpqrstvwz") + made.choice("aeiou") for _ in range(syllables)
        )
        return "".join(pairs)

    match kind:
        case "name":
            return f"{word(4).title()} {word(5).title()}"
        case "mail":
            return f"{word(4)}.{word(4)}@{word(4)}.example"
        case "key":
            return "sk-live-" + "".join(made.choice(_KEY_LETTERS) for _ in range(32))
        case "address":
            return f"{made.randint(10, 9999)} {word(5).title()} Lane, {word(4).title()}ville"
    return f"{word(4)}oma {word(5)}itis"


def encodings(secret: str) -> dict[str, bytes]:
    """The secret in each form, lower case: a search folds the case of what it searches."""
    raw = secret.encode()
    forms = {
        "plain": raw,
        "reversed": secret[::-1].encode(),
        "hex": binascii.hexlify(raw),
        "url": urllib.parse.quote(secret, safe="").encode(),
        "form": urllib.parse.quote_plus(secret).encode(),
        "html": html.escape(secret).encode(),
        "entities": "".join(f"&#{ord(c)};" for c in secret).encode(),
        "entities.hex": "".join(f"&#x{ord(c):x};" for c in secret).encode(),
        "json": json.dumps(secret)[1:-1].encode(),
        "unicode": "".join(f"\\u{ord(c):04x}" for c in secret).encode(),
        "utf-16": secret.lower().encode("utf-16-le"),
        "rot13": codecs.encode(secret, "rot13").encode(),
        "dashes": re.sub(r"[^A-Za-z0-9]+", "-", secret).encode(),
        "underscores": re.sub(r"[^A-Za-z0-9]+", "_", secret).encode(),
    }
    for before in range(3):
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            encoded = encode(bytes(before) + raw).rstrip(b"=")
            forms[f"{name}.{before}"] = encoded[(0, 2, 3)[before] : -1]
    return {name: form.lower() for name, form in forms.items()}


class Search:
    """All pieces of all secrets in all encodings: one lookup for each place of a text."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """Prepare the search for some secrets of `PIECE` characters or more."""
        self._raw: _Pieces = {}
        self._letters: _Pieces = {}
        for number, secret in enumerate(secrets):
            for name, form in encodings(secret).items():
                _add(self._raw, form, PIECE * _WIDTHS.get(name, 1), (number, name))
            letters = _NOT_LETTERS.sub(b"", secret.lower().encode())
            for name, form in (("letters", letters), ("letters reversed", letters[::-1])):
                _add(self._letters, form, PIECE, (number, name))

    def find(self, data: bytes) -> set[tuple[int, str]]:
        """The secrets in some bytes: (number, encoding)."""
        folded = data.lower()
        return _found(folded, self._raw) | _found(_NOT_LETTERS.sub(b"", folded), self._letters)


_Pieces = dict[int, dict[bytes, tuple[int, str]]]
"""By length: a piece -> the first secret and encoding that it is of."""
_WIDTHS = {"hex": 2, "utf-16": 2, "unicode": 4, "entities": 4, "entities.hex": 4}
_CHUNK_BYTES = 1 << 20  # ours: a set of its windows takes about 100 MB


def _add(pieces: _Pieces, form: bytes, length: int, found: tuple[int, str]) -> None:
    of_length = pieces.setdefault(length, {})
    for n in range(len(form) - length + 1):
        of_length.setdefault(form[n : n + length], found)


def _found(data: bytes, pieces: _Pieces) -> set[tuple[int, str]]:
    found = set[tuple[int, str]]()
    for start in range(0, len(data), _CHUNK_BYTES):
        for length, of_length in pieces.items():
            chunk = data[start : start + _CHUNK_BYTES + length - 1]
            windows = {chunk[n : n + length] for n in range(len(chunk) - length + 1)}
            found |= {of_length[piece] for piece in of_length.keys() & windows}
    return found


def search_files(paths: Iterable[Path], secrets: Sequence[str]) -> dict[int, set[tuple[str, str]]]:
    """Secrets that are in files or in the names of files: number -> (file, encoding)."""
    search = Search(secrets)
    found: dict[int, set[tuple[str, str]]] = {}
    for path in paths:
        seen = search.find(str(path).encode(errors="surrogateescape"))
        for data in views(path):
            seen |= search.find(data)
        for number, encoding in seen:
            found.setdefault(number, set()).add((str(path), encoding))
    return found


def attack_canaries(folder: PublicFolder, secrets: Sequence[str]) -> Outcome:
    """Search every public file for secrets that were planted in its conversations."""
    outcome = Outcome("canaries", len(folder.files), "files")
    if not secrets:
        outcome.skipped = "no --canaries"
        return outcome
    for number, places in sorted(search_files(folder.files, secrets).items()):
        for path, encoding in sorted(places):
            outcome.found(folder.name(Path(path)), f"canary {number}, {encoding}")
    return outcome
