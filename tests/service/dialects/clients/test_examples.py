"""The programs in examples/ do what their pages say, by the real packages; the chat in a real browser."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.fakes.browser import CHROMIUM, Browser
from tests.fakes.pages import another_origin
from tests.fakes.service import Serving
from tests.fakes.upstream import Cut, Gate, Hang, Play, end, start, text
from tests.service.dialects.clients.installed import CLIENTS, CannotBeHad, node, npm_install
from tests.service.dialects.clients.test_clients import command_or_skip

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[4] / "examples"
LINK = "https://a.example/b.mp4"
DONE = Play([start(), text("a "), text("dog"), end()])
SCENES = Play([start(), text('{"scenes": [{"start": 0, "end": 2.5, "text": "a dog"}]}'), end()])
SUMMARY = Play([start(), text('{"title": "Dogs", "tags": ["dog"]}'), end()])


async def run(words: Sequence[str], **env: str) -> tuple[int, str, str]:
    """What a program returns and says."""
    process = await asyncio.create_subprocess_exec(
        *words, env=os.environ | env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def python(client: str, root: Path) -> str:
    return command_or_skip(next(one for one in CLIENTS if one.name == client), root)[0]


async def test_openais_client_prints_an_answer_and_scenes_or_why_not(serving: Serving, root: Path):
    words = [python("OpenAI Python", root), str(EXAMPLES / "openai-python" / "ask.py"), LINK, "what?"]
    async with serving(DONE, SCENES) as service:
        assert await run(words, FANLIGHT=service.url) == (0, "a dog\n    0.0 to     2.5  a dog\n", "")
        assert orjson.loads(service.upstream.seen[1].body)["response_format"]["type"] == "json_schema"
    async with serving(Play([start(), text("a "), Cut()])) as service:
        code, _, err = await run(words, FANLIGHT=service.url)
        assert (code, "(upstream_broken)" in err) == (1, True)


async def test_langchain_talks_about_one_video_and_sums_it_up(serving: Serving, root: Path):
    words = [python("LangChain", root), str(EXAMPLES / "langchain" / "ask.py"), LINK, "what?", "why?"]
    async with serving(DONE, DONE, SUMMARY) as service:
        assert await run(words, FANLIGHT=service.url) == (0, "a dog\na dog\ntitle='Dogs' tags=['dog']\n", "")
        asked = [orjson.loads(seen.body) for seen in service.upstream.seen]
        assert asked[1]["prompt"] == "Conversation so far:\nUser: what?\nAssistant: a dog\n\nwhy?"
        assert [one["video"]["url"] for one in asked] == [LINK] * 3


@asynccontextmanager
async def relaying(binary: Path, fanlight: str) -> AsyncIterator[str]:
    """The relay's address."""
    process = await asyncio.create_subprocess_exec(
        str(binary),
        str(EXAMPLES / "relay" / "relay.mjs"),
        env=os.environ | {"FANLIGHT": fanlight, "PORT": "0"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def test_the_relay_forwards_captions_and_the_ending(serving: Serving, root: Path):
    binary = node_or_skip(root)
    play = Play([start(), text("[00:01] A red car."), text("\n[00:04] It turns."), end()])
    async with serving(play) as service, relaying(binary, service.url) as relay, aiohttp.ClientSession() as http:
        async with http.get(relay, params={"video": LINK}) as answer:
            told = (await answer.text()).strip().split("\n\n")
        cues = [orjson.loads(event.partition("data: ")[2]) for event in told if event.startswith("event: caption")]
        assert {cue["id"]: cue["text"] for cue in cues} == {"c0": "A red car.", "c18": "It turns."}
        assert told[-1] == 'event: end\ndata: {"status":"completed"}'
        async with http.get(relay) as answer:  # no video is named
            assert '"status":"failed"' in await answer.text()
        assert len(service.upstream.seen) == 1


def node_or_skip(root: Path) -> Path:
    try:
        return node(root)
    except CannotBeHad as exc:
        pytest.skip(f"Node cannot be had: {exc}")


# -- the chat


def built(
    root: Path, service: str, versions: tuple[int, int] = (7, 4), page: Path = EXAMPLES / "chat" / "page.jsx"
) -> Path:
    """A page, built for a service's address; skips where its packages cannot be had.

    Args:
        versions: of `ai` and of `@ai-sdk/react`.
    """
    home = root / f"example-chat-{versions[0]}"
    if not (home / "node_modules").exists():
        shutil.copytree(EXAMPLES / "chat", home, dirs_exist_ok=True)
        package = orjson.loads((home / "package.json").read_bytes())
        package["dependencies"] |= {"ai": f"^{versions[0]}", "@ai-sdk/react": f"^{versions[1]}"}
        (home / "package.json").write_bytes(orjson.dumps(package))
        try:
            npm_install(home)
        except CannotBeHad as exc:
            pytest.skip(f"the page's packages cannot be had: {exc}")
    shutil.copy(page, home / "page.jsx")
    words = [str(node(root)), "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn"]
    subprocess.run(words, cwd=home, env=os.environ | {"VITE_FANLIGHT": service}, check=True, timeout=120)
    return home / "dist"


ASK = """(() => { const form = document.forms[0]; form.elements.video.value = %s; form.elements.question.value = %s;
  form.requestSubmit() })()"""
SEEN = """({ status: document.querySelector("output")?.textContent, alert: document.querySelector("[role=alert]")?.textContent ?? null,
  text: [...document.querySelectorAll("section.assistant:last-of-type p")].map((p) => p.textContent).join("|"),
  links: [...document.querySelectorAll("section.assistant:last-of-type a")].map((a) => a.href) })"""


async def ask(browser: Browser, question: str, video: str = "") -> None:
    await browser.run(ASK % (orjson.dumps(video).decode(), orjson.dumps(question).decode()))


async def until_seen(browser: Browser, **expected: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    try:
        async with asyncio.timeout(15):
            while not expected.items() <= (seen := await browser.run(SEEN)).items():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"{expected} was not seen, but {seen}")
    return seen


needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed; scripts/system-packages installs it"
)
VERSIONS = pytest.mark.parametrize("versions", [(6, 3), (7, 4)], ids=["v6", "v7"])


@needs_chromium
@VERSIONS
async def test_the_chat_resumes_goes_on_stops_and_shows_why_it_broke(serving: Serving, root: Path, versions):
    node_or_skip(root)
    gate, files = Gate(), {}
    plays = (
        Play([start(), text("At 00:12 a "), gate, text("dog."), end()]),
        DONE,
        Play([start(), text("b "), Hang()]),
        Play([start(), text("c "), Cut()]),
    )
    async with another_origin(files) as origin, serving(*plays, origins=[origin]) as service, Browser() as browser:
        files["at"] = await asyncio.to_thread(built, root, service.url, versions)
        await browser.go(origin + "/#one")
        await ask(browser, "what?", LINK)
        await until_seen(browser, text="At 00:12 a ", status="streaming")
        await browser.call("Page.reload")
        await until_seen(browser, text="At 00:12 a ", status="streaming")
        gate.open()
        seen = await until_seen(browser, text="At 00:12 a dog.", status="ready")
        assert seen["links"] == [f"{LINK}#t=12"]
        await ask(browser, "why?")
        await until_seen(browser, text="a dog", status="ready")
        prompt = orjson.loads(service.upstream.seen[1].body)["prompt"]
        assert prompt == "Conversation so far:\nUser: what?\nAssistant: At 00:12 a dog.\n\nwhy?"
        await ask(browser, "and then?")
        await until_seen(browser, text="b ", status="streaming")
        await browser.run("document.querySelector('form button').click()")
        await until_seen(browser, text="b ", status="ready", alert=None)
        assert service.hub.list("local")[0].run.ending.code == "cancelled"
        await ask(browser, "really?")
        seen = await until_seen(browser, status="error")
        assert "(upstream_broken)" in seen["alert"]
        assert len(service.upstream.seen) == 4


async def hooked(browser: Browser, hook: str, prompt: str, expected: list[Any]) -> None:
    """Ask by a hook, and wait until it shows what it should."""
    await browser.run(f"void window.ask({hook!r}, {prompt!r})")
    seen = None
    try:
        async with asyncio.timeout(15):
            while (seen := await browser.run(f"window.seen.{hook}")) != expected:
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"{hook}: {expected} was not seen, but {seen}")


@needs_chromium
@VERSIONS
async def test_completions_and_objects_are_shown_and_cuts_are_errors(serving: Serving, root: Path, versions):
    node_or_skip(root)
    files: dict[str, Path] = {}
    kind, broken = [start(), text('{"ki'), text('nd": "dog"}'), end()], [start(), text("a "), Cut()]
    plays = DONE, DONE, Play(kind), Play(broken), Play(broken), Play([start(), text('{"kind": "d'), Cut()])
    async with another_origin(files) as origin, serving(*plays, origins=[origin]) as service, Browser() as browser:
        page = Path(__file__).parent / "hooks.jsx"
        files["at"] = await asyncio.to_thread(built, root, service.url, versions, page)
        await browser.go(origin)
        await hooked(browser, "completion", "one", [False, "a dog", None])
        await hooked(browser, "bare", "two", [False, "a dog", None])
        await hooked(browser, "object", "three", [False, {"kind": "dog"}, None])
        sentence = "The transfer from the upstream broke. (upstream_broken)"
        await hooked(browser, "completion", "four", [False, "a ", sentence])
        await hooked(browser, "bare", "five", [False, "a ", "network error"])
        await hooked(browser, "object", "six", [False, {"kind": "d"}, "network error"])
