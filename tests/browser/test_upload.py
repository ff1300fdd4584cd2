"""Files on their way: in one piece, and in chunks that pause, fail and go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.conftest import Opening
from tests.browser.visitor import in_one_browser
from tests.fakes.waiting import until

pytestmark = in_one_browser

CHUNKS = "**/multipart-chunks/**"


@pytest.fixture
def large(clip: Path, tmp_path: Path) -> Path:
    """The clip with 9 MB behind it that players pass over: four chunks."""
    file = tmp_path / "large.mp4"
    free = 9 << 20
    file.write_bytes(clip.read_bytes() + free.to_bytes(4, "big") + b"free" + bytes(free - 8))
    return file


class Turnpike:
    """Chunks wait here until they are let through, or are turned back."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[Route] = asyncio.Queue()
        self.came: list[int] = []

    async def take(self, route: Route) -> None:
        self.came.append(int(route.request.url.rsplit("/", 1)[1]))
        await self.waiting.put(route)

    async def let_through(self, number: int) -> None:
        """The next chunk, which is that one."""
        route = await asyncio.wait_for(self.waiting.get(), 20)
        assert self.came[-1] == number
        await route.continue_()

    async def turn_back(self) -> None:
        await (await asyncio.wait_for(self.waiting.get(), 20)).abort("connectionreset")


@asynccontextmanager
async def turnpike(page: Page) -> AsyncIterator[Turnpike]:
    gate = Turnpike()
    await page.route(CHUNKS, gate.take)
    yield gate
    await page.unroute_all(behavior="ignoreErrors")


async def test_a_file_is_sent_and_opened(opening: Opening, clip: Path):
    async with opening() as place:
        visitor = await place.visit()
        await visitor.go()
        await visitor.at("#file").set_input_files(clip)
        await expect(visitor.at("#studio")).to_be_visible()
        await visitor.sees("#name", "sample.mp4")
        assert "#video=a1" in visitor.page.url
        assert await visitor.at("#video").evaluate("(video) => video.error") is None


async def test_a_file_can_be_dropped_anywhere(opening: Opening):
    drop = """
      const files = new DataTransfer();
      files.items.add(new File(["no video"], "dropped.mp4", { type: "video/mp4" }));
      document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: files }));
    """
    async with opening() as place:
        visitor = await place.visit()
        await visitor.go()
        await visitor.page.evaluate(f"() => {{ {drop} }}")
        await visitor.sees("#name", "dropped.mp4")


async def test_a_large_file_pauses_and_goes_on_where_it_was(opening: Opening, large: Path):
    async with opening() as place:
        visitor = await place.visit()
        await visitor.go()
        async with turnpike(visitor.page) as chunks:
            await visitor.at("#file").set_input_files(large)
            await visitor.sees("#sending-name", "large.mp4")
            await chunks.let_through(1)
            await visitor.sees("#sending-sent", "of 9.6 MB")
            await until(lambda: 2 in chunks.came)
            await visitor.button("Pause").click()
            await expect(visitor.button("Go on")).to_be_focused()
            await visitor.sees("#sending-state", "Paused")
            await visitor.button("Go on").click()
            await chunks.waiting.get()  # the one that was broken off
            for number in (2, 3, 4):
                await chunks.let_through(number)
            await expect(visitor.at("#studio")).to_be_visible()
        assert place.library.chunks == [1, 2, 3, 4]


async def test_a_chunk_that_fails_is_sent_again(opening: Opening, large: Path):
    async with opening() as place:
        visitor = await place.visit(hurried=True)
        visitor.forgiven.append("ERR_CONNECTION_RESET")
        await visitor.go()
        async with turnpike(visitor.page) as chunks:
            await visitor.at("#file").set_input_files(large)
            await chunks.let_through(1)
            await chunks.turn_back()
            for number in (2, 3, 4):
                await chunks.let_through(number)
            await expect(visitor.at("#studio")).to_be_visible()
        assert chunks.came == [1, 2, 2, 3, 4]


async def test_an_upload_that_failed_says_what_to_do_and_goes_on_when_asked(opening: Opening, large: Path):
    async with opening() as place:
        visitor = await place.visit(hurried=True)
        visitor.forgiven.append("ERR_CONNECTION_RESET")
        await visitor.go()
        async with turnpike(visitor.page) as chunks:
            await visitor.at("#file").set_input_files(large)
            await chunks.let_through(1)
            for _ in range(4):
                await chunks.turn_back()
            await visitor.sees("#sending-state", "The connection broke while the file was sent.")
            assert await visitor.barriers() == []
            await visitor.button("Try again").click()
            for number in (2, 3, 4):
                await chunks.let_through(number)
            await expect(visitor.at("#studio")).to_be_visible()


async def test_an_upload_can_be_stopped(opening: Opening, large: Path):
    async with opening() as place:
        visitor = await place.visit()
        await visitor.go()
        async with turnpike(visitor.page) as chunks:
            await visitor.at("#file").set_input_files(large)
            await chunks.let_through(1)
            await until(lambda: 2 in chunks.came)
            assert await visitor.barriers() == []
            await visitor.button("Stop").click()
            await expect(visitor.at("#choose")).to_be_visible()


async def test_a_file_that_cannot_be_used_says_why_and_what_to_do(opening: Opening, tmp_path: Path):
    (tmp_path / "letter.mp4").write_bytes(b"Dear Sir")
    async with opening() as place:
        place.library.failing = {"code": "video_file_broken", "message": "The file cannot be decoded."}
        visitor = await place.visit()
        await visitor.go()
        await visitor.at("#file").set_input_files(tmp_path / "letter.mp4")
        await visitor.sees("#sending-state", "The file cannot be decoded.")
        await visitor.sees("#sending-state", "Try another one")
        await visitor.button("Choose another").click()
        await expect(visitor.at("#choose")).to_be_visible()
        # The same file again is a choice, too.
        place.library.failing = None
        await visitor.at("#file").set_input_files(tmp_path / "letter.mp4")
        await expect(visitor.at("#studio")).to_be_visible()
