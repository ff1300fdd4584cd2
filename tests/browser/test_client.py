"""The browser module, in a page of the service."""

import orjson
import pytest

from tests.fakes.browser import CHROMIUM, Browser
from tests.fakes.fault_proxy import FaultProxy
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Gate, Play, end, start, text

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed; scripts/system-packages installs it"
)

STORY = [f"[00:{n:02}] Szene {n} – 🎬 und weiter. " for n in range(40)]
CUES = '{"segments": [{"start": 0, "end": 2, "text": "A <b> & c"}, {"start": 2, "end": 4.5, "text": "Zweite"}]}'
SCHEMA = {"type": "json_schema", "json_schema": {"type": "object"}}

WATCH = """
(async () => {
  Math.random = () => 0;  // pauses between connections take no time in tests
  const { watch } = await import("/static/fanlight.js");
  let shown = "", kinds = [], tree = null, ending = null;
  for await (const message of watch(%s, %s)) {
    kinds.push(message.kind);
    if (message.kind === "delta") shown += message.text;
    if (message.kind === "reset") shown = "";
    if (message.kind === "patch") tree = message.tree;
    if (message.kind === "end") ending = message;
  }
  return { shown, kinds, tree, ending };
})()
"""


def watching(stream: str, **options) -> str:
    return WATCH % (orjson.dumps(stream).decode(), orjson.dumps({"attempts": 60, **options}).decode())


async def through_faults(browser: Browser, service: Service, seed: int, transport: str, pages: int) -> int:
    """Watch as many streams at once in one page, through one faulty network; return its cuts."""
    async with FaultProxy(int(service.url.rsplit(":", 1)[1]), seed, patience=4 * pages) as proxy:
        proxy.behave()
        await browser.go(proxy.url + "/")
        proxy.misbehave()  # also where the page left a connection open
        streams = [await service.start(prompt=f"{transport} {seed} {page}") for page in range(pages)]
        watchers = ",".join(watching(stream, transport=transport).strip() for stream in streams)
        for seen in await browser.run(f"Promise.all([{watchers}])"):
            assert seen["shown"] == "".join(STORY)
            assert seen["ending"]["status"] == "completed"
        return proxy.cuts


@pytest.mark.parametrize("transport", ["websocket", "events"])
async def test_a_page_is_exact_through_a_faulty_network(serving: Serving, transport: str):
    async with serving(Play([start(), *[text(part) for part in STORY], end()])) as service, Browser() as browser:
        assert sum([await through_faults(browser, service, seed, transport, 2) for seed in range(2)])


# A browser opens six connections to one server at most, sockets apart.
@pytest.mark.slow
@pytest.mark.parametrize(("transport", "rounds", "pages"), [("websocket", 40, 25), ("events", 200, 5)])
async def test_a_thousand_watchers_in_pages_are_exact_through_a_faulty_network(
    serving: Serving, transport: str, rounds: int, pages: int
):
    async with serving(Play([start(), *[text(part) for part in STORY], end()])) as service, Browser() as browser:
        cuts = [await through_faults(browser, service, seed, transport, pages) for seed in range(rounds)]
        assert sum(cuts) > rounds


async def test_a_page_falls_back_to_events_where_no_socket_gets_through(serving: Serving):
    async with serving(Play([start(), text("abc"), end()])) as service, Browser() as browser:
        await browser.go(service.url + "/")
        stream = await service.start()
        # As behind a proxy that knows no upgrade: every socket fails.
        await browser.run(
            "globalThis.WebSocket = class { constructor() { setTimeout(() => this.onclose({ code: 1006 })); } close() {} }"
        )
        seen = await browser.run(watching(stream))
        assert (seen["shown"], seen["kinds"][-1]) == ("abc", "end")


async def test_a_page_sees_a_broken_upstream_as_broken_and_a_restart_as_a_reset(serving: Serving):
    async with serving(Play([start(), text("a"), Cut()])) as service, Browser() as browser:
        await browser.go(service.url + "/")
        seen = await browser.run(watching(await service.start()))
        assert (seen["shown"], seen["ending"]["status"], seen["ending"]["error"]["code"]) == (
            "a",
            "failed",
            "upstream_broken",
        )


async def test_a_page_keeps_the_tree_of_a_growing_document(serving: Serving):
    pieces = [text(CUES[n : n + 7]) for n in range(0, len(CUES), 7)]
    async with serving(Play([start(), *pieces, end()])) as service, Browser() as browser:
        await browser.go(service.url + "/")
        seen = await browser.run(watching(await service.start(), view="patch"))
        assert seen["tree"] == orjson.loads(CUES)


async def test_a_violation_is_told_where_it_stands_in_the_shown_string(serving: Serving):
    said = '{"title": "🎬 Größe", "n": -1}'
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}}
    ask = {"response_format": {"type": "json_schema", "json_schema": schema}}
    async with serving(Play([start(), text(said[:14]), text(said[14:]), end()])) as service, Browser() as browser:
        await browser.go(service.url + "/")
        stream = await service.start(**ask)
        found = await browser.run(
            "(async () => { const { watch } = await import('/static/fanlight.js'); let shown = '', found = null;"
            f" for await (const m of watch('{stream}')) {{ if (m.kind === 'delta') shown += m.text;"
            " if (m.kind === 'violation') found = m; } return shown.slice(0, found.position); })()"
        )
        assert found == said[: said.index("-1") + 3]


async def test_captions_are_cues_of_a_text_track_and_safe_against_markup(serving: Serving):
    gate = Gate()
    half = CUES.index("Zweite") + 3
    async with (
        serving(Play([start(), text(CUES[:half]), gate, text(CUES[half:]), end()])) as service,
        Browser() as browser,
    ):
        await browser.go(service.url + "/")
        stream = await service.start(response_format=SCHEMA)
        await browser.run(
            "globalThis.done = import('/static/fanlight.js')"
            f".then((m) => m.attachCaptions(document.querySelector('video'), '{stream}')); 0"
        )
        cues = "[...document.querySelector('video').textTracks[0]?.cues ?? []].map((c) => [c.startTime, c.endTime, c.text])"
        while len(await browser.run(cues)) < 2:
            pass
        assert await browser.run(cues) == [[0, 2, "A &lt;b&gt; &amp; c"], [2, 4.5, "Zwe"]]
        gate.open()
        assert (await browser.run("globalThis.done"))["status"] == "completed"
        assert (await browser.run(cues))[1] == [2, 4.5, "Zweite"]
