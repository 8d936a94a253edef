"""Seeds of tests on drawn cases: some in every run, many more in the long matrices."""

from collections.abc import Iterable
from typing import Any

import pytest


def seeds(usual: int, slow: int) -> list[Any]:
    """Seeds from 0; those from `usual` up to `slow` are marked slow."""
    return also_slow(range(usual), range(usual, slow))


def also_slow(usual: Iterable[Any], slow: Iterable[Any]) -> list[Any]:
    """Parameters of a test; the second ones are marked slow."""
    return [*usual, *(pytest.param(one, marks=pytest.mark.slow) for one in slow)]
