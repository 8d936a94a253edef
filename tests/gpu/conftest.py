"""Fixtures of GPU tests."""

import pytest


@pytest.fixture(scope="session")
def gpu():
    """Skip tests without a GPU."""
    if not pytest.importorskip("torch").cuda.is_available():
        pytest.skip("no GPU")
