"""Planted conversations: synthetic text with known truth, for tests and benchmarks.

    python -m vitw_ray.evaluation.planted --conversations 700000 --output DIR

writes DIR/conversations-00000.jsonl.gz, ... and, row for row, DIR/truth-00000.jsonl.gz, ... Row i
depends only on the seed and i, so any range can be generated anywhere, in constant memory. The
sample in the package is rows 0-399 of seed 0. `planted_truth` draws the truth, `planted_text`
renders it as text. All people in these conversations are fictitious.
"""

import gzip
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BufferedWriter
from pathlib import Path
from random import Random
from typing import IO, Any

from vitw_ray.errors import ConfigError
from vitw_ray.evaluation.planted_text import Wording, render, wording
from vitw_ray.evaluation.planted_truth import Choice, PlantedConfig, Truth, World, draw_truth

SOURCE = "planted"

_ACCOUNTS_PER_BLOCK = 20  # ours: a block of rows shares 20 accounts
_SPREAD = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: its multiples are evenly spread over 64 bits

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # once, not per row

log = logging.getLogger(__name__)


def plant(
    config: PlantedConfig, start: int = 0, stop: int | None = None
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Generate rows `start` to `stop` (default: all): pairs of a conversation and its truth.

    A conversation has the native shape (conversation_id, account_id, model, source, language,
    created_at, messages). A truth has conversation_id, subjectivity, task, human_values and
    ai_values (label, explicit), response_type.
    """
    stop = config.conversations if stop is None else stop
    if not 0 <= start <= stop <= config.conversations:
        raise ConfigError(
            f"rows {start} to {stop} of {config.conversations} conversations",
            "give a range within the set",
        )
    models = Choice((model, model.share) for model in config.models)
    languages = Choice(config.languages)
    speakers = {language: _speaker(language, config) for language, _ in config.languages}
    for index in range(start, stop):
        rng = Random((config.seed << 40) | index)
        account = _account(config, index, rng.random())
        model, language = models.draw(rng.random()), languages.draw(rng.random())
        world, words = speakers[language]
        taste = ((account + config.seed) * _SPREAD % 2**64) / 2**64
        truth = draw_truth(world, model.name, taste, rng)
        conversation = {
            "conversation_id": f"{SOURCE}-{config.seed}-{index:08d}",
            "account_id": f"account-{account:07d}",
            "model": model.name,
            "source": SOURCE,
            "language": language,
            "created_at": _moment(config, rng.random()),
            "messages": render(truth, words, rng),
        }
        yield conversation, _truth_record(conversation["conversation_id"], truth)


def _speaker(language: str, config: PlantedConfig) -> tuple[World, Wording]:
    words = wording(language)
    tasks = {name: tuple(topic.asks) for name, topic in words.topics.items()}
    return World(tasks, words.ai_values, words.human_values, config), words


def _account(config: PlantedConfig, index: int, uniform: float) -> int:
    """Account of a row: a block of rows shares 20 accounts; squaring makes a few more active."""
    block = index // (_ACCOUNTS_PER_BLOCK * config.conversations_per_account)
    return block * _ACCOUNTS_PER_BLOCK + int(_ACCOUNTS_PER_BLOCK * uniform * uniform)


def _moment(config: PlantedConfig, uniform: float) -> str:
    first = datetime.combine(config.first_day, datetime.min.time(), UTC)
    moment = first + timedelta(seconds=int(uniform * config.days * 86_400))
    return moment.isoformat()[:19] + "Z"


def _truth_record(conversation_id: str, truth: Truth) -> dict[str, Any]:
    return {
        "conversation_id": conversation_id,
        "subjectivity": truth.subjectivity,
        "task": truth.task,
        "human_values": [{"label": v, "explicit": said} for v, said in truth.human_values],
        "ai_values": [{"label": v, "explicit": said} for v, said in truth.ai_values],
        "response_type": truth.response_type,
    }


def write(config: PlantedConfig, folder: Path, rows_per_file: int = 10_000) -> None:
    """Write all rows to `folder`, as gzip files whose bytes depend only on the config."""
    if rows_per_file < 1:
        raise ConfigError(f"--rows-per-file is {rows_per_file}", "give at least 1")
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    for number, start in enumerate(range(0, config.conversations, rows_per_file)):
        stop = min(start + rows_per_file, config.conversations)
        write_rows(
            config,
            start,
            stop,
            folder / f"conversations-{number:05d}.jsonl.gz",
            folder / f"truth-{number:05d}.jsonl.gz",
        )
        rate = stop / (time.perf_counter() - started)
        log.info("%d of %d conversations, %.0f per second", stop, config.conversations, rate)


def write_rows(
    config: PlantedConfig, start: int, stop: int, conversations: Path, truths: Path
) -> None:
    """Write one range to two files; they get their names only when they are complete.

    The sample: `write_rows(PlantedConfig(), 0, 400, SAMPLE, SAMPLE.with_name("truth.jsonl.gz"))`.
    """
    partial = [path.with_name(path.name + ".partial") for path in (conversations, truths)]
    with _gzip(partial[0]) as talks, _gzip(partial[1]) as facts:
        for conversation, truth in plant(config, start, stop):
            talks.write(_line(conversation))
            facts.write(_line(truth))
    for path, name in zip(partial, (conversations, truths), strict=True):
        path.replace(name)


def _line(record: dict[str, Any]) -> bytes:
    return _ENCODER.encode(record).encode() + b"\n"


@contextmanager
def _gzip(path: Path) -> Iterator[IO[bytes]]:
    # No name and time in the header, so that the same rows give the same bytes. Level 1 is twice as
    # fast as the default, with a tenth more bytes.
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", 1, raw, mtime=0) as packed,
        BufferedWriter(packed, 1 << 16) as out,
    ):
        yield out


def main(conversations: int, output: Path, seed: int = 0, rows_per_file: int = 10_000) -> None:
    """Write planted conversations and their truth to a folder.

    Args:
        conversations: Number of conversations (the paper: 700000).
        output: Folder for the files; created if missing.
        seed: Random seed.
        rows_per_file: Conversations per file.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    write(PlantedConfig(conversations=conversations, seed=seed), output, rows_per_file)


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
