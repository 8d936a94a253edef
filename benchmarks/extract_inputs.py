"""Inputs of `bench_extract.py`: conversations, labelled answers, tiny models."""

import gzip
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import ROOT, real_conversations

from vitw_ray.cluster import Unit, stream_through_actors
from vitw_ray.config import RunConfig
from vitw_ray.conversations.looking import recognise
from vitw_ray.conversations.shapes import parse
from vitw_ray.conversations.sources import find_files, iter_rows
from vitw_ray.evaluation.planted import PlantedConfig, plant
from vitw_ray.extraction.assemble import as_conversations
from vitw_ray.extraction.extractors import extractor_key
from vitw_ray.extraction.segments import open_answers
from vitw_ray.extraction.unit_extractor import UnitExtractor
from vitw_ray.extraction.units import schedule
from vitw_ray.facets import FACETS
from vitw_ray.pipeline import run
from vitw_ray.records import Conversation, Message
from vitw_ray.run_folder import FileEntry, StageFolder, read_part, tables_of
from vitw_ray.run_secret import load_secret
from vitw_ray.storage import Storage
from vitw_ray.versions import versions

QWEN3_8B = {
    "hidden_size": 4096,
    "intermediate_size": 12_288,
    "num_hidden_layers": 36,
    "layer_types": ["full_attention"] * 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151_936,
    "max_position_embeddings": 40_960,
}


def conversations_of(path: str, limit: int) -> list[Conversation]:
    """The first conversations of a file."""
    (file,) = find_files([path])
    shape = recognise(file)
    found = []
    for _, raw in iter_rows(file, shape):
        row = parse(shape, raw)  # type: ignore[arg-type]  # these files have no rejects
        turns = tuple(Message(role, content) for role, content in row["messages"])
        found.append(Conversation(row["conversation_id"] or "", turns))
        if len(found) == limit:
            break
    return found


def conversations_table(config: RunConfig) -> Sequence[FileEntry]:
    """Files of `conversations`, read by the pipeline."""
    before = run(config, announce=lambda line: None, until="conversations")
    storage = Storage(config.execution.output)
    manifest = StageFolder(storage, before["tables"]["conversations"]["stage"]).manifest()
    assert manifest is not None
    return tables_of(manifest)["conversations"].files


def conversations_in(config: RunConfig, parts: Sequence[FileEntry]) -> list[Conversation]:
    """All rows of that table."""
    storage = Storage(config.execution.output)
    return [c for part in parts for c in as_conversations(read_part(storage, part))]


def through_actors(
    actor: type[UnitExtractor],
    config: RunConfig,
    parts: Sequence[FileEntry],
    answers: str,
) -> list[Unit]:
    """Run the extraction stage over a table, with an actor that also measures."""
    storage = Storage(config.execution.output)
    units, concurrent_units = schedule([range(part.rows) for part in parts], config)
    return list(
        stream_through_actors(
            units,
            actor,
            arguments={
                "storage": storage,
                "answers": open_answers(storage, answers, len(parts)),
                "parts": parts,
                "config": config,
                "keyed": load_secret(storage, None),
                "epoch": 1,
                "key": extractor_key(config),
                "driver_version": versions()["vitw_ray"],
            },
            execution=config.execution,
            concurrent_units=concurrent_units,
        )
    )


def whole_answers() -> list[dict[str, Any]]:
    """Complete answers to subjective conversations: labelled ones if available, else planted."""
    real = real_conversations()
    labelled = real.parent / "labels" / "gold_open.jsonl.gz" if real else None
    if labelled and labelled.exists():
        with gzip.open(labelled, "rt", encoding="utf-8") as lines:
            rows: Any = [json.loads(line) for line in lines]
    else:
        rows = [truth for _, truth in plant(PlantedConfig(), 0, 400)]
    fields = ("subjectivity", *(facet.field for facet in FACETS))
    return [
        {field: row[field] for field in fields}
        for row in rows
        if row["subjectivity"] >= 3 and row["task"]
    ]


def make_model(folder: Path, lines: Sequence[str] = (), **shape: int) -> None:
    """The tiny model of the tests."""
    sys.path.insert(0, str(ROOT / "tests"))
    from tiny_model import make_tiny_model

    folder.mkdir(parents=True, exist_ok=True)
    make_tiny_model(folder, lines=lines, **shape)


def make_model_of_8b(folder: Path, lines: Sequence[str]) -> None:
    """Write a folder from which an engine loads a model with 8 billion dummy weights.

    The tokenizer learns 32,768 pieces from `lines`, so that prompts have realistic lengths.
    """
    make_model(folder, lines, vocab_size=32_768, layers=1)
    config = folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **QWEN3_8B}))


def short_answers(folder: str, subjective: bool = False) -> str:
    """Sampling that ends strings and lists early: random weights would give 750 tokens, not 80.

    With `subjective`, no answer ends at the gate, and at temperature 1 lengths spread as those of
    real answers do: 95 to 290 tokens, 167 on average, in the shape of an 8B model on a GPU.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = {index: tokenizer.decode([index]) for index in range(len(tokenizer))}
    ends_string, ends_list = (3.0, 1.0) if subjective else (1.0, 0.3)
    bias = {index: ends_string for index, text in texts.items() if '"' in text}
    bias |= {index: ends_list for index, text in texts.items() if "]" in text}
    if subjective:
        bias |= {index: -100.0 for index, text in texts.items() if text[:1] in ("1", "2")}
    return json.dumps({"logit_bias": bias})
