"""What every test stands on: a clean environment, and the service on a port of its own."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.fakes.service import serving

__all__ = ["serving"]

# Machines are shared and slow at times: no test asserts a time. The suite plays the same
# examples every time; `make test-all` looks for new ones.
SLOW_MACHINES = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, **SLOW_MACHINES)
settings.register_profile("new", **SLOW_MACHINES)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and settings of whoever runs the tests must not reach them."""
    for name in list(os.environ):
        if name.startswith(("TWELVELABS_", "FANLIGHT_")):
            monkeypatch.delenv(name)
