"""Where the clients are installed: once for all tests, or in ``TESTS_CLIENTS``, which is kept."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for the clients' packages."""
    kept = os.environ.get("TESTS_CLIENTS")
    return Path(kept) if kept else tmp_path_factory.mktemp("clients")
