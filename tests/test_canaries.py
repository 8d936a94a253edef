"""Secrets of one account each, planted everywhere, are nowhere outside `private/`."""

import base64
import gzip
import html
import json
import urllib.parse
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from whole_runs import plant_files, run_quietly, small_config

from vitw_ray.config import LabelsConfig
from vitw_ray.release.attacks.attack import attack
from vitw_ray.release.attacks.canaries import Search, make_canaries, search_files

SECRETS = [canary.text for canary in make_canaries(1000)]
ENCODE = {
    "plain": str,
    "folded": str.upper,
    "hex": lambda s: s.encode().hex(),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 at 1": lambda s: base64.b64encode(b"x" + s.encode()).decode(),
    "base64 at 2": lambda s: base64.b64encode(b"xy" + s.encode()).decode(),
    "url": lambda s: urllib.parse.quote(s, safe=""),
    "entities": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "html": lambda s: html.escape(f"<{s}>"),
    "unicode": lambda s: "".join(f"\\u{ord(c):04x}" for c in s),
    "json": lambda s: json.dumps({"a": [s]}),
    "reversed": lambda s: s[::-1],
    "letters": lambda s: "_".join(s),
    "a part": lambda s: s[2:15],
}


@pytest.mark.parametrize("name", ENCODE)
def test_the_search_finds_a_secret_in_every_encoding(name):
    search = Search(SECRETS[:50])
    for number, secret in enumerate(SECRETS[:50]):
        if name == "a part" and len(secret) < 16:
            continue
        told = f"before {ENCODE[name](secret)} after".encode()
        assert number in {n for n, _ in search.find(told)}


def test_the_search_finds_no_secret_where_there_is_none(tmp_path):
    text = Path(__file__).read_bytes() + bytes(range(256)) * 200
    assert not Search(SECRETS).find(text)


@pytest.mark.parametrize("kind", ["gz", "zst", "parquet", "name"])
def test_the_search_looks_into_what_is_packed_and_at_names(kind, tmp_path):
    data = f"x{SECRETS[0]}x".encode()
    path = tmp_path / (f"{SECRETS[0]}.txt" if kind == "name" else f"file.{kind}")
    if kind == "gz":
        path.write_bytes(gzip.compress(data))
    elif kind == "zst":
        path.write_bytes(pa.compress(data, codec="zstd", asbytes=True))
    elif kind == "parquet":
        table = pa.table({"a": [{"b": [data.decode()]}]})
        pq.write_table(table, path, compression="zstd")
    else:
        path.write_text("nothing")
    assert set(search_files([path], SECRETS[:5])) == {0}


def planted(secret: str, number: int, base: dict) -> dict:
    """A conversation of one account with a secret in its text and in one more place."""
    row = json.loads(json.dumps(base))
    row |= {"conversation_id": f"canary-{number}", "account_id": f"account-{number}"}
    row["messages"][0]["content"] += f" My secret is {secret}. I value {secret}, and honesty."
    row["messages"][-1]["content"] += f" I understand. I value {secret} too."
    place = number % 6
    if place < 5:
        row[("model", "source", "language", "prompt_id", "conversation_id")[place]] = secret
    else:
        row[secret] = {secret: secret}
    return row


@pytest.mark.ray
@pytest.mark.slow
def test_a_thousand_secrets_stay_private_and_the_controls_are_found(local_ray, tmp_path):
    [source] = plant_files(tmp_path / "plain", rows=400, files=1)
    base = [json.loads(line) for line in gzip.decompress(Path(source).read_bytes()).splitlines()]
    folder = tmp_path / SECRETS[0] / "in"
    folder.mkdir(parents=True)
    rows = [planted(secret, n, base[n % len(base)]) for n, secret in enumerate(SECRETS)]
    control = "Heron Osprey Control Model"
    for n in range(40):
        rows.append(planted("Nobody In Particular", 5000 + n, base[n]) | {"model": control})
        rows[-1]["conversation_id"] = f"control-{n}"
    for n in range(0, len(rows), 260):
        lines = "\n".join(json.dumps(row) for row in rows[n : n + 260])
        (folder / f"{SECRETS[n + 1]}.jsonl").write_text(lines + "\n{" + SECRETS[n])
    secret = tmp_path / "secret"
    config = small_config([str(folder)], tmp_path / "run", secret, extractor="lexicon")
    config = replace(config, labels=LabelsConfig(min_conversations=15, min_accounts=5))
    run_quietly(config)
    found, *_ = attack(str(tmp_path / "run"), canaries=[*SECRETS, control])
    assert {finding.what.split(",")[0] for finding in found.findings} == {"canary 1000"}
