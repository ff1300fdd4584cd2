"""How the page looks to those who see it otherwise: dark, small, large, from right to left, without motion."""

from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opening, Place
from tests.browser.test_captions import seen_with
from tests.browser.visitor import DESK, PHONE, Visitor, in_one_browser

pytestmark = in_one_browser

ZOOMED = {"width": DESK["width"] // 2, "height": DESK["height"] // 2}  # what 200 % leaves
LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "has_touch": True},
    "dark phone": {"viewport": PHONE, "color_scheme": "dark"},
    "zoomed": {"viewport": ZOOMED, "device_scale_factor": 2},
    "narrowest": {"viewport": {"width": 320, "height": 640}},
}
FOUND = (
    '{"speech": [{"start": 0, "end": 5, "text": "A telescope wakes in the dark, and a very long line is said of it"}],'
    '"on_screen_text": [{"start": 2, "end": 4, "text": "NASA"}],'
    '"shots": [{"start": 0, "end": 5.5, "description": "A lift"}, {"start": 5.5, "end": 13, "description": "A mirror"}],'
    '"motions": [{"start": 1, "end": 4, "description": "Something moves"}], "tones": [{"start": 8, "end": 9, "description": "A tone"}]}'
)


AS_ITS_LIKE = ("dark phone", "zoomed", "narrowest")  # whose colours and names axe has seen with another width


async def without_barriers(visitor: Visitor, look: str) -> None:
    assert await visitor.wider_than_shown() == 0
    if look not in AS_ITS_LIKE:
        assert await visitor.barriers() == []


async def asked(place: Place, visitor: Visitor, look: str) -> None:
    """An answer that runs, and one that broke."""
    await visitor.ask("What is it?")
    first = await place.library.asked("What is it?")
    first.say(
        "Measured by a test.\n\n[00:00] A voice says “A telescope”. The picture is dark.\n[00:05] The sound is loud."
    )
    await visitor.sees(".answer", "The sound is loud.")
    await without_barriers(visitor, look)
    first.stop()
    await visitor.sees(".state", "Broke off")
    await without_barriers(visitor, look)


@pytest.mark.parametrize(
    "look",
    [pytest.param(look, marks=pytest.mark.slow) if look in ("dark phone", "narrowest") else look for look in LOOKS],
)
async def test_every_state_is_without_barriers_and_does_not_move_sideways(opening: Opening, clip, look: str):
    async with opening() as place:
        place.library.hold("a video with a name that is much longer than there is room for on any telephone.mp4")
        visitor = await place.visit(embedded=True, **LOOKS[look])
        await visitor.go()
        await visitor.sees("#recent", "a video with")
        await without_barriers(visitor, look)
        await visitor.at("#file").set_input_files(clip)
        looking = await place.library.asked("Everything in this video")
        looking.say(FOUND[:120])
        await visitor.sees("#captions .line", "A telescope wakes")
        await without_barriers(visitor, look)
        looking.say(FOUND[120:])
        looking.end()
        await visitor.sees("#map-state", "Looked at")
        await asked(place, visitor, look)
        await visitor.button("Captions").click()
        await visitor.at("#shape summary").click()
        await visitor.at("#underneath summary").click()
        await visitor.sees(".code pre", "curl")
        await without_barriers(visitor, look)
        await visitor.at("#tab-find").click()
        await visitor.at("#words").fill("telescope")
        await visitor.at("#words").press("Enter")
        await visitor.sees("#found-state", "1 place")
        await without_barriers(visitor, look)


async def test_dark_and_light_are_chosen_and_remembered(opening: Opening):
    ground = "getComputedStyle(document.body).backgroundColor"
    async with opening() as place:
        visitor = await place.visit(color_scheme="light")
        await visitor.go()
        light = await visitor.page.evaluate(ground)
        await visitor.button("Dark or light").click()
        dark = await visitor.page.evaluate(ground)
        assert dark != light
        await visitor.page.reload()
        assert await visitor.page.evaluate(ground) == dark
        await visitor.button("Dark or light").click()
        assert await visitor.page.evaluate(ground) == light


async def test_nothing_moves_by_itself_for_those_who_want_no_motion(opening: Opening, clip):
    async with opening() as place:
        visitor, _ = await seen_with(place, clip, reduced_motion="reduce")
        await visitor.ask("What is it?")
        (await place.library.asked("What is it?")).say("A tele")
        await visitor.sees(".answer", "A tele")
        assert await visitor.page.evaluate("document.getAnimations().length") == 0


async def test_text_from_right_to_left_stands_on_its_own_side(opening: Opening, clip):
    async with opening() as place:
        visitor, looking = await seen_with(place, clip)
        looking.say('{"speech": [{"start": 0, "end": 5, "text": "מרחוק, התעוררה 1 טלסקופ."}]}')
        await visitor.ask("ما هذا؟")
        answer = await place.library.asked("ما هذا؟")
        answer.say("تلسكوب في غرفة نظيفة.\nA telescope.")
        await visitor.sees(".answer", "A telescope.")
        side = "(element) => getComputedStyle(element).direction"
        for selector, way in (
            ("#captions .line", "rtl"),
            ("#transcript span[dir]", "rtl"),
            (".asked", "rtl"),
            (".answer p >> nth=0", "rtl"),
            (".answer p >> nth=1", "ltr"),
        ):
            assert await visitor.at(selector).evaluate(side) == way


async def test_a_page_from_right_to_left_keeps_its_order(opening: Opening, clip):
    async with opening() as place:
        visitor, looking = await seen_with(place, clip)
        looking.say(FOUND)
        looking.end()
        await visitor.sees("#map-state", "Looked at")
        await visitor.page.evaluate("document.documentElement.dir = 'rtl'")
        assert await visitor.wider_than_shown() == 0
        first, last = [await visitor.at(".pictures button").nth(n).bounding_box() for n in range(2)]
        assert first["x"] > last["x"]
        ruler = await visitor.at(".ruler").bounding_box()
        await visitor.page.mouse.click(ruler["x"] + ruler["width"] * 3 / 4, ruler["y"] + 5)
        assert abs(await visitor.page.evaluate("document.querySelector('video').currentTime") - 3.25) < 0.1


async def test_the_caption_bar_shows_the_latest_lines_on_nothing(opening: Opening):
    async with opening() as place:
        stream = await place.service.start(prompt="Say it", fanlight={"captions": {}})
        visitor = await place.visit()
        await visitor.go(f"/captions?stream={stream}&size=2&color=yellow")
        talk = await place.library.asked("Say it")
        talk.say("[00:01] One line.\n[00:04] Another line")
        await visitor.sees("fanlight-captions .line", "Another line")
        await visitor.sees("fanlight-captions .box", "One line.")
        assert await visitor.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgba(0, 0, 0, 0)"
        colour = await visitor.at("fanlight-captions .box").evaluate("(box) => getComputedStyle(box).color")
        assert colour == "rgb(255, 255, 0)"
        assert await visitor.barriers() == []
        talk.end()
        await expect(visitor.at("#why")).to_be_empty()
