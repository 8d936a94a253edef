"""The README shows the house as it is, and commands that the command line takes."""

import re
import shlex
from pathlib import Path

import pytest

from vitw_ray.cli.run import JOB
from vitw_ray.cli.settings import settings_from

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tree() -> set[str]:
    """Paths in the README's file tree, by indentation."""
    block = README.split("## The house")[1].split("```")[1]
    folders: dict[int, str] = {}
    paths = set()
    for line in filter(str.strip, block.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        path = folders.get(depth - 1, "") + name
        if name.endswith("/"):
            folders[depth] = path
        paths.add(path)
    return paths


def test_every_path_in_the_tree_exists():
    assert not [path for path in tree() if not (ROOT / path).exists()]


def test_every_module_of_the_package_and_every_job_has_its_line():
    modules = [
        path.relative_to(ROOT).as_posix()
        for folder in ("vitw_ray", "jobs")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py"
    ]
    shown = tree()
    # A folder without lines of its own stands for all that is in it.
    closed = {
        path
        for path in shown
        if path.endswith("/") and not any(x.startswith(path) and x != path for x in shown)
    }
    missing = [
        module
        for module in modules
        if module not in shown and not any(module.startswith(folder) for folder in closed)
    ]
    assert not missing


def jobs_in_the_readme() -> list[str]:
    joined = README.replace("\\\n", " ")
    return re.findall(
        r"python jobs/(?:run|extract|build_taxonomy|analyze|compare_assistants)\.py[^\n`)]*", joined
    )


@pytest.mark.parametrize("command", sorted(set(jobs_in_the_readme())))
def test_every_job_in_the_readme_has_flags_that_exist(command):
    arguments = [word for word in shlex.split(command.split(" && ")[0])[2:] if word != "--help"]
    if "lists all" not in command:
        settings_from(arguments, JOB)


def test_every_link_to_a_file_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert not [x for x in links if not x.startswith("http") and not (ROOT / x).exists()]


def test_nothing_is_left_to_fill_in():
    assert "@@" not in README
