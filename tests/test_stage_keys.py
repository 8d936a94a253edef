"""Every setting moves the keys of the stages whose content it decides, and of no other."""

import json
import shutil
from dataclasses import fields, is_dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from frozen_folder import write_frozen_run

from vitw_ray.config import RunConfig
from vitw_ray.extraction.extractors import extractor_key
from vitw_ray.extraction.screen.stored import FORMAT, HEADS, heads_digest
from vitw_ray.inference.embedder_files import describe_embedder
from vitw_ray.pipeline import STAGES
from vitw_ray.presets import laptop
from vitw_ray.taxonomy.frozen.state import FrozenTree

COMMIT = "0123456789abcdef0123456789abcdef01234567"

# Stages whose keys a setting moves by itself. What follows from other tables is not in here: a
# stage's key also holds the digests of its inputs. `-` stands for none.
EXTRACTIONS, TAXONOMY = "extractions", "taxonomy"
MOVES: dict[str, str] = {
    # conversations
    "input": "-",  # files are known by name, size and version, which are inputs of the stage
    "source_format": "conversations",
    "map": "conversations",
    "source_name": "conversations",
    "sample": "conversations",
    "sample_seed": "conversations",
    "balance_assistants": "conversations",
    "max_per_account": "conversations",
    "created_from": "conversations",
    "created_until": "conversations",
    "max_conversation_chars": "conversations",
    "growing_histories": "conversations",
    "identical_rows": "conversations",
    "rows_per_part": "conversations",
    "keep_parts": "conversations",  # off, it is no part of the key
    # extraction
    "extractor": "extractions report release",
    "model": EXTRACTIONS,
    "revision": EXTRACTIONS,
    "questions": EXTRACTIONS,
    "answer_form": EXTRACTIONS,
    "explicit_only": EXTRACTIONS,
    "salience": EXTRACTIONS,
    "evidence": EXTRACTIONS,
    "strict": EXTRACTIONS,
    "paraphrase": EXTRACTIONS,
    "max_output_tokens": EXTRACTIONS,
    "temperature": EXTRACTIONS,
    "engine_kwargs": EXTRACTIONS,
    "sampling_kwargs": EXTRACTIONS,
    "transcript_tokens": EXTRACTIONS,
    "subjective_from": EXTRACTIONS,
    "max_error_share": "-",  # whether the stage fails, not what it writes
    "screen": EXTRACTIONS,
    "screen_loss": EXTRACTIONS,
    "screen_sample": EXTRACTIONS,
    "screen_heads": EXTRACTIONS,
    "screen_embedder": EXTRACTIONS,
    "simulated_seconds_per_row": "-",
    # labels
    "merge_case": "labels report release",
    "merge_hyphens": "labels report release",
    "merge_plurals": "labels report release",
    "min_conversations": "labels taxonomy statistics report release",
    "min_accounts": "labels taxonomy statistics report release",
    "min_salience": "labels statistics report release",
    # taxonomy
    "embedder": TAXONOMY,
    "embedder_revision": TAXONOMY,
    "ai_value_levels": TAXONOMY,
    "human_value_levels": TAXONOMY,
    "task_levels": TAXONOMY,
    "naming": TAXONOMY,
    "climbing": TAXONOMY,
    "taxonomy_seed": TAXONOMY,
    "kmeans_iterations": TAXONOMY,
    "taxonomy_from": TAXONOMY,  # by what the tree says
    "grow_unplaced": TAXONOMY,
    # statistics
    "alpha": "statistics report",
    "period": "statistics",
    "reviewed": "statistics",  # by what the file says
    # report and release
    "top": "report",
    "release_name": "release",
    "release_license": "release",
    # execution: where and how fast
    "output": "-",
    "secret_file": "-",  # its fingerprint is an input of the first stage
    "device": "extractions taxonomy",
    "actors": "-",
    "cpus_per_actor": "-",
    "gpus_per_actor": "-",
    "unit_rows": "-",
    "segment_rows": "-",
    "segment_seconds": "-",
    "max_num_seqs": "-",
    "max_num_batched_tokens": "-",
    "request_timeout_s": "-",
    "server_url": "-",
    "reader_check": "-",
    "labelled": "-",
    "stall_minutes": "-",
    "keep_scratch": "-",
    "object_store_mb": "-",
}
OTHERS: dict[str, Any] = {
    "input": ("elsewhere.jsonl",),
    "source_format": "openai",
    "map": "messages=turns",
    "source_name": "other",
    "sample": 7,
    "max_per_account": 7,
    "created_from": date(2025, 2, 18),
    "created_until": date(2025, 2, 25),
    "growing_histories": "all",
    "identical_rows": "drop",
    "extractor": "simulated",
    "model": "llama-3.1-8b",
    "revision": COMMIT[::-1],
    "questions": "separate",
    "engine_kwargs": '{"dtype": "float16"}',
    "sampling_kwargs": '{"top_p": 0.9}',
    "screen_embedder": "hashing",
    "embedder": "hashing",
    "embedder_revision": COMMIT[::-1],
    "naming": "model",
    "climbing": "names",
    "ai_value_levels": (9, 3),
    "human_value_levels": (9, 3),
    "task_levels": (9, 3),
    "period": "day",
    "device": "gpu",
    "secret_file": "secret",
    "max_num_seqs": 3,
    "reader_check": "warn",
    "labelled": "labelled.jsonl",
    "max_num_batched_tokens": 3,
}
# Where a setting counts only beside others, these stand on both sides.
WITH_MODEL = {"extractor": "vllm", "model": "qwen3-8b", "revision": COMMIT}
GPU = {"gpus_per_actor": 1.0}
BESIDE: dict[str, dict[str, Any]] = {
    "balance_assistants": {"sample": 7},
    "embedder_revision": {"embedder": "mpnet", "embedder_revision": COMMIT},
    "naming": WITH_MODEL,
    "climbing": WITH_MODEL | {"naming": "model"},
    "device": GPU,
    "screen_loss": {"screen": True},
    "screen_sample": {"screen": True},
    "screen_heads": {"screen": True},
    "screen_embedder": {"screen": True},
    "grow_unplaced": {"taxonomy_from": "a run"},
}
for asked in (
    "model", "revision", "questions", "answer_form", "explicit_only", "salience", "evidence",
    "paraphrase",
    "max_output_tokens", "temperature", "engine_kwargs", "sampling_kwargs", "labelled",
):  # fmt: skip
    BESIDE[asked] = WITH_MODEL


def settings(config: RunConfig) -> dict[str, Any]:
    return {
        field.name: getattr(getattr(config, section.name), field.name)
        for section in fields(config)
        for field in fields(getattr(config, section.name))
    }


def with_settings(config: RunConfig, changes: dict[str, Any]) -> RunConfig:
    sections = {}
    for section in fields(config):
        of_stage = getattr(config, section.name)
        assert is_dataclass(of_stage)
        mine = {f.name: changes[f.name] for f in fields(of_stage) if f.name in changes}
        if mine:
            sections[section.name] = replace(of_stage, **mine)
    return replace(config, **sections)


def other(name: str, value: Any) -> Any:
    if name in OTHERS:
        return OTHERS[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 if value else 0.5
    assert isinstance(value, str), f"say another value of {name}"
    return value + "x"


def keys(config: RunConfig) -> dict[str, str]:
    return {stage.name: stage.key(config, {}) for stage in STAGES}


def test_every_setting_is_in_the_matrix_once():
    assert settings(RunConfig()).keys() == MOVES.keys()


def distilled_heads(folder: Path) -> str:
    """A folder of heads as far as a key is concerned."""
    record = {"format": FORMAT, "embedder_key": "", "features": "", "heads": {}}
    (folder / HEADS).write_text(json.dumps(record | {"digest": heads_digest(record)}))
    return str(folder)


def reviewed_file(folder: Path, level: int = 3, name: str = "reviewed.jsonl") -> str:
    """People have judged one conversation."""
    (folder / name).write_text(json.dumps({"conversation_id": "c", "subjectivity": level}))
    return str(folder / name)


def frozen_run(folder: Path) -> str:
    """A run without any cluster; each call writes another tree."""
    number = len([*folder.iterdir()])
    tree = FrozenTree({}, bytes([number]))
    address = folder / f"run-{number}"
    write_frozen_run(address, tree, describe_embedder(laptop()), laptop().labels)
    return str(address)


FILES = {
    "screen_heads": distilled_heads,
    "reviewed": reviewed_file,
    "taxonomy_from": frozen_run,
}


@pytest.mark.parametrize("name", MOVES)
def test_a_setting_moves_the_stages_that_it_decides_and_no_other(name, tmp_path):
    beside = BESIDE.get(name, {})
    files = {one: FILES[one](tmp_path) for one in beside if one in FILES}
    before = with_settings(laptop(), beside | files)
    value = settings(before)[name]
    changed = FILES[name](tmp_path) if name in FILES else other(name, value)
    after = with_settings(before, {name: changed})
    assert settings(after)[name] != value
    old, new = keys(before), keys(after)
    expected = set(MOVES[name].replace("-", "").split())
    assert {stage for stage in old if old[stage] != new[stage]} == expected


def test_the_model_moves_the_taxonomy_only_where_it_names_the_clusters():
    by_members = with_settings(laptop(), WITH_MODEL)
    by_model = with_settings(by_members, {"naming": "model"})
    for config, moves in ((by_members, False), (by_model, True)):
        warmer = with_settings(config, {"temperature": 0.5})
        assert (keys(config)["taxonomy"] != keys(warmer)["taxonomy"]) == moves


def test_where_the_gate_stands_asks_a_lexicon_nothing_again_and_a_model_everything():
    lexicon, model = laptop(), with_settings(laptop(), WITH_MODEL)
    for config, again in ((lexicon, False), (model, True)):
        stricter = with_settings(config, {"subjective_from": 4})
        assert (extractor_key(config) != extractor_key(stricter)) == again


def test_settings_of_a_screen_that_is_off_move_nothing():
    plain = keys(laptop())
    for name, value in (("screen_loss", 0.05), ("screen_sample", 9), ("screen_embedder", "mpnet")):
        assert keys(with_settings(laptop(), {name: value})) == plain


def test_a_reviewed_sample_is_known_by_what_it_says_and_not_by_its_name(tmp_path):
    first, second, third = (
        keys(with_settings(laptop(), {"reviewed": reviewed_file(tmp_path, level, name)}))
        for level, name in ((3, "a.jsonl"), (3, "b.jsonl"), (4, "c.jsonl"))
    )
    assert first == second
    assert first["statistics"] != third["statistics"]


def test_a_frozen_tree_is_known_by_what_it_says_and_not_by_its_address(tmp_path):
    first = frozen_run(tmp_path)
    moved = str(tmp_path / "moved")
    shutil.copytree(first, moved)
    of = [keys(with_settings(laptop(), {"taxonomy_from": a})) for a in (first, moved)]
    assert of[0] == of[1] != keys(with_settings(laptop(), {"taxonomy_from": frozen_run(tmp_path)}))


def test_where_the_gate_stands_decides_what_people_call_subjective(tmp_path):
    reviewed = with_settings(laptop(), {"reviewed": reviewed_file(tmp_path)})
    stricter = with_settings(reviewed, {"subjective_from": 4})
    assert keys(reviewed)["statistics"] != keys(stricter)["statistics"]


def test_a_screen_leaves_the_answers_of_the_reader_as_they_are():
    assert extractor_key(with_settings(laptop(), {"screen": True})) == extractor_key(laptop())


def test_a_stage_depends_on_its_inputs():
    for stage in STAGES:
        assert stage.key(laptop(), {"table": "a"}) != stage.key(laptop(), {"table": "b"})
