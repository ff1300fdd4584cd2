"""The page in examples/assistant-ui does what its page says, by the real packages in a real browser."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.fakes.browser import Browser
from tests.fakes.pages import another_origin
from tests.fakes.service import Serving
from tests.fakes.upstream import Cut, Gate, Hang, Play, end, start, text
from tests.service.dialects.clients.installed import CannotBeHad, node, npm_install
from tests.service.dialects.clients.test_examples import DONE, EXAMPLES, LINK, needs_chromium, node_or_skip

pytestmark = [pytest.mark.slow, needs_chromium]


def built(root: Path, service: str) -> Path:
    """The page, built for a service's address; skips where its packages cannot be had."""
    home = root / "example-assistant-ui"
    shutil.copytree(EXAMPLES / "assistant-ui", home, dirs_exist_ok=True)
    try:
        if not (home / "node_modules").exists():
            npm_install(home)
    except CannotBeHad as exc:
        pytest.skip(f"the page's packages cannot be had: {exc}")
    words = [str(node(root)), "node_modules/vite/bin/vite.js", "build", "--logLevel", "error"]
    subprocess.run(words, cwd=home, env=os.environ | {"VITE_FANLIGHT": service}, check=True, timeout=120)
    return home / "dist"


BUTTON = "[...document.querySelectorAll('form button')].find((one) => one.textContent === %s)"
SEEN = """({ busy: !!%s, alert: document.querySelector("[role=alert]")?.textContent ?? null,
  text: [...document.querySelectorAll(".assistant:last-of-type > p:not([role])")].map((p) => p.textContent).join("|"),
  links: [...document.querySelectorAll(".assistant:last-of-type a")].map((a) => a.href) })""" % (BUTTON % "'Stop'")


async def ask(browser: Browser, question: str) -> None:
    """Write as a person does: the composer keeps its text itself."""
    await until(browser, "!!document.querySelector('form textarea')")
    await browser.run("document.querySelector('form textarea').focus()")
    await browser.call("Input.insertText", text=question)
    send = BUTTON % "'Ask'"
    await until(browser, f"!!({send}) && !({send}).disabled")
    await browser.run(f"({send}).click()")


async def until(browser: Browser, expression: str) -> None:
    async with asyncio.timeout(15):
        while not await browser.run(expression):
            await asyncio.sleep(0.02)


async def until_seen(browser: Browser, **expected: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    try:
        async with asyncio.timeout(15):
            while not expected.items() <= (seen := await browser.run(SEEN)).items():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"{expected} was not seen, but {seen}")
    return seen


async def test_the_thread_resumes_goes_on_stops_and_shows_why_it_broke(serving: Serving, root: Path):
    node_or_skip(root)
    gate, files = Gate(), {}
    plays = (
        Play([start(), text("At 00:12 a "), gate, text("dog."), end()]),
        DONE,
        Play([start(), text("b "), Hang()]),
        Play([start(), text("c "), Cut()]),
    )
    async with another_origin(files) as origin, serving(*plays, origins=[origin]) as service, Browser() as browser:
        files["at"] = await asyncio.to_thread(built, root, service.url)
        await browser.go(origin + "/#one")
        await ask(browser, "what?")
        seen = await until_seen(browser, busy=False, text="")
        assert "(video_required)" in seen["alert"]
        assert not service.upstream.seen
        await browser.go("about:blank")
        await browser.go(origin + "/#two")
        await until(browser, "!!document.querySelector('[name=video]')")
        await browser.run(f"document.querySelector('[name=video]').value = {orjson.dumps(LINK).decode()}")
        await ask(browser, "what?")
        await until_seen(browser, text="At 00:12 a ", busy=True)
        await browser.call("Page.reload")
        await until_seen(browser, text="At 00:12 a ", busy=True)
        gate.open()
        seen = await until_seen(browser, text="At 00:12 a dog.", busy=False, alert=None)
        assert seen["links"] == [f"{LINK}#t=12"]
        await browser.call("Page.reload")
        await until_seen(browser, text="At 00:12 a dog.", busy=False, links=[f"{LINK}#t=12"])
        await ask(browser, "why?")
        await until_seen(browser, text="a dog", busy=False)
        prompt = orjson.loads(service.upstream.seen[1].body)["prompt"]
        assert prompt == "Conversation so far:\nUser: what?\nAssistant: At 00:12 a dog.\n\nwhy?"
        await ask(browser, "and then?")
        await until_seen(browser, text="b ", busy=True)
        await browser.run(f"({BUTTON % repr('Stop')}).click()")
        await until_seen(browser, text="b ", busy=False, alert=None)
        async with asyncio.timeout(15):
            await service.hub.list("local")[0].run.ended()
        assert service.hub.list("local")[0].run.ending.code == "cancelled"
        await ask(browser, "really?")
        seen = await until_seen(browser, text="c ", busy=False)
        assert seen["alert"] == "The transfer from the upstream broke. (upstream_broken)"
        assert len(service.upstream.seen) == 4
