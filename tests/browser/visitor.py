"""One who visits the page with a browser, and notes whatever a page must not do."""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, Route, expect

from tests.fakes.browser import CHROMIUM
from tests.fakes.waiting import PACE_S

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed; scripts/system-packages installs it"
)
# One browser serves all tests of this folder, and a browser belongs to one event loop.
in_one_browser = [needs_chromium, pytest.mark.asyncio(loop_scope="session")]

DESK = {"width": 1360, "height": 860}
PHONE = {"width": 390, "height": 844}
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# What moves without anybody having asked for it, and what the policy refuses.
WITNESS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const { value, hadRecentInput, sources } of list.getEntries())
    if (!hadRecentInput) shifts.push({ value, moved: sources.map(({ node, previousRect: was, currentRect: is }) => [node?.id || node?.className || node?.nodeName, was.x, was.y, is.x, is.y].join(" ")) });
}).observe({ type: "layout-shift", buffered: true });
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} refuses ${event.blockedURI}`));
"""
TWO_PICTURES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
# What the page waits for of its own accord passes twenty times as fast.
HURRY = (
    "{ const after = window.setTimeout; window.setTimeout = (work, ms = 0, ...more) => after(work, ms / 20, ...more); }"
)
EMBEDDED = '{"status": "ok", "upstream": {"kind": "embedded", "ready": true}}'

PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Visitor:
    """A browser's profile with one tab or more.

    Attributes:
        faults: what no page may do: errors and warnings of the console, exceptions, other hosts.
        forgiven: parts of console messages that a test brings about.
    """

    context: BrowserContext
    url: str
    page: Page = field(init=False)
    faults: list[str] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=list)

    async def enter(self, *, embedded: bool, hurried: bool) -> None:
        await self.context.add_init_script(WITNESS)
        if hurried:
            await self.context.add_init_script(HURRY)
        self.context.on("console", self._hear)
        self.context.on("weberror", lambda error: self.faults.append(f"uncaught: {error.error}"))
        self.context.on("request", self._see)
        if embedded:
            await self.context.route("**/readyz", _as_embedded)
        self.page = await self.context.new_page()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in self.forgiven):
            self.faults.append(f"{message.type}: {message.text}")

    def _see(self, request: Request) -> None:
        if not request.url.startswith(("blob:", "data:", "about:")) and urlsplit(request.url).netloc not in self.url:
            self.faults.append(f"asked another host: {request.url}")

    async def go(self, path: str = "/") -> None:
        await self.page.goto(self.url + path)
        # What the page says last of its beginning: before that nobody takes what is chosen or typed.
        if path == "/":
            await expect(self.at("#upstream")).not_to_be_empty()

    async def another_tab(self, address: str) -> Page:
        tab = await self.context.new_page()
        await tab.goto(address)
        return tab

    def at(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def ask(self, question: str) -> None:
        await self.at("#question").fill(question)
        await self.at("#send").click()

    async def sees(self, selector: str, words: str) -> None:
        """Wait until something has these words in it."""
        await self.page.locator(selector, has_text=words).last.wait_for(state="attached", timeout=PATIENCE_MS)

    async def comes_true(self, condition: str, of: Locator | None = None) -> None:
        """Wait until an expression holds in the page, or a function of an element."""
        async with asyncio.timeout(PATIENCE_MS / 1000):
            while not await (of or self.page).evaluate(condition):
                await asyncio.sleep(PACE_S)

    async def shifts(self) -> list[Any]:
        """What moved so far: by how much, and which elements."""
        await self.page.evaluate(TWO_PICTURES)  # what moved now is told after the next one
        return await self.page.evaluate("shifts")

    async def barriers(self) -> list[str]:
        """What axe finds against WCAG 2.2 AA, in words."""
        found = await Axe().run(self.page, options={"runOnly": {"type": "tag", "values": WCAG}})
        return [
            f"{rule['id']}: {node['target']} {node['failureSummary']}"
            for rule in found.response["violations"]
            for node in rule["nodes"]
        ]

    async def wider_than_shown(self) -> int:
        """By how many pixels the page can be moved sideways."""
        return await self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


async def _as_embedded(route: Route) -> None:
    await route.fulfill(content_type="application/json", body=EMBEDDED)


async def new_visitor(
    browser: Browser, url: str, *, embedded: bool = False, hurried: bool = False, **profile: Any
) -> Visitor:
    """A new profile with one empty tab; ``embedded`` if it takes the service's upstream for the embedded engine."""
    context = await browser.new_context(**{"viewport": DESK, "color_scheme": "light", **profile})
    visitor = Visitor(context, url)
    await visitor.enter(embedded=embedded, hurried=hurried)
    return visitor
