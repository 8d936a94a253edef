"""cluster.yaml against Ray's schema and against its own comments."""

import copy
import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from vitw_ray.cli.run import JOB
from vitw_ray.cli.settings import settings_from

TEXT = (Path(__file__).parents[1] / "cluster.yaml").read_text()
CONFIG = yaml.safe_load(TEXT)
NODE_TYPES = CONFIG["available_node_types"]
WORKERS = [name for name in NODE_TYPES if name != CONFIG["head_node_type"]]


def validate(config):
    """The configuration as Ray's launcher completes it; what it refuses raises."""
    completed = prepare_config(copy.deepcopy(config))
    validate_config(completed)
    return completed


def job():
    """The configuration of the job line in the head comment."""
    comment = "".join(line.lstrip("# ") for line in TEXT.splitlines(keepends=True)[:20])
    line = comment.replace("\\\n", "").split("ray job submit", 1)[1].splitlines()[0]
    words = shlex.split(line)
    program = words.index("--") + 1
    assert words[program : program + 2] == ["python", "jobs/run.py"]
    return settings_from(words[program + 2 :], JOB).config


def test_ray_accepts_the_file_and_changes_none_of_its_node_types():
    assert validate(CONFIG)["available_node_types"].keys() == NODE_TYPES.keys()


@pytest.mark.parametrize(
    "place", [(), ("docker",), ("auth",), ("available_node_types", "extractor")], ids=str
)
def test_a_misspelt_key_is_refused(place):
    config = copy.deepcopy(CONFIG)
    inner = config
    for name in place:
        inner = inner[name]
    inner["max_wrokers"] = 2
    with pytest.raises(jsonschema.ValidationError, match="max_wrokers"):
        validate(config)


@pytest.mark.parametrize("name", NODE_TYPES)
def test_every_node_type_states_its_resources(name):
    assert {"CPU", "GPU"} <= NODE_TYPES[name]["resources"].keys()
    config = copy.deepcopy(CONFIG)
    del config["available_node_types"][name]["resources"]
    with pytest.raises(jsonschema.ValidationError, match="resources"):
        validate(config)


def test_no_work_runs_on_the_head():
    assert set(NODE_TYPES[CONFIG["head_node_type"]]["resources"].values()) == {0}


@pytest.mark.parametrize("name", WORKERS)
def test_workers_start_at_zero_and_are_spot_machines(name):
    assert NODE_TYPES[name]["min_workers"] == 0
    assert NODE_TYPES[name]["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"


def test_machines_get_permissions_from_a_profile_and_not_from_the_file():
    assert all("IamInstanceProfile" in node["node_config"] for node in NODE_TYPES.values())
    assert not re.search(r"AKIA|aws_secret|aws_access|password|AUTH_TOKEN=", TEXT, re.IGNORECASE)


def test_the_image_has_the_version_of_ray_that_this_project_uses():
    assert CONFIG["docker"]["image"].partition(":")[2].startswith(f"{ray.__version__}-py312-")


def test_the_job_of_the_head_comment_fits_the_extractor_nodes_and_no_others():
    execution = job().execution
    extractor = NODE_TYPES["extractor"]
    per_node = extractor["resources"]["GPU"] // execution.gpus_per_actor
    assert execution.actors <= per_node * extractor["max_workers"]
    assert per_node * execution.cpus_per_actor < extractor["resources"]["CPU"]
    assert execution.cpus_per_actor > NODE_TYPES["embedder"]["resources"]["CPU"]
    assert sum(NODE_TYPES[name]["max_workers"] for name in WORKERS) == CONFIG["max_workers"]
