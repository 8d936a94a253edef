"""What every contestant of the race gets: the same conversations, prompts and valid answers."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measured
from extract_inputs import conversations_in
from harness import plant

from vitw_ray.config import Execution, ExtractionConfig, RunConfig
from vitw_ray.evaluation.planted import PlantedConfig
from vitw_ray.evaluation.planted import plant as planted
from vitw_ray.extraction.questions import questions_for
from vitw_ray.facets import FACETS
from vitw_ray.inference.openai_server import OpenAIServer
from vitw_ray.inference.parsing import InvalidAnswer, parse
from vitw_ray.inference.question import closing, opening
from vitw_ray.records import Conversation
from vitw_ray.run_folder import FileEntry, StageFolder, tables_of
from vitw_ray.storage import Storage

CONFIG = ExtractionConfig(extractor="openai", model="mock", questions="one_pass")
(QUESTION,) = questions_for(CONFIG).all


@dataclass(frozen=True)
class Data:
    """Conversations: our run folder in which they are read, and the same as prompts."""

    input: str
    run_folder: Path
    rows: Path
    count: int


def prepare(folder: Path, count: int, environment: dict[str, str]) -> Data:
    """Plant conversations, read them with our first stage, and write the prompts of all."""
    data = Data(plant(folder / "in", count), folder / "run", folder / "rows.jsonl", count)
    # Another reader, of whose answers nothing is used: what counts is that stage 1 is finished.
    command = [*reading(data.input, data.run_folder), "--extractor", "simulated"]
    usage = measured.run(command, environment, folder / "log")
    if usage.code:
        raise SystemExit(f"reading failed: {(folder / 'log').read_text()[-2000:]}")
    config = RunConfig(extraction=CONFIG, execution=Execution(output=str(data.run_folder)))
    found = conversations_in(config, files_of(data.run_folder, "conversations"))
    reader = OpenAIServer(CONFIG, config.execution)
    with data.rows.open("w") as file:
        for number, conversation in enumerate(found):
            prompt = {"row": number, "system": QUESTION.before, "user": user(reader, conversation)}
            file.write(json.dumps(prompt) + "\n")
    return data


def user(reader: OpenAIServer, conversation: Conversation) -> str:
    """What our reader sends about a conversation, below the instructions."""
    fence = opening(QUESTION).removeprefix(QUESTION.before).lstrip()
    return fence + reader.read(conversation.messages).text + closing(QUESTION)


def write_answers(path: Path, count: int) -> None:
    """A valid answer for each prompt: planted truths that the prompt allows, in turn."""
    names = ("subjectivity", *(facet.field for facet in FACETS))
    valid = []
    for _, truth in planted(PlantedConfig(conversations=1_000)):
        whole = truth["subjectivity"] >= CONFIG.subjective_from
        text = json.dumps({name: truth[name] for name in (names if whole else names[:1])})
        if is_valid(text):
            valid.append(text)
    path.write_text("".join(f"{valid[number % len(valid)]}\n" for number in range(count)))


def reading(pattern: str, output: Path) -> list[str]:
    """The first two stages; which reader is left open."""
    run = [sys.executable, "-m", "vitw_ray", "run", "--until", "extractions"]
    return [*run, "--input", pattern, "--output", str(output)]


def files_of(output: Path, table: str) -> Sequence[FileEntry]:
    """The files of a table of our run folder."""
    tables = json.loads((output / "run.json").read_text())["tables"]
    manifest = StageFolder(Storage(str(output)), tables[table]["stage"]).manifest()
    assert manifest is not None
    return tables_of(manifest)[table].files


def is_valid(text: Any) -> bool:
    """Whether our own parser takes an answer."""
    try:
        parse(text, QUESTION)
    except (InvalidAnswer, TypeError):
        return False
    return True
