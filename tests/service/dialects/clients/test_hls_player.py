"""The page in examples/hls, by the real hls.js in a real browser: captions that grow beside a video."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.measure.remux import piece, plan
from engine.sample import render
from tests.fakes.browser import CHROMIUM, Browser
from tests.fakes.pages import another_origin
from tests.fakes.service import Serving
from tests.fakes.upstream import Play
from tests.fakes.videos import VIDEO, video_upstream
from tests.service.dialects.clients.installed import CannotBeHad, npm_install

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; scripts/system-packages installs it"),
]
EXAMPLE = Path(__file__).parents[4] / "examples" / "hls"
SEEN = """(() => { const video = document.querySelector("video"), track = video.textTracks[0], text = (cue) => cue.text;
  return { mode: track?.mode, ready: video.readyState > 2, at: video.currentTime,
           all: [...track?.cues ?? []].map(text), shown: [...track?.activeCues ?? []].map(text) } })()"""


def page(root: Path) -> Path:
    """The example with its package; skips where that cannot be had."""
    home = root / "example-hls"
    if not (home / "node_modules").exists():
        shutil.copytree(EXAMPLE, home, dirs_exist_ok=True)
        try:
            npm_install(home, "hls.js@1")
        except CannotBeHad as exc:
            pytest.skip(f"hls.js cannot be had: {exc}")
    shutil.copy(EXAMPLE / "index.html", home)
    return home


def pieces(clip: Path) -> dict[str, bytes]:
    """The sample as the embedded engine streams it."""
    render(clip)
    places = plan(clip)
    last = len(places) - 1
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:8", "#EXT-X-PLAYLIST-TYPE:VOD"]
    files: dict[str, bytes] = {}
    for number, (begin, end) in enumerate(places):
        lines += [f"#EXTINF:{end - begin:.6f},", f"{number}.ts"]
        files[f"t/{number}.ts"] = piece(clip, begin if number else None, end if number < last else None)
    return files | {"t/index.m3u8": "\n".join([*lines, "#EXT-X-ENDLIST", ""]).encode()}


async def until_seen(browser: Browser, **expected: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    try:
        async with asyncio.timeout(20):
            while not expected.items() <= (seen := await browser.run(SEEN)).items():
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"{expected} was not seen, but {seen}")
    return seen


async def test_hls_js_shows_captions_as_they_come(serving: Serving, root: Path, tmp_path: Path):
    home = await asyncio.to_thread(page, root)
    async with video_upstream() as upstream, another_origin({"at": home}) as origin:
        upstream.files = await asyncio.to_thread(pieces, tmp_path / "sample.mp4")
        async with serving(Play([]), upstream_url=upstream.url, origins=[origin]) as service, Browser() as browser:
            stream = await service.start(video_id=VIDEO)
            await browser.go(f"{origin}/?fanlight={service.url}&stream={stream}")
            # Nothing is said yet, and the player waits for more.
            await until_seen(browser, mode="showing", ready=True, all=[])
            upstream.say("[00:01] A title.\n[00:02] A ball bounces.\n[00:04.4] A bar goes by.\n[00:06.4] The end.")
            upstream.say("\n[00:07] Black.")
            await until_seen(browser, all=["A title.", "A ball bounces.", "A bar goes by."])
            upstream.end()
            await until_seen(browser, all=["A title.", "A ball bounces.", "A bar goes by.", "The end.", "Black."])
            await browser.run('document.querySelector("video").currentTime = 2.5')
            seen = await until_seen(browser, shown=["A ball bounces."])
            assert seen["at"] == pytest.approx(2.5)
