"""A service that wants a key: the page asks for it, and everything works with it."""

import hashlib

from playwright.async_api import expect

from tests.browser.conftest import Opening
from tests.browser.visitor import in_one_browser

pytestmark = in_one_browser

KEYS = f"press:{hashlib.sha256(b'secret').hexdigest()}"


async def test_a_key_is_asked_for_once_and_everything_works_with_it(opening: Opening, clip, tmp_path):
    async with opening(api_keys=KEYS) as place:
        visitor = await place.visit(embedded=True)
        visitor.forgiven.append("status of 401")
        await visitor.go()
        await expect(visitor.at("#login")).to_be_visible()
        assert await visitor.barriers() == []
        await visitor.page.get_by_label("API key").fill("wrong")
        await visitor.page.keyboard.press("Enter")
        await expect(visitor.at("#login-state")).not_to_be_empty()
        await visitor.page.get_by_label("API key").fill("secret")
        await visitor.button("Go on").click()
        await expect(visitor.at("#login")).to_be_hidden()
        await visitor.at("#file").set_input_files(clip)
        looking = await place.library.asked("Everything in this video")
        looking.say('{"speech": [{"start": 0, "end": 5, "text": "A telescope"}]}')
        looking.end()
        await visitor.sees("#captions .line", "A telescope")
        async with visitor.page.expect_download() as download:
            await visitor.page.get_by_role("link", name="VTT", exact=True).click()
        await (await download.value).save_as(tmp_path / "vtt")
        assert "A telescope" in (tmp_path / "vtt").read_text("utf-8")
        await visitor.ask("What is it?")
        answer = await place.library.asked("What is it?")
        answer.say("A telescope.")
        answer.end()
        await visitor.sees(".state", "Done")
        await visitor.at("#underneath summary").click()
        async with visitor.page.expect_download() as download:
            await visitor.page.get_by_role("link", name="Text", exact=True).click()
        await (await download.value).save_as(tmp_path / "text")
        assert (tmp_path / "text").read_text("utf-8") == "A telescope."
        # Nothing but this tab has it.
        assert "secret" not in await visitor.page.evaluate("JSON.stringify(localStorage) + document.cookie + location")
        tab = await visitor.another_tab(place.service.url)
        await expect(tab.locator("#login")).to_be_visible()
