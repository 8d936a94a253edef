"""The wheel holds all of both packages, and what it installs works away from the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]


def tracked(folder: str) -> list[str]:
    line = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", folder]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel of what git knows, built with this environment's setuptools and no index."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked("."):
        if name.startswith(("vitw_ray/", "jobs/")) or "/" not in name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    line = [sys.executable, "-m", "pip", "wheel", str(source), "--wheel-dir", str(out)]
    line += ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = out.glob("*.whl")
    return made


def test_the_wheel_holds_every_file_of_both_packages_and_no_other(wheel):
    with ZipFile(wheel) as archive:
        files = [name for name in archive.namelist() if ".dist-info/" not in name]
    checker = [name.removeprefix("jobs/") for name in tracked("jobs/vitw_check")]
    assert sorted(files) == sorted([*tracked("vitw_ray"), *checker])
    assert "vitw_ray/py.typed" in files


def installed(wheel: Path, folder: Path) -> Path:
    """A fresh environment with the wheel; its dependencies are those of this one."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    place = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    line = [sys.executable, "-m", "pip", "--python", str(python), "install", str(wheel)]
    subprocess.run([*line, "--no-deps", "--no-index", "--quiet"], check=True)
    mine = sysconfig.get_path("purelib")
    # Behind the wheel, and as a folder only: .pth files in it, of an editable install, stay unread.
    (Path(place) / "dependencies.pth").write_text(f"{mine}\n")
    return folder / "bin"


@pytest.mark.slow
@pytest.mark.ray
def test_the_installed_command_runs_the_sample_in_an_empty_folder_and_checks_it(wheel, tmp_path):
    scripts = installed(wheel, tmp_path / "environment")
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "RAY_ADDRESS")}
    environment["RAY_AUTH_MODE"] = "disabled"

    def vitw(*arguments: str) -> str:
        line = [str(scripts / "vitw"), *arguments]
        done = subprocess.run(
            line, cwd=empty, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    line = [str(scripts / "python"), "-c", "import vitw_ray, vitw_check; print(vitw_ray.__file__)"]
    where = subprocess.run(line, cwd=empty, env=environment, capture_output=True, text=True)
    assert where.stdout.startswith(str(tmp_path)), where.stderr
    result = json.loads(vitw("run").splitlines()[-1])
    assert result["extractions"] > 0
    assert (empty / result["report"]).is_file()
    assert json.loads(vitw("check", "runs/sample").splitlines()[-1])["failed"] == []
