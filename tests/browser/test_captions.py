"""Captions on the picture, the transcript, and the timeline, while a video is looked at."""

from playwright.async_api import expect

from tests.browser.conftest import Opening, Place
from tests.browser.visitor import Visitor, in_one_browser
from tests.fakes.library import Analysis

pytestmark = in_one_browser

MAP = "Everything in this video"
SPEECH = '{"speech": [{"start": 0, "end": 5, "text": "A telescope <b>wakes'
LONG = " and its mirror unfolds" * 12
SHOTS = (
    '"shots": [{"start": 0, "end": 5.5, "description": "A lift"}, {"start": 5.5, "end": 13, "description": "A mirror"}]'
)


async def seen_with(place: Place, clip, **profile) -> tuple[Visitor, Analysis]:
    """Somebody who has sent a video, and the analysis that looks at it."""
    visitor = await place.visit(embedded=True, **profile)
    await visitor.go()
    await visitor.at("#file").set_input_files(clip)
    return visitor, await place.library.asked(MAP)


async def test_captions_grow_on_the_picture_in_two_lines_at_most(opening: Opening, clip):
    async with opening() as place:
        visitor, looking = await seen_with(place, clip)
        looking.say(SPEECH)
        await visitor.sees("#captions .line", "A telescope <b>wakes")
        looking.say(LONG)
        await visitor.sees("#captions .line", "unfolds")
        box, line = [await visitor.at(f"#captions {part}").bounding_box() for part in (".box", ".line")]
        assert line["height"] > 3 * 30  # there are more lines than are shown
        size = await visitor.at("#captions .box").evaluate("(box) => parseFloat(getComputedStyle(box).fontSize)")
        assert box["height"] <= 2 * 1.4 * size + 1
        # The newest words are those that are shown.
        assert abs(box["y"] + box["height"] - line["y"] - line["height"]) < 12


async def test_nothing_moves_while_captions_and_transcript_grow(opening: Opening, clip):
    async with opening() as place:
        visitor, looking = await seen_with(place, clip)
        for n in range(12):
            looking.say(
                f'{"," if n else chr(123) + chr(34) + "speech" + chr(34) + ":["}{{"start": {n}, "end": {n + 1}, "text": "Line {n}'
            )
            looking.say(' goes on for a while, and then some more"}')
            await visitor.sees("#transcript p", f"Line {n} goes on for a while, and then some more")
        looking.say("], " + SHOTS + "}")
        looking.end()
        await visitor.sees("#map-state", "Looked at")
        assert str(await visitor.shifts()) == "[]"


async def test_captions_are_mirrored_into_a_text_track(opening: Opening, clip):
    cues = (
        "[...document.querySelector('video').textTracks[0].cues].map((cue) => [cue.startTime, cue.endTime, cue.text])"
    )
    async with opening() as place:
        visitor, looking = await seen_with(place, clip)
        looking.say(SPEECH + ' up"}, {"start": 5, "end": 9, "text": "Zweite"}]')
        await visitor.sees("#transcript p", "Zweite")
        assert await visitor.page.evaluate(cues) == [[0, 5, "A telescope &lt;b>wakes up"], [5, 9, "Zweite"]]


async def test_the_timeline_shows_tracks_with_pictures_and_seeks(opening: Opening, clip):
    async with opening() as place:
        visitor, looking = await seen_with(place, clip)
        looking.say(SPEECH + '"}], ' + SHOTS + "}")
        looking.end()
        await visitor.sees("#map-state", "Looked at")
        drawn = "(canvas) => canvas.getContext('2d').getImageData(80, 50, 1, 1).data[3]"
        await expect(visitor.page.get_by_role("group", name="Shots").get_by_role("button")).to_have_count(2)
        visitor.forgiven.append("willReadFrequently")  # it is this test that reads
        await visitor.comes_true(drawn, visitor.at(".pictures canvas").last)
        time = "document.querySelector('video').currentTime"
        await visitor.page.get_by_role("button", name="Shots, 0:05: A mirror").click()
        assert await visitor.page.evaluate(time) == 5.5
        ruler = await visitor.at(".ruler").bounding_box()
        await visitor.page.mouse.click(ruler["x"] + ruler["width"] / 2, ruler["y"] + 5)
        assert abs(await visitor.page.evaluate(time) - 6.5) < 0.1
        await visitor.at(".ruler").press("Home")
        assert await visitor.page.evaluate(time) == 0
        await visitor.at(".ruler").press("ArrowRight")
        assert await visitor.page.evaluate(time) == 5


async def test_how_far_the_video_was_looked_at_grows_on_the_ruler(opening: Opening, clip):
    async with opening() as place:
        visitor, looking = await seen_with(place, clip)
        looking.say(SPEECH)
        await visitor.sees("#captions .line", "wakes")
        await visitor.comes_true(
            "(seen) => Math.abs(parseFloat(seen.style.inlineSize) - 500 / 13.1) < 1", visitor.at(".seen")
        )
        looking.say('"}]}')
        looking.end()
        await visitor.comes_true("(seen) => seen.style.inlineSize === '100%'", visitor.at(".seen"))


async def test_the_transcript_marks_what_is_being_said_and_its_times_seek(opening: Opening, clip):
    async with opening() as place:
        visitor, looking = await seen_with(place, clip)
        looking.say(SPEECH + '"}, {"start": 5, "end": 9, "text": "Then"}]')
        await visitor.at("#transcript p").nth(1).get_by_role("button").click()
        await expect(visitor.at("#transcript [aria-current]")).to_contain_text("Then")
        await visitor.sees("#captions .line", "Then")


async def test_how_captions_look_is_chosen_and_remembered(opening: Opening, clip):
    async with opening() as place:
        visitor, looking = await seen_with(place, clip)
        looking.say(SPEECH)
        await visitor.button("Captions").click()
        for name, choice in (("Size", "Very large"), ("Colour", "Yellow"), ("Behind", "Black"), ("Place", "Top")):
            await visitor.page.get_by_role("combobox", name=name, exact=True).select_option(choice)
        await visitor.page.reload()
        await visitor.sees("#captions .line", "wakes")
        look = await visitor.at("#captions .line").evaluate(
            "(line) => [getComputedStyle(line).color, getComputedStyle(line).backgroundColor]"
        )
        assert look == ["rgb(255, 225, 77)", "rgb(0, 0, 0)"]
        line, picture = [await visitor.at(part).bounding_box() for part in ("#captions .line", "#picture")]
        assert line["y"] - picture["y"] < picture["height"] / 4


async def test_a_video_in_which_nothing_is_said_says_so(opening: Opening, clip):
    async with opening() as place:
        visitor, looking = await seen_with(place, clip)
        looking.say('{"speech": []}')
        looking.end()
        await visitor.sees("#transcript", "No words were understood.")
