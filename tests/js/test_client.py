"""The JavaScript client in Node, and as the package that a project installs."""

import asyncio
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import orjson
import pytest

from service.web.pages import STATIC
from tests.fakes.browser import CHROMIUM, Browser
from tests.fakes.fault_proxy import FaultProxy
from tests.fakes.pages import another_origin
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Gate, Play, end, start, text
from tests.service.dialects.clients.installed import CannotBeHad, node, npm_install

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PACKAGE = ROOT / "clients" / "js"
NODE = shutil.which("node")
STORY = [f"[00:{n:02}] Szene {n} – 🎬 und weiter. " for n in range(60)]
SHOTS = '{"shots": [{"start": 0, "end": 2, "text": "A car"}, {"start": 2, "end": 4.5, "text": "turns"}], "n": 2}'

needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed")


async def run(*words: str | Path, cwd: Path = ROOT) -> str:
    """What a program prints; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *map(str, words), cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(300):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (out + err).decode()[-3000:]
    return out.decode()


@needs_node
async def test_the_client_stops_at_once_and_tells_by_a_name_what_went_wrong():
    await run(NODE, "--test", HERE / "client.test.mjs")


@needs_node
@pytest.mark.parametrize("view", ["text", "raw", "json", "captions", "patch"])
async def test_a_reader_resumes_at_the_cursor_of_any_message(serving: Serving, view: str):
    pieces = [SHOTS[n : n + 7] for n in range(0, len(SHOTS), 7)]
    async with serving(Play([start(), *map(text, pieces), end()])) as service:
        stream = await service.start()
        await service.show(stream, "?wait=5")
        assert int(await run(NODE, HERE / "folding.mjs", "resume", service.url, stream, view)) > 1


async def through_faults(service: Service, seed: int, streams: list[str], binary: str | Path) -> int:
    async with FaultProxy(int(service.url.rsplit(":", 1)[1]), seed, patience=4 * len(streams)) as proxy:
        for line in (await run(binary, HERE / "folding.mjs", "watch", proxy.url, *streams)).splitlines():
            seen = orjson.loads(line)
            assert (seen["text"], seen["status"]) == ("".join(STORY), "completed")
        return proxy.cuts


@needs_node
async def test_readers_are_exact_through_a_faulty_network(serving: Serving):
    async with serving(Play([start(), *map(text, STORY), end()])) as service:
        streams = [await service.start(prompt=str(n)) for n in range(20)]
        assert await through_faults(service, 1, streams, NODE) > 20


@needs_node
@pytest.mark.slow
async def test_a_thousand_readers_are_exact_through_a_faulty_network(serving: Serving):
    async with serving(Play([start(), *map(text, STORY), end()])) as service:
        for seed in range(20):
            streams = [await service.start(prompt=f"{seed} {n}") for n in range(50)]
            assert await through_faults(service, seed, streams, NODE) > 50


# -- the package


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has installed what `npm pack` made."""
    home = tmp_path_factory.mktemp("project")
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    packed = subprocess.run(
        ["npm", "pack", "--json", "--pack-destination", str(home)], cwd=PACKAGE, capture_output=True, check=True
    )
    (home / "package.json").write_text('{"private": true, "type": "module"}')
    try:
        npm_install(home, str(home / orjson.loads(packed.stdout)[0]["filename"]))
    except CannotBeHad as why:
        pytest.skip(str(why))
    return home


TEN_LINES = """
import { start, watch } from "fanlight";
const base = process.argv[2];
const stream = await start({ prompt: "What?", video_id: "v" }, { base });
for await (const message of watch(stream, { base, view: "text" })) {
  if (message.kind === "delta") process.stdout.write(message.text);
  if (message.kind === "end") console.log(`\\n${message.status} ${message.cursor}`);
}
"""


@needs_node
async def test_a_project_installs_the_package_and_reads_a_stream_in_ten_lines(serving: Serving, project: Path):
    (project / "ask.js").write_text(TEN_LINES)
    async with serving(Play([start(), text("A dog "), text("barks."), end()])) as service:
        assert await run(NODE, "ask.js", service.url, cwd=project) == "A dog barks.\ncompleted 1.12\n"


@pytest.mark.slow
async def test_node_22_reads_over_its_own_socket(serving: Serving, project: Path, tmp_path: Path):
    try:
        newer = node(tmp_path)
    except CannotBeHad as why:
        pytest.skip(str(why))
    (project / "ask.js").write_text(TEN_LINES.replace('view: "text"', 'transport: "websocket"'))
    async with serving(Play([start(), text("A dog "), text("barks."), end()])) as service:
        assert await run(newer, "ask.js", service.url, cwd=project) == "A dog barks.\ncompleted 1.12\n"


TYPED = """
import { watch, type Message } from "fanlight";
import { useAnalysis, useCaptions } from "fanlight/react";
export async function text(stream: string): Promise<string> {
  let shown = "";
  for await (const message of watch(stream, { base: "http://a.example", view: "text" }))
    if (message.kind === "delta") shown += message.text;
    else if (message.kind === "end") { const code: string | undefined = message.error?.code; void code; }
  return shown;
}
export const cues = () => useCaptions("st_1").cues.map((cue) => cue.start + cue.text.length);
export const status = () => useAnalysis({}).status;
// @ts-expect-error: there is no such view
watch("st_1", { view: "texts" });
"""
STRICT = ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext"]
COMMENTS = ["--allowJs", "--checkJs", "--noImplicitAny", "false", "--declaration", "--emitDeclarationOnly"]


@needs_node
@pytest.mark.slow
async def test_the_types_are_those_of_the_comments_and_hold(project: Path, tmp_path: Path):
    shutil.copytree(PACKAGE, tmp_path / "js")
    for home in (project, tmp_path / "js"):
        npm_install(home, "typescript@5", "react@19", "@types/react@19")
    (project / "typed.mts").write_text(TYPED)
    await run(project / "node_modules" / ".bin" / "tsc", *STRICT, "typed.mts", cwd=project)
    sources = [
        "fanlight.js",
        "react.js",
        "elements.js",
        "--outDir",
        "made",
        "--strict",
        "--target",
        "es2022",
        "--module",
        "nodenext",
    ]
    await run(tmp_path / "js" / "node_modules" / ".bin" / "tsc", *COMMENTS, *sources, cwd=tmp_path / "js")
    for name in ("fanlight.d.ts", "react.d.ts", "elements.d.ts"):
        assert (tmp_path / "js" / "made" / name).read_text() == (PACKAGE / name).read_text(), (
            f"clients/js/{name} is old"
        )


def test_the_service_serves_the_package_s_file():
    assert STATIC["fanlight.js"].read_bytes() == (PACKAGE / "fanlight.js").read_bytes()


@pytest.mark.slow
async def test_an_installed_service_has_the_file_too(tmp_path: Path):
    await run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT)
    with zipfile.ZipFile(next(tmp_path.glob("fanlight-*.whl"))) as wheel:
        assert wheel.read("service/web/static/fanlight.js") == (PACKAGE / "fanlight.js").read_bytes()


# -- the hooks

PAGE = """
import { createElement as h, useState } from "react";
import { createRoot } from "react-dom/client";
import { useAnalysis, useCaptions } from "fanlight/react";

function Page() {
  const base = new URLSearchParams(location.search).get("base");
  const [stream, setStream] = useState(null);
  const asked = useAnalysis({ base });
  const heard = useCaptions(stream, { base });
  window.seen = {
    text: asked.text, status: asked.status, error: asked.error?.code ?? null, ended: asked.end?.status ?? null,
    cues: heard.cues.map((cue) => [cue.start, cue.text]), heard: heard.status,
  };
  Object.assign(window, { ask: asked.start, cancel: asked.cancel, listen: setStream });
  return h("output", null, asked.text);
}
createRoot(document.getElementById("page")).render(h(Page));
"""


@pytest.fixture(scope="module")
def built(project: Path) -> Path:
    """A page with both hooks, bundled for a browser."""
    try:
        npm_install(project, "react@19", "react-dom@19", "esbuild@0.25")
    except CannotBeHad as why:
        pytest.skip(str(why))
    (project / "page.js").write_text(PAGE)
    site = project / "site"
    bundle = ["page.js", "--bundle", "--format=esm", f"--outfile={site / 'page.js'}", "--log-level=error"]
    subprocess.run([str(project / "node_modules" / ".bin" / "esbuild"), *bundle], cwd=project, check=True)
    (site / "index.html").write_text('<div id="page"></div><script type="module" src="page.js"></script>')
    return site


async def seen(browser: Browser, condition: str) -> dict[str, object]:
    """What the page shows once a condition on ``seen`` holds."""
    async with asyncio.timeout(20):
        while not await browser.run(f"!!window.seen && ({condition})"):
            await asyncio.sleep(0.02)
    return await browser.run("window.seen")


@pytest.mark.slow
@needs_node
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; scripts/system-packages installs it")
async def test_the_hooks_show_text_and_captions_as_they_grow(serving: Serving, built: Path):
    gate, held = Gate(), Gate()
    plays = [
        Play([start(), text("A dog "), gate, text("barks."), end()]),
        Play([start(), text("half"), held, Cut()]),
        Play([start(), text(SHOTS), end()]),
    ]
    async with another_origin({"at": built}) as site, serving(*plays, origins=(site,)) as service, Browser() as browser:
        await browser.go(f"{site}/index.html?base={service.url}")
        await seen(browser, 'seen.status === "idle"')
        asking = '{prompt: "What?", video_id: "v"}'
        await browser.run(f"ask({asking})")
        assert (await seen(browser, 'seen.text === "A dog "'))["status"] == "running"
        gate.open()
        assert (await seen(browser, "seen.ended"))["text"] == "A dog barks."
        await browser.run('ask({prompt: "Cut", video_id: "v"})')
        await seen(browser, 'seen.text === "half"')
        held.open()
        assert (await seen(browser, "seen.ended"))["status"] == "failed"
        assert (await seen(browser, "true"))["heard"] == "idle"
        await browser.run(f"listen({orjson.dumps(await service.start(prompt='shots')).decode()})")
        assert (await seen(browser, 'seen.heard === "completed"'))["cues"] == [[0, "A car"], [2, "turns"]]
        await browser.run('listen("st_none")')
        await seen(browser, 'seen.heard === "error"')
        await browser.run("ask({prompt: 1})")
        assert (await seen(browser, "seen.error"))["error"] == "invalid_request"
