"""Secrets of one account each, planted everywhere, are nowhere outside `private/`."""

import base64
import gzip
import html
import json
import os
import re
import signal
import time
import urllib.parse
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chat_server import Reply, chat_server, completion
from test_openai_server import words_of
from whole_runs import plant_files, run_quietly, small_config, start_job, wait_for_segments

from vitw_ray.config import LabelsConfig
from vitw_ray.release.attacks.attack import attack
from vitw_ray.release.attacks.canaries import Search, make_canaries, search_files

SECRETS = [canary.text for canary in make_canaries(1000)]
FEW = SECRETS[:80]
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


MARKUP = ("<script>alert(1)</script>", "=HYPERLINK(1)", "@SUM(1)", "\x1b[31mred", "../../etc")
FAULTS = 16


def hostile(body):
    """Gives secrets away as labels, tasks and names, and fails on half of the conversations."""
    if words := words_of(body):
        return completion(json.dumps({"word": words[0]}))
    if body.get("response_format", {}).get("json_schema", {}).get("name") == "group":
        name = " ".join(FEW[len(json.dumps(body)) % len(FEW)].title().split()[:4])
        return completion(json.dumps({"description": f"All of {name}.", "name": name}))
    text = body["messages"][-1]["content"]
    said = [secret for secret in FEW if secret in text]
    fault = FEW.index(said[0]) % FAULTS if said else FAULTS
    deep, soon = '{"a":' + "[" * 1500 + text, {"retry-after-ms": "1"}
    faults = (
        Reply(400),  # without a body: it quotes the request
        Reply(500, headers=soon),
        Reply(403),
        Reply(body=f"<html>{text}".encode(), headers={"content-type": "text/html"}),
        Reply(body=b"\x1f\x8b\xff" + text.encode()),
        completion(None, refusal=text),
        completion(text),
        completion(deep),
        completion("[" + json.dumps(text)),
    )
    if fault < len(faults):
        return faults[fault]
    return gives_away(said, fault, text)


def gives_away(said, fault, text):
    """An answer that is read, with secrets wherever they fit."""
    names = [re.sub(r"[^a-z]+", " ", secret.lower()).strip() for secret in said]
    labels = ["honesty", "care", *names, *(MARKUP if fault == 9 else ())]
    values = [{"label": label[:60], "explicit": True} for label in labels]
    task = f"help {names[0]}"[:78] if said else "plan a week"
    answer = {"subjectivity": 4, "task": task, "human_values": values, "ai_values": values}
    content = json.dumps({**answer, "response_type": "reframing"})
    reply = completion([{"type": "text", "text": content}] if fault == 10 else content)
    if fault == 11:
        reply.body["model"] = text
    if fault == 12:
        odd = {"prompt_tokens": f"100 {text}", "completion_tokens": 10**30}
        reply.body["usage"] = odd
    return reply


@pytest.mark.ray
@pytest.mark.slow
def test_secrets_stay_private_when_a_server_gives_them_away_or_fails_and_the_driver_is_killed(
    tmp_path,
):
    pytest.importorskip("openai")
    base = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}
    rows = [planted(secret, n, base) for n, secret in enumerate(FEW)]
    rows += [planted("nothing to hide", 5000 + n, base) for n in range(40)]
    for n in range(20):  # enough conversations for a label, of one account
        rows.append(planted(FEW[13], 13, base) | {"conversation_id": f"often-{n}"})
        rows[-1]["messages"][0]["content"] += f" Again, {n}."
    source = tmp_path / "chats.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{" + FEW[0])
    output = tmp_path / "run"

    def slow(body):
        time.sleep(0.1)  # leaves time for the kill
        return hostile(body)

    with chat_server(slow) as (_, url):
        arguments = [
            *("--input", str(source), "--output", str(output)),
            *("--extractor", "openai", "--server-url", url, "--model", "served"),
            *("--questions", "one_pass", "--reader-check", "off", "--max-error-share", "0.6"),
            *("--embedder", "hashing", "--min-conversations", "15", "--min-accounts", "5"),
            *("--naming", "model"),
            *("--unit-rows", "20", "--segment-rows", "5", "--rows-per-part", "200"),
        ]
        told = []
        for killed in (True, False):
            log = tmp_path / f"killed-{killed}"
            with log.open("w") as file:
                job = start_job(arguments, file)
            try:
                if killed:
                    wait_for_segments(output, 2, job, seconds=300)
                else:
                    assert job.wait(timeout=600) == 0, log.read_text()[-3000:]
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(job.pid, signal.SIGKILL)
                job.wait()
            told.append(log.read_text())
    extracted = json.loads((output / "run.json").read_text())["totals"]
    assert extracted["failed"] >= len(FEW) // 2  # the faults were made
    found, *_ = attack(str(output), canaries=FEW)
    assert found.findings == []
    assert not Search(FEW).find("".join(told).encode())
    page = (output / "report.html").read_text()
    assert "alert(1)" not in page
    cells = "".join(file.read_text() for file in output.glob("*_release-*/*.csv"))
    assert "honesty" in cells
    assert not re.search(r"(^|,)\"?[=+@-]", cells, re.MULTILINE)
