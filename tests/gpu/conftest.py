"""What tests on a GPU share."""

import pytest


@pytest.fixture(scope="session")
def gpu():
    """Skips what needs a GPU where there is none."""
    if not pytest.importorskip("torch").cuda.is_available():
        pytest.skip("no GPU")
