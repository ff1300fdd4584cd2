"""A loop whose time the test moves."""

import asyncio

import pytest


class Hours:
    """Moves the running loop's clock; timers fire as if that time had passed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop = asyncio.get_running_loop()
        self._real = self._loop.time
        self._ahead = 0.0
        monkeypatch.setattr(self._loop, "time", lambda: self._real() + self._ahead)

    async def pass_(self, seconds: float) -> None:
        self._ahead += seconds
        for _ in range(6):
            await asyncio.sleep(0)
