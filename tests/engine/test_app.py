"""The parts of a server, opened and closed in order."""

from pathlib import Path

import pytest
from aiohttp import web

from engine.app import Engine, Settings


async def test_a_part_that_cannot_open_leaves_none_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise OSError("no room")

    engine = Engine(Settings(tmp_path, 1))
    monkeypatch.setattr(engine.vectors, "open", fail)
    with pytest.raises(OSError, match="no room"):
        await anext(aiter(engine.lifetime(web.Application())))
    assert engine.library._db is None
    assert engine.pool._closing
    assert not engine.pool._spares


async def test_a_part_that_cannot_close_keeps_no_other_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise OSError("stuck")

    engine = Engine(Settings(tmp_path, 1))
    monkeypatch.setattr(engine.vectors, "close", fail)
    lifetime = engine.lifetime(web.Application())
    await anext(lifetime)
    with pytest.raises(OSError, match="stuck"):
        await anext(lifetime)
    assert engine.library._db is None
    assert engine.pool._closing


def test_every_path_leads_to_one_handler(tmp_path: Path) -> None:
    routes = [(route.method, route.path) for route in Engine(Settings(tmp_path, 1)).routes()]
    assert len(routes) == len(set(routes)) > 60
