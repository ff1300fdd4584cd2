"""Questions and answers: text that streams, follow-ups, other viewers, cuts, endings."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opening, Place
from tests.browser.visitor import Visitor, in_one_browser
from tests.fakes.library import Analysis
from tests.fakes.waiting import until

pytestmark = in_one_browser

TIME = "document.querySelector('video').currentTime"


async def in_the_studio(place: Place, clip, **profile) -> Visitor:
    """Somebody with a video, who has asked nothing."""
    visitor = await place.visit(**profile)
    await visitor.go()
    await visitor.at("#file").set_input_files(clip)
    await expect(visitor.at("#studio")).to_be_visible()
    return visitor


async def asking(place: Place, visitor: Visitor, question: str) -> Analysis:
    await visitor.ask(question)
    return await place.library.asked(question)


async def by_link(place: Place) -> tuple[Visitor, Analysis]:
    """Somebody who came by the link of a run, and touched nothing."""
    asset = place.library.hold("webb.mp4")
    stream = await place.service.start(
        prompt="What is it?", video={"type": "asset_id", "asset_id": asset}, video_id=None
    )
    visitor = await place.visit()
    await visitor.go(f"/#video={asset}&run={stream}")
    return visitor, await place.library.asked("What is it?")


async def test_an_answer_streams_and_its_times_seek(opening: Opening, clip):
    async with opening() as place:
        visitor = await in_the_studio(place, clip)
        answer = await asking(place, visitor, "What is it?")
        answer.say("At [00:0")
        await visitor.sees(".answer", "At [00:0")
        await visitor.sees(".state", "Running")
        answer.say("7] a mirror, <i>gold</i>.")
        await visitor.sees(".answer", "At [00:07] a mirror, <i>gold</i>.")
        answer.end()
        await visitor.sees(".state", "Done")
        await visitor.button("00:07").click()
        assert await visitor.page.evaluate(TIME) == 7


async def test_nothing_moves_while_an_answer_grows(opening: Opening):
    async with opening() as place:
        visitor, answer = await by_link(place)
        for n in range(30):
            answer.say(f"[00:{n:02}] Line {n} ")
            await visitor.sees(".answer p:not(:empty)", f"Line {n} ")
            answer.say("says so much that it needs more than one line to be said in.\n")
            await visitor.sees(".answer p:not(:empty)", "to be said in.")
        answer.end()
        await visitor.sees(".state", "Done")
        assert str(await visitor.shifts()) == "[]"


async def test_the_newest_line_stays_in_sight_until_somebody_scrolls_back(opening: Opening):
    below = "document.querySelector('#talk').scrollHeight - document.querySelector('#talk').scrollTop - document.querySelector('#talk').clientHeight"
    async with opening() as place:
        visitor, answer = await by_link(place)
        answer.say("line\n" * 100)
        await expect(visitor.at(".answer p")).to_have_count(101)
        assert await visitor.page.evaluate(below) < 5
        await visitor.page.evaluate("document.querySelector('#talk').scrollTop = 100")
        answer.say("line\n" * 10)
        await expect(visitor.at(".answer p")).to_have_count(111)
        assert await visitor.page.evaluate("document.querySelector('#talk').scrollTop") == 100
        answer.end()


async def test_a_follow_up_carries_the_conversation(opening: Opening, clip):
    async with opening() as place:
        visitor = await in_the_studio(place, clip)
        first = await asking(place, visitor, "What is it?")
        first.say("A telescope.")
        first.end()
        await visitor.sees(".state", "Done")
        second = await asking(place, visitor, "Whose?")
        assert second.prompt == "Conversation so far:\nUser: What is it?\nAssistant: A telescope.\n\nWhose?"
        second.say("NASA's.")
        second.end()
        await visitor.sees(".turn:last-child .answer", "NASA's.")
        await expect(visitor.at(".asked")).to_have_text(["What is it?", "Whose?"])


async def test_another_viewer_sees_the_same_run_from_its_beginning(opening: Opening, clip):
    async with opening() as place:
        visitor = await in_the_studio(place, clip, hurried=True)
        answer = await asking(place, visitor, "What is it?")
        answer.say("A telescope, ")
        await visitor.sees(".answer", "A telescope, ")
        await visitor.at("#underneath summary").click()
        async with visitor.context.expect_page() as opened:
            await visitor.page.get_by_role("link", name="Open as another viewer").click()
        other = await opened.value
        await expect(other.locator(".answer")).to_have_text("A telescope, ")
        await expect(other.locator(".asked")).to_have_text("What is it?")
        await expect(other.locator("#video")).to_be_visible()  # the file itself, out of the first tab's store
        await expect(visitor.at(".facts")).to_contain_text("Readers of this run2")
        answer.say("in a clean room.")
        answer.end()
        for page in (visitor.page, other):
            await expect(page.locator(".answer")).to_have_text("A telescope, in a clean room.")
            await expect(page.locator(".state")).to_contain_text("Done")
        assert len(place.library.analyses) == 1


async def test_a_cut_connection_resumes_at_its_cursor(opening: Opening, clip):
    async with opening() as place:
        visitor = await in_the_studio(place, clip, hurried=True)
        answer = await asking(place, visitor, "What is it?")
        answer.say("A télescope, ")
        await visitor.sees(".answer", "A télescope, ")
        await visitor.at("#underneath summary").click()
        await visitor.button("Cut my connection").click()
        answer.say("in a clean room.")
        await visitor.sees(".answer", "A télescope, in a clean room.")
        await visitor.sees(".facts", "Resumedat 1.14 (suffix)")
        answer.end()
        await visitor.sees(".state", "Done")
        await visitor.sees(".facts", "Received2 pieces, 30 bytes")
        await visitor.sees(".facts", "Endingcompleted")


async def test_an_upstream_that_breaks_off_looks_ended_badly_and_says_what_to_do(opening: Opening, clip):
    async with opening() as place:
        visitor = await in_the_studio(place, clip)
        answer = await asking(place, visitor, "What is it?")
        answer.say("A tele")
        answer.stop()
        await visitor.sees(".ended-badly", "What is shown is not the whole answer; ask again.")
        await visitor.sees(".state .bad", "Broke off")
        await visitor.sees(".answer", "A tele")
        await visitor.button("Ask again").click()
        await until(lambda: len(place.library.analyses) == 2)
        again = await place.library.asked("What is it?")
        again.say("A telescope.")
        again.end()
        await visitor.sees(".turn:last-child .state", "Done")
        assert await visitor.barriers() == []


async def test_a_refused_analysis_says_why(opening: Opening, clip):
    async with opening() as place:
        place.library.refusal = (400, {"code": "video_duration_too_short", "message": "The video is shorter than 4 s."})
        visitor = await in_the_studio(place, clip, embedded=True)
        visitor.forgiven.append("status of 4")
        await visitor.sees("#map-state", "Could not be looked at")
        await visitor.ask("What is it?")
        await visitor.sees(".ended-badly", "The video is shorter than 4 s.Take a video of 4 seconds or more.")
        await visitor.sees(".state .bad", "Failed")


async def test_a_service_that_is_gone_is_told_and_a_question_can_be_asked_again(opening: Opening, clip):
    async with opening() as place:
        visitor = await in_the_studio(place, clip)
        visitor.forgiven += ["net::ERR_", "Failed to load"]
        await visitor.context.set_offline(True)
        await visitor.ask("What is it?")
        await visitor.sees(".ended-badly", "Is the service running?")
        await visitor.context.set_offline(False)
        await visitor.button("Ask again").click()
        answer = await place.library.asked("What is it?")
        answer.say("A telescope.")
        answer.end()
        await visitor.sees(".state", "Done")


async def test_a_running_answer_can_be_cancelled(opening: Opening, clip):
    async with opening() as place:
        visitor = await in_the_studio(place, clip)
        (await asking(place, visitor, "What is it?")).say("A tele")
        await visitor.sees(".answer", "A tele")
        await visitor.button("Cancel").click()
        await visitor.sees(".state", "Cancelled")


async def test_what_is_underneath_can_be_taken_away(opening: Opening, clip, tmp_path):
    async with opening() as place:
        visitor = await in_the_studio(place, clip)
        answer = await asking(place, visitor, "What is it?")
        answer.say("[00:01] A telescope.\n[00:04] A lift.")
        answer.end()
        await visitor.sees(".state", "Done")
        await visitor.at("#underneath summary").click()
        for name, begins in (
            ("Text", "[00:01]"),
            ("VTT", "WEBVTT"),
            ("Cues (JSON)", "{"),
            ("All (JSON)", "{"),
        ):
            async with visitor.page.expect_download() as download:
                await visitor.page.get_by_role("link", name=name, exact=True).click()
            await (await download.value).save_as(tmp_path / name)
            assert (tmp_path / name).read_text("utf-8").startswith(begins)
        for name, words in (
            ("curl", "curl -N http"),
            ("Python", "client.watch("),
            ("JavaScript", "import { watch }"),
            ("SDK", "analyze_stream("),
        ):
            await visitor.button(name).click()
            await visitor.sees(".code pre", words)
            assert re.search(r"http://127.0.0.1:\d+", await visitor.at(".code pre").inner_text())


@pytest.mark.parametrize("kind", ["no such run", "no such video"])
async def test_a_link_that_leads_nowhere_says_so_and_shows_the_beginning(opening: Opening, kind: str):
    async with opening() as place:
        visitor = await place.visit()
        visitor.forgiven.append("status of 404")
        await visitor.go("/#run=st_none" if kind == "no such run" else "/#video=none")
        await expect(visitor.at("#notice")).to_be_visible()
        await expect(visitor.at("#choose")).to_be_visible()
