"""jobs/rayjob.yaml against KubeRay's schema, and against cluster.yaml, whose twin it is.

The schema holds the fields that matter here, as KubeRay 1.6.2 defines them: its
helm-chart/kuberay-operator/crds/ray.io_rayjobs.yaml, version v1, without `status`. A server drops
fields that it does not know; here they are refused.
"""

import copy
import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import yaml

from vitw_ray.cli.run import JOB
from vitw_ray.cli.settings import settings_from

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "jobs" / "rayjob.yaml").read_text()
RAYJOB = yaml.safe_load(TEXT)
CLUSTER = yaml.safe_load((ROOT / "cluster.yaml").read_text())
SPEC = RAYJOB["spec"]
OF_CLUSTER = SPEC["rayClusterSpec"]
GROUPS = {group["groupName"]: group for group in OF_CLUSTER["workerGroupSpecs"]}
NODE_TYPES = CLUSTER["available_node_types"]

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT = {"type": "integer", "minimum": 0}


def closed(required: str = "", **properties: object) -> dict:
    found = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": required.split()} if required else found


def listed(item: dict) -> dict:
    return {"type": "array", "items": item}


QUANTITIES = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$",
    },
}
CONTAINER = closed(
    "name",
    name={"type": "string"},
    image={"type": "string"},
    env=listed(closed("name", name={"type": "string"}, value={"type": "string"})),
    ports=listed(
        closed(
            "containerPort",
            name={"type": "string", "maxLength": 15},
            containerPort={"type": "integer"},
        )
    ),
    resources=closed(requests=QUANTITIES, limits=QUANTITIES),
    volumeMounts=listed(
        closed("mountPath name", name={"type": "string"}, mountPath={"type": "string"})
    ),
)
POD = closed(
    metadata=closed(labels=TEXTS, annotations=TEXTS),
    spec=closed(
        "containers",
        containers=listed(CONTAINER),
        serviceAccountName={"type": "string"},
        nodeSelector=TEXTS,
        tolerations=listed(
            closed(
                key={"type": "string"},
                operator={"enum": ["Exists", "Equal"]},
                value={"type": "string"},
                effect={"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
            )
        ),
        volumes=listed(
            closed(
                "name",
                name={"type": "string"},
                emptyDir=closed(medium={"type": "string"}, sizeLimit={"type": "string"}),
            )
        ),
    ),
)
SCHEMA = closed(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=closed("name", name={"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"}),
    spec=closed(
        entrypoint={"type": "string"},
        runtimeEnvYAML={"type": "string"},
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode"]},
        backoffLimit=COUNT,
        activeDeadlineSeconds=COUNT,
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=COUNT,
        suspend={"type": "boolean"},
        rayClusterSpec=closed(
            "headGroupSpec",
            rayVersion={"type": "string"},
            authOptions=closed(
                mode={"enum": ["disabled", "token"]},
                secretName={"type": "string"},
                enableK8sTokenAuth={"type": "boolean"},
            ),
            enableInTreeAutoscaling={"type": "boolean"},
            autoscalerOptions=closed(
                idleTimeoutSeconds=COUNT,
                upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
                version={"enum": ["v1", "v2"]},
            ),
            headGroupSpec=closed("template", rayStartParams=TEXTS, template=POD),
            workerGroupSpecs=listed(
                closed(
                    "groupName maxReplicas minReplicas template",
                    groupName={"type": "string"},
                    replicas=COUNT,
                    minReplicas=COUNT,
                    maxReplicas=COUNT,
                    idleTimeoutSeconds=COUNT,
                    rayStartParams=TEXTS,
                    template=POD,
                )
            ),
        ),
    ),
)


def pods() -> list[dict]:
    groups = [OF_CLUSTER["headGroupSpec"], *GROUPS.values()]
    return [group["template"]["spec"] for group in groups]


def execution():
    program, script, *flags = shlex.split(SPEC["entrypoint"])
    assert (program, script) == ("python", "jobs/run.py")
    return settings_from(flags, JOB).config.execution


def test_the_schema_accepts_the_file():
    assert not list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(RAYJOB))


@pytest.mark.parametrize(
    "place",
    [
        ("spec",),
        ("spec", "rayClusterSpec"),
        ("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containers", 0),
        ("spec", "rayClusterSpec", "workerGroupSpecs", 0),
    ],
    ids=str,
)
def test_a_misspelt_key_is_refused(place):
    config = copy.deepcopy(RAYJOB)
    inner = config
    for name in place:
        inner = inner[name]
    inner["max_replcas"] = 2
    with pytest.raises(jsonschema.ValidationError, match="max_replcas"):
        jsonschema.validate(config, SCHEMA)


def test_every_container_runs_the_image_of_the_cluster():
    images = {container["image"] for pod in pods() for container in pod["containers"]}
    assert images == {CLUSTER["docker"]["image"]}
    assert OF_CLUSTER["rayVersion"] in CLUSTER["docker"]["image"]


def test_the_job_is_that_of_the_cluster():
    comment = (ROOT / "cluster.yaml").read_text().split("jobs/run.py ", 1)[1]
    flags = comment.split("#   ray down")[0].replace("\\", "").replace("#", "").split()
    assert sorted(SPEC["entrypoint"].split()[2:]) == sorted(flags)


@pytest.mark.parametrize("name", GROUPS)
def test_nodes_have_the_resources_and_limits_of_the_cluster(name):
    group, node = GROUPS[name], NODE_TYPES[name]
    params = {k: int(v) for k, v in group["rayStartParams"].items()}
    assert params == {
        "num-cpus": node["resources"]["CPU"],
        "num-gpus": node["resources"]["GPU"],
    }
    assert (group["minReplicas"], group["maxReplicas"]) == (0, node["max_workers"])
    (container,) = group["template"]["spec"]["containers"]
    gpus = str(node["resources"]["GPU"])
    assert container["resources"]["limits"]["nvidia.com/gpu"] == gpus
    selector = group["template"]["spec"]["nodeSelector"]
    assert list(selector.values()) == [node["node_config"]["InstanceType"]]


def test_no_work_runs_on_the_head_and_idle_nodes_leave_as_on_the_cluster():
    params = OF_CLUSTER["headGroupSpec"]["rayStartParams"]
    assert (params["num-cpus"], params["num-gpus"]) == ("0", "0")
    idle = OF_CLUSTER["autoscalerOptions"]["idleTimeoutSeconds"]
    assert idle == 60 * CLUSTER["idle_timeout_minutes"]


def test_the_job_fits_the_extractor_nodes_and_no_others():
    settings = execution()
    assert settings.actors <= GROUPS["extractor"]["maxReplicas"]
    assert settings.cpus_per_actor <= int(GROUPS["extractor"]["rayStartParams"]["num-cpus"])
    assert settings.cpus_per_actor > int(GROUPS["embedder"]["rayStartParams"]["num-cpus"])


def test_a_token_is_asked_for_and_no_secret_stands_in_the_file():
    assert OF_CLUSTER["authOptions"] == {"mode": "token"}
    assert all(pod["serviceAccountName"] == "vitw-ray" for pod in pods())
    assert not re.search(r"AKIA|aws_secret|aws_access|password|secretKeyRef", TEXT, re.IGNORECASE)


def test_the_environment_is_the_code_and_its_extra():
    environment = yaml.safe_load(SPEC["runtimeEnvYAML"])
    assert environment["working_dir"].endswith(".zip")
    assert environment["pip"] == ["${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}[gpu]"]


def test_shared_memory_is_that_of_the_cluster():
    size = next(o for o in CLUSTER["docker"]["worker_run_options"] if "shm-size" in o)
    for group in GROUPS.values():
        (volume,) = group["template"]["spec"]["volumes"]
        assert volume["emptyDir"]["sizeLimit"].removesuffix("Gi") in size
