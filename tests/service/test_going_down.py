"""The process: SIGTERM, logs, wrong settings. Draining is said, what runs may end, upstream calls are closed, and the process leaves in time."""

import asyncio
import hashlib
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest

from tests.fakes.upstream import Gate, Hang, Play, ScriptedServer, end, start, text

ROOT = Path(__file__).parent.parent.parent


@asynccontextmanager
async def process(upstream: ScriptedServer, *, logged: list[bytes] | None = None, **settings: str):
    """`python -m service` as a process of its own; gives it and its address, and in the end what it logged."""
    logged = [] if logged is None else logged
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("FANLIGHT_", "TWELVELABS_"))},
        "FANLIGHT_PORT": "0",
        "FANLIGHT_STORE": "memory",
        "FANLIGHT_UPSTREAM_URL": upstream.url,
        **{f"FANLIGHT_{name.upper()}": value for name, value in settings.items()},
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert child.stderr is not None
    try:
        line = {"event": ""}
        while line["event"] != "serving":  # what was left behind may be told of first
            line = orjson.loads(await asyncio.wait_for(child.stderr.readline(), 20))
        yield child, line["address"]
    finally:
        if child.returncode is None:
            child.kill()
        rest = await child.stderr.read()
        await child.wait()
        for word in (b"Traceback", b'"stack"'):
            assert word not in rest, rest.decode()
        logged.append(rest)


async def started(http: aiohttp.ClientSession, url: str, prompt: str = "p") -> str:
    async with http.post(url + "/v1/streams", json={"prompt": prompt}) as answer:
        return (await answer.json())["id"]


async def test_readers_are_told_and_closed_and_upstream_calls_are_ended():
    async with ScriptedServer(Play([start(), text("a"), Hang()])) as upstream:
        async with process(upstream, drain_s="1") as (child, url), aiohttp.ClientSession() as http:
            stream = await started(http, url)
            async with (
                http.ws_connect(f"{url}/v1/streams/{stream}/ws") as socket,
                http.ws_connect(f"{url}/v1/ws") as many,
                http.get(f"{url}/v1/streams/{stream}/ndjson") as lines,
            ):
                await many.send_str(orjson.dumps({"type": "subscribe", "stream": stream}).decode())
                await many.receive()
                while b'"to":1' not in await lines.content.readline():
                    pass
                child.send_signal(signal.SIGTERM)
                heard = [orjson.loads(message.data) async for message in socket]
                assert 100 <= heard[-1].pop("retry_after_ms") <= 1000
                assert heard[-1] == {"type": "draining", "stream": stream, "cursor": "1.1"}
                assert socket.close_code == 1001
                told = [orjson.loads(message.data) async for message in many]
                assert 100 <= told[-1].pop("retry_after_ms") <= 1000
                assert told[-1] == {"type": "draining", "cursors": {stream: "1.1"}}
                with pytest.raises(aiohttp.ClientPayloadError):
                    while line := await lines.content.readline():
                        assert orjson.loads(line)["type"] == "draining"
            assert await asyncio.wait_for(child.wait(), 5) == 0
        await asyncio.wait_for(upstream.idle.wait(), 1)


async def test_what_runs_may_end_within_the_grace_and_nothing_new_is_started():
    gate = Gate()
    async with ScriptedServer(Play([start(), text("a"), gate, end()])) as upstream:
        async with process(upstream, drain_s="20") as (child, url), aiohttp.ClientSession() as http:
            stream = await started(http, url)
            async with http.ws_connect(f"{url}/v1/streams/{stream}/ws") as socket:
                await gate.reached.wait()
                child.send_signal(signal.SIGTERM)
                message = orjson.loads((await socket.receive()).data)
                while message["type"] != "draining":
                    message = orjson.loads((await socket.receive()).data)
                async with http.get(url + "/readyz") as answer:
                    assert answer.status == 503
                async with http.post(url + "/v1/streams", json={"prompt": "new"}) as answer:
                    assert (answer.status, (await answer.json())["code"]) == (503, "draining")
                gate.open()
                assert orjson.loads((await socket.receive()).data)["status"] == "completed"
                assert (await socket.receive()).data == 1000
            assert await asyncio.wait_for(child.wait(), 5) == 0


async def test_a_second_signal_ends_at_once():
    async with ScriptedServer(Play([start(), Hang()])) as upstream:
        async with process(upstream, drain_s="60") as (child, url), aiohttp.ClientSession() as http:
            stream = await started(http, url)
            async with http.ws_connect(f"{url}/v1/streams/{stream}/ws") as socket:
                child.send_signal(signal.SIGINT)
                while orjson.loads((await socket.receive()).data)["type"] != "draining":
                    pass
                child.send_signal(signal.SIGINT)
                assert await asyncio.wait_for(child.wait(), 5) == 0


async def test_a_wrong_setting_is_said_in_one_line_without_its_value():
    async with ScriptedServer(Play([])) as upstream:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "service",
            cwd=ROOT,
            env={
                "FANLIGHT_IDLE_TIMEOUT_S": "soon-secret",
                "FANLIGHT_UPSTREAM_URL": upstream.url,
                "PATH": os.environ["PATH"],
            },
            stderr=asyncio.subprocess.PIPE,
        )
        _, told = await child.communicate()
        assert child.returncode == 2
        assert b"FANLIGHT_IDLE_TIMEOUT_S" in told
        assert b"secret" not in told


async def test_nothing_secret_is_logged_and_every_line_is_json():
    logged: list[bytes] = []
    keys = "anna:" + hashlib.sha256(b"CALLERKEY").hexdigest()
    headers = {"x-api-key": "CALLERKEY"}
    async with ScriptedServer(Play([start(), text("TRANSCRIPT"), end()])) as upstream:
        settings = {"log_level": "debug", "api_keys": keys, "upstream_key": "UPSTREAMKEY"}
        async with (
            process(upstream, logged=logged, **settings) as (child, url),
            aiohttp.ClientSession(headers=headers) as http,
        ):
            async with http.post(url + "/v1/streams?q=QUERY", json={"prompt": "PROMPT"}) as answer:
                stream = (await answer.json())["id"]
            for path in (f"/v1/streams/{stream}?wait=5", f"/v1/streams/{stream}/text?cursor=QUERY", "/v1.3/x?q=QUERY"):
                async with http.get(url + path) as answer:
                    await answer.read()
            async with http.post(url + "/v1.3/analyze", json={"prompt": "PROMPT"}) as answer:
                await answer.read()
            child.send_signal(signal.SIGTERM)
            await child.wait()
    lines = [orjson.loads(line) for line in logged[0].splitlines()]
    assert sum(line["event"] == "stream_ended" for line in lines) == 2
    for secret in (b"TRANSCRIPT", b"PROMPT", b"QUERY", b"UPSTREAMKEY", b"CALLERKEY"):
        assert secret not in logged[0]


async def test_sighup_reads_the_settings_anew_and_a_broken_file_changes_nothing(tmp_path: Path):
    path, logged = tmp_path / "fanlight.toml", list[bytes]()
    path.write_text("starts_per_minute = 1\n")
    async with ScriptedServer(Play([start(), text("a"), Hang()])) as upstream:
        async with (
            process(upstream, logged=logged, drain_s="1", config=str(path)) as (child, url),
            aiohttp.ClientSession() as http,
        ):
            stream = await started(http, url)
            assert child.stderr is not None
            for written, event in (
                ("starts_per_minute = [SECRET", "reload_refused"),
                ("log_level = 'debug'", "reloaded"),
            ):
                path.write_text(written + "\n")
                child.send_signal(signal.SIGHUP)
                line = {"event": ""}
                while line["event"] != event:
                    line = orjson.loads(await asyncio.wait_for(child.stderr.readline(), 10))
                assert "SECRET" not in str(line)
            assert line["changed"] == ["log_level", "starts_per_minute"]
            async with http.post(url + "/v1/streams", json={"prompt": "another"}) as answer:
                assert answer.status == 201
            async with http.get(f"{url}/v1/streams/{stream}") as answer:
                assert answer.status == 200
            child.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(child.wait(), 10) == 0
    assert b'"level":"debug"' in logged[0]


async def test_those_who_are_sent_away_are_told_to_come_back_at_different_times():
    async with ScriptedServer(Play([start(), text("a"), Hang()])) as upstream:
        async with (
            process(upstream, drain_s="1") as (child, url),
            aiohttp.ClientSession() as http,
            AsyncExitStack() as open_,
        ):
            stream = await started(http, url)
            sockets = [
                await open_.enter_async_context(http.ws_connect(f"{url}/v1/streams/{stream}/ws")) for _ in range(20)
            ]
            for socket in sockets:
                await socket.receive()
            child.send_signal(signal.SIGTERM)
            told = []
            for socket in sockets:
                messages = [orjson.loads(message.data) async for message in socket]
                told += [message["retry_after_ms"] for message in messages if message["type"] == "draining"]
            assert len(told) == 20
            assert len(set(told)) > 10
            assert all(100 <= pause <= 1000 for pause in told)


@pytest.mark.parametrize("second", ["http", "signal"])
async def test_a_drain_that_is_asked_for_over_http_leaves_the_grace_to_what_comes_behind_it(second: str):
    gate = Gate()
    async with ScriptedServer(Play([start(), text("a"), gate, text("b"), end()])) as upstream:
        async with process(upstream, drain_s="20") as (child, url), aiohttp.ClientSession() as http:
            stream = await started(http, url)
            async with http.ws_connect(f"{url}/v1/streams/{stream}/ws") as socket:
                for _ in range(2 if second == "http" else 1):
                    async with http.post(url + "/v1/admin/drain") as answer:
                        assert answer.status == 202
                if second == "signal":
                    child.send_signal(signal.SIGTERM)
                while orjson.loads((await socket.receive()).data)["type"] != "draining":
                    pass
                gate.open()
                heard = [orjson.loads(message.data) async for message in socket]
                assert heard[-1]["status"] == "completed"
            assert await asyncio.wait_for(child.wait(), 20) == 0


async def test_a_process_that_crashes_leaves_no_dump_of_what_it_held():
    async with ScriptedServer(Play([])) as upstream, process(upstream) as (child, _):
        limits = Path(f"/proc/{child.pid}/limits").read_text()
        (row,) = [line.split() for line in limits.splitlines() if line.startswith("Max core file size")]
        assert row[4:6] == ["0", "0"]
