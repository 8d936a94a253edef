"""Hashes for names and partitions: stage keys, HMACs of private text, hash ranges.

There are three kinds. SHA-256 is for public data (settings, code, files). An HMAC with the run's
secret is for private data: a plain hash of a conversation would allow anyone to test whether a
guess is in the data. A short hash of the id assigns a row to a part, so the parts of a table depend
only on its rows.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import date
from typing import Any

from vitw_ray.errors import SecretLost
from vitw_ray.records import Message

KEY_LENGTH = 16  # hex digits of a stage key (ours: 64 bits, no collision in one folder)


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no white space; supports dataclasses and dates."""

    def plain(item: Any) -> Any:
        if is_dataclass(item) and not isinstance(item, type):
            return asdict(item)
        if isinstance(item, date):
            return item.isoformat()
        raise TypeError(f"cannot put {type(item).__name__} into a key")

    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=plain).encode()


def content_key(parts: Mapping[str, Any]) -> str:
    """Key of a result: the hash of all inputs that determine it."""
    return hashlib.sha256(canonical_json(parts)).hexdigest()[:KEY_LENGTH]


def digest_of_files(files: Iterable[tuple[str, str]]) -> str:
    """Digest of a table, from (name within the table, SHA-256) of its files, in any order."""
    lines = "".join(f"{name} {sha}\n" for name, sha in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


class Keyed:
    """HMACs with the run's secret, separated by purpose."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def digest(self, purpose: str, data: bytes, length: int = 16) -> bytes:
        """The first `length` bytes of HMAC-SHA-256 over the purpose and the data."""
        message = purpose.encode() + b"\0" + data
        return hmac.digest(self._secret, message, "sha256")[:length]

    def hex(self, purpose: str, data: bytes, length: int = 16) -> str:
        """As `digest`, in hex digits (two per byte)."""
        return self.digest(purpose, data, length).hex()

    @property
    def fingerprint(self) -> str:
        """Public identifier of the secret."""
        return self.hex("fingerprint", b"", 8)


class LostSecret(Keyed):
    """In place of a secret that was purged: nothing can be hashed, and its fingerprint is known.

    It is enough for a run in which all stages are finished.
    """

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint

    def digest(self, purpose: str, data: bytes, length: int = 16) -> bytes:
        """Raise SecretLost: see `Keyed`."""
        raise self.error()

    def error(self) -> SecretLost:
        """What to tell whoever needs the secret."""
        return SecretLost(
            "the secret of this run was purged, and nothing new can be read without it",
            "choose another --output, or give the secret as --secret-file if there is a copy",
        )

    @property
    def fingerprint(self) -> str:
        """As `run.json` has it."""
        return self._fingerprint


def message_bytes(messages: Iterable[Message]) -> bytes:
    """The conversation as bytes: role and text with their lengths, so the encoding is unique."""
    pieces = []
    for message in messages:
        for text in (message.role, message.content):
            encoded = text.encode()
            pieces += [len(encoded).to_bytes(8, "big"), encoded]
    return b"".join(pieces)


RING_BITS = 63  # the hash fits a signed 64-bit column


def id_hash(conversation_id: str) -> int:
    """Hash of an id, 0 .. 2^63 - 1 (the ring), which decides the part of its row."""
    digest = hashlib.blake2b(conversation_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - RING_BITS)


def range_bounds(index: int, ranges: int) -> tuple[int, int]:
    """First hash of a range and first hash after it; `ranges` equal parts of the ring."""
    return (index << RING_BITS) // ranges, ((index + 1) << RING_BITS) // ranges
