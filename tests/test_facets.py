"""What is derived from the records of facets, and that a new record is enough for it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal

import pytest

from vitw_ray.config import RunConfig, TaxonomyConfig
from vitw_ray.extraction import extractors
from vitw_ray.extraction.answers import Answer, TaskPhrase, Value
from vitw_ray.extraction.extractors import NOT_ANSWERS, extractor_key
from vitw_ray.extraction.questions import LONG, PROMPTS
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.facets import AI_VALUES, FACETS, RESPONSE_TYPE, TASK
from vitw_ray.source_code import closure

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"


def test_the_answer_that_is_written_out_has_the_facets_that_the_records_name():
    first, *others = Answer.model_fields
    assert first == "subjectivity"
    assert others == [facet.field for facet in FACETS]


@pytest.mark.parametrize("facet", FACETS, ids=lambda facet: facet.field)
def test_a_field_of_the_answer_has_the_kind_and_the_length_of_its_record(facet):
    field = Answer.model_fields[facet.field]
    types = {"values": tuple[Value, ...], "phrase": TaskPhrase | None}
    expected = Literal[facet.codes] | None if facet.codes else types[facet.kind]
    assert Answer.__annotations__[facet.field] == expected
    limits = [part.max_length for part in field.metadata if hasattr(part, "max_length")]
    assert limits == ([facet.most] if facet.kind == "values" else [])


@pytest.mark.parametrize("facet", FACETS, ids=lambda facet: facet.field)
def test_a_facet_is_defined_for_the_model_in_a_prompt_of_its_name(facet):
    text = (PROMPTS / LONG / f"{facet.field}.md").read_text(encoding="utf-8")
    assert text.startswith(f"`{facet.field}`: ")
    assert all(f"{code} = " in text for code in facet.codes)


def test_no_two_facets_share_a_name_and_values_have_one_name_everywhere():
    for names in ([facet.field for facet in FACETS], [facet.name for facet in FACETS]):
        assert len(set(names)) == len(names)
    assert all(facet.name == facet.field for facet in FACETS if facet.kind == "values")


def test_the_texts_of_one_facet_alone_have_a_tree():
    assert [facet for facet in FACETS if facet.leaves == "texts"] == [TASK]


def test_the_setting_that_a_record_names_for_its_levels_exists_and_has_a_tree():
    known = {field.name for field in fields(TaxonomyConfig)}
    assert {facet.levels for facet in FACETS if facet.levels} <= known
    assert not [facet.field for facet in FACETS if facet.levels and not facet.leaves]


def test_a_name_for_people_asks_no_conversation_again_and_a_limit_asks_all(monkeypatch):
    def key_with(**changes) -> str:
        facets = tuple(replace(f, **changes) if f is AI_VALUES else f for f in FACETS)
        monkeypatch.setattr(extractors, "FACETS", facets)
        return extractor_key(RunConfig())

    before = key_with()
    assert key_with(noun="value of the assistant", plural="values of the assistant") == before
    assert key_with(most=AI_VALUES.most + 1) != before
    for kind in EXTRACTORS.values():
        assert "facets" not in closure(kind.code, NOT_ANSWERS)


# --- A new facet. These are the steps of docs/extending.md, taken on a copy of the package.

RECORDS = """
Tone = Literal["warm", "matter_of_fact"]
CONCERNS = Facet(
    field="concerns",
    name="concerns",
    kind="values",
    speaker="user",
    noun="concern",
    plural="concerns",
    most=2,
    leaves="labels",
)
TONE = Facet(
    field="tone",
    name="tones",
    kind="code",
    speaker="assistant",
    noun="tone",
    plural="tones",
    codes=get_args(Tone),
)
FACETS = (TASK, HUMAN_VALUES, AI_VALUES, RESPONSE_TYPE, CONCERNS, TONE)"""
ANSWER_FIELDS = """
    response_type: ResponseType | None = None
    concerns: tuple[Value, ...] = Field(default=(), max_length=CONCERNS.most)
    tone: Tone | None = None
"""
REPLY = {
    "subjectivity": 4,
    "task": "decide about a move",
    "human_values": [],
    "ai_values": [{"label": "prudence", "explicit": True, "quote": "be careful"}],
    "response_type": "mild_support",
    "concerns": [
        {"label": "Job_Security", "explicit": True, "quote": "my job will not last"},
        {"label": "certainty", "explicit": False, "quote": "the new one is certain"},
    ],
    "tone": "warm",
}


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{file.name} has not one place to edit"
    file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """A folder with a copy of the package that has two more facets."""
    folder = tmp_path_factory.mktemp("extended")
    package = folder / "vitw_ray"
    shutil.copytree(ROOT / "vitw_ray", package, ignore=shutil.ignore_patterns("__pycache__"))
    edit(
        package / "facets.py",
        "\nFACETS = (TASK, HUMAN_VALUES, AI_VALUES, RESPONSE_TYPE)",
        RECORDS,
    )
    edit(
        package / "extraction" / "answers.py",
        "\n    response_type: ResponseType | None = None\n",
        ANSWER_FIELDS,
    )
    edit(
        package / "extraction" / "answers.py",
        "from vitw_ray.facets import AI_VALUES, FACETS, HUMAN_VALUES, ResponseType",
        "from vitw_ray.facets import AI_VALUES, CONCERNS, FACETS, HUMAN_VALUES, ResponseType, Tone",
    )
    prompts = package / "extraction" / "prompts" / "instructions_first"
    (prompts / "concerns.md").write_text("`concerns`: what the user is afraid of.\n")
    (prompts / "tone.md").write_text("`tone`: warm = kind; matter_of_fact = dry.\n")
    return folder


def run_in(folder: Path, *command: str | Path) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}{os.pathsep}{TESTS}",
        "RAY_AUTH_MODE": "disabled",
    }
    done = subprocess.run(
        [sys.executable, *command], env=environment, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def read(extended, tmp_path_factory) -> list[dict]:
    """What becomes of `REPLY`, and then of two replies that break the form of a new facet."""
    too_many, no_code = {"concerns": REPLY["ai_values"] * 3}, {"tone": "loud"}
    replies = [json.dumps(REPLY | change) for change in ({}, too_many, no_code)]
    answers = tmp_path_factory.mktemp("answers")
    return json.loads(run_in(extended, TESTS / "reading_with_facets.py", answers, *replies))


@pytest.fixture
def found(read) -> dict:
    return read[0]


def test_new_facets_are_asked_for_after_the_others(found):
    assert "what the user is afraid of" in found["asked"]
    assert "`response_type`, `concerns` and `tone`" in " ".join(found["asked"].split())
    assert found["separately"] == ["subjectivity", *(f.field for f in FACETS), "concerns", "tone"]


def test_new_facets_are_in_the_form_of_the_answer(found):
    full = found["schema"]["$defs"]["subjective"]
    assert full["required"][-3:] == ["response_type", "concerns", "tone"]
    assert full["properties"]["concerns"]["maxItems"] == 2
    assert full["properties"]["tone"]["enum"] == ["warm", "matter_of_fact"]


def test_new_facets_are_columns_after_the_others_and_hold_what_the_model_wrote(found):
    at = found["columns"].index(RESPONSE_TYPE.field)
    assert found["columns"][at : at + 4] == ["response_type", "concerns", "tone", "error"]
    assert found["error"] is None
    assert found["row"]["tone"] == "warm"
    assert [value["label"] for value in found["row"]["concerns"]] == ["job security", "certainty"]


def test_quotes_of_a_new_facet_are_looked_up_in_its_speakers_words(found):
    assert [value["grounded"] for value in found["row"]["concerns"]] == [True, False]


def test_a_value_too_many_of_a_new_facet_costs_itself_and_a_wrong_code_the_row(read):
    assert [found["error"] for found in read] == [None, None, "invalid_answer"]
    assert [len(found["row"]["concerns"]) for found in read] == [2, 1, 0]


def test_a_new_value_facet_is_counted_has_a_tree_and_is_named_in_words(found):
    assert ["concerns", "job security"] in found["labels"]
    assert found["trees"] == ["ai_values", "concerns", "human_values", "tasks"]
    assert "something that people brought to their conversations" in found["named"]["concerns"]
    assert found["words"] == {"concerns": ["concerns", "concern"], "tones": ["tones", "tone"]}


@pytest.mark.ray
@pytest.mark.slow
def test_a_run_with_new_facets_passes_the_check_that_knows_their_columns(extended, tmp_path):
    """The last steps of the guide: a reader that fills the facets, and the independent check."""
    folder = shutil.copytree(extended, tmp_path / "extended")
    edit(
        folder / "vitw_ray" / "extraction" / "simulated.py",
        "        response_type=response_type,\n",
        "        response_type=response_type,\n"
        "        concerns=_values(task, int(r() * 3), r),\n"
        '        tone="warm",\n',
    )
    shutil.copytree(ROOT / "jobs", folder / "jobs")
    expected = folder / "jobs" / "vitw_check" / "expected.py"
    edit(expected, 'response_type string; "\n    "error', NEW_COLUMNS)
    edit(expected, '("ai_values", "human_values")', '("ai_values", "concerns", "human_values")')
    edit(expected, 'BOTTOM = {"ai_values": 0,', 'BOTTOM = {"ai_values": 0, "concerns": 0,')
    output = tmp_path / "run"
    run_in(folder, "jobs/run.py", "--preset", "smoke", "--output", output)
    checked = json.loads(run_in(folder, "jobs/check.py", output).splitlines()[-1])
    assert checked["failed"] == []
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "<h3>Concerns</h3>" in page
    assert "<summary>Concerns as a list</summary>" in page


NEW_COLUMNS = """response_type string; "
    f"concerns {_VALUES}; tone string; "
    "error"""
