"""What the package says of itself to people who cite it and to type checkers."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import vitw_ray

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_citation_has_the_version_and_licence_of_the_package():
    assert CITATION["version"] == vitw_ray.__version__ == PROJECT["project"]["version"]
    assert CITATION["license"] == PROJECT["project"]["license"]


def test_the_citation_has_what_the_format_asks_for():
    assert str(CITATION["cff-version"]) == "1.2.0"
    assert CITATION["message"]
    assert CITATION["title"] == PROJECT["project"]["name"]
    assert CITATION["authors"] == [{"name": "The vitw_ray authors"}]
    (paper,) = CITATION["references"]
    assert paper["authors"][0] == {"family-names": "Huang", "given-names": "Saffron"}
    assert "2504.15236" in paper["url"]


def test_the_mark_of_a_typed_package_is_packaged():
    assert (Path(vitw_ray.__file__).parent / "py.typed").exists()
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["vitw_ray"]


@pytest.mark.parametrize("name", vitw_ray.__all__)
def test_every_public_name_is_there_and_is_offered(name):
    assert getattr(vitw_ray, name) is not None
    assert name in dir(vitw_ray)


@pytest.mark.slow
def test_a_type_checker_knows_what_the_two_functions_return(tmp_path):
    code = (
        "import vitw_ray\n"
        "a: int = vitw_ray.run(sample=10).totals['failed']\n"
        "b: int = vitw_ray.open_run('x').table('labels').arrow.num_rows\n"
        "c: int = vitw_ray.open_run('x').report\n"
        "vitw_ray.open_runs\n"
    )
    (tmp_path / "uses.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", str(tmp_path / "uses.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = [d["range"]["start"]["line"] for d in found if d["severity"] == "error"]
    assert errors == [3, 4], found
