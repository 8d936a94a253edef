"""`--keep-parts`: what stays from an earlier run keeps its bytes, and the rows are those of one."""

import json
import random
from collections import Counter
from unittest.mock import patch

import pytest

from vitw_ray import cluster, pipeline
from vitw_ray.config import ConversationsConfig, Execution, RunConfig
from vitw_ray.opened_run import open_run
from vitw_ray.run_folder import read_manifest, read_part, tables_of
from vitw_ray.storage import Storage

SECRET = "a key for tests, which is long enough"


@pytest.fixture(autouse=True)
def in_this_process():
    with (
        patch.object(cluster, "stream", lambda units, function: map(function, units)),
        patch.object(cluster, "connect", lambda _: None),
    ):
        yield


class Inputs:
    """A folder of input files, and runs of stage 1 over it."""

    def __init__(self, folder, **settings):
        self.folder, self.settings = folder, {"source_format": "vitw", **settings}
        (folder / "in").mkdir()
        (folder / "secret").write_text(SECRET)

    def add(self, name, rows):
        data = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / "in" / name).write_text(data)

    def read(self, output="run", keep_parts=True):
        config = RunConfig(
            conversations=ConversationsConfig(
                input=(str(self.folder / "in"),), keep_parts=keep_parts, **self.settings
            ),
            execution=Execution(
                output=str(self.folder / output), secret_file=str(self.folder / "secret")
            ),
        )
        pipeline.run(config, announce=lambda _: None, until="conversations")
        return Read(self.folder / output)


class Read:
    """A finished stage 1."""

    def __init__(self, folder):
        self.storage = Storage(str(folder))
        self.folder = open_run(folder).stages["conversations"]["folder"]
        self.manifest = read_manifest(self.storage, self.folder)
        self.tables = tables_of(self.manifest)

    def rows(self, table):
        parts = (read_part(self.storage, file) for file in self.tables[table].files)
        return [row for part in parts for row in part.to_pylist()]

    def files(self, table="conversations"):
        return {file.path.rsplit("/", 1)[1]: file.sha256 for file in self.tables[table].files}

    @property
    def kept(self):
        return self.manifest["details"]["kept_parts"]

    @property
    def content(self):
        """What must not depend on the way in which files were added."""
        rows = sorted(
            json.dumps(row, sort_keys=True, default=str) for row in self.rows("conversations")
        )
        rejects = Counter(row["reason"] for row in self.rows("rejects"))
        manifest = {name: self.manifest[name] for name in ("rows_in", "rows_out", "rejected")}
        details = dict(self.manifest["details"])
        details.pop("kept_parts", None)
        return rows, rejects, manifest, details


def turn(role, content):
    return {"role": role, "content": content}


def talk(*turns):
    return [turn("user" if n % 2 == 0 else "assistant", one) for n, one in enumerate(turns)]


def random_rows(rng, count, ids):
    """Rows with few ids, versions, beginnings and copies, so that all rules meet."""
    for _ in range(count):
        if rng.random() < 0.08:
            yield rng.choice([{}, {"messages": []}, {"messages": "no"}])
            continue
        topic = rng.randrange(ids)
        turns = [f"{'qa'[n % 2]} {topic} {n}" for n in range(rng.randint(2, 7))]
        row = {"messages": talk(*turns)}
        if rng.random() < 0.6:
            row["conversation_id"] = f"c{rng.randrange(ids)}"
        if rng.random() < 0.3:
            row["created_at"] = f"2025-01-0{rng.randint(1, 3)}T00:00:00Z"
        if rng.random() < 0.3:
            row["model"] = rng.choice(["a", "b"])
        if rng.random() < 0.2:
            row["account_id"] = rng.choice(["x", "y"])
        yield row


def compare(folder, seed, **settings):
    rng = random.Random(seed)
    inputs = Inputs(folder, **settings)
    ids = rng.choice([4, 30, 200])
    names = [f"{n}.jsonl" for n in range(rng.randint(2, 4))]
    rng.shuffle(names)
    counts = [rng.choice([1, 5, 40]) for _ in names]
    layers = []
    for name, count in zip(names, counts, strict=True):
        rows = [*random_rows(rng, count, ids), {"messages": talk("hello", f"from {name}")}]
        inputs.add(name, rows)
        layers.append(inputs.read().kept["from"] is not None)
    scratch = inputs.read("scratch", keep_parts=False)
    grown = Read(folder / "run")
    assert grown.content == scratch.content
    ids = [row["conversation_id"] for row in grown.rows("conversations")]
    assert len(set(ids)) == len(ids)
    return sum(layers), len(layers) - 1


OPTIONS = [{}, {"identical_rows": "drop"}, {"growing_histories": "all"}, {"rows_per_part": 8}]


@pytest.mark.parametrize("seed", range(8))
def test_files_that_are_added_give_the_rows_of_a_run_over_all_files(tmp_path, seed):
    compare(tmp_path, seed, **OPTIONS[seed % len(OPTIONS)])
