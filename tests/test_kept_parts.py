"""`--keep-parts`: what stays from an earlier run keeps its bytes, and the rows are those of one."""

import json
import logging
import random
import shutil
from collections import Counter
from dataclasses import replace
from unittest.mock import patch

import pytest
from vitw_check import verdict
from vitw_check.reading import place
from vitw_check.rows import check_order

from vitw_ray import cluster, pipeline
from vitw_ray.config import ConversationsConfig, Execution
from vitw_ray.conversations import intake, read
from vitw_ray.errors import ConfigError
from vitw_ray.opened_run import open_run
from vitw_ray.presets import smoke
from vitw_ray.purge import purge
from vitw_ray.run_folder import read_manifest, read_part, tables_of
from vitw_ray.storage import Storage

SECRET = "a key for tests, which is long enough"


def itself(value):
    return value


def through_actors(units, actor, *, arguments, **_):
    return map(actor(**arguments), units) if units else iter(())


class NoTally:
    def report(self, *_): ...

    def finish(self, *_): ...

    def rows(self):
        return 0


@pytest.fixture(autouse=True)
def in_this_process():
    with (
        patch.multiple(cluster, put_shared=itself, get_shared=itself, Tally=NoTally),
        patch.object(cluster, "disconnect", lambda: None),
        patch.object(cluster, "stream", lambda units, function, **_: map(function, units)),
        patch.object(cluster, "stream_through_actors", through_actors),
        patch.object(cluster, "connect", lambda _: None),
        patch.object(cluster, "node_resources", lambda: [{"CPU": 1.0, "memory": 2.0**36}]),
    ):
        yield


class Inputs:
    """A folder of input files, and runs of stage 1 over it."""

    def __init__(self, folder, **settings):
        self.folder, self.settings = folder, {"source_format": "vitw", **settings}
        (folder / "in").mkdir(parents=True)
        (folder / "secret").write_text(SECRET)

    def add(self, name, rows):
        data = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / "in" / name).write_text(data)

    def read(self, output="run", keep_parts=True, until="conversations"):
        secret = str(self.folder / "secret")
        config = replace(
            smoke(),
            conversations=ConversationsConfig(
                input=(str(self.folder / "in"),), keep_parts=keep_parts, **self.settings
            ),
            execution=Execution(output=str(self.folder / output), secret_file=secret),
        )
        pipeline.run(config, announce=lambda _: None, until=until)
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


def assert_same_rows(folder, seed, **settings):
    rng = random.Random(seed)
    inputs = Inputs(folder, **settings)
    ids = rng.choice([4, 30, 200])
    names = [f"{n}.jsonl" for n in range(rng.randint(2, 4))]
    rng.shuffle(names)
    counts = [rng.choice([1, 5, 40]) for _ in names]
    for name, count in zip(names, counts, strict=True):
        rows = [*random_rows(rng, count, ids), {"messages": talk("hello", f"from {name}")}]
        inputs.add(name, rows)
        inputs.read()
    scratch = inputs.read("scratch", keep_parts=False)
    grown = Read(folder / "run")
    assert grown.content == scratch.content
    ids = [row["conversation_id"] for row in grown.rows("conversations")]
    assert len(set(ids)) == len(ids)


OPTIONS = [{}, {"identical_rows": "drop"}, {"growing_histories": "all"}, {"rows_per_part": 8}]


@pytest.mark.parametrize("seed", range(2))
def test_files_that_are_added_give_the_rows_of_a_run_over_all_files(tmp_path, seed):
    assert_same_rows(tmp_path, seed, **OPTIONS[seed % len(OPTIONS)])


def row(n, *turns, **fields):
    return {
        "conversation_id": f"c{n}",
        "messages": talk(*(turns or (f"q {n}", f"a {n}"))),
        **fields,
    }


@pytest.fixture
def inputs(tmp_path):
    """50 rows in 8 parts, read once."""
    inputs = Inputs(tmp_path, rows_per_part=8)
    inputs.add("b.jsonl", [row(n) for n in range(50)])
    return inputs


def test_what_was_read_before_keeps_its_bytes_and_is_not_read_again(inputs, monkeypatch):
    before = inputs.read()
    opened = []
    rows_of = intake.iter_rows
    monkeypatch.setattr(
        intake,
        "iter_rows",
        lambda file, *others: opened.append(file.name) or rows_of(file, *others),
    )
    inputs.add("a.jsonl", [row(n) for n in range(50, 56)])
    after = inputs.read()
    assert opened == ["a.jsonl"]
    assert before.files().items() < after.files().items()
    assert len(after.files()) == len(before.files()) + 1
    assert before.files("rejects").items() < after.files("rejects").items()
    assert after.kept["from"] == before.folder
    assert (after.kept["kept"], after.kept["rewritten"], after.kept["layers"]) == (8, 0, 2)
    assert after.manifest["details"]["rows_by_file"] == [6, 50]
    assert after.content == inputs.read("scratch", keep_parts=False).content


def test_the_same_command_does_nothing_the_second_time(inputs, monkeypatch):
    inputs.read()
    inputs.add("a.jsonl", [row(n) for n in range(50, 56)])
    first = inputs.read()
    record = (inputs.folder / "run" / "run.json").read_bytes()
    monkeypatch.setattr(pipeline, "run_stage", None)
    assert inputs.read().folder == first.folder
    assert (inputs.folder / "run" / "run.json").read_bytes() == record


def test_a_later_version_changes_the_part_that_it_was_in_and_no_other(inputs):
    before = inputs.read()
    inputs.add("a.jsonl", [row(7, "q 7", "a 7", "more", "and more")])
    after = inputs.read()
    changed = {name for name, sha in before.files().items() if after.files()[name] != sha}
    assert len(changed) == after.kept["rewritten"] == 1
    assert after.rows("rejects") == [
        {"file": "b.jsonl", "row": 7, "conversation_id": "c7", "reason": "superseded"}
    ]
    inputs.add("c.jsonl", [row(7), row(8, "q 8", "a 8", "more", "and more")])
    last = inputs.read()
    assert last.kept["layers"] == 3
    assert last.manifest["rejected"] == {"identical": 1, "superseded": 2}
    assert last.content == inputs.read("scratch", keep_parts=False).content


def test_copies_without_an_id_are_numbered_on_and_superseded_together(tmp_path):
    inputs = Inputs(tmp_path)
    one, long = {"messages": talk("q", "a")}, {"messages": talk("q", "a", "more", "and more")}
    for name, rows in {"b": [one, one], "a": [one], "c": [long]}.items():
        inputs.add(f"{name}.jsonl", rows)
        last = inputs.read()
        assert last.content == inputs.read(f"scratch-{name}", keep_parts=False).content
        assert (last.kept["from"] is None) == (name == "b")
    assert last.manifest["rejected"] == {"superseded": 3}
    assert len(last.rows("conversations")) == 1


def test_where_a_new_row_brings_back_an_old_one_all_files_are_read(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    inputs = Inputs(tmp_path)
    first, second = row(1, "q", "a", created_at="2025-01-01"), row(1, "p", "b")
    second["created_at"] = "2025-01-02"
    inputs.add("a.jsonl", [first, second])
    inputs.read()
    inputs.add("b.jsonl", [row(2, "p", "b", "more", "and more")])  # second is its beginning
    after = inputs.read()
    assert after.content == inputs.read("scratch", keep_parts=False).content
    assert len(after.rows("conversations")) == 2
    assert "all files are read, not only the new ones" in caplog.text
    assert after.kept["from"] is None


@pytest.mark.parametrize("place", ["carry", pytest.param("note_rows", marks=pytest.mark.slow)])
def test_a_run_that_is_killed_half_way_goes_on_to_the_same_bytes(inputs, monkeypatch, place):
    inputs.read()
    inputs.add("a.jsonl", [row(7, "q 7", "a 7", "more", "on"), *map(row, range(50, 56))])
    shutil.copytree(inputs.folder / "run", inputs.folder / "other")
    whole = inputs.read("other")

    def killed(*_, **__):
        raise ZeroDivisionError

    with monkeypatch.context() as patches:
        patches.setattr(read, place, killed)
        with pytest.raises(ZeroDivisionError):
            inputs.read()
    after = inputs.read()
    assert after.manifest["files"] == whole.manifest["files"]
    assert after.folder == whole.folder
    named = {entry["path"] for entry in after.manifest["files"]}
    stats = after.storage.list(f"private/{after.folder}")
    assert {stat.path for stat in stats} == named  # what is left over is swept


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)  # in place: all names of the file are damaged


def test_a_damaged_part_from_before_is_found_and_made_again_from_the_input(inputs):
    inputs.read(until="extractions")
    inputs.add("a.jsonl", [row(n) for n in range(50, 56)])
    before = inputs.read()
    whole = before.content
    name = f"private/{before.folder}/conversations/part-00003.parquet"
    flip(inputs.folder / "run" / name)
    after = inputs.read(until="extractions")
    assert after.kept["from"] is None
    assert after.content == whole
    again = inputs.read()
    assert again.folder == after.folder


def test_a_part_that_is_damaged_in_the_new_folder_alone_is_carried_again(inputs):
    inputs.read()
    inputs.add("a.jsonl", [row(n) for n in range(50, 56)])
    before = inputs.read()
    path = inputs.folder / "run" / "private" / before.folder / "conversations/part-00003.parquet"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1])
    after = inputs.read(until="extractions")
    assert after.folder == before.folder
    assert after.manifest["files"] == before.manifest["files"]
    assert path.read_bytes() == data


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["openings", "known_rows", "files_read", "conversations"])
def test_without_what_was_noted_all_files_are_read(inputs, kind):
    before = inputs.read()
    shutil.rmtree(inputs.folder / "run" / "private" / before.folder / kind)
    inputs.add("a.jsonl", [row(n) for n in range(50, 56)])
    after = inputs.read()
    assert after.kept["from"] is None
    assert after.content == inputs.read("scratch", keep_parts=False).content


@pytest.mark.slow
def test_another_setting_or_a_file_that_is_gone_reads_all_files(inputs):
    first = inputs.read()
    inputs.add("a.jsonl", [row(n) for n in range(50, 56)])
    inputs.settings["created_from"] = None
    inputs.settings["max_conversation_chars"] = 999
    assert inputs.read().kept["from"] is None
    del inputs.settings["max_conversation_chars"]
    assert inputs.read().kept["from"] == first.folder
    (inputs.folder / "in" / "b.jsonl").unlink()
    alone = inputs.read()
    assert alone.kept["from"] is None
    assert alone.manifest["rows_in"] == 6


def test_after_a_purge_the_run_is_still_finished_and_adding_to_it_starts_anew(inputs):
    inputs.read()
    inputs.add("a.jsonl", [row(n) for n in range(50, 56)])
    first = inputs.read()
    assert purge(first.storage, lambda _: True)
    assert inputs.read().folder == first.folder
    inputs.add("c.jsonl", [row(n) for n in range(60, 66)])
    after = inputs.read()  # its secret is a file of the user, and was not purged
    assert after.kept["from"] is None
    assert after.content == inputs.read("scratch", keep_parts=False).content


def test_off_it_leaves_no_trace(inputs):
    plain = inputs.read(keep_parts=False)
    noted = inputs.read("other")
    assert "kept_parts" not in plain.manifest["details"]
    assert {file["table"] for file in plain.manifest["files"]} == {"conversations", "rejects"}
    assert plain.files() == noted.files()
    assert plain.files("rejects") == noted.files("rejects")


@pytest.mark.parametrize("name", ["sample", "max_per_account"])
def test_what_is_drawn_from_all_rows_refuses_it(name):
    with pytest.raises(ConfigError, match=f"--keep-parts cannot be used with --{name[:3]}"):
        ConversationsConfig(keep_parts=True, **{name: 5})


def test_a_conversation_asked_before_is_not_asked_again(inputs):
    inputs.read(until="extractions")
    inputs.add("a.jsonl", [row(n) for n in range(50, 56)])
    inputs.read(until="extractions")
    opened = open_run(inputs.folder / "run")
    details = opened.stages["extractions"]["details"]
    assert (details["answers_new"], details["answers_reused"]) == (6, 50)
    before, after = (
        {entry["path"].rsplit("/", 1)[1]: entry["sha256"] for entry in one["files"]}
        for one in manifests_of(inputs.folder / "run", "2_extractions")
    )
    assert before.items() < after.items()


def manifests_of(folder, stage):
    """Manifests of a stage, the one with fewer files first."""
    found = [json.loads(path.read_text()) for path in folder.glob(f"{stage}-*/_SUCCESS.json")]
    return sorted(found, key=lambda one: len(one["files"]))


def test_off_it_is_no_part_of_the_key():
    stage = pipeline.STAGES[0]
    assert "keep_parts" not in stage.settings(smoke())
    on = replace(smoke(), conversations=ConversationsConfig(keep_parts=True))
    assert stage.key(on, {}) != stage.key(smoke(), {})


class Parts:
    """What `check_order` asks of a run: parts with some ids, made by so many passes."""

    def __init__(self, layers, **parts):
        self.parts = parts
        self.manifests = {"conversations": {"details": {"kept_parts": {"layers": layers}}}}

    def entries(self, _):
        return [{"path": path} for path in self.parts]

    def part(self, path, _):
        ids = sorted(self.parts[path], key=lambda name: place({"conversation_id": name}))
        return iter([{"conversation_id": name} for name in ids])


def test_the_checker_finds_a_conversation_that_stands_in_the_parts_of_two_passes():
    old, new = [f"c{n}" for n in range(30)], [f"d{n}" for n in range(30)]
    assert not [*check_order(Parts(2, a=old, b=new))]
    assert [*check_order(Parts(1, a=old, b=new))]  # one pass writes parts that do not overlap
    assert [*check_order(Parts(2, a=old, b=[*new, "c7"]))] == [
        "conversation c7 stands in two parts"
    ]


@pytest.mark.slow
def test_a_run_to_which_files_were_added_passes_every_check(inputs):
    inputs.read(until="release")
    run = str(inputs.folder / "run")
    assert not [code for state, code, _ in verdict.verdicts(run) if state == "FAILED"]
    more = [row(n) for n in range(50, 80)]
    inputs.add("a.jsonl", [row(7, "q 7", "a 7", "more", "and more"), row(9), {}, *more])
    inputs.add("c.jsonl", [{"messages": talk("q", "a")}] * 3)
    after = inputs.read(until="release")
    assert (after.kept["layers"], after.kept["rewritten"]) == (2, 1)
    assert not [text for state, _, text in verdict.verdicts(run) if state == "FAILED"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 112))
def test_files_that_are_added_give_the_same_rows_for_many_inputs(tmp_path, seed):
    assert_same_rows(tmp_path, seed, **OPTIONS[seed % len(OPTIONS)])
