"""The command line, as a user runs it."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import orjson
import pytest

from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Gate, Hang, Play, end, start, text
from tests.fanlight.peer import Peer, attached, says
from tests.fanlight.peer import answers as http_answers
from tests.fanlight.peer import end as told_end

ROOT = Path(__file__).parent.parent.parent
ASSET = orjson.dumps({"_id": "a" * 24, "status": "ready"})
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def begun(*arguments: str | bytes, stdout: int = asyncio.subprocess.PIPE, **environment: str):
    """The command as a process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FANLIGHT_", "TWELVELABS_"))}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fanlight", *arguments, cwd=ROOT, env=clean | environment,
        stdout=stdout, stderr=asyncio.subprocess.PIPE,
        # A suite that runs in the background has Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


async def fanlight(
    *arguments: str | bytes, kill_when: bytes | None = None, encoding: str = "utf-8", **environment: str
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error; Ctrl-C is pressed once ``kill_when`` was printed."""
    child = await begun(*arguments, **environment)
    assert child.stdout is not None
    before = b""
    if kill_when is not None:
        before = await asyncio.wait_for(child.stdout.readuntil(kill_when), 20)
        child.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(child.communicate(), 30)
    return child.returncode or 0, (before + out).decode(encoding), err.decode(encoding)


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
    child = await begun("watch", "st_x", "--url", "http://127.0.0.1:9")
    assert child.stderr is not None
    for times in (1, 2):
        line = await asyncio.wait_for(child.stderr.readline(), 20)
        assert line == f"fanlight: no connection to http://127.0.0.1:9, trying again ({times})\n".encode()
    child.kill()
    await child.wait()


async def test_a_sample_is_written(tmp_path: Path):
    path = tmp_path / "sample.mp4"
    code, out, _ = await fanlight("sample", str(path))
    assert (code, out.strip()) == (0, str(path))
    assert path.read_bytes()[4:8] == b"ftyp"


async def test_the_settings_are_printed_with_secrets_masked():
    code, out, _ = await fanlight("config")
    shown = orjson.loads(out)
    assert code == 0
    assert (shown["port"], shown["upstream"], shown["upstream_key"]) == (8080, "embedded", None)


def said(err: str) -> None:
    """It is one line, and no traceback."""
    assert "Traceback" not in err
    assert err.startswith("fanlight: ")
    assert err.count("\n") == 1, err


async def test_watch_says_so_too_where_a_connection_hangs():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        # Once its queue is full the kernel drops what knocks.
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        child = await begun("watch", "st_x", "--url", url)
        line = await asyncio.wait_for(child.stderr.readline(), 8)  # the connection would fail after 10 s
        assert line == f"fanlight: no connection to {url}, trying again (1)\n".encode()
        child.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(child.communicate(), 20) == (b"", b"")
        assert child.returncode == 130
        for one in crowd:
            one.close()


@pytest.mark.parametrize(
    "url", ["nonsense", "", "ftp://host", "http://host?x", "http://host/#x", "http://[::1", "http://host:99999"]
)
async def test_an_address_that_is_none_is_said_in_one_line(url: str):
    for command in (["watch", "st_x"], ["analyze", "asset:x"]):
        code, out, err = await fanlight(*command, "--url", url)
        assert (code, out) == (2, "")
        said(err)


@pytest.mark.parametrize("what", ["no JSON", b"\xff\xfe", "a directory", "missing", "[" * 5000])
async def test_a_schema_that_is_none_is_said_in_one_line(tmp_path: Path, what: str | bytes):
    path = tmp_path / "schema.json"
    if what == "a directory":
        path.mkdir()
    elif what != "missing":
        path.write_bytes(what if isinstance(what, bytes) else what.encode())
    code, out, err = await fanlight("analyze", "asset:x", "--schema", str(path), "--url", "http://127.0.0.1:9")
    assert (code, out) == (2, "")
    said(err)


@pytest.mark.parametrize("what", ["a directory", "a pipe", "missing", "forbidden"])
async def test_a_video_that_is_no_file_is_said_in_one_line(tmp_path: Path, what: str):
    path = tmp_path / "clip.mp4"
    if what == "a directory":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "forbidden":
        path.touch(mode=0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
    code, out, err = await fanlight("analyze", str(path), "--url", "http://127.0.0.1:9")
    assert (code, out) == (1, "")
    said(err)


@pytest.mark.parametrize("name", [b'\xff\n".mp4', "naïve – 🎬.mp4".encode()])
@pytest.mark.parametrize("size", [0, 9])
async def test_a_file_of_any_name_is_uploaded_also_an_empty_one(
    serving: Serving, tmp_path: Path, name: bytes, size: int
):
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "wb") as file:
        file.write(b"v" * size)
    async with serving(Play([])) as service:
        answers(service, Play([start(), text("a"), end()]))
        code, out, err = await fanlight("analyze", path, "--url", service.url, PYTHONIOENCODING="ascii")
        assert (code, out) == (0, "a"), err
        assert b"v" * size in service.upstream.seen[0].body


@pytest.mark.parametrize("argument", [b"http://h/\xff.mp4", b"asset:\xff"])
async def test_arguments_that_are_no_text_cause_no_traceback(serving: Serving, argument: bytes):
    async with serving(Play([])) as service:
        answers(service, Play([start(), text("a"), end()]))
        _, _, err = await fanlight("analyze", argument, "--prompt", b"\xff", "--url", service.url)
        assert "Traceback" not in err
        code, _, err = await fanlight("watch", argument, "--url", service.url)
        assert code == 1
        said(err)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
async def test_what_the_terminal_has_no_characters_for_is_written_as_json_does(serving: Serving, encoding: str):
    story = '{"a": "é 🎬", "n": 123456789012345678901234567890}'
    async with serving(Play([start(), text(story), end()])) as service:
        stream = await service.start()
        await service.show(stream, "?wait=5")
        for view in ("text", "json", "patch", "raw", "end"):
            code, out, err = await fanlight(
                "watch", stream, "--view", view, "--url", service.url, PYTHONIOENCODING=encoding, encoding=encoding
            )
            assert code == 0, err
            lines = [orjson.loads(line) for line in out.splitlines()]
            if view == "text":
                assert lines == [orjson.loads(story)]
        assert (await fanlight("--help", PYTHONIOENCODING=encoding, encoding=encoding))[0] == 0


async def test_a_reader_that_leaves_ends_it_quietly_and_its_analysis(serving: Serving):
    gate = Gate()
    async with serving(Play([])) as service:
        answers(service, Play([start(), text("one\n"), gate, *[text(f"{n}\n") for n in range(9)], Hang()]))
        near, far = os.pipe()
        child = await begun("analyze", "asset:x", "--url", service.url, stdout=far)
        os.close(far)
        assert await asyncio.to_thread(os.read, near, 100) == b"one\n"
        os.close(near)
        gate.open()
        _, err = await asyncio.wait_for(child.communicate(), 30)
        assert child.returncode == 141
        assert err.decode().startswith("stream st_")
        assert err.count(b"\n") == 1
        (stream,) = service.hub.list("local")
        assert (await asyncio.wait_for(stream.run.ended(), 5)).code == "cancelled"


async def test_what_nobody_reads_ends_it_quietly_also_where_it_waits_to_be_written():
    near, far = os.pipe()
    os.close(near)
    child = await begun("config", stdout=far)
    os.close(far)
    _, err = await asyncio.wait_for(child.communicate(), 30)
    assert (child.returncode, err) == (141, b"")


async def test_a_full_disk_is_said_in_one_line():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "wb") as full:
        child = await begun("config", stdout=full.fileno())
        _, err = await asyncio.wait_for(child.communicate(), 30)
    assert child.returncode == 1
    said(err.decode())


STRANGE = [b"<html>", b"", b"[]", b"7", b"{}", b'{"_id": "a1"}', b'{"_id": 7, "status": [], "id": {}}', b"\xff"]


@pytest.mark.parametrize("body", STRANGE)
async def test_an_answer_of_something_else_is_said_in_one_line(tmp_path: Path, body: bytes):
    (tmp_path / "clip.mp4").write_bytes(b"video")
    async with Peer(http_answers(200, body)) as peer:
        for video in (str(tmp_path / "clip.mp4"), "http://example.org/clip.mp4", "asset:x"):
            code, out, err = await fanlight("analyze", video, "--url", peer.url)
            assert (code, out) == (1, "")
            said(err)


VALID = {"valid": True, "errors": []}


@pytest.mark.parametrize("resource", [b"<html>", b"[]", b"{}"])
async def test_a_resource_of_something_else_is_said_in_one_line(resource: bytes):
    told = says(attached("{}"), told_end("{}", validation=VALID))
    async with Peer(told, http_answers(200, resource)) as peer:
        code, out, err = await fanlight("watch", "st_x", "--url", peer.url)
        assert (code, out) == (1, "{}")
        said(err)


@pytest.mark.parametrize("said_end", [
    {"validation": {}}, {"validation": {"valid": 1, "errors": []}}, {"validation": {"valid": False, "errors": [1]}},
    {"usage": []}, {"error": {}}, {"error": "x"}, {"to": "2"}, {"status": None},
])  # fmt: skip
async def test_an_ending_of_something_else_is_said_in_one_line(said_end: dict):
    async with Peer(says(attached("{}"), told_end("{}") | said_end)) as peer:
        code, out, err = await fanlight("watch", "st_x", "--url", peer.url)
        assert (code, out) == (1, "{}")
        said(err)


@pytest.mark.parametrize("where", ["a directory", "nowhere", b"\xff.mp4"])
async def test_a_sample_that_cannot_be_rendered_is_said_in_one_line(tmp_path: Path, where: str | bytes):
    if isinstance(where, bytes):
        path = os.path.join(os.fsencode(tmp_path), where)
        assert (await fanlight("sample", path, PYTHONIOENCODING="ascii"))[0] == 0
        assert os.path.getsize(path)
        return
    path = tmp_path if where == "a directory" else tmp_path / "none" / "sample.mp4"
    code, out, err = await fanlight("sample", str(path))
    assert (code, out) == (1, "")
    said(err)


@pytest.mark.parametrize("command", ["config", "serve"])
@pytest.mark.parametrize("what", ["no TOML", b"\xff", "a directory", "missing"])
async def test_settings_that_are_none_are_said_in_one_line(tmp_path: Path, command: str, what: str | bytes):
    path = tmp_path / "fanlight.toml"
    if what == "a directory":
        path.mkdir()
    elif what != "missing":
        path.write_bytes(what if isinstance(what, bytes) else what.encode())
    code, out, err = await fanlight(command, FANLIGHT_CONFIG=str(path))
    assert (code, out) == (2, "")
    said(err)


async def test_a_port_that_is_taken_is_said_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        code, _, err = await fanlight("serve", FANLIGHT_PORT=port, FANLIGHT_STORE="memory", FANLIGHT_UPSTREAM_URL="http://127.0.0.1:9/v1.3")  # fmt: skip
    assert code == 1
    assert "Traceback" not in err


async def test_a_setting_of_any_bytes_is_printed():
    code, out, _ = await fanlight("config", FANLIGHT_DATA_DIR=os.fsdecode(b"/tmp/\xff"))
    assert code == 0
    assert "/tmp/" in out
