"""The whole service on a port of its own, in front of a scripted upstream."""

import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from config.settings import Settings
from service.app import served
from service.hub.hub import Hub
from service.watch.traces import Traces
from service.web import keys
from tests.fakes.upstream import Play, ScriptedServer

ASK = {"prompt": "What happens?", "video_id": "v1"}


@dataclass
class Service:
    """A running service and what a test needs of it."""

    url: str
    http: aiohttp.ClientSession
    app: web.Application
    upstream: ScriptedServer

    @property
    def hub(self) -> Hub:
        return self.app[keys.HUB]

    async def start(self, **members: Any) -> str:
        async with self.http.post(self.url + "/v1/streams", json={**ASK, **members}) as answer:
            assert answer.status in (200, 201), await answer.text()
            return (await answer.json())["id"]

    async def show(self, stream: str, query: str = "") -> dict[str, Any]:
        async with self.http.get(f"{self.url}/v1/streams/{stream}{query}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def read(self, stream: str, query: str = "") -> list[dict[str, Any]]:
        """All messages of an NDJSON reader."""
        async with self.http.get(f"{self.url}/v1/streams/{stream}/ndjson{query}") as answer:
            return [orjson.loads(line) for line in (await answer.read()).splitlines() if line]

    async def watch(self, stream: str, query: str = "") -> tuple[list[dict[str, Any]], int | None]:
        """All messages of a WebSocket reader, and the close code."""
        async with self.http.ws_connect(f"{self.url}/v1/streams/{stream}/ws{query}") as socket:
            return [orjson.loads(message.data) async for message in socket], socket.close_code

    def analyze(self, headers: dict[str, str] | None = None, **members: Any) -> Any:
        return self.http.post(self.url + "/v1.3/analyze", json={**ASK, **members}, headers=headers)


_databases = itertools.count()


def default_store() -> str:
    """Memory; with ``TESTS_STORE=sqlite`` in the environment a file of its own for each service.

    With an address of a Redis there (``unix:///tmp/r.sock``) a database of its own.
    """
    asked = os.environ.get("TESTS_STORE", "memory")
    if asked == "sqlite":
        return f"sqlite:{tempfile.mkdtemp(prefix='fanlight-store-')}/streams.db"
    return asked if asked == "memory" else f"{asked}?db={next(_databases)}"


Serving = Callable[..., AbstractAsyncContextManager[Service]]


@asynccontextmanager
async def open_service(
    *plays: Play, raw: bool = False, traces: Traces | None = None, **settings: Any
) -> AsyncIterator[Service]:
    """The service in front of an upstream that plays a script."""
    async with ScriptedServer(*plays, raw=raw) as upstream:
        settings.setdefault("upstream_url", upstream.url)
        settings.setdefault("store", default_store())
        async with (
            served(Settings(port=0, **settings), traces=traces) as (app, url),
            aiohttp.ClientSession() as http,
        ):
            yield Service(url, http, app, upstream)


@pytest.fixture
def serving() -> Serving:
    """`async with serving(Play(…), …, setting=value) as service`."""
    return open_service
