"""Inputs as people have them, each read by the whole of stage 1: ids, assistants, turns, counts.

One row of a table per kind of input: the files, and what is to come out of them.
"""

import bz2
import gzip
import io
import json
import lzma
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from container_writers import as_lines, zstd
from reading_stage import ReadStage

from vitw_ray import cluster
from vitw_ray.conversations.listing import list_input
from vitw_ray.conversations.survey import survey
from vitw_ray.errors import VitwRayError

Row = dict[str, Any]
Files = dict[str | bytes, bytes]


@dataclass(frozen=True)
class Case:
    """Files by name, and what stage 1 makes of them."""

    files: Files
    conversations: int
    rejects: dict[str, int] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)
    holds: Callable[[list[Row]], bool] = bool


def say(*texts: str) -> list[Row]:
    """Messages in turn: user, assistant, user, ..."""
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]


def chat(number: int, **more: Any) -> Row:
    messages = say(f"Is it fair to wait, {number}?", f"Ask them first, {number}.")
    return {"conversation_id": f"c{number}", "model": "heron", "messages": messages, **more}


def said(row: Row) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in row["messages"]]


def column(rows: list[Row], name: str) -> set[Any]:
    return {row[name] for row in rows}


def parquet(columns: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def chatgpt(name: str, answer: Any, **more: Any) -> Row:
    """A conversation of an export: two answers, of which the second is the newest."""

    def node(parent: str | None, children: list[str], role: str, content: Any) -> Row:
        message = {"author": {"role": role}, "content": content}
        return {"parent": parent, "children": children, "message": message}

    old = {"content_type": "text", "parts": ["An older answer"]}
    asked = {"content_type": "text", "parts": [f"What is a fair rule, {name}?"]}
    root: Row = {"parent": None, "children": ["u"], "message": None}
    mapping = {"root": root, "u": node("root", ["a1", "a2"], "user", asked)}
    mapping |= {"a1": node("u", [], "assistant", old), "a2": node("u", [], "assistant", answer)}
    return {"id": name, "conversation_id": name, "mapping": mapping, "current_node": "a2"} | more


def chatgpt_case() -> Case:
    text = {"content_type": "text"}
    rows = [
        chatgpt("null", text | {"parts": [None, "One that all know"]}),
        chatgpt("typeless", text | {"parts": [{"odd": 1}, "One that all know"]}),
        chatgpt("dangling", text | {"parts": ["One that all know"]}, current_node="gone"),
        chatgpt("model", text | {"parts": ["One that all know"]}, default_model_slug="osprey"),
    ]

    def holds(found: list[Row]) -> bool:
        last = {said(row)[-1][1] for row in found}
        return all("One that all know" in text for text in last) and "osprey" in column(
            found, "model"
        )

    return Case(
        {"conversations.json": json.dumps(rows).encode()}, 4, {}, {"part_unknown": 2}, holds
    )


def export_folder() -> Case:
    rows = [chatgpt("one", {"content_type": "text", "parts": ["Yes"]})]
    side = {"user.json": {"id": "u", "email": "x"}, "message_feedback.json": []}
    files: Files = {name: json.dumps(value).encode() for name, value in side.items()}
    files |= {"conversations-000.json": json.dumps(rows).encode(), "chat.html": b"<html></html>"}
    return Case(files, 1)


def float_ids() -> Case:
    rows = [
        chat(n, conversation_id=100.0 + n, account_id=7.0 if n else None, prompt_id=1.0)
        for n in range(4)
    ]

    def holds(found: list[Row]) -> bool:
        ids, accounts = column(found, "conversation_id"), column(found, "account_id")
        return ids == {"100", "101", "102", "103"} and len(accounts) == 2

    return Case({"floats.jsonl": as_lines(rows)}, 4, holds=holds)


def answer_beside() -> Case:
    asked = {"messages": say("Is it fair?")}
    choice = {"message": {"role": "assistant", "content": "Ask them."}}
    beside = [
        {"id": "1", "choices": [choice]},
        {"id": "2", "completion": "Ask them."},
        {"id": "3", "chosen": [{"role": "assistant", "content": "Ask them."}]},
    ]
    alone = {"id": "4", "messages": say("Nobody answers this?")}
    return Case(
        {f"{n}.jsonl": as_lines([asked | row]) for n, row in enumerate(beside)}
        | {"openings.jsonl": as_lines([alone, {"id": "5", "messages": say("Is it?", "It is.")}])},
        4,
        {"no_assistant_turn": 1},
        holds=lambda rows: all(said(row)[-1][0] == "assistant" for row in rows),
    )


def text_in_parts() -> Case:
    def parts(role: str, text: str, key: str) -> Row:
        return {"role": role, "parts": [{"type": "step-start"}, {"type": "text", key: text}]}

    rows = [
        {"id": key, "messages": [parts("user", "Fair?", key), parts("assistant", "Ask.", key)]}
        for key in ("text", "content")
    ]
    rows += [{"id": "mixed", "messages": [say("Fair?")[0], parts("assistant", "Ask.", "text")]}]
    for row in rows[2:]:
        row["messages"][1]["content"] = ""
    spoken = [("user", "Fair?"), ("assistant", "Ask.")]
    return Case(
        {f"{row['id']}.jsonl": as_lines([row]) for row in rows},
        3,
        holds=lambda found: all(said(row) == spoken for row in found),
    )


def growing() -> Case:
    whole = say("One?", "Two.", "Three?", "Four.", "Five?", "Six.")
    rows = [
        {"model": "heron", "user": f"u{n}", "messages": [*say(f"From {n}?", "Yes."), *whole[:end]]}
        for n in range(3)
        for end in (0, 2, 4, 6)
    ]
    return Case(
        {"requests.jsonl": as_lines(rows)},
        3,
        {"superseded": 9},
        holds=lambda found: {len(row["messages"]) for row in found} == {8},
    )


def same_of_three() -> Case:
    rows = [
        {"model": model, "messages": chat(n)["messages"]}
        for n in range(10)
        for model in ("heron", "osprey", "wren")
    ]
    return Case(
        {"answers.jsonl": as_lines(rows)},
        30,
        holds=lambda found: column(found, "model") == {"heron", "osprey", "wren"},
    )


def thoughts() -> Case:
    answers = [f"<{tag}>\nI must hide this.\n</{tag}>\n\nAsk." for tag in ("think", "reasoning")]
    rows = [chat(n, messages=say("Fair?", answer)) for n, answer in enumerate(answers)]

    def holds(found: list[Row]) -> bool:
        texts = [said(row)[1][1] for row in found]
        return all("hide" not in text and "[thinking]" in text for text in texts)

    return Case({"thoughts.jsonl": as_lines(rows)}, 2, holds=holds)


def parquet_writers() -> Case:
    ids = [uuid.UUID(int=n) for n in range(2)]
    held = pa.array([one.bytes for one in ids], pa.binary(16))
    messages = [chat(n)["messages"] for n in range(2)]
    text = [json.dumps(one) for one in messages]
    heron = ["heron", "heron"]
    decimals = pa.array([Decimal(20), Decimal(21)], pa.decimal128(20, 0))
    tensor = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float32(), [1]),
        pa.array([[1.0], [2.0]], pa.list_(pa.float32(), 1)),
    )
    files: Files = {
        "uuid.parquet": parquet(
            {"conversation_id": held.cast(pa.uuid()), "model": heron, "messages": messages}
        ),
        "decimal.parquet": parquet(
            {"conversation_id": decimals, "model": heron, "messages": messages}
        ),
        "text.parquet": parquet(
            {"conversation_id": ["t0", "t1"], "model": heron, "messages": text}
        ),
        "tensor.parquet": parquet(
            {"conversation_id": ["x0", "x1"], "model": heron, "messages": messages, "v": tensor}
        ),
        "binary.parquet": parquet(
            {"conversation_id": pa.array([b"b0", b"b1"]), "model": heron, "messages": messages}
        ),
    }
    wanted = {"20", "21", "t0", "t1", "x0", "x1", "b0", "b1", *map(str, ids)}
    return Case(files, 10, holds=lambda found: column(found, "conversation_id") == wanted)


def partitions() -> Case:
    rows = [{key: value for key, value in chat(n).items() if key != "model"} for n in range(2)]
    files: Files = {
        f"logs/model={model}/part-0.jsonl": as_lines([rows[n]])
        for n, model in enumerate(("heron", "osprey"))
    }
    return Case(files, 2, holds=lambda found: column(found, "model") == {"heron", "osprey"})


def suffixes() -> Case:
    packed = {
        "a.JSONL": bytes,
        "b.jsonl.bz2": bz2.compress,
        "c.xz": lzma.compress,
        "d.jsonl.zstd": zstd,
        "e.json.gzip": gzip.compress,
        "f.jsonl.1": bytes,
        "g-2026-07-01-abc": bytes,
        "h.txt": bytes,
    }
    files: Files = {
        name: pack(as_lines([chat(n)])) for n, (name, pack) in enumerate(packed.items())
    }
    files["i.csv"] = b"prompt,response\nIs it fair?,Ask.\n"
    return Case(files, 9)


def role_names() -> Case:
    pairs = [("human", "gpt"), ("User", "bot"), ("prompter", "model"), ("customer", "ai")]
    rows = [
        chat(
            n, messages=[{"role": a, "content": "Fair?"}, {"role": b, "content": f"Ask the {n}th."}]
        )
        for n, (a, b) in enumerate(pairs)
    ]
    rows.append(chat(9, messages=[*say("Fair?", "Ask."), {"role": "narrator", "content": "Then"}]))
    names = {"role_unknown_narrator": 1}
    return Case(
        {"roles.jsonl": as_lines(rows)},
        5,
        {},
        names,
        holds=lambda found: all(
            [role for role, _ in said(row)[:2]] == ["user", "assistant"] for row in found
        ),
    )


def times() -> Case:
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    second = int(noon.timestamp())
    written = [
        *(second * 10**power for power in (0, 3, 6, 9)),
        *(str(second * 10**power) for power in (0, 3, 6, 9)),
        "2026-07-01T12:00:00",
        "2026-07-01 12:00:00 UTC",
        "Wed, 01 Jul 2026 12:00:00 GMT",
        "2026-07-01T14:00:00.000+02:00",
    ]
    odd = ["soon", -62135596800, "1712-01-01T00:00:00Z"]
    rows = [chat(n, created_at=value) for n, value in enumerate([*written, *odd])]

    def holds(found: list[Row]) -> bool:
        seen = [row["created_at"] for row in found]
        return seen.count(None) == 3 and {time for time in seen if time} == {noon}

    repaired = {"time_out_of_range": 2, "time_unreadable": 1}
    return Case({"times.jsonl": as_lines(rows)}, 15, {}, repaired, holds)


def null_structs() -> Case:
    nothing = {"function_call": {"name": None, "arguments": None}, "tool_calls": None}
    rows = [
        chat(n, messages=[message | nothing for message in chat(n)["messages"]]) for n in range(3)
    ]
    return Case(
        {"nulls.jsonl": as_lines(rows)},
        3,
        holds=lambda found: not any("[" in text for row in found for _, text in said(row)),
    )


def packing() -> Case:
    one = [as_lines([chat(n)]) for n in range(5)]
    files: Files = {
        "plain.jsonl.gz": one[0],
        "packed.jsonl": gzip.compress(one[1]),
        "twice.jsonl.gz": gzip.compress(gzip.compress(one[2])),
        "padded.jsonl.gz": gzip.compress(one[3]) + bytes(512),
        "trailing.jsonl.gz": gzip.compress(one[4]) + b"no gzip at all",
    }
    return Case(files, 5, {"trailing_bytes": 1})


def layouts() -> Case:
    rows = [[chat(10 * n + m) for m in range(3)] for n in range(8)]
    text = [json.dumps(three) for three in rows]
    lines = [as_lines(three) for three in rows]
    files: Files = {
        "array.jsonl": text[0].encode(),
        "pretty.json": json.dumps(rows[1], indent=2).encode(),
        "mark.jsonl": b"\xef\xbb\xbf" + lines[2].replace(b"\n", b"\r\n"),
        "utf16.jsonl": lines[3].decode().encode("utf-16"),
        "wrapped.json": json.dumps({"data": rows[4]}).encode(),
        "sequence.jsonl": b"".join(b"\x1e" + line for line in lines[5].splitlines(True)),
        "arrays.jsonl": b"".join(as_lines([[row]]) for row in rows[6]),
        "concatenated.json": b"".join(json.dumps(row, indent=1).encode() for row in rows[7]),
    }
    return Case(files, 24)


def surrogates() -> Case:
    cut = chat(0, messages=say("Won \ud83c", "Enjoy."))
    return Case(
        {"cut.jsonl": as_lines([cut, chat(1)])},
        2,
        {},
        {"lone_surrogate": 1},
        lambda found: any("Won �" in text for row in found for _, text in said(row)),
    )


def odd_optional_field() -> Case:
    more = [{"account_id": f"a{n}", "language": "en", "source": "shop"} for n in range(30)]
    rows = [chat(n, created_at="2026-07-01T10:00:00Z", **more[n]) for n in range(30)]
    rows[3]["account_id"], rows[4]["language"] = 1.5, {"odd": 1}

    def holds(found: list[Row]) -> bool:
        ids, accounts = column(found, "conversation_id"), column(found, "account_id")
        return ids == {f"c{n}" for n in range(30)} and len(accounts - {None}) == 29

    repaired = {"account_unreadable": 1, "language_unreadable": 1}
    return Case({"odd.jsonl": as_lines(rows)}, 30, {}, repaired, holds)


def file_names() -> Case:
    files: Files = {"a::b.jsonl": as_lines([chat(0)]), "plain.jsonl": as_lines([chat(1)])}
    return Case(files | {b"gespr\xe4ch.jsonl": as_lines([chat(2)])}, 3)


def agent_log() -> Case:
    call = {"id": "1", "type": "function", "function": {"name": "read", "arguments": "{}"}}
    steps = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "x" * 50},
    ]
    spoken = [
        {"role": role, "content": f"{role} says {n}."}
        for n in range(30)
        for role in ("user", "assistant")
    ]
    messages = [message for one in spoken for message in [*steps * 10, one]]
    return Case(
        {"agent.jsonl": as_lines([{"id": "agent", "messages": messages}])},
        1,
        holds=lambda found: (
            [t for _, t in said(found[0]) if "says" in t] == [one["content"] for one in spoken]
        ),
    )


CASES = {
    "branches and parts of a chat export": chatgpt_case,
    "an unpacked export with its side files": export_folder,
    "ids written as floats": float_ids,
    "the answer beside the messages": answer_beside,
    "text in parts": text_in_parts,
    "one row a request, with the history so far": growing,
    "one answer of three assistants": same_of_three,
    "reasoning inside the text": thoughts,
    "columns of every writer of Parquet": parquet_writers,
    "partition folders": partitions,
    "suffixes of every kind and none": suffixes,
    "names of roles": role_names,
    "times in every unit and form": times,
    "empty calls of tools": null_structs,
    "packings that the name does not say": packing,
    "layouts of JSON": layouts,
    "a cut emoji": surrogates,
    "one odd optional field": odd_optional_field,
    "names of files": file_names,
    "a log full of tools": agent_log,
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_input_gives_what_it_holds(monkeypatch, tmp_path, name):
    case = CASES[name]()
    read = stage(monkeypatch, tmp_path, case.files)
    rows = read.table("conversations").to_pylist() if case.conversations else []
    assert len(rows) == case.conversations
    reasons = list(read.rejects.values())
    assert {reason: reasons.count(reason) for reason in set(reasons)} == case.rejects
    assert read.report.details["repaired"] == case.repaired
    assert case.holds(rows)


def stage(monkeypatch, folder: Path, files: Files) -> ReadStage:
    monkeypatch.setattr(cluster, "stream", lambda units, function: map(function, units))
    for name, data in files.items():
        text = name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")
        place = folder / "in" / text
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return ReadStage(folder, [str(folder / "in")], {"source_format": "auto"})


def test_side_files_of_an_export_are_named_as_passed_over(tmp_path):
    for name, data in export_folder().files.items():
        (tmp_path / str(name)).write_bytes(data)
    found = survey(list_input([str(tmp_path)]), "auto")
    assert [file.name for file in found.files] == ["conversations-000.json"]
    assert sorted(found.passed_over) == ["chat.html", "message_feedback.json", "user.json"]


def test_a_file_without_a_conversation_is_an_error_that_names_its_columns(monkeypatch, tmp_path):
    rows = as_lines([{"price": 1, "item": "shoes"}])
    with pytest.raises(VitwRayError, match="price"):
        stage(monkeypatch, tmp_path, {"sales.jsonl": rows})
