"""Which source files decide a result, found from imports, and a hash of what they compute.

The closure of a module is the module and every module of this package that it imports, directly or
not, at its head or inside a function. A stage's key holds the hash of the closure of its function,
so no list of files has to be kept by hand.

The hash is taken over syntax trees. Comments, docstrings, layout and the order of imports are not
in it, so a key moves only when what is computed may have changed.
"""

import ast
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

PACKAGE = Path(__file__).parent

NOT_CONTENT: Mapping[str, str] = MappingProxyType(
    {
        "config": "settings enter a key by their values",
        "execution": "settings of where and how fast; `device` enters keys by its value",
        "setting_checks": "refuses settings before anything is computed",
        "profiles": "a profile enters a key by its values, so adding one re-keys nothing",
        "reader_profiles": "as `profiles`; what only informs enters no key",
        "extractor_kinds": "names each extractor's modules, which enter its key themselves",
        "inference.make": "chooses a language model; the one chosen is in the extractor's key",
        "extraction.health": "how well the reader reads: its record has a key, and decides no row",
        "extraction.watching": "warnings and counts about answers; changes none",
        "errors": "messages for people, and their types",
        "progress": "log lines for people",
        "versions": "what is installed, for manifests and the page",
        "source_code": "this module: it computes keys and nothing else",
    }
)
"""Modules that no closure holds, each with the reason why a change of it changes no table."""


def closure(roots: Iterable[str], leaving_out: Collection[str] = ()) -> frozenset[str]:
    """Modules that decide what `roots` compute.

    Args:
        roots: module names relative to the package, such as `labels.counting`.
        leaving_out: further modules to leave out, with what only they import.

    Raises:
        ModuleNotFoundError: a root that the package does not have.
    """
    passed = {*NOT_CONTENT, *leaving_out}
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module not in found and module not in passed:
            found.add(module)
            waiting += _imported(_source(module))
    return frozenset(found)


@cache
def code_digest(*roots: str, leaving_out: tuple[str, ...] = ()) -> str:
    """Hash of the closure of `roots`: its syntax trees, and the data files that it reads."""
    lines = []
    for module in sorted(closure(roots, leaving_out)):
        lines.append(f"{module} {module_digest(module)}\n")
        for file in data_files(module):
            sha = hashlib.sha256(file.read_bytes()).hexdigest()
            lines.append(f"{file.relative_to(PACKAGE).as_posix()} {sha}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def module_name(dotted: str) -> str:
    """`vitw_ray.labels.counting` as `labels.counting`.

    Raises:
        ModuleNotFoundError: a module outside the package, whose code no key would know.
    """
    name = dotted.removeprefix(f"{PACKAGE.name}.")
    if name == dotted:
        raise ModuleNotFoundError(f"{dotted} is no module of {PACKAGE.name}")
    _file(name)
    return name


def module_digest(module: str) -> str:
    """Hash of what a module computes: see `canonical`."""
    return hashlib.sha256(canonical(_source(module)).encode()).hexdigest()


def data_files(module: str) -> list[Path]:
    """What a module reads beside itself: if it names `__file__`, every file that is not Python.

    Folders of data below it count; packages below it do not.
    """
    return sorted(_data_in(_file(module).parent)) if _names_its_file(_source(module)) else []


@cache
def canonical(source: str) -> str:
    """The syntax tree as text, without what cannot change a result.

    Left out: docstrings and other strings that stand alone, the order of imports, and positions.
    The text does not depend on the version of Python, as that of `ast.dump` does.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [n for n in body if not _stands_alone(n)]  # type: ignore[attr-defined]
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names.sort(key=lambda alias: alias.name)
    imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    others = [n for n in tree.body if not isinstance(n, ast.Import | ast.ImportFrom)]
    return "\n".join([*sorted(map(_dump, imports)), *map(_dump, others)])


def _stands_alone(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _dump(value: object) -> str:
    if isinstance(value, ast.AST):
        fields = (
            f"{name}={_dump(field)}"
            for name, field in ast.iter_fields(value)
            if name not in ("ctx", "kind", "type_comment") and field not in (None, [])
        )
        return f"{type(value).__name__}({', '.join(fields)})"
    if isinstance(value, list):
        return f"[{', '.join(map(_dump, value))}]"
    return repr(value)


@cache
def _names_its_file(source: str) -> bool:
    names = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name))
    return any(name.id == "__file__" for name in names)


@cache
def _imported(source: str) -> tuple[str, ...]:
    """Modules of the package that a source imports, and the packages that these lie in."""
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = _imported_from(node)
        elif isinstance(node, ast.Import):
            names = [_relative(alias.name) for alias in node.names]
        else:
            continue
        for name in filter(None, names):
            parts = name.split(".")
            found |= dict.fromkeys(".".join(parts[:end]) for end in range(1, len(parts) + 1))
    return tuple(found)


def _imported_from(node: ast.ImportFrom) -> list[str]:
    if node.level:
        raise ImportError("a relative import: write it from the package's name on")
    source = _relative(node.module or "")
    if source is None:
        return []
    below = [f"{source}.{alias.name}".strip(".") for alias in node.names]
    modules = [name for name in below if _exists(name)]
    return modules if len(modules) == len(below) or not source else [source, *modules]


def _relative(dotted: str) -> str | None:
    """A dotted name relative to the package; empty for the package itself, None for others."""
    if dotted == PACKAGE.name:
        return ""
    name = dotted.removeprefix(f"{PACKAGE.name}.")
    return None if name == dotted else name


def _source(module: str) -> str:
    return _file(module).read_text(encoding="utf-8")


def _file(module: str) -> Path:
    place = PACKAGE.joinpath(*module.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file():
            return file
    raise ModuleNotFoundError(f"no source file of {PACKAGE.name}.{module}")


def _exists(module: str) -> bool:
    place = PACKAGE.joinpath(*module.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def _data_in(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            yield from _data_in(path)
        elif path.is_file() and path.suffix not in (".py", ".pyc", ".typed"):
            yield path
