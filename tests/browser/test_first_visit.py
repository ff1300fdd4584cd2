"""The first visit: what is there, and what is not yet."""

from playwright.async_api import Route, expect

from tests.browser.conftest import Opening
from tests.browser.visitor import EMBEDDED, in_one_browser

pytestmark = in_one_browser

STARTING = EMBEDDED.replace("true", "false")


async def test_a_page_that_is_opened_before_the_engine_is_there_waits_for_it(opening: Opening):
    told = [STARTING, STARTING, EMBEDDED]

    async def readyz(route: Route) -> None:
        await route.fulfill(content_type="application/json", body=told.pop(0))

    async with opening() as place:
        place.library.hold("webb.mp4")
        visitor = await place.visit()
        await visitor.context.route("**/readyz", readyz)
        await visitor.go()
        await visitor.sees("#upstream", "The engine is starting")
        await visitor.sees("#upstream", "Embedded engine")
        await visitor.sees("#assets", "webb.mp4")


async def test_what_is_underneath_says_that_nothing_runs_yet(opening: Opening, clip):
    async with opening() as place:
        visitor = await place.visit()
        await visitor.go()
        await visitor.at("#file").set_input_files(clip)
        await visitor.at("#underneath summary").click()
        await visitor.sees("#under", "Ask something first.")


async def test_what_is_there_already_can_be_chosen(opening: Opening):
    async with opening() as place:
        place.library.hold("webb.mp4")
        visitor = await place.visit(embedded=True)
        await visitor.go()
        await visitor.at("#assets button").click()
        await visitor.sees("#name", "webb.mp4")
        (await place.library.asked("Everything in this video")).end()
        await visitor.sees("#map-state", "Looked at")
        await visitor.button("Another video").click()
        await expect(visitor.at("#choose")).to_be_visible()


async def test_nothing_is_analysed_before_it_is_wanted_where_that_may_cost(opening: Opening, clip):
    async with opening() as place:
        visitor = await place.visit()
        await visitor.go()
        await visitor.at("#file").set_input_files(clip)
        await expect(visitor.at("#studio")).to_be_visible()
        await visitor.sees("#upstream", "A server of your own answers")
        assert place.library.analyses == []
        await visitor.button("Find captions and shots").click()
        (await place.library.asked("Everything in this video")).end()
        await visitor.sees("#map-state", "Looked at")


async def test_a_page_that_is_reloaded_shows_the_same_video_and_run(opening: Opening, clip):
    async with opening() as place:
        visitor = await place.visit()
        await visitor.go()
        await visitor.at("#file").set_input_files(clip)
        await visitor.ask("What is it?")
        answer = await place.library.asked("What is it?")
        answer.say("A telescope.")
        answer.end()
        await visitor.sees(".state", "Done")
        await visitor.page.reload()
        await visitor.sees(".answer", "A telescope.")
        await expect(visitor.at(".turn")).to_have_count(1)
        await expect(visitor.at("#video")).to_be_visible()
        assert str(await visitor.shifts()) == "[]"
