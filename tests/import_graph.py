"""The imports of the package as a graph, read from its source with a parser of the tests' own."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "vitw_ray"


@cache
def modules() -> dict[str, Path]:
    """Every module by its name relative to the package; a package by the name of its folder."""
    found = {}
    for file in PACKAGE.rglob("*.py"):
        name = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        found["" if name == "__init__" else name.removesuffix(".__init__")] = file
    return found


def is_package(module: str) -> bool:
    return modules()[module].name == "__init__.py"


@cache
def imports() -> dict[str, frozenset[str]]:
    """Module -> modules of the package that it names in an import, wherever that stands."""
    known = modules()
    found = {}
    for module, file in known.items():
        named: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vitw_ray":
                source = node.module.removeprefix("vitw_ray").removeprefix(".")
                for alias in node.names:
                    below = f"{source}.{alias.name}".strip(".")
                    named.add(below if below in known else source)
            elif isinstance(node, ast.Import):
                named |= {
                    alias.name.removeprefix("vitw_ray").removeprefix(".")
                    for alias in node.names
                    if alias.name.split(".")[0] == "vitw_ray"
                }
        found[module] = frozenset(named & known.keys() - {module})
    return found


def reachable(root: str, passed: frozenset[str] = frozenset()) -> set[str]:
    """What a module imports, directly or not, itself included; `passed` is neither nor followed."""
    found, waiting = set(), [root]
    while waiting:
        module = waiting.pop()
        if module and module not in found and module not in passed:
            found.add(module)
            waiting += imports()[module]
            waiting.append(module.rpartition(".")[0])  # importing a module runs its packages
    return found
