"""Texts are embedded once, for any number of actors, kills and runs."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import taxonomy_stage
from ray.cloudpickle import register_pickle_by_value
from taxonomy_stage import CountingEmbedder, embedded, stage_context
from whole_runs import plant_files, table_bytes, tree_bytes

from vitw_ray.config import Execution
from vitw_ray.errors import StageFailed
from vitw_ray.inference.embedder import Hashing
from vitw_ray.keys import Keyed
from vitw_ray.storage import Storage
from vitw_ray.taxonomy import build
from vitw_ray.taxonomy.frozen.state import KIND
from vitw_ray.taxonomy.hierarchy import level_sizes
from vitw_ray.taxonomy.vectors import blocks as embedding
from vitw_ray.taxonomy.vectors.blocks import BlockEmbedder, embed_texts
from vitw_ray.taxonomy.vectors.phrases import in_phrases
from vitw_ray.taxonomy.vectors.texts import Texts, write_counts, write_tasks, write_values
from vitw_ray.taxonomy.vectors.vector_files import read_blocks

pytestmark = pytest.mark.ray
register_pickle_by_value(taxonomy_stage)  # workers do not find modules of the tests

ROOT = Path(__file__).resolve().parents[1]
LABELS = [f"{a} {b}" for a in ("calm", "kind", "fair", "bold") for b in ("mind", "care", "work")]
TASKS = [f"task {n % 70} of {n % 7}" for n in range(150)]  # 70 distinct texts
BLOCK = 8


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch, local_ray):
    monkeypatch.setattr(embedding, "BLOCK_TEXTS", {"cpu": BLOCK})


def embed(folder, labels=LABELS, tasks=TASKS, *, actors=2, kill=False):
    """Embed in a folder, possibly of an earlier run; return the calls, the result, the context."""
    log = folder / f"log-{time.time_ns()}"
    log.mkdir(parents=True)
    if kill:
        (log / "kill").touch()
    context = stage_context(folder / "run", labels, tasks, actors=actors)
    kinds = [write_values(context, labels), write_tasks(context)]
    found = embed_texts(context, kinds, partial(CountingEmbedder, str(log)))
    return embedded(log), found, context


def vector_files(folder):
    return {
        name: content
        for name, content in tree_bytes(folder / "run" / "private").items()
        if name.startswith("vectors-")
    }


def contents(folder):
    return {name: digest for name, (_, digest) in vector_files(folder).items()}


@pytest.fixture(scope="module")
def first(tmp_path_factory, local_ray):
    """An undisturbed run: its folder, and the result of `embed`."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "BLOCK_TEXTS", {"cpu": BLOCK})
        return folder, *embed(folder)


@pytest.fixture
def again(first, tmp_path):
    """A copy of the folder of the first run, for another run."""
    return Path(shutil.copytree(first[0], tmp_path / "again"))


def test_every_text_is_embedded_once_with_its_count(first):
    _, calls, found, context = first
    assert sum(calls) == len(set(LABELS)) + len(set(TASKS))
    assert max(calls) < 3 * BLOCK
    assert len(calls) == sum(map(len, found.blocks.values()))
    tasks = read_blocks(context.storage, found.blocks["tasks"])
    counts = dict(zip(tasks.texts, tasks.conversations.tolist(), strict=True))
    assert counts == {task: TASKS.count(task) for task in TASKS}
    assert np.allclose(np.linalg.norm(tasks.vectors, axis=1), 1, atol=1e-5)


def test_the_number_of_actors_does_not_change_the_files(first, tmp_path):
    embed(tmp_path, actors=3)
    assert contents(tmp_path) == contents(first[0])


def test_a_rerun_embeds_nothing_and_changes_no_byte(first, again):
    before = vector_files(again)
    calls, found, _ = embed(again)
    assert calls == []
    assert found.blocks == first[2].blocks
    assert found.reused == len(first[1]) > 4
    assert vector_files(again) == before


def test_a_new_label_re_embeds_only_its_block(again):
    calls, found, _ = embed(again, labels=[*LABELS, "dry wit"])
    assert len(calls) == 1
    assert len(found.blocks["values"]) > 1


def test_a_killed_actor_loses_only_its_current_block(first, tmp_path):
    calls, _, _ = embed(tmp_path, kill=True)
    assert not list(tmp_path.rglob("kill")), "no actor was killed"
    assert len(calls) <= len(first[1]) + 2  # two actors with one current block each
    assert contents(tmp_path) == contents(first[0])


def test_without_the_secret_the_name_of_a_vector_file_does_not_reveal_its_texts(tmp_path):
    storage = Storage(str(tmp_path))
    texts = Texts("tasks", write_counts(storage, "private/runs", {"a task": 1}), 1)
    names = {
        BlockEmbedder(
            storage=storage,
            keyed=Keyed(secret),
            kinds=[texts],
            folder="private/scratch",
            vectors="private/vectors",
            make=Hashing,
        )({"kind": 0, "block": 0, "blocks": 1})[0].vector_path
        for secret in (b"one secret", b"another secret", b"one secret")
    }
    assert len(names) == 2
    found = [stat.path.rpartition(".")[2] for stat in storage.list("private/vectors")]
    assert sorted(found) == ["crc32", "crc32", "parquet", "parquet"]


@pytest.mark.parametrize(
    ("given", "texts", "expected"),
    [
        ({"actors": 8}, 100, (1, 1.0, 0.0)),
        ({"actors": 8}, 2_000, (8, 1.0, 0.0)),
        ({"actors": 2, "cpus_per_actor": 6.0}, 2_000, (2, 1.0, 0.0)),
        ({"device": "gpu", "gpus_per_actor": 2.0}, 100, (1, 1.0, 1.0)),
        ({"device": "gpu", "gpus_per_actor": 0.25}, 100, (1, 1.0, 0.25)),
    ],
)
def test_few_texts_load_one_model_and_an_embedder_takes_one_core_and_at_most_one_gpu(
    given, texts, expected, monkeypatch
):
    monkeypatch.setattr(embedding, "BLOCK_TEXTS", {"cpu": 100, "gpu": 100})
    found = embedding._for_embedders(Execution(**given), texts)
    assert (found.actors, found.cpus_per_actor, found.gpus_per_actor) == expected


class Nan(CountingEmbedder):
    def encode(self, texts):
        raise StageFailed(f"no vector for {len(texts)} texts", "choose another")


@pytest.mark.slow
def test_a_failing_embedder_ends_the_run_with_its_error(tmp_path):
    context = stage_context(tmp_path, LABELS, [])
    register_pickle_by_value(sys.modules[__name__])
    with pytest.raises(StageFailed, match="no vector for"):
        embed_texts(context, [write_values(context, LABELS)], partial(Nan, str(tmp_path)))


@pytest.mark.parametrize(
    ("labels", "tasks"),
    [
        ([], []),
        ([], ["one task"] * 3),
        pytest.param(["calm mind"], [], marks=pytest.mark.slow),
    ],
)
def test_tiny_inputs_give_a_small_tree_and_leave_no_scratch_files(tmp_path, labels, tasks):
    report = build.build_taxonomy(stage_context(tmp_path, labels, tasks))
    files = [file for file in report.files if file.table != KIND]
    tables = {file.table: pq.read_table(tmp_path / file.path) for file in files}
    facets = set(tables["taxonomy"]["facet"].to_pylist())
    assert facets == ({"ai_values", "human_values"} if labels else set()) | (
        {"tasks"} if tasks else set()
    )
    assigned = tables["task_assignments"].num_rows if "task_assignments" in tables else 0
    assert assigned == len(tasks)
    assert not list((tmp_path / "private").rglob("scratch"))


@pytest.fixture(scope="module")
def built(tmp_path_factory, local_ray):
    """Folder and report of a stage with labels and tasks."""
    folder = tmp_path_factory.mktemp("built")
    return folder, build.build_taxonomy(stage_context(folder, LABELS, TASKS))


def test_the_manifest_names_the_embedder_and_its_files_and_they_are_private(built):
    folder, report = built
    details = report.details
    assert details["embedder"]["name"] == "hashing"
    assert details["texts_embedded"] == len(in_phrases(LABELS)) + len(set(TASKS))
    prefix = f"private/vectors-{details['embedder']['key']}/"
    assert all(path.startswith(prefix) for path in details["vector_files"])
    there = {str(file.relative_to(folder)) for file in folder.glob(f"{prefix}*")}
    vectors = {path for path in there if path.endswith(".parquet")}
    assert vectors == set(details["vector_files"])
    sums = {path.replace(".parquet", ".crc32") for path in vectors}
    assert there == vectors | sums
    public = [file for file in (folder / "after").rglob("*") if file.is_file()]
    assert [file.parent.name for file in public] == ["taxonomy"]


def test_tasks_bypass_the_labels_and_their_tree_of_clios_sizes_starts_at_level_1(built):
    folder, report = built
    files = [file for file in report.files if file.table != KIND]
    rows = [row for file in files for row in pq.read_table(folder / file.path).to_pylist()]
    nodes = [row for row in rows if row.get("facet") == "tasks"]
    sizes = [sum(row["level"] == level for row in nodes) for level in range(5)]
    assert sizes == [0, *level_sizes(len(set(TASKS)), None), 0]
    assigned = [row for row in rows if "conversation_id" in row]
    counted = Counter(row["cluster_id"] for row in assigned)
    assert len(assigned) == len({row["conversation_id"] for row in assigned}) == len(TASKS)
    assert counted == {
        row["cluster_id"]: row["conversations"] for row in nodes if row["level"] == 1
    }


DRIVER = """
import sys
sys.path.insert(0, {tests!r})
from functools import partial
from pathlib import Path
import taxonomy_stage
from ray.cloudpickle import register_pickle_by_value
from whole_runs import run_quietly, small_config
from vitw_ray.taxonomy import build
from vitw_ray.taxonomy.vectors import blocks as embedding

register_pickle_by_value(taxonomy_stage)
embedding.BLOCK_TEXTS = {{"cpu": {block}}}
make = partial(taxonomy_stage.CountingEmbedder, {log!r}, {seconds})
build.embed_texts = partial(embedding.embed_texts, make=make)
run_quietly(small_config({inputs!r}, {output!r}, Path({secret!r})))
"""


@pytest.mark.slow
def test_a_driver_killed_while_it_embeds_loses_at_most_the_blocks_in_flight(tmp_path):
    inputs, log = plant_files(tmp_path / "in", rows=300), tmp_path / "log"
    log.mkdir()

    def driver(output: str, log: Path, seconds: float) -> subprocess.Popen:
        code = DRIVER.format(
            tests=str(ROOT / "tests"), block=BLOCK, log=str(log), seconds=seconds,
            inputs=inputs, output=str(tmp_path / output), secret=str(tmp_path / "secret"),
        )  # fmt: skip
        environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, "-c", code], env=environment, start_new_session=True,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    first = driver("out", log, 1.0)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "out").glob("private/vectors-*/*.parquet"))) < 4:
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    begun = len(embedded(log))
    second = driver("out", log, 0.0)
    _, errors = second.communicate(timeout=240)
    assert second.returncode == 0, errors[-2000:]
    made = len(list((tmp_path / "out").glob("private/vectors-*/*.parquet")))
    assert 4 <= begun < made, "the kill came too early or too late to show anything"
    assert len(embedded(log)) - made <= 2  # two actors
    calm = tmp_path / "calm-log"
    calm.mkdir()
    third = driver("calm", calm, 0.0)
    assert third.wait(timeout=240) == 0
    assert table_bytes(tmp_path / "out") == table_bytes(tmp_path / "calm")
    assert len(embedded(calm)) == made
