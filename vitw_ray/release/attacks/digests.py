"""Digests as oracles: whoever guesses what was hashed can see that the guess was right."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.facets import VALUE_FACETS
from vitw_ray.records import LABELS
from vitw_ray.release.attacks.findings import Outcome
from vitw_ray.release.attacks.folder import PublicFolder
from vitw_ray.release.attacks.small_cells import Thresholds
from vitw_ray.run_folder import ROW_GROUP_ROWS

_HEX = re.compile(rb"(?<![0-9a-f])[0-9a-f]{16,128}(?![0-9a-f])")
_BASE64 = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{22,88}={0,2}(?![A-Za-z0-9+/=_-])")
_ALGORITHMS = (
    "md5",
    "sha1",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "blake2b",
    "blake2s",
    "sha3_256",
)
_BLAKE_BYTES = (8, 16, 20, 32)
_PREFIX = 16  # ours: hex digits that decide; two of a billion guesses agree in them by chance
_MOST_PARTS = 200_000  # ours: tables that are built and hashed, half a minute


def attack_digests(folder: PublicFolder, guesses: Sequence[str], thresholds: Thresholds) -> Outcome:
    """Hash guesses in every usual way, and look for the result in every public file."""
    outcome = Outcome("digests", unit="hashes")
    if not guesses:
        outcome.skipped = "no --guesses"
        return outcome
    digests: dict[str, str] = {}
    for path in folder.files:
        for digest in _digests_in(path.read_bytes()):
            digests.setdefault(digest[:_PREFIX], folder.name(path))
    for n, guess in enumerate(guesses):
        for form, hashed in _hashes(guess):
            outcome.looked_at += 1
            if (where := digests.get(hashed[:_PREFIX])) is not None:
                outcome.found(where, f"guess {n} as {form}")
    for n, hashed in _label_parts(folder, guesses, thresholds):
        outcome.looked_at += 1
        if (where := digests.get(hashed[:_PREFIX])) is not None:
            outcome.found(where, f"guess {n} is the one rare label")
    return outcome


def _digests_in(data: bytes) -> Iterator[str]:
    yield from (found.decode() for found in _HEX.findall(data.lower()))
    for found in _BASE64.findall(data):
        try:
            raw = base64.b64decode(found + b"=" * (-len(found) % 4), altchars=b"-_")
        except ValueError:
            continue
        yield raw.hex()


def _hashes(guess: str) -> Iterator[tuple[str, str]]:
    forms = {guess, guess.lower(), guess.strip(), json.dumps(guess), f"{guess}\n"}
    for form in sorted(forms):
        data = form.encode(errors="surrogatepass")
        for name in _ALGORITHMS:
            yield name, hashlib.new(name, data).hexdigest()
        for size in _BLAKE_BYTES:
            yield f"blake2b-{8 * size}", hashlib.blake2b(data, digest_size=size).hexdigest()


def _label_parts(
    folder: PublicFolder, guesses: Sequence[str], thresholds: Thresholds
) -> Iterator[tuple[int, str]]:
    """Digests of a private part of `labels` that holds one rare label, for each guess."""
    manifest = next(
        (m for name, m in folder.documents.items() if name.startswith("3_labels-")), None
    )
    if manifest is None:
        return
    subjective = manifest.get("details", {}).get("subjective_conversations") or 1
    private = [f["rows"] for f in manifest.get("files", ()) if f["path"].startswith("private/")]
    if not any(rows in (1, 2) for rows in private):
        return
    tried = 0
    for n, guess in enumerate(guesses):
        for conversations in range(1, thresholds.conversations):
            for accounts in (None, *range(1, conversations + 1)):
                for facets in (*((facet,) for facet in VALUE_FACETS), tuple(VALUE_FACETS)):
                    tried += 1
                    if tried > _MOST_PARTS:
                        return
                    yield n, _part(facets, guess, conversations, accounts, subjective)


def _part(
    facets: Sequence[str], label: str, conversations: int, accounts: int | None, subjective: int
) -> str:
    row: dict[str, Any] = {"label": label, "conversations": conversations, "accounts": accounts}
    row |= {"share": conversations / subjective, "kept": False}
    table = pa.Table.from_pylist([{**row, "facet": facet} for facet in facets], schema=LABELS)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=ROW_GROUP_ROWS)
    return hashlib.sha256(buffer.getvalue()).hexdigest()
