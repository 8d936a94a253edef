"""A key knows the code behind it: all of it, and nothing that cannot change a result."""

import ast
import random
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise

import pytest
from import_graph import PACKAGE, imports, is_package, modules, reachable

from vitw_ray import source_code
from vitw_ray.extraction.extractors import NOT_ANSWERS
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.inference.embedder_files import NOT_VECTORS
from vitw_ray.pipeline import STAGES
from vitw_ray.source_code import NOT_CONTENT, canonical, closure, code_digest, data_files

CHANGES = 40
STAGE_MODULES = {stage.name: stage.run.__module__.removeprefix("vitw_ray.") for stage in STAGES}
# Modules whose change moves the key of no stage, extractor or embedder, beside NOT_CONTENT: what
# starts runs, reads finished ones, judges extractors, or makes test data.
IN_NO_KEY = re.compile(
    r"cli|__main__|start|opened_run|resolved_names|stored_tables|finished_run|rewrite_report|purge|lease"
    r"|run_secret|certified|pipeline|planning|summary|preflight|presets|interruption|comparison|evaluation|agreement"
    r"|forecast|inference.token_counts|healing|sealed_files|progress_file|run_status|two_runs"
    r"|publishing|release\.(settings|threshold|ledger|files|check|strict|attacks|reference)"
    r"|extraction\.calibration|extraction\.signs|extraction\.screen\.distill"
    r"|conversations\.(looking|survey|inspection)"  # what they find, files and shapes, is in it
)


@pytest.fixture
def changed(monkeypatch) -> Callable[[str, str], None]:
    """Lets a module have another source, as far as keys are concerned."""
    real = source_code._source

    def change(module: str, source: str) -> None:
        monkeypatch.setattr(
            source_code, "_source", lambda name: source if name == module else real(name)
        )
        code_digest.cache_clear()

    yield change
    monkeypatch.undo()
    code_digest.cache_clear()


def codes() -> dict[str, str]:
    """What the code is known by, of every stage and every extractor's answers."""
    answers = {
        f"answers of {name}": code_digest(*kind.code, leaving_out=tuple(NOT_ANSWERS))
        for name, kind in EXTRACTORS.items()
    }
    extractions = {
        f"extractions by {name}": code_digest(*kind.code) for name, kind in EXTRACTORS.items()
    }
    return {stage.name: stage.code for stage in STAGES} | extractions | answers


def holding(module: str) -> set[str]:
    """Stages and extractors whose closure holds a module, by the tests' own reading of imports."""
    passed = frozenset(NOT_CONTENT)
    stages = {name for name, root in STAGE_MODULES.items() if module in reachable(root, passed)}
    for of, apart in (("extractions by", passed), ("answers of", passed | NOT_ANSWERS.keys())):
        stages |= {
            f"{of} {name}"
            for name, kind in EXTRACTORS.items()
            if any(module in reachable(root, apart) for root in kind.code)
        }
    return stages


def moved(before: dict[str, str]) -> set[str]:
    return {name for name, code in codes().items() if code != before[name]}


@pytest.mark.parametrize("stage", STAGE_MODULES)
def test_a_stages_closure_is_what_its_function_imports(stage):
    root = STAGE_MODULES[stage]
    assert closure([root]) == reachable(root, frozenset(NOT_CONTENT))


def test_every_module_moves_the_keys_of_the_stages_that_import_it(changed):
    before = codes()
    in_no_key = []
    for module, file in sorted(modules().items()):
        changed(module, file.read_text(encoding="utf-8") + "\nADDED = 1\n")
        expected = holding(module) if module not in NOT_CONTENT else set()
        assert moved(before) == expected, module
        if not expected and module not in NOT_CONTENT and not is_package(module):
            in_no_key.append(module)
    unexplained = [m for m in in_no_key if not IN_NO_KEY.match(m)]
    assert not unexplained


def test_shared_code_moves_the_stages_that_call_it_and_spares_the_answers(changed):
    cases = {
        "hash_runs": {"conversations", "labels", "taxonomy", "statistics"},
        "trees": {"taxonomy", "statistics"},
        "report.page": {"report"},
        "inference.recovery": {"extractions by vllm"},
    }
    before = codes()
    for module, stages in cases.items():
        source = modules()[module].read_text(encoding="utf-8")
        changed(module, source + "\nADDED = 1\n")
        assert moved(before) == stages, module


def test_a_new_table_makes_no_answer_anew(changed):
    before = codes()
    changed("records", modules()["records"].read_text(encoding="utf-8") + "\nNEW = 1\n")
    assert not [name for name in moved(before) if name.startswith("answers")]
    assert moved(before) >= set(STAGE_MODULES)


def test_every_exception_exists_is_needed_and_says_why():
    for exceptions, roots in (
        (NOT_CONTENT, [*STAGE_MODULES.values(), *(k.module for k in EXTRACTORS.values())]),
        (NOT_ANSWERS, [root for kind in EXTRACTORS.values() for root in kind.code]),
        (NOT_VECTORS, ["inference.embedder"]),
    ):
        within = set().union(*(reachable(root) for root in roots))
        for module, reason in exceptions.items():
            assert module in within, module
            assert len(reason.split()) >= 3


def nodes_of(source: str) -> list[ast.expr]:
    """Expressions on one line that compute something, where a change can be put."""
    tree = ast.parse(source)
    alone = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    in_text = {id(m) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for m in ast.walk(n)}
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant | ast.Compare | ast.BinOp)
        and node.lineno == node.end_lineno
        and id(node) not in alone | in_text
    ]


OTHER = {"==": "!=", "!=": "==", "<=": "<", ">=": ">", "<": "<=", ">": ">=", "is": "is not"}
OTHER |= {"in": "not in", "not in": "in", "is not": "is", "+": "-", "-": "+", "*": "+", "/": "*"}
OTHER |= {"//": "*", "|": "&", "&": "|", "@": "*", "%": "+", "**": "*", "<<": ">>", ">>": "<<"}


def with_other_logic(source: str, rng: random.Random) -> str | None:
    """The source with one expression on one line changed, or None where there is none."""
    nodes = nodes_of(source)
    if not nodes:
        return None
    node = rng.choice(nodes)
    lines = source.split("\n")
    line = lines[node.lineno - 1].encode()
    start, end = node.col_offset, node.end_col_offset or 0
    if isinstance(node, ast.Constant):
        value = node.value
        new = f"({value!r}, 1)" if not isinstance(value, int | str) else repr(value * 2 or "x")
        if isinstance(value, bool):
            new = repr(not value)
    else:
        left = node.left
        right = node.comparators[0] if isinstance(node, ast.Compare) else node.right
        start, end = left.end_col_offset or 0, right.col_offset
        between = line[start:end].decode()
        operator = re.search(r"not in|is not|[a-z]+|[^\s()]+", between)
        if operator is None or operator[0] not in OTHER:
            return None
        new = between.replace(operator[0], OTHER[operator[0]], 1)
    lines[node.lineno - 1] = (line[:start] + new.encode() + line[end:]).decode()
    return "\n".join(lines)


def with_a_comment(source: str, rng: random.Random) -> str:
    lines = source.split("\n")
    ends = [n.end_lineno for n in ast.walk(ast.parse(source)) if isinstance(n, ast.stmt)]
    line = rng.choice([end for end in ends if end])
    lines[line - 1] += "  # said otherwise"
    return "\n".join(lines)


def with_another_docstring(source: str, rng: random.Random) -> str:
    documented = [
        node.body[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
    ]
    if not documented:
        return source + '\n"""Said at the end."""\n'
    text = rng.choice(documented)
    lines = source.split("\n")
    lines[text.lineno - 1 : text.end_lineno] = [" " * text.col_offset + '"""Said otherwise."""']
    return "\n".join(lines)


def with_another_layout(source: str, rng: random.Random) -> str:
    length = str(rng.choice([60, 80, 140]))
    return subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--line-length", length, "-"],
        input=source,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def with_imports_in_another_order(source: str, rng: random.Random) -> str:
    heads = [n for n in ast.parse(source).body if isinstance(n, ast.Import | ast.ImportFrom)]
    single = [n for n in heads if n.lineno == n.end_lineno]
    together = [(a, b) for a, b in pairwise(single) if b.lineno == a.lineno + 1]
    if not together:
        return "\n\n" + source
    a, b = rng.choice(together)
    lines = source.split("\n")
    lines[a.lineno - 1], lines[b.lineno - 1] = lines[b.lineno - 1], lines[a.lineno - 1]
    return "\n".join(lines)


def test_a_random_change_of_logic_moves_every_stage_that_holds_it(changed):
    rng = random.Random(11)
    before, done, in_a_key = codes(), 0, 0
    while done < CHANGES:
        module = rng.choice(sorted(modules()))
        source = modules()[module].read_text(encoding="utf-8")
        other = with_other_logic(source, rng)
        if other is None or module in NOT_CONTENT:
            continue
        done += 1
        changed(module, other)
        held = holding(module)
        in_a_key += bool(held)
        assert moved(before) == held, (module, done)
    assert in_a_key > CHANGES // 3  # enough of them are held by a stage


def test_a_random_change_of_comments_docstrings_and_layout_moves_nothing(changed):
    rng = random.Random(12)
    kinds = [
        with_a_comment,
        with_another_docstring,
        with_another_layout,
        with_imports_in_another_order,
    ]
    before = codes()
    written = [m for m in sorted(modules()) if not is_package(m)]
    for number in range(CHANGES):
        module = rng.choice(written)
        source = modules()[module].read_text(encoding="utf-8")
        other = kinds[number % len(kinds)](source, rng)
        assert other != source or number % len(kinds) == 2, module
        changed(module, other)
        assert not moved(before), (module, kinds[number % len(kinds)].__name__)


@pytest.mark.parametrize(
    ("source", "other"),
    [
        ("x = 1", "x = 2"),
        ("x = 'a'", "x = 'b'"),
        ("x = None", "x = ()"),
        ("x = 1", "x = True"),
        ("x = 1.0", "x = 1"),
        ("from a import b", "from a import c"),
        ("from a import b", "from c import b"),
        ("import a as b", "import a as c"),
        ("def f(a=1): return a", "def f(a): return a"),
        ("def f(a, b): return a", "def f(b, a): return a"),
        ("x = f'{a}'", "x = f'{a!r}'"),
        ("@a\nclass B: c = 1", "class B: c = 1"),
        ("x: int = 1", "x: str = 1"),
        ("async def f(): pass", "def f(): pass"),
    ],
)
def test_what_computes_something_else_has_another_form(source, other):
    assert canonical(source) != canonical(other)


def test_a_string_that_is_used_is_no_docstring():
    assert canonical("def f():\n    return 'a'") != canonical("def f():\n    return 'b'")
    assert canonical("def f():\n    'a'\n    return 1") == canonical("def f():\n    return 1")


def test_prompts_templates_and_lexicon_files_belong_to_the_modules_that_read_them():
    read = {module: {f.name for f in data_files(module)} for module in modules()}
    assert "ai_values.md" in read["extraction.questions"]
    assert "values.json" in read["extraction.lexicon.vocabulary"]
    assert {"page.html", "page.css"} <= read["report.html"]
    assert {"card.md", "release.md"} <= read["release.card"]
    everything = {f for module in modules() for f in data_files(module)}
    on_disk = {
        path
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc", ".typed")
    }
    assert not on_disk - everything


def test_a_changed_prompt_moves_the_extractors_that_ask_it(monkeypatch, tmp_path):
    before = codes()
    file = next(
        f for f in data_files("extraction.questions") if f.parts[-2:] == ("short", "cue.md")
    )
    real = type(file).read_bytes
    monkeypatch.setattr(
        type(file), "read_bytes", lambda path: real(path) + b"!" if path == file else real(path)
    )
    code_digest.cache_clear()
    readers = ("vllm", "openai")
    assert moved(before) == {
        f"{of} {r}" for of in ("extractions by", "answers of") for r in readers
    }
    code_digest.cache_clear()


def test_a_root_that_is_gone_and_a_relative_import_are_errors(changed):
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        closure(["no_such"])
    with pytest.raises(ModuleNotFoundError, match="elsewhere"):
        source_code.module_name("elsewhere.module")
    changed("labels.normalize", "from . import counting")
    with pytest.raises(ImportError, match="relative"):
        closure(["labels.normalize"])


def test_the_tests_own_graph_sees_what_the_package_imports():
    assert imports()["pipeline"] >= {"taxonomy.build", "statistics.analyze"}
