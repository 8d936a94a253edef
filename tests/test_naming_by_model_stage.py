"""The taxonomy stage with a language model: which models, what is sent, what changes."""

import json
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scripted_climber
import scripted_model
import scripted_namer
from ray.cloudpickle import register_pickle_by_value
from scripted_climber import Climber
from scripted_namer import ScriptedModel, items, name_after_first
from taxonomy_stage import chats_about

from vitw_ray.cli.run import JOB
from vitw_ray.cli.settings import settings_from
from vitw_ray.config import ExtractionConfig, LabelsConfig, RunConfig, TaxonomyConfig
from vitw_ray.errors import ConfigError
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.keys import Keyed
from vitw_ray.pipeline import STAGES
from vitw_ray.records import EXTRACTIONS, LABELS, MERGES, TAXONOMY
from vitw_ray.run_folder import StageFolder, TableRef
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage
from vitw_ray.taxonomy import build
from vitw_ray.taxonomy import model_actor as naming_actor
from vitw_ray.taxonomy.model_actor import name_by_model
from vitw_ray.taxonomy.tree import check_tree

LABELS_OF_TEST = [f"{a} {b}" for a in ("calm", "kind", "fair") for b in ("mind", "care", "work")]


@pytest.mark.parametrize("extractor", ["lexicon", "simulated"])
def test_a_reader_without_a_language_model_cannot_name(extractor):
    with pytest.raises(ConfigError, match="--naming") as refused:
        settings_from(["--naming", "model", "--extractor", extractor], JOB)
    assert "--model" in refused.value.fix


def test_only_a_model_can_climb_by_names():
    with pytest.raises(ConfigError, match="--climbing names") as refused:
        settings_from(["--climbing", "names"], JOB)
    assert "--naming model" in refused.value.fix


def test_climbing_by_names_needs_enough_transcript_tokens():
    line = "--climbing names --naming model --extractor openai --model m --transcript-tokens"
    settings_from([*line.split(), "1024"], JOB)
    with pytest.raises(ConfigError, match="--transcript-tokens 1023"):
        settings_from([*line.split(), "1023"], JOB)


@pytest.mark.parametrize(
    ("climbing", "steps"),
    [("vectors", {"group"}), ("names", {"group", "propose", "deduplicate", "assign"})],
)
def test_the_model_is_created_with_the_questions_it_will_be_asked(climbing, steps, monkeypatch):
    monkeypatch.setattr(naming_actor, "make_language_model", lambda config, questions: questions)
    extraction = ExtractionConfig(extractor="openai", model="m")
    taxonomy = TaxonomyConfig(naming="model", climbing=climbing)
    questions = naming_actor.model_of_run(RunConfig(extraction=extraction, taxonomy=taxonomy))
    assert {question.name.split("_")[0] for question in questions} == steps


def test_the_model_is_in_the_taxonomys_key_only_if_it_names(monkeypatch):
    monkeypatch.setattr("vitw_ray.pipeline.extractor_key", lambda config: config.extraction.model)
    stage = next(stage for stage in STAGES if stage.name == "taxonomy")

    def key(naming, model):
        extraction = ExtractionConfig(extractor="vllm", model=f"owner/{model}")
        config = RunConfig(extraction=extraction, taxonomy=TaxonomyConfig(naming=naming))
        return stage.key(config, {})

    assert key("members", "a") == key("members", "b")
    assert len({key("members", "a"), key("model", "a"), key("model", "b")}) == 3


TASKS = ["write a cover letter", "plan a garden", "settle a quarrel with jane doe"]


def context_of(folder, naming, climbing="vectors"):
    """A taxonomy stage over a few labels and twelve conversations with tasks."""
    config = RunConfig(
        extraction=ExtractionConfig(extractor="openai", model="scripted"),
        labels=LabelsConfig(min_conversations=4, min_accounts=1),
        taxonomy=TaxonomyConfig(embedder="hashing", naming=naming, climbing=climbing),
    )
    labels = [
        {"facet": facet, "label": label, "conversations": 4 + n, "share": 0.1, "kept": n < 7}
        for facet in VALUE_FACETS
        for n, label in enumerate(LABELS_OF_TEST)
    ]
    chats = chats_about([TASKS[n % 3] for n in range(12)])
    storage = Storage(str(folder))
    before = StageFolder(storage, "before")
    return StageContext(
        config=config,
        storage=storage,
        folder=StageFolder(storage, "after"),
        keyed=Keyed(b"a secret"),
        epoch=0,
        inputs=(),
        shapes={},
        tables={
            name: TableRef(name, (before.write_table(name, pa.Table.from_pylist(rows, schema)),))
            for name, rows, schema in (
                ("labels", labels, LABELS),
                ("merges", [], MERGES),
                ("extractions", chats, EXTRACTIONS),
            )
        },
        manifests={"labels": {"details": {"with_account": 0}}},
    )


def taxonomy_of(context):
    report = build.build_taxonomy(context)
    (file,) = [file for file in report.files if file.table == "taxonomy"]
    return pq.read_table(context.storage.root + "/" + file.path).to_pylist(), report


def without_texts(row):
    return {column: value for column, value in row.items() if column not in ("name", "description")}


@pytest.mark.ray
def test_a_model_in_an_actor_names_the_values_and_sees_only_kept_labels(
    tmp_path, local_ray, monkeypatch
):
    log = tmp_path / "asked.json"
    register_pickle_by_value(scripted_namer)  # workers do not find modules of the tests

    def make(config):
        return ScriptedModel(name_after_first, log)

    monkeypatch.setattr(build, "name_by_model", partial(name_by_model, make_model=make))
    plain, plain_report = taxonomy_of(context_of(tmp_path / "plain", "members"))
    tree, report = taxonomy_of(context_of(tmp_path / "tree", "model"))
    assert [without_texts(row) for row in tree] == [without_texts(row) for row in plain]
    of_tasks = [[row for row in rows if row["facet"] == "tasks"] for rows in (tree, plain)]
    assert of_tasks[0] == of_tasks[1] != []
    by_model = [row for row in tree if row["facet"] != "tasks" and row["level"] > 0]
    shown = {item for text in json.loads(log.read_text()) for item in items(text)}
    assert shown <= {*LABELS_OF_TEST[:7], *(row["name"] for row in by_model)}
    assert {row["description"] for row in by_model} == {"Values that belong together."}
    details = report.details["naming"]
    assert (details["clusters"], details["by_members"]) == (len(by_model), 0)
    assert "naming" not in plain_report.details


@pytest.mark.ray
def test_a_model_in_an_actor_builds_levels_for_values_and_not_for_tasks(
    tmp_path, local_ray, monkeypatch
):
    for module in (scripted_climber, scripted_model):
        register_pickle_by_value(module)
    monkeypatch.setattr(
        build, "name_by_model", partial(name_by_model, make_model=lambda _: Climber())
    )
    plain, _ = taxonomy_of(context_of(tmp_path / "plain", "members"))
    tree, report = taxonomy_of(context_of(tmp_path / "tree", "model", "names"))
    assert check_tree(pa.Table.from_pylist(tree, TAXONOMY)) == []
    of_tasks = [[row for row in rows if row["facet"] == "tasks"] for rows in (tree, plain)]
    assert of_tasks[0] == of_tasks[1] != []
    level_1 = [
        [without_texts(row) | {"parent_cluster_id": ""} for row in rows if row["level"] == 1]
        for rows in (tree, plain)
    ]
    assert level_1[0] == level_1[1]
    climbed = report.details["naming"]["climbed"]
    for facet in VALUE_FACETS:
        assert [level["wanted"] for level in climbed[facet]] == [2, 1]
