"""Search: within the video that is shown, and over all."""

from playwright.async_api import expect

from tests.browser.conftest import Opening
from tests.browser.test_captions import seen_with
from tests.browser.visitor import in_one_browser

pytestmark = in_one_browser


async def test_words_are_found_in_this_video_and_in_all(opening: Opening, clip):
    async with opening() as place:
        other = place.library.hold("other.mp4")
        visitor, looking = await seen_with(place, clip)
        looking.say(
            '{"speech": [{"start": 5, "end": 9, "text": "A telescope"}, {"start": 9, "end": 10, "text": "A lift"}]}'
        )
        looking.end()
        await visitor.sees("#map-state", "Looked at")
        place.library.hits = [{"video_id": "v" + other, "start": 3, "end": 4, "transcription": "a telescope elsewhere"}]
        await visitor.at("body").press("s")
        await expect(visitor.at("#words")).to_be_focused()
        await visitor.page.keyboard.type("telescope")
        await visitor.page.keyboard.press("Enter")
        await visitor.sees("#found-state", "2 places; 2 videos searched.")
        assert await visitor.barriers() == []
        await visitor.at("#found button").first.click()
        assert await visitor.page.evaluate("document.querySelector('video').currentTime") == 5
        await visitor.at("#found button").last.click()
        await visitor.sees("#name", "other.mp4")
        await visitor.sees("#unseen", "This browser does not hold the file.")


async def test_a_search_that_finds_nothing_says_what_to_try(opening: Opening, clip):
    async with opening() as place:
        visitor, _ = await seen_with(place, clip)
        await visitor.page.get_by_role("tab", name="Search").click()
        await visitor.at("#words").fill("elephants")
        await visitor.at("#words").press("Enter")
        await visitor.sees("#found-state", "0 places; 1 video searched. Try a word")
