"""The command line, as a user runs it."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import orjson

from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Hang, Play, end, start, text

ROOT = Path(__file__).parent.parent.parent
ASSET = orjson.dumps({"_id": "a" * 24, "status": "ready"})
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def fanlight(*arguments: str, kill_when: bytes | None = None) -> tuple[int, str, str]:
    """Exit code, standard output and standard error; Ctrl-C is pressed once ``kill_when`` was printed."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("FANLIGHT_", "TWELVELABS_"))
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fanlight", *arguments, cwd=ROOT, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        # A suite that runs in the background has Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert child.stdout is not None
    begun = b""
    if kill_when is not None:
        begun = await asyncio.wait_for(child.stdout.readuntil(kill_when), 20)
        child.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(child.communicate(), 30)
    return child.returncode or 0, (begun + out).decode(), err.decode()


def answers(service: Service, analysis: Play) -> None:
    service.upstream.paths = {
        "/v1.3/assets": Play([ASSET], 201, {"Content-Type": "application/json"}),
        "/v1.3/analyze": analysis,
    }


async def test_analyze_uploads_a_file_and_prints_its_text_live(serving: Serving, tmp_path: Path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"\0" * 300_000)
    async with serving(Play([])) as service:
        answers(service, Play([start(), text("A car "), text("drives."), end()]))
        code, out, err = await fanlight("analyze", str(clip), "--prompt", "What?", "--url", service.url)
        assert (code, out) == (0, "A car drives.")
        assert "completed, 13 bytes, 3 tokens" in err
        uploaded, asked = service.upstream.seen
        assert len(uploaded.body) > 300_000
        assert orjson.loads(asked.body)["video"] == {"type": "asset_id", "asset_id": "a" * 24}


async def test_analyze_with_a_schema_prints_the_json_and_the_verdict(serving: Serving, tmp_path: Path):
    schema = tmp_path / "schema.json"
    schema.write_bytes(orjson.dumps(SCHEMA))
    for said, code, verdict in (('{"n": 3}', 0, "schema: valid"), ('{"m": 3}', 3, "schema: not valid")):
        async with serving(Play([])) as service:
            answers(service, Play([start(), text(said), end()]))
            found = await fanlight("analyze", "asset:" + "a" * 24, "--schema", str(schema), "--url", service.url)
            assert found[0] == code
            assert verdict in found[2]
            assert orjson.loads(found[1]) == ({"n": 3} if code == 0 else None)


async def test_a_broken_upstream_is_told_and_fails(serving: Serving):
    async with serving(Play([])) as service:
        answers(service, Play([start(), text("half"), Cut()]))
        code, out, err = await fanlight("analyze", "asset:x", "--url", service.url)
        assert (code, out) == (1, "half")
        assert "upstream_broken" in err


async def test_ctrl_c_cancels_the_analysis(serving: Serving):
    async with serving(Play([])) as service:
        answers(service, Play([start(), text("begun"), Hang()]))
        code, _, err = await fanlight("analyze", "asset:x", "--url", service.url, kill_when=b"begun")
        assert code == 130
        assert "Traceback" not in err
        (stream,) = service.hub.list("local")
        assert (await asyncio.wait_for(stream.run.ended(), 5)).code == "cancelled"


async def test_watch_reads_a_stream_from_its_beginning_in_any_view(serving: Serving):
    async with serving(Play([start(), text("abc"), end()])) as service:
        stream = await service.start()
        await service.show(stream, "?wait=5")
        assert (await fanlight("watch", stream, "--url", service.url))[:2] == (0, "abc")
        code, out, _ = await fanlight("watch", stream, "--view", "raw", "--url", service.url)
        assert code == 0
        assert [orjson.loads(line)["type"] for line in out.splitlines()] == ["event", "event", "event", "end"]


async def test_what_cannot_be_had_is_said_in_one_line(serving: Serving):
    async with serving(Play([])) as service:
        for arguments in (
            ["watch", "st_none", "--url", service.url],
            ["analyze", "no-such-file.mp4", "--url", service.url],
        ):
            code, out, err = await fanlight(*arguments)
            assert (code, out) == (1, "")
            assert err.startswith("fanlight: ")
            assert err.count("\n") == 1


async def test_why_an_asset_cannot_be_used_is_said(serving: Serving, tmp_path: Path):
    fault = {"code": "asset_unreadable", "message": "The file is no video."}
    asset = orjson.dumps({"_id": "a" * 24, "status": "failed", "error": fault})
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    async with serving(Play([])) as service:
        service.upstream.paths = {"/v1.3/assets": Play([asset], 201, {"Content-Type": "application/json"})}
        code, _, err = await fanlight("analyze", str(tmp_path / "clip.mp4"), "--url", service.url)
    assert code == 1
    assert "asset_unreadable" in err
    assert "The file is no video." in err


async def test_watch_says_that_nobody_listens_and_goes_on_trying():
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fanlight", "watch", "st_x", "--url", "http://127.0.0.1:9", cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stderr is not None
    for times in (1, 2):
        line = await asyncio.wait_for(child.stderr.readline(), 20)
        assert line == f"fanlight: no connection to http://127.0.0.1:9, trying again ({times})\n".encode()
    child.kill()
    await child.wait()


async def test_a_sample_is_rendered(tmp_path: Path):
    path = tmp_path / "sample.mp4"
    code, out, _ = await fanlight("sample", str(path))
    assert (code, out.strip()) == (0, str(path))
    assert path.read_bytes()[4:8] == b"ftyp"


async def test_the_settings_are_printed_with_secrets_masked():
    code, out, _ = await fanlight("config")
    shown = orjson.loads(out)
    assert code == 0
    assert (shown["port"], shown["upstream"], shown["upstream_key"]) == (8080, "embedded", None)
