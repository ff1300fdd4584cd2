"""Figures of the page: `python -m tests.browser.figures` prints them, of the real engine with the sample."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from playwright.async_api import Browser, Response

from service.web import keys
from tests.browser.pictures import chromium
from tests.browser.visitor import Visitor, new_visitor
from tests.fakes.browser import CHROMIUM
from tests.fakes.service import Service, open_service
from tests.fakes.upstream import Play
from tests.fakes.waiting import until

PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
TIMES = 5
PATIENCE_S = 120


class Scale:
    """Weighs what a page loads, as it is on the wire and unpacked; the video is none of it."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[int, int]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def hear(self, response: Response) -> None:
        if "/static/" in response.url or response.url.endswith("/"):
            self._tasks.append(asyncio.ensure_future(self._weigh(response)))

    async def _weigh(self, response: Response) -> None:
        if response.url.endswith(".mp4"):
            return
        sizes = await response.request.sizes()
        self.files[response.url.rsplit("/", 1)[1] or "index.html"] = (
            sizes["responseBodySize"],
            len(await response.body()),
        )

    async def weighed(self) -> tuple[int, int]:
        await asyncio.gather(*self._tasks)
        return sum(packed for packed, _ in self.files.values()), sum(raw for _, raw in self.files.values())


async def one_visit(browser: Browser, service: Service) -> tuple[Visitor, Scale, float, float]:
    """One first visit up to the first caption: first paint in ms, and seconds from opening to the caption."""
    visitor, scale = await new_visitor(browser, service.url), Scale()
    visitor.page.on("response", scale.hear)
    began = time.perf_counter()
    await visitor.go()
    await visitor.button("Try the sample").click()
    await visitor.at("#transcript .time").first.wait_for()
    seconds = time.perf_counter() - began
    return visitor, scale, await visitor.page.evaluate(PAINT), seconds


async def main() -> None:
    if CHROMIUM is None:
        sys.exit("Chromium is not installed; scripts/system-packages installs it")
    for turn in range(TIMES):
        with tempfile.TemporaryDirectory() as data_dir:
            async with (
                chromium() as browser,
                open_service(Play([]), upstream_url="", data_dir=Path(data_dir)) as service,
            ):
                await until(service.app[keys.READY].ready)
                visitor, scale, paint, seconds = await one_visit(browser, service)
                await visitor.sees("#map-state", "Looked at")
                packed, raw = await scale.weighed()
                lines = [f"{len(scale.files)} files, {packed} bytes packed, {raw} bytes raw"] if turn == 0 else []
                lines += [f"first paint {paint:.0f} ms, first caption after {seconds:.2f} s"]
                lines += [f"layout shift {await visitor.shifts()}, faults {visitor.faults}"]
                lines += [f"axe violations {len(await visitor.barriers())}"]
                sys.stderr.write("\n".join(lines) + "\n")
                await visitor.context.close()


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
