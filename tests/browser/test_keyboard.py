"""The page without a mouse."""

from playwright.async_api import expect

from tests.browser.conftest import Opening
from tests.browser.test_captions import seen_with
from tests.browser.visitor import Visitor, in_one_browser

pytestmark = in_one_browser

TIME = "document.querySelector('video').currentTime"
FOCUSED = "document.activeElement.textContent || document.activeElement.ariaLabel || document.activeElement.id"


async def tab_to(visitor: Visitor, name: str, presses: int = 30) -> None:
    """Press Tab until that has the focus, which can be seen."""
    for _ in range(presses):
        await visitor.page.keyboard.press("Tab")
        if await visitor.page.evaluate(FOCUSED) == name:
            ring = await visitor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert ring != "none"
            return
    raise AssertionError(f"{name} cannot be reached")


async def test_the_keyboard_alone_leads_from_the_first_visit_to_an_answer_and_its_moment(opening: Opening):
    async with opening() as place:
        visitor = await place.visit(embedded=True)
        await visitor.go()
        await visitor.page.keyboard.press("Tab")
        assert await visitor.page.evaluate(FOCUSED) == "Skip to the video"
        await tab_to(visitor, "Try the sample")
        await visitor.page.keyboard.press("Enter")
        (await place.library.asked("Everything in this video")).end()
        await expect(visitor.at("#studio")).to_be_visible()
        await expect(visitor.at("#name")).to_be_focused()
        await visitor.page.keyboard.press("/")
        await expect(visitor.at("#question")).to_be_focused()
        await visitor.page.keyboard.type("What is it?")
        await visitor.page.keyboard.press("Enter")
        answer = await place.library.asked("What is it?")
        answer.say("At 00:07 a mirror.")
        answer.end()
        await visitor.sees(".state", "Done")
        await visitor.page.keyboard.press("Shift+Tab")
        for _ in range(6):
            if await visitor.page.evaluate(FOCUSED) == "00:07":
                break
            await visitor.page.keyboard.press("Shift+Tab")
        await visitor.page.keyboard.press("Enter")
        assert await visitor.page.evaluate(TIME) == 7


async def test_keys_move_the_video_and_are_shown_where_they_are_asked_for(opening: Opening, clip):
    async with opening() as place:
        visitor, looking = await seen_with(place, clip)
        looking.end()
        await expect(visitor.at("#studio")).to_be_visible()
        await visitor.comes_true("document.querySelector('video').duration > 0")
        for key, seconds in (("ArrowRight", 5), ("ArrowLeft", 0), ("l", 10), ("j", 0)):
            await visitor.page.keyboard.press(key)
            assert await visitor.page.evaluate(TIME) == seconds
        await visitor.page.keyboard.press("?")
        await expect(visitor.at("#keys")).to_be_visible()
        await visitor.sees("#keys", "play and pause")
        assert await visitor.barriers() == []
        await visitor.page.keyboard.press("Escape")
        await expect(visitor.at("#keys")).to_be_hidden()


async def test_keys_that_are_typed_into_a_field_do_nothing_else(opening: Opening, clip):
    async with opening() as place:
        visitor, _ = await seen_with(place, clip)
        await visitor.at("#question").click()
        await visitor.page.keyboard.type("s l/c?")
        await expect(visitor.at("#question")).to_have_value("s l/c?")
        assert await visitor.page.evaluate(TIME) == 0


async def test_a_track_is_one_stop_and_arrows_walk_in_it(opening: Opening, clip):
    async with opening() as place:
        visitor, looking = await seen_with(place, clip)
        looking.say(
            '{"shots": [{"start": 0, "end": 5, "description": "A lift"}, {"start": 5, "end": 13, "description": "A mirror"}]}'
        )
        looking.end()
        shots = visitor.page.get_by_role("group", name="Shots").get_by_role("button")
        await expect(shots).to_have_count(2)
        await shots.first.focus()
        await visitor.page.keyboard.press("ArrowRight")
        await expect(shots.last).to_be_focused()
        await visitor.page.keyboard.press("Enter")
        assert await visitor.page.evaluate(TIME) == 5


async def test_tabs_are_walked_with_arrows(opening: Opening, clip):
    async with opening() as place:
        visitor, _ = await seen_with(place, clip)
        await visitor.at("#tab-ask").focus()
        await visitor.page.keyboard.press("ArrowRight")
        await expect(visitor.at("#tab-find")).to_be_focused()
        await expect(visitor.at("#find")).to_be_visible()
