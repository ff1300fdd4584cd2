"""The custom elements, in a page of another origin that has nothing of ours but their tags."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.sample import SPOKEN
from tests.fakes.browser import CHROMIUM, Browser
from tests.fakes.pages import another_origin
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Gate, Play, end, start, text

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed; scripts/system-packages installs it"
)

CUES = '{"segments": [{"start": 0, "end": 2, "text": "A <b> & c"}, {"start": 2, "end": 4.5, "text": "Zweite"}]}'
SCHEMA = {"type": "json_schema", "json_schema": {"type": "object"}}
PAGE = """<!doctype html><script type="module" src="SERVICE/static/elements.js"></script>
<div style="position: relative"><video id="clip" src="clip.mp4" muted></video>
<fanlight-captions id="captions" for="clip" ATTRIBUTES></fanlight-captions></div>
<fanlight-answer id="answer" for="clip" ATTRIBUTES></fanlight-answer>"""
SHOWN = "[...document.querySelector('#captions').shadowRoot.querySelectorAll('.line')].map((line) => line.textContent).join('|')"
ANSWER = "document.querySelector('#answer').shadowRoot.querySelector('.text').textContent"


@asynccontextmanager
async def page(serving: Serving, home: Path, *plays: Play) -> AsyncIterator[tuple[Service, Browser, str]]:
    """A service that lists the page's origin, a browser, and where the page is."""
    shutil.copy(SPOKEN, home / "clip.mp4")
    async with another_origin({"at": home}) as site, serving(*plays, origins=(site,)) as service, Browser() as browser:
        yield service, browser, site


def write(home: Path, service: Service, attributes: str) -> None:
    words = PAGE.replace("SERVICE", service.url).replace("ATTRIBUTES", attributes)
    (home / "index.html").write_text(words, encoding="utf-8")


async def until(browser: Browser, expression: str, wanted: object) -> None:
    """Wait until an expression has a value."""
    seen = None
    try:
        async with asyncio.timeout(20):
            while (seen := await browser.run(expression)) != wanted:
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{expression}: {seen!r}, not {wanted!r}") from None


async def test_captions_are_drawn_at_the_time_of_the_video_as_they_grow(serving: Serving, tmp_path: Path):
    gate = Gate()
    half = CUES.index("Zweite") + 3
    plays = [Play([start(), text(CUES[:half]), gate, text(CUES[half:]), end()])]
    async with page(serving, tmp_path, *plays) as (service, browser, site):
        write(tmp_path, service, f'stream="{await service.start(response_format=SCHEMA)}"')
        await browser.go(site)
        await until(browser, SHOWN, "A <b> & c")
        await browser.run("document.querySelector('#clip').currentTime = 2.5; 0")
        await until(browser, SHOWN, "Zwe")
        gate.open()
        await until(browser, SHOWN, "Zweite")
        await browser.run("document.querySelector('#clip').currentTime = 9; 0")
        await until(browser, SHOWN, "")


async def test_an_answer_s_times_seek_the_video_and_its_failure_is_said(serving: Serving, tmp_path: Path):
    plays = [Play([start(), text("At [00:04] it "), text("turns."), Cut()])]
    async with page(serving, tmp_path, *plays) as (service, browser, site):
        write(tmp_path, service, f'stream="{await service.start()}"')
        await browser.go(site)
        await until(browser, ANSWER, "At [00:04] it turns.")
        await browser.run("document.querySelector('#answer').shadowRoot.querySelector('button').click()")
        await until(browser, "document.querySelector('#clip').currentTime", 4)
        await until(browser, "document.querySelector('#answer').dataset.status", "failed")
        note = "document.querySelector('#answer').shadowRoot.querySelector('.note').textContent !== ''"
        await until(browser, note, True)


async def test_a_channel_s_next_stream_takes_the_place_of_the_one_before(serving: Serving, tmp_path: Path):
    plays = [Play([start(), text("[00:00] One."), end()]), Play([start(), text("[00:00] Two."), end()])]
    async with page(serving, tmp_path, *plays) as (service, browser, site):
        write(tmp_path, service, 'channel="court-3"')
        await browser.go(site)
        waiting = (
            "[...document.querySelectorAll('[channel]')].filter((each) => each.dataset.status === 'waiting').length"
        )
        await until(browser, waiting, 2)
        for word in ("One", "Two"):
            await service.start(prompt=word, fanlight={"channel": "court-3"})
            await until(browser, ANSWER, f"[00:00] {word}.")
            await until(browser, SHOWN, f"{word}.")


async def test_an_element_that_leaves_the_page_reads_no_more(serving: Serving, tmp_path: Path):
    gate = Gate()
    plays = [Play([start(), text("a"), gate, end()])]
    async with page(serving, tmp_path, *plays) as (service, browser, site):
        stream = await service.start(fanlight={"on_abandon": "finish"})
        write(tmp_path, service, f'stream="{stream}"')
        await browser.go(site)
        await until(browser, ANSWER, "a")
        assert (await service.show(stream))["subscribers"] == {"captions": 1, "text": 1}
        await browser.run("document.querySelectorAll('#captions, #answer').forEach((each) => each.remove())")
        async with asyncio.timeout(20):
            while any((await service.show(stream))["subscribers"].values()):
                await asyncio.sleep(0.02)
        gate.open()


async def test_the_bar_shows_the_latest_lines_on_nothing(serving: Serving):
    said = "".join(f"[00:0{n}] Line {'abcdef'[n]}.\n" for n in range(6))
    async with serving(Play([start(), text(said), end()])) as service, Browser() as browser:
        stream = await service.start()
        await browser.call("Emulation.setDefaultBackgroundColorOverride", color={"r": 0, "g": 0, "b": 0, "a": 0})
        await browser.go(f"{service.url}/captions?stream={stream}&lines=2&color=%23ffe14d")
        bar = SHOWN.replace("#captions", "fanlight-captions")
        await until(browser, f"({bar}).split('|').slice(-2).join('|')", "Line e.|Line f.")
        box = "document.querySelector('fanlight-captions').shadowRoot.querySelector('.box')"
        assert await browser.run(f"getComputedStyle({box}).color") == "rgb(255, 225, 77)"
        assert await browser.run("getComputedStyle(document.body).backgroundColor") == "rgba(0, 0, 0, 0)"
        await browser.go(f"{service.url}/captions?stream=st_none")
        await until(browser, "document.querySelector('#why').textContent !== ''", True)
