"""What every test stands on: a clean environment, and the service on a port of its own."""

import os

import pytest

from tests.fakes.service import serving

__all__ = ["serving"]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and settings of whoever runs the tests must not reach them."""
    for name in list(os.environ):
        if name.startswith(("TWELVELABS_", "FANLIGHT_")):
            monkeypatch.delenv(name)
