"""What the tests of the hub share."""

import pytest

from tests.fakes.hours import Hours


@pytest.fixture
async def hours(monkeypatch: pytest.MonkeyPatch) -> Hours:
    return Hours(monkeypatch)
