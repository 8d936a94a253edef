"""What makes a row the same as another: keyed hashes of what is said, by whom, and of all columns.

A row without an id gets one: a keyed hash of all its columns (messages, model, account, time, and
the others that its shape reads). The name of the file and the number of the row are not in it, so
the id stays when a file is renamed, moved, split or sorted. Rows that are equal in every column
that is read have the same hash; `histories` gives the second and later ones a number, so that each
of them is a conversation of its own. They are interchangeable, so it does not matter which of them
gets which number.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vitw_ray.keys import Keyed, canonical_json

ID_BYTES = 12


@dataclass(frozen=True, slots=True)
class Spoken:
    """The messages of a row as hashes (64 bits each, signed).

    Attributes:
        opening: of the messages up to the first one of the user; None: the user says nothing.
        whole: of all messages.
        beginnings: of every proper prefix of the messages.
        digest: of all messages, 16 bytes.
    """

    opening: int | None
    whole: int
    beginnings: list[int]
    digest: bytes


class Identities:
    """Computes the hashes of rows, under the secret of a run."""

    def __init__(self, keyed: Keyed) -> None:
        self._keyed = keyed
        self._messages_key = keyed.digest("messages", b"")
        self._speaker_key = keyed.digest("speaker", b"")

    def spoken(self, messages: Sequence[tuple[str, str]]) -> Spoken:
        """Hashes of a conversation and of its beginnings, in one pass over the text."""
        running = hashlib.blake2b(digest_size=16, key=self._messages_key)
        hashes: list[int] = []
        opening, digest = None, b""
        for role, content in messages:
            text = content.encode()
            running.update(b"%s %d\n" % (role.encode(), len(text)))
            running.update(text)
            digest = running.digest()
            hashes.append(int.from_bytes(digest[:8], "little", signed=True))
            if opening is None and role == "user":
                opening = hashes[-1]
        return Spoken(opening, hashes[-1], hashes[:-1], digest)

    def between(self, account: str | None, model: str | None) -> int:
        """Hash of an account and an assistant, each of which may be unknown."""
        pair = canonical_json([account, model])
        digest = hashlib.blake2b(pair, digest_size=8, key=self._speaker_key).digest()
        return int.from_bytes(digest, "little", signed=True)

    def content(self, columns: Sequence[Any], spoken: Spoken) -> bytes:
        """Hash of all columns of a row, 16 bytes; `columns` are those beside the messages."""
        return self._keyed.digest("content", spoken.digest + canonical_json(columns))

    def invented(self, content: bytes) -> str:
        """The id of a row that has none."""
        return self._keyed.hex("id", content, ID_BYTES)

    def prompt(self, messages: Sequence[tuple[str, str]]) -> str:
        """The id of what several assistants answered: the messages before the last, without marks.

        System messages are left out, as each assistant may have got another.
        """
        asked = [[role, content] for role, content in messages[:-1] if role != "system"]
        return self._keyed.hex("prompt", canonical_json(asked), ID_BYTES)

    def numbered(self, identity: str, number: int) -> str:
        """The id of a further row that equals one with this id; `number` counts from 1."""
        return self._keyed.hex("id", f"{identity} {number}".encode(), ID_BYTES)
