"""One browser for all tests of the page, a profile for each of them, and an upstream that says what they say."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from engine.sample import SPOKEN
from tests.browser.visitor import Visitor, new_visitor
from tests.fakes.browser import CHROMIUM
from tests.fakes.library import Library, library
from tests.fakes.service import Service, open_service
from tests.fakes.upstream import Play

Visit = Callable[..., Awaitable[Visitor]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium; nothing is downloaded."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(chromium: Browser) -> AsyncIterator[Visit]:
    """Let somebody visit a service; at the end nobody has seen anything that a page must not do."""
    visitors: list[Visitor] = []

    async def come(url: str, **profile: Any) -> Visitor:
        visitors.append(await new_visitor(chromium, url, **profile))
        return visitors[-1]

    yield come
    for visitor in visitors:
        await visitor.context.close()
    assert [fault for visitor in visitors for fault in visitor.faults] == []


@dataclass
class Place:
    """A service whose upstream is a library."""

    service: Service
    library: Library

    @property
    def url(self) -> str:
        return self.service.url


Opening = Callable[..., AbstractAsyncContextManager[Place]]


@asynccontextmanager
async def open_place(**settings: Any) -> AsyncIterator[Place]:
    async with library() as held, open_service(Play([]), upstream_url=held.url, **settings) as service:
        held.public = service.url
        yield Place(service, held)


@pytest.fixture
def opening() -> Opening:
    """`async with opening(setting=value) as place`."""
    return open_place


@pytest.fixture
def clip() -> Path:
    """A video that a browser can play."""
    return SPOKEN
