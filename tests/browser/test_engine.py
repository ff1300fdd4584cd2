"""The page on the embedded engine, with the sample that comes with it."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from service.web import keys
from tests.browser.conftest import Opening, Place
from tests.browser.visitor import Visitor, in_one_browser
from tests.engine.conftest import true_things
from tests.fakes.waiting import until

pytestmark = [*in_one_browser, pytest.mark.slow]


async def at_the_beginning(place: Place) -> Visitor:
    """Somebody who has just opened the page, once the engine is there."""
    await until(place.service.app[keys.READY].ready)
    visitor = await place.visit()
    await visitor.go()
    return visitor


async def test_the_sample_is_looked_at_asked_about_searched_and_judged(opening: Opening, tmp_path: Path):
    async with opening(upstream_url="", data_dir=tmp_path / "d") as place:
        visitor = await at_the_beginning(place)
        await visitor.button("Try the sample").click()
        await visitor.sees("#transcript p", "goddard")
        await visitor.sees("#map-state", "Looked at")
        await expect(visitor.page.get_by_role("group", name="Shots").get_by_role("button")).to_have_count(3)
        await visitor.button("Summarize this video with chapters.").click()
        await visitor.sees(".state", "Done")
        await expect(visitor.at(".sources")).to_contain_text("heard")
        await visitor.page.get_by_text("Answer as JSON").click()
        await visitor.ask("Chapters, please.")
        await visitor.sees(".turn:last-child .answer", "Valid: every part keeps the schema.")
        await visitor.at("#tab-find").click()
        await visitor.at("#words").fill("telescope")
        await visitor.at("#words").press("Enter")
        await visitor.sees("#found", "In all videos")
        picture = visitor.at("#found img").first
        await visitor.comes_true("(image) => image.complete && image.naturalWidth > 0", picture)
        # A second visit finds it there already.
        await visitor.button("Another video").click()
        await visitor.button("Try the sample").click()
        await visitor.sees("#map-state", "Looked at")
        assert await visitor.barriers() == []


async def test_things_are_on_the_timeline_where_there_are_weights_and_no_row_is_where_there_are_none(
    opening: Opening, tmp_path: Path
):
    for weights, there in ((tmp_path / "none", 0), (true_things().parent, 1)):
        async with opening(upstream_url="", data_dir=tmp_path / f"d{there}", weights_dir=weights) as place:
            visitor = await at_the_beginning(place)
            await visitor.button("Try the sample").click()
            await visitor.sees("#map-state", "Looked at")
            row = visitor.page.get_by_role("group", name="Things")
            await expect(row).to_have_count(there)
            if there:
                await expect(row.get_by_role("button")).to_have_count(1)


async def test_a_large_file_goes_in_chunks_and_is_looked_at(opening: Opening, clip: Path, tmp_path: Path):
    large = tmp_path / "large.mp4"
    free = 20 << 20
    large.write_bytes(clip.read_bytes() + free.to_bytes(4, "big") + b"free" + bytes(free - 8))
    async with opening(upstream_url="", data_dir=tmp_path / "d") as place:
        visitor = await at_the_beginning(place)
        await visitor.at("#file").set_input_files(large)
        await visitor.sees("#map-state", "Looked at")
        await visitor.sees("#transcript", "goddard")


async def test_a_file_that_is_no_video_says_what_to_do(opening: Opening, tmp_path: Path):
    (tmp_path / "letter.mp4").write_bytes(b"Dear Sir" * 1000)
    async with opening(upstream_url="", data_dir=tmp_path / "d") as place:
        visitor = await at_the_beginning(place)
        await visitor.at("#file").set_input_files(tmp_path / "letter.mp4")
        await expect(visitor.at("#sending-state.bad")).to_be_visible()
        await visitor.sees("#sending-state", "Try another one, or convert it to MP4.")
