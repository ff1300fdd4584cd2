"""One browser for all tests of the page, and a service whose visitors must see nothing that a page must not do."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
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


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium; nothing is downloaded."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu"])
        yield browser
        await browser.close()


@dataclass
class Place:
    """A service whose upstream is a library, and those who visit it."""

    service: Service
    library: Library
    browser: Browser
    visitors: list[Visitor] = field(default_factory=list)

    async def visit(self, **profile: Any) -> Visitor:
        """Let somebody come, with a profile and a tab of their own."""
        self.visitors.append(await new_visitor(self.browser, self.service.url, **profile))
        return self.visitors[-1]

    async def close(self) -> None:
        """Let all go, before the service does."""
        for visitor in self.visitors:
            await visitor.context.close()

    @property
    def faults(self) -> list[str]:
        return [fault for visitor in self.visitors for fault in visitor.faults]


Opening = Callable[..., AbstractAsyncContextManager[Place]]


@pytest.fixture
def opening(chromium: Browser) -> Opening:
    """`async with opening(setting=value) as place`; at its end nobody has seen a fault."""

    @asynccontextmanager
    async def open_place(**settings: Any) -> AsyncIterator[Place]:
        async with library() as held:
            settings.setdefault("upstream_url", held.url)
            async with open_service(Play([]), **settings) as service:
                held.public = service.url
                place = Place(service, held, chromium)
                try:
                    yield place
                finally:
                    await place.close()
                assert place.faults == []

    return open_place


@pytest.fixture
def clip() -> Path:
    """A video that a browser can play."""
    return SPOKEN
