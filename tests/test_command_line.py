"""The command `vitw`: its subcommands, its help, and how it ends."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from vitw_ray import __version__
from vitw_ray.cli import main as cli
from vitw_ray.cli.main import COMMANDS, main
from vitw_ray.errors import RunLocked, Stopped

JOBS = Path(__file__).resolve().parents[1] / "jobs"


def test_without_arguments_the_help_goes_to_standard_error_with_status_2(capsys):
    assert main([]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert all(name in shown.err for name in COMMANDS)


def test_help_lists_every_command_with_what_it_does_and_status_0(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    for name, command in COMMANDS.items():
        assert [line for line in lines if line.split()[:1] == [name] and command.summary in line]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_of_its_own(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code in (0, None)
    assert f"vitw {name}" in capsys.readouterr().out


def test_help_loads_no_command():
    code = (
        "import sys; from vitw_ray.cli.main import main; main(['--help']);"
        "print(sorted(m for m in sys.modules if m.startswith(('vitw_ray.cli.', 'tyro'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['vitw_ray.cli.main', 'vitw_ray.cli.printing']"


def test_version_names_the_package_and_what_it_runs_on(capsys):
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"vitw_ray {__version__}"
    assert {"python", "ray"} <= {line.split()[0] for line in lines}


def test_a_command_that_does_not_exist_is_told_with_the_near_one(capsys):
    assert main(["rum"]) == 2
    assert "did you mean run?" in capsys.readouterr().err


def test_the_module_is_the_same_command():
    line = [sys.executable, "-m", "vitw_ray", "--version"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"vitw_ray {__version__}\n")


@pytest.mark.parametrize(("words", "status"), [(["--version"], 0), (["rum"], 2)])
def test_what_libraries_do_when_they_are_taken_apart_does_not_change_the_status(words, status):
    code = f"""
import atexit, ctypes, os
from vitw_ray.cli import main as cli
late = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p)(lambda *_: os.abort())
ctypes.CDLL(None).on_exit(late, None)
command = cli.main
def main(words):
    atexit.register(os.write, 2, b"closed")  # as libraries do that a command loads
    return command(words)
cli.main = main
cli.program({words})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == status
    assert done.stderr.endswith("closed")
    assert done.stdout.startswith(f"vitw_ray {__version__}") == (status == 0)


@pytest.mark.parametrize("module", ["vitw_ray.cli.printing", "vitw_check.verdict"])
def test_a_pipe_that_nobody_reads_any_more_ends_no_command(module):
    code = f"from {module} import say\nfor _ in range(9000): say('a line of some length')\n"
    code += "import sys; sys.stderr.write('done')"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b"done"
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (RunLocked("it is in use", "wait"), 1, "Error: it is in use\n  fix: wait\n"),
        (Stopped("Stopped; run again to go on.", ""), 130, "Stopped; run again to go on.\n"),
        (KeyboardInterrupt(), 130, "stopped; run the same command again\n"),
    ],
)
def test_an_error_ends_with_its_status_and_is_told_on_standard_error(
    error, status, said, monkeypatch, capsys
):
    def fail(arguments):
        raise error

    monkeypatch.setattr(import_module(COMMANDS["run"].module), "main", fail)
    assert cli.main(["run"]) == status
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--input", "no/such/folder/*.jsonl"], "no/such/folder"),
        (["--output", "/proc/none/run"], "/proc/none"),
        (["--output", "ftp://host/run"], "ftp://host/run"),
        (["--secret-file", "no-such-secret"], "--secret-file"),
        (["--preset", "laptp"], "laptop"),
    ],
)
def test_what_a_run_cannot_do_is_said_in_two_sentences_and_no_traceback(
    arguments, named, capsys, tmp_path
):
    output = [] if "--output" in arguments else ["--output", str(tmp_path / "out")]
    assert main(["run", *arguments, *output]) == 1
    shown = capsys.readouterr()
    assert named in shown.err
    assert shown.err.startswith("Error: ")
    assert "\n  fix: " in shown.err
    assert "Traceback" not in shown.err


def test_an_empty_input_is_named_and_not_run(tmp_path, capsys):
    (tmp_path / "empty.jsonl").touch()
    flags = ["--input", str(tmp_path / "empty.jsonl"), "--output", str(tmp_path / "out")]
    assert main(["run", *flags]) == 1
    assert "empty.jsonl is empty" in capsys.readouterr().err


@pytest.mark.parametrize("job", sorted(JOBS.glob("*.py")), ids=lambda job: job.name)
def test_every_job_is_a_docstring_and_a_call_of_a_command(job, tmp_path):
    assert (
        len(
            [
                line
                for line in job.read_text().splitlines()
                if re.search(r"\b(main|program)\(", line)
            ]
        )
        == 1
    )
    line = [sys.executable, str(job), "--help"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout
