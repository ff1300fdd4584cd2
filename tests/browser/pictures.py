"""The pictures of README and docs: `make pictures` takes them anew, of the real engine where it shows what is meant."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.filter import Graph
from playwright.async_api import Browser, async_playwright, expect

from service.web import keys
from tests.browser.visitor import PHONE, Visitor, new_visitor
from tests.fakes.browser import CHROMIUM
from tests.fakes.library import Library, library
from tests.fakes.service import Service, open_service
from tests.fakes.upstream import Play
from tests.fakes.waiting import until

FOLDER = Path(__file__).parents[2] / "docs" / "images"
MOST_BYTES = 250_000
PATIENCE_S = 60
SPINNER_MS = 700  # for which the browser's player shows that it seeks
MAP = "Everything in this video"
CHAPTERS = """{
  "type": "object",
  "properties": {
    "chapters": {
      "type": "array",
      "items": {
        "type": "object",
        "properties": { "start": { "type": "number" }, "end": { "type": "number" }, "title": { "type": "string" } },
        "required": ["start", "end", "title"]
      }
    }
  },
  "required": ["chapters"]
}"""
WRONG = (
    '{"title": "The Webb telescope", "chapters": [{"start": 0, "end": 5.5, "title": "A lift in the dark", '
    '"summary": "A voice begins."}, {"start": "five", "end": 8, "title": "Gold"'
)
BROKEN = (
    "The clip shows a telescope's mirror in a very dark room, and a person on a lift in front of it.\n\n"
    "[00:05] The picture turns to a person beside the gold segments.\n[00:08] Somet"
)


def smaller(picture: bytes) -> bytes:
    """A PNG in 256 colours of its own."""
    with av.open(_file(picture)) as container:
        frame = next(container.decode(video=0)).reformat(format="rgb24")
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format="rgb24", time_base=frame.time_base)
    split, colours = graph.add("split"), graph.add("palettegen", "stats_mode=single")
    use, sink = graph.add("paletteuse", "dither=sierra2_4a:new=1"), graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(colours, 1, 0)
    colours.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    graph.push(frame)
    graph.push(None)
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = (
        frame.width,
        frame.height,
        "pal8",
        frame.time_base,
    )
    encoder.options = {"compression_level": "9", "pred": "mixed"}
    return b"".join(bytes(packet) for one in (graph.pull(), None) for packet in encoder.encode(one))


def _file(data: bytes) -> Any:
    import io

    return io.BytesIO(data)


class Album:
    """Takes pictures of pages, each once it stands still."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._browser = browser
        self._folder = folder

    async def visit(self, service: Service, **profile: Any) -> Visitor:
        return await new_visitor(self._browser, service.url, **{"reduced_motion": "reduce", **profile})

    async def take(self, visitor: Visitor, name: str, part: str | None = None) -> None:
        """A picture of what the screen shows from the page's head on, or of a part."""
        await visitor.page.mouse.move(0, 0)
        await visitor.page.evaluate("scrollTo(0, 0), document.activeElement.blur()")
        await visitor.page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
        await visitor.page.wait_for_timeout(SPINNER_MS)
        shown = visitor.at(part) if part else visitor.page
        data = smaller(await shown.screenshot(animations="disabled", caret="hide"))
        if len(data) > MOST_BYTES:
            sys.exit(f"{name}.png has {len(data)} bytes")
        await asyncio.to_thread((self._folder / f"{name}.png").write_bytes, data)


async def opened_sample(visitor: Visitor, at: float) -> None:
    """The sample, looked at, at a moment whose picture is there."""
    await visitor.button("Try the sample").click()
    await expect(visitor.at("#studio")).to_be_visible()
    await visitor.sees("#map-state", "Looked at")
    await shown_at(visitor, at)


async def shown_at(visitor: Visitor, at: float) -> None:
    there = "(video, at) => !video.seeking && video.readyState > 2 && video.currentTime === at"
    async with asyncio.timeout(30):
        while not await visitor.at("#video").evaluate(there, at):
            await visitor.at("#video").evaluate("(video, at) => { if (!video.seeking) video.currentTime = at; }", at)
            await asyncio.sleep(0.05)
        for picture in await visitor.at(".pictures canvas").all():
            while not await picture.evaluate("(canvas) => canvas.toDataURL().length > 3000"):
                await asyncio.sleep(0.05)


async def asked(visitor: Visitor, question: str) -> None:
    await visitor.ask(question)
    await visitor.sees(".turn:last-child .state", "Done")


async def of_the_engine(album: Album, service: Service) -> str:
    """What the real engine shows; gives what it found in the sample."""
    await until(service.app[keys.READY].ready)
    visitor = await album.visit(service)
    await visitor.go()
    await expect(visitor.at("#upstream")).not_to_be_empty()
    await album.take(visitor, "first-visit")
    await opened_sample(visitor, 3.6)
    await asked(visitor, "Write down what is said, with times.")
    await album.take(visitor, "captions")
    await visitor.button("Another video").click()
    await opened_sample(visitor, 6.4)
    await visitor.page.get_by_text("Answer as JSON").click()
    await visitor.at("#schema").fill(CHAPTERS)
    await asked(visitor, "Which chapters does it have?")
    await visitor.page.get_by_text("Answer as JSON").click()
    await album.take(visitor, "schema")
    await visitor.at("#tab-find").click()
    await visitor.at("#words").fill("telescope")
    await visitor.at("#words").press("Enter")
    await visitor.sees("#found", "In all videos")
    await album.take(visitor, "search")
    await visitor.context.close()
    for name, profile in (("dark", {"color_scheme": "dark"}), ("phone", {"viewport": PHONE, "device_scale_factor": 2})):
        visitor = await album.visit(service, **profile)
        await visitor.go()
        await opened_sample(visitor, 6.4)
        await asked(visitor, "What happens at 00:05?")
        await album.take(visitor, name)
        await visitor.context.close()
    newest = (await (await service.http.get(service.url + "/v1/streams")).json())["streams"]
    for stream in newest:
        told = await service.show(stream["id"])
        if told["request"]["prompt"].startswith(MAP):
            return await (await service.http.get(f"{service.url}/v1/streams/{stream['id']}/text")).text()
    raise LookupError("the sample was not looked at")


async def of_a_script(album: Album, service: Service, held: Library, found: str) -> None:
    """What the real engine does not do: break the schema, break off, answer so slowly that one can cut it."""

    async def studio(**profile: Any) -> Visitor:
        visitor = await album.visit(service, embedded=True, **profile)
        await visitor.go()
        await visitor.button("Try the sample").click()
        looking = await held.asked(MAP)
        looking.say(found)
        looking.end()
        await visitor.sees("#map-state", "Looked at")
        await shown_at(visitor, 6.4)
        held.analyses.clear()
        return visitor

    visitor = await studio()
    await visitor.page.get_by_text("Answer as JSON").click()
    await visitor.ask("Which chapters does it have?")
    await visitor.page.get_by_text("Answer as JSON").click()
    (await held.asked("Which chapters")).say(WRONG)
    await visitor.sees(".answer", "First proved wrong at")
    await album.take(visitor, "violation")
    await visitor.context.close()

    visitor = await studio()
    await visitor.ask("What is to be seen?")
    answer = await held.asked("What is to be seen")
    answer.say(BROKEN)
    await visitor.sees(".answer", "Somet")
    answer.stop()
    await visitor.sees(".state", "Broke off")
    await album.take(visitor, "failure")
    await visitor.context.close()

    visitor = await studio(device_scale_factor=2)
    await visitor.ask("What is to be seen?")
    answer = await held.asked("What is to be seen")
    answer.say(BROKEN[:60])
    await visitor.sees(".answer", BROKEN[:40])
    await visitor.at("#underneath summary").click()
    await visitor.button("Cut my connection").click()
    answer.say(BROKEN[60:])
    await visitor.sees(".answer", "Somet")
    await visitor.sees(".facts", "suffix")
    await visitor.sees(".code pre", "curl")
    await album.take(visitor, "underneath", "#underneath")
    await visitor.context.close()


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu"])
        yield browser
        await browser.close()


async def main() -> None:
    if CHROMIUM is None:
        sys.exit("Chromium is not installed; scripts/system-packages installs it")
    with tempfile.TemporaryDirectory() as data_dir:
        async with chromium() as browser, library() as held:
            album = Album(browser, FOLDER)
            async with open_service(Play([]), upstream_url="", data_dir=Path(data_dir)) as service:
                found = await of_the_engine(album, service)
            async with open_service(Play([]), upstream_url=held.url) as service:
                await of_a_script(album, service, held, found)


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
