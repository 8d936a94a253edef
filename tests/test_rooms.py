"""Stages are neighbours that meet only in tables; what they share lies below them."""

import ast
import graphlib
import subprocess
import sys

import pytest
from import_graph import PACKAGE, ROOT, imports, is_package, modules, reachable

STAGES = {
    "conversations",
    "extraction",
    "labels",
    "taxonomy",
    "statistics",
    "report",
    "release",
}
ABOVE_STAGES = {"comparison", "evaluation"}
# Modules outside any folder that put the stages together, and the doors to them.
TOP = {"pipeline", "planning", "summary", "preflight", "purge", "finished_run", "rewrite_report"}
TOP |= {"two_runs", "publishing", "forecast", "start", "cli", "__main__"}
HEAVY = {"torch", "vllm", "sentence_transformers", "transformers", "tokenizers", "faiss"}
HEAVY |= {"openai", "huggingface_hub", "xgrammar"}


def room(module: str) -> str:
    first = module.split(".")[0]
    return first if (PACKAGE / first).is_dir() else ""


def floor(module: str) -> int:
    """0 the ground, 1 models, 2 stages, 3 what reads several stages, 4 what puts them together."""
    first = module.split(".")[0]
    if first in TOP or not module:
        return 4
    return {"inference": 1, **dict.fromkeys(STAGES, 2), **dict.fromkeys(ABOVE_STAGES, 3)}.get(
        first, 0
    )


ARROWS = [(module, target) for module, named in imports().items() for target in named]


def test_the_graph_holds_the_whole_package():
    assert len(modules()) > 100
    assert ("pipeline", "taxonomy.build") in ARROWS
    assert {room(module) for module in modules()} >= STAGES | ABOVE_STAGES | {"inference"}


def test_no_stage_imports_another_stage():
    between = [(a, b) for a, b in ARROWS if {room(a), room(b)} <= STAGES and room(a) != room(b)]
    assert not between


def test_nothing_imports_upwards():
    upwards = [(a, b) for a, b in ARROWS if floor(a) < floor(b)]
    assert not upwards


def test_no_module_imports_itself_over_others():
    graph = {module: set(named) for module, named in imports().items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())  # a cycle raises
    assert order.index("records") < order.index("pipeline")


def imported_packages(module: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
    return found


@pytest.mark.parametrize("package", sorted(HEAVY))
def test_a_heavy_package_is_imported_only_where_models_and_k_means_run(package):
    users = {module for module in modules() if package in imported_packages(module)}
    assert all(m.startswith(("inference.", "taxonomy.kmeans.")) for m in users), users


def test_ray_is_imported_only_by_the_cluster_and_the_remote_shards():
    users = {module for module in modules() if "ray" in imported_packages(module)}
    assert users - {"cluster", "taxonomy.kmeans.ray_shards", "preflight"} == set()


def test_importing_every_module_loads_no_heavy_package():
    names = [f"vitw_ray.{m}" for m in modules() if m and m != "__main__"]
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        f"print(sorted({{m.split('.')[0] for m in sys.modules}} & {HEAVY | {'ray'}!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_reachable_follows_imports_inside_functions_and_packages():
    assert "inference.sentence_model" in reachable("inference.embedder")
    assert is_package("extraction.lexicon")
    assert "extraction" in reachable("extraction.answers")
