"""What was shown is kept: over restarts, kills and a store that fails."""

import asyncio
import hashlib
import os
import random
import signal
import sqlite3
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest

from protocol.errors import Refusal
from protocol.wire.options import parse_options
from service.hub.clocks import ClockLimits
from service.hub.hub import NATIVE, Hub, HubLimits
from service.hub.pump import PumpLimits
from service.hub.requests import ask
from service.hub.streams import Limits
from service.store import journal
from service.store.contract import Begun, Grown
from service.store.memory import MemoryStore
from service.web import keys
from tests.fakes.faulty_store import FaultyStore
from tests.fakes.service import Serving
from tests.fakes.upstream import Gate, Hang, Play, ScriptedServer, ScriptedUpstream, end, start, text
from tests.fakes.waiting import until
from tests.service.test_going_down import process

SCHEMA = {"type": "array", "items": {"type": "object", "required": ["start", "text"]}}
WHOLE = '[{"start": 0, "text": "Größe"}, {"start": 2.5, "text": "a😀b"}]'
ASK = {"response_format": {"type": "json_schema", "json_schema": SCHEMA}}
VIEWS = ("text", "raw", "json", "patch", "captions", "end")


def pieces(whole: str, size: int = 5) -> list[bytes]:
    return [text(whole[n : n + size]) for n in range(0, len(whole), size)]


async def test_an_ended_stream_is_as_it_was_after_a_restart(serving: Serving, tmp_path: Path):
    store = f"sqlite:{tmp_path}/streams.db"
    play = Play(
        [start(), *pieces(WHOLE), text("\ud83d".encode("utf-8", "surrogatepass").decode("utf-8", "ignore")), end()]
    )
    async with serving(play, store=store, node="one") as service:
        stream = await service.start(**ASK, fanlight={"channel": "wall"})
        before = await service.show(stream, "?wait=5")
        told = {view: await service.read(stream, f"?view={view}") for view in VIEWS}
        assert before["durable"] is True
        assert before["node"] == "one"
        async with service.http.get(f"{service.url}/v1/streams/{stream}/captions.vtt") as answer:
            captions, tag = await answer.text(), answer.headers["ETag"]
    async with serving(play, store=store, node="two") as service:
        async with service.http.get(f"{service.url}/v1/streams") as answer:
            (row,) = (await answer.json())["streams"]
        assert row == {key: before[key] for key in row}
        assert {view: await service.read(stream, f"?view={view}") for view in VIEWS} == told
        assert await service.show(stream) == before
        async with service.http.get(f"{service.url}/v1/streams/{stream}/captions.vtt") as answer:
            assert (await answer.text(), answer.headers["ETag"]) == (captions, tag)
        again = await service.start(**ASK, fanlight={"join": "replay"})
        assert again == stream
        assert service.upstream.seen == []
        messages, code = await service.watch(stream, "?pace=1000")
        assert (messages[-1]["sha256"], code) == (before["sha256"], 1000)


async def test_the_file_is_its_owners_alone(serving: Serving, tmp_path: Path):
    async with serving(Play([start(), text("a"), end()]), store=f"sqlite:{tmp_path}/streams.db") as service:
        await service.show(await service.start(), "?wait=5")
        assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {"0o600"}


async def test_the_figures_tell_of_the_store(serving: Serving, tmp_path: Path):
    async with serving(Play([start(), text("a"), end()]), store=f"sqlite:{tmp_path}/streams.db") as service:
        await service.show(await service.start(), "?wait=5")
        async with service.http.get(service.url + "/metrics") as answer:
            figures = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if line[0] != "#")
        assert figures["fanlight_store_up"] == "1.0"
        assert float(figures["fanlight_store_commits_total"]) >= 2
        assert float(figures["fanlight_store_commit_seconds_sum"]) > 0
        assert figures["fanlight_store_backlog_bytes"] == "0.0"


async def test_a_callers_own_key_is_not_kept(serving: Serving, tmp_path: Path):
    path = tmp_path / "streams.db"
    async with serving(Play([start(), Hang()]), store=f"sqlite:{path}", forward_keys=True) as service:
        body, headers = {"prompt": "p", "fanlight": {"restart": 1}}, {"x-api-key": "callers-own-key"}
        async with service.http.post(service.url + "/v1/streams", json=body, headers=headers) as answer:
            assert answer.status == 201
        assert not [name for name in tmp_path.iterdir() if b"callers-own-key" in name.read_bytes()]


async def test_a_socket_for_many_has_a_kept_stream_loaded_when_it_subscribes(serving: Serving, tmp_path: Path):
    store = f"sqlite:{tmp_path}/streams.db"
    async with serving(Play([start(), text("hello"), end()]), store=store) as service:
        stream = await service.start()
        await service.show(stream, "?wait=5")
    async with serving(Play([]), store=store) as service, service.http.ws_connect(service.url + "/v1/ws") as socket:
        for message in (
            {"type": "subscribe", "stream": stream, "ref": 1},
            {"type": "subscribe", "stream": "st_unknown", "ref": 2},
            {"type": "cancel", "stream": stream},
            {"type": "ping", "ref": 3},
        ):
            await socket.send_json(message)
        heard = [await socket.receive_json(timeout=5) for _ in range(4)]
        assert [(m["type"], m.get("ref")) for m in heard] == [("attached", 1), ("end", None), ("error", 2), ("pong", 3)]
        assert heard[0]["text"] == "hello"


async def test_a_kept_stream_for_which_memory_has_no_room_is_shown_all_the_same(serving: Serving, tmp_path: Path):
    store, whole = f"sqlite:{tmp_path}/streams.db", "x" * 40_000
    async with serving(Play([start(), text(whole), end()]), store=store) as service:
        stream = await service.start()
        await service.show(stream, "?wait=5")
    async with serving(Play([]), store=store, max_kept_bytes=1) as service:
        async with service.http.ws_connect(service.url + "/v1/ws") as socket:
            for view in ("text", "json"):
                await socket.send_json({"type": "subscribe", "stream": stream, "view": view})
                heard = [await socket.receive_json(timeout=5) for _ in range(2)]
                assert [message["type"] for message in heard] == ["attached", "end"]


async def test_a_socket_is_told_what_failed_when_a_kept_stream_cannot_be_loaded(serving: Serving, tmp_path: Path):
    async with serving(Play([]), store=f"sqlite:{tmp_path}/streams.db") as service:

        async def fails(*_: object) -> None:
            raise RuntimeError("scripted")

        service.hub._shelf.ended = fails
        async with service.http.ws_connect(service.url + "/v1/ws") as socket:
            await socket.send_json({"type": "subscribe", "stream": "st_any", "ref": 1})
            await socket.send_json({"type": "ping", "ref": 2})
            heard = [await socket.receive_json(timeout=5) for _ in range(2)]
            assert [(m["type"], m["ref"], m.get("code")) for m in heard] == [
                ("error", 1, "internal"),
                ("pong", 2, None),
            ]


async def test_behind_a_close_frame_nothing_is_said_of_a_stream_that_was_being_loaded(serving: Serving, tmp_path: Path):
    store = f"sqlite:{tmp_path}/streams.db"
    async with serving(Play([start(), text("hello"), end()]), store=store) as service:
        stream = await service.start()
        await service.show(stream, "?wait=5")
    async with (
        serving(Play([]), store=store) as service,
        service.http.ws_connect(service.url + "/v1/ws", autoclose=False) as socket,
    ):
        reached, opened, ended = asyncio.Event(), asyncio.Event(), service.hub._shelf.ended

        async def waits(*arguments: object) -> object:
            reached.set()
            await opened.wait()
            return await ended(*arguments)

        service.hub._shelf.ended = waits
        await socket.send_json({"type": "subscribe", "stream": stream})
        await reached.wait()
        (connection,) = service.app[keys.CONNECTIONS].open()
        connection.close_with(1001, "draining")
        said = []
        connection.write = said.append
        opened.set()
        await until(lambda: service.hub.find("default", stream) or service.hub._ended)
        await until(lambda: not connection.held)
        assert (said, connection.subscribers) == ([], {})


async def test_an_idempotency_key_that_is_no_utf_8_is_refused(serving: Serving, tmp_path: Path):
    async with serving(Play([]), store=f"sqlite:{tmp_path}/streams.db") as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        head = (
            b"POST /v1/streams HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nIdempotency-Key: \xff\r\n"
            b"Content-Type: application/json\r\nContent-Length: 14\r\n\r\n"
        )
        writer.write(head + b'{"prompt":"p"}')
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 400 ")


async def test_a_start_over_a_socket_is_led_to_what_was_kept(serving: Serving, tmp_path: Path):
    store, ids = f"sqlite:{tmp_path}/streams.db", []
    for attempt in range(2):
        async with serving(Play([start(), text("a"), end()]), store=store) as service:
            async with service.http.ws_connect(service.url + "/v1/ws") as socket:
                for prompt, more in (("p", {"idempotency_key": "k"}), ("q", {})):
                    request = {"prompt": prompt, "fanlight": {"join": "replay" if prompt == "q" else "never"}}
                    await socket.send_json({"type": "start", "request": request, **more})
                    heard = await socket.receive_json(timeout=5)
                    assert heard["type"] == "attached"
                    ids.append(heard["stream"])
                    while heard["type"] != "end":
                        heard = await socket.receive_json(timeout=5)
            assert len(service.upstream.seen) == (2 if attempt == 0 else 0)
    assert ids[:2] == ids[2:]


async def test_an_idempotency_key_leads_to_its_stream_after_a_restart(serving: Serving, tmp_path: Path):
    store, headers = f"sqlite:{tmp_path}/streams.db", {"Idempotency-Key": "k"}
    for attempt in range(3):
        async with serving(Play([start(), text("a"), end()]), store=store) as service:
            url = service.url + "/v1/streams"
            async with service.http.post(url, json={"prompt": "p"}, headers=headers) as answer:
                told = await answer.json()
                assert answer.status == (201 if attempt == 0 else 200)
            await service.show(told["id"], "?wait=5")
            first = told["id"] if attempt == 0 else first  # noqa: F821
            assert told["id"] == first
            async with service.http.post(url, json={"prompt": "other"}, headers=headers) as answer:
                assert answer.status == 409


async def test_what_is_another_tenants_or_expired_is_not_found_after_a_restart(serving: Serving, tmp_path: Path):
    store = f"sqlite:{tmp_path}/streams.db"
    known = {hashlib.sha256(name.encode()).hexdigest(): name for name in ("anna", "bert")}
    ids = {}
    async with serving(Play([start(), text("a"), end()]), store=store, api_keys=known) as service:
        for ttl_s in (60, 0.001):
            body = {"prompt": str(ttl_s), "fanlight": {"ttl_s": ttl_s}}
            async with service.http.post(
                service.url + "/v1/streams", json=body, headers={"x-api-key": "anna"}
            ) as answer:
                ids[ttl_s] = (await answer.json())["id"]
        await until(lambda: not service.hub.running)
    async with serving(Play([]), store=store, api_keys=known) as service:
        for ttl_s, name, status in ((60, "anna", 200), (60, "bert", 404), (0.001, "anna", 404)):
            url = f"{service.url}/v1/streams/{ids[ttl_s]}"
            async with service.http.get(url, headers={"x-api-key": name}) as answer:
                assert answer.status == status


async def test_a_text_that_is_not_its_endings_is_never_shown(serving: Serving, tmp_path: Path):
    path = tmp_path / "streams.db"
    async with serving(Play([start(), text("right"), end()]), store=f"sqlite:{path}") as service:
        stream = await service.start()
        await service.show(stream, "?wait=5")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE blocks SET data = CAST(replace(data, 'right', 'wrong') AS BLOB)")
    connection.close()
    async with serving(Play([]), store=f"sqlite:{path}") as service:
        async with service.http.get(f"{service.url}/v1/streams/{stream}") as answer:
            assert answer.status == 404


# -- kills


async def resumed(http: aiohttp.ClientSession, url: str, stream: str, shown: str, kind: str) -> tuple[str, dict | None]:
    """Read on from what was shown; the text and the ending."""
    cursor = f"?cursor=1.{len(shown.encode())}" if shown else ""
    async with http.get(f"{url}/v1/streams/{stream}/{kind}{cursor}") as answer:
        async for line in answer.content:
            line = line.removeprefix(b"data: ").strip()
            if not line.startswith(b"{"):
                continue
            message = orjson.loads(line)
            if message["type"] == "attached" and message["mode"] == "snapshot":
                shown = ""
            if message["type"] == "reset":
                shown = ""
            if message["type"] in ("attached", "delta"):
                assert message["from"] == len(shown.encode())
                shown += message["text"]
            if message["type"] == "end":
                return shown, message
    return shown, None


async def killed_once(tmp_path: Path, seed: int, restart: int) -> None:
    """One kill at a random moment, with readers that resume: nobody loses a byte of what it was shown."""
    choice = random.Random(seed)
    words = [f"w{n} " for n in range(200)]
    gate = Gate()
    script = [start(), *(text(word) for word in words[:100]), gate, *(text(word) for word in words[100:]), end()]
    again = [start(), *(text(word) for word in words), end()]
    settings = {"store": f"sqlite:{tmp_path}/{seed}.db", "drain_s": "1"}
    async with ScriptedServer(Play(script), Play(again)) as upstream, aiohttp.ClientSession() as http:
        async with process(upstream, **settings) as (child, url):
            async with http.post(url + "/v1/streams", json={"prompt": "p", "fanlight": {"restart": restart}}) as answer:
                stream = (await answer.json())["id"]
            shown = ["", "", ""]

            async def reads(n: int) -> None:
                with pytest.raises(aiohttp.ClientError):
                    async with http.get(f"{url}/v1/streams/{stream}/text") as answer:
                        while data := await answer.content.readany():
                            shown[n] += data.decode()

            readers = [asyncio.create_task(reads(n)) for n in range(3)]
            if choice.random() < 0.5:
                await until(lambda: all(len(text_) > choice.randint(0, 200) for text_ in shown))
            child.send_signal(signal.SIGKILL)
            await child.wait()
            await asyncio.gather(*readers)
        gate.open()
        whole = "".join(words)
        async with process(upstream, **settings) as (child, url):
            found = await asyncio.gather(*(resumed(http, url, stream, text_, "ndjson") for text_ in shown))
            for before, (after, ending) in zip(shown, found, strict=True):
                assert ending is not None
                assert after.startswith(before)
                assert ending["sha256"] == hashlib.sha256(after.encode()).hexdigest()
                if restart:
                    assert (ending["status"], after) == ("completed", whole)
                else:
                    assert (ending["status"], ending["error"]["code"]) == ("failed", "interrupted")
                    assert whole.startswith(after)
            assert len({after for after, _ in found}) == 1
            async with http.get(url + "/readyz") as answer:
                assert (await answer.json())["running"] == 0


@pytest.mark.parametrize("restart", [0, 1])
async def test_a_kill_costs_no_reader_a_byte_of_what_it_was_shown(tmp_path: Path, restart: int):
    for seed in range(2):
        await killed_once(tmp_path, seed, restart)


@pytest.mark.slow
@pytest.mark.parametrize("restart", [0, 1])
async def test_fifty_kills_cost_no_reader_a_byte_of_what_it_was_shown(tmp_path: Path, restart: int):
    for seed in range(50):
        await killed_once(tmp_path, seed, restart)


async def test_a_second_process_on_the_same_file_is_refused_in_words(tmp_path: Path):
    async with ScriptedServer(Play([])) as upstream:
        async with process(upstream, store=f"sqlite:{tmp_path}/streams.db"):
            other = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "service",
                env={**os.environ, "FANLIGHT_PORT": "0", "FANLIGHT_STORE": f"sqlite:{tmp_path}/streams.db"},
                stderr=asyncio.subprocess.PIPE,
            )
            _, said = await asyncio.wait_for(other.communicate(), 20)
            assert other.returncode == 2
            assert b"held by process" in said.splitlines()[-1]


# -- a store that fails


LIMITS = HubLimits(Limits(1 << 20), PumpLimits(ClockLimits(5, 5, 30), 1 << 20))


@asynccontextmanager
async def hub_on(store: FaultyStore, *plays: Play):
    async with Hub(ScriptedUpstream(*plays), LIMITS, store=store) as hub:
        yield hub


def begin(hub: Hub, prompt: str = "p"):
    return hub.start("t", ask({"prompt": prompt}, parse_options(None)), NATIVE).stream


async def test_what_is_called_again_waits_for_an_upstream_that_starts_with_its_process(tmp_path: Path):
    store = FaultyStore(MemoryStore())
    async with hub_on(store, Play([start(), text("a"), Hang()])) as hub:
        stream = hub.start("t", ask({"prompt": "p"}, parse_options({"restart": 1})), NATIVE).stream
        await until(lambda: stream.run.log.size == 1)
        kept, blocks = await store.find(stream.id), await store.blocks(stream.id)
    left = FaultyStore(MemoryStore())
    begun = Begun(stream.id, "t", kept.created, kept.meta, kept.body)
    await left.commit([begun, *(Grown(stream.id, block) for block in blocks)])
    upstream, ready = ScriptedUpstream(Play([start(), text("a"), text("b"), end()])), asyncio.Event()
    async with Hub(upstream, LIMITS, store=left, upstream_ready=ready.is_set) as hub:
        again = await hub.fetch("t", stream.id)
        for _ in range(20):
            await asyncio.sleep(0)
        assert upstream.calls == []
        ready.set()
        ending = await again.run.ended()
        assert (ending.status, again.run.log.encoded()) == ("completed", b"ab")


async def test_a_start_over_a_socket_is_told_when_its_beginning_is_kept(serving: Serving, tmp_path: Path):
    path = tmp_path / "streams.db"
    async with serving(Play([start(), Hang()]), store=f"sqlite:{path}") as service:
        async with service.http.ws_connect(service.url + "/v1/ws") as socket:
            await socket.send_json({"type": "start", "request": {"prompt": "p"}, "ref": 1})
            told = await socket.receive_json(timeout=5)
            with sqlite3.connect(path) as connection:
                (known,) = connection.execute("SELECT id FROM streams").fetchone()
            connection.close()
            assert (told["type"], told["ref"], told["stream"]) == ("attached", 1, known)


async def test_nothing_is_shown_before_it_is_kept():
    store = FaultyStore(MemoryStore())
    store.gate.clear()
    async with hub_on(store, Play([start(), text("a"), end()])) as hub:
        stream = begin(hub)
        for _ in range(50):
            await asyncio.sleep(0)
        assert (stream.run.log.count, stream.run.ending) == (0, None)
        store.gate.set()
        assert (await stream.run.ended()).to == 1
        assert hub.journal.is_kept(stream.id)


@pytest.mark.parametrize("fault", ["fails", "lies"])
async def test_a_store_that_fails_stops_new_starts_and_not_the_show(fault: str):
    kept = MemoryStore()
    store = FaultyStore(kept)
    gate, second = Gate(), Gate()
    async with hub_on(store, Play([start(), text("a"), gate, text("b"), second, text("c"), end()])) as hub:
        hub.journal._retry_s = 0.01
        stream = begin(hub)
        await until(lambda: stream.run.log.size == 1)
        setattr(store, fault, True)
        gate.open()
        await until(lambda: stream.run.log.size == 2)
        assert not hub.journal.is_kept(stream.id)
        with pytest.raises(Refusal, match="cannot be kept"):
            begin(hub, "another")
        setattr(store, fault, False)
        await until(lambda: hub.journal.up)
        assert hub.journal.is_kept(stream.id)
        second.open()
        ending = await stream.run.ended()
        assert (ending.to, ending.status) == (3, "completed")
        found = await kept.find(stream.id)
        assert orjson.loads(found.ending)["sha256"] == ending.sha256
        lines = b"".join(await kept.blocks(stream.id)).splitlines()
        told = [event for line in lines for event in orjson.loads(line)[1]]
        assert [event for event in told if isinstance(event, str)] == ["a", "b", "c"]
        assert begin(hub, "another") is not None


async def test_what_ended_while_the_store_failed_is_kept_when_it_is_back():
    kept = MemoryStore()
    store = FaultyStore(kept)
    async with hub_on(store, Play([start(), text("a"), gate := Gate(), end()])) as hub:
        hub.journal._retry_s = 0.01
        stream = begin(hub)
        await until(lambda: stream.run.log.size == 1)
        store.fails = True
        gate.open()
        ending = await stream.run.ended()
        store.fails = False
        await until(lambda: hub.journal.is_kept(stream.id))
        found = await kept.find(stream.id)
        assert orjson.loads(found.ending)["sha256"] == ending.sha256


async def test_a_store_that_hangs_does_not_make_the_show_wait_for_each_try(monkeypatch: pytest.MonkeyPatch):
    store = FaultyStore(kept := MemoryStore())
    gate = Gate()
    async with hub_on(store, Play([start(), text("a"), gate, text("b"), end()])) as hub:
        hub.journal._retry_s = 0.01
        stream = begin(hub)
        await until(lambda: stream.run.log.size == 1)
        monkeypatch.setattr(journal, "COMMIT_S", 0.02)
        store.gate.clear()
        gate.open()
        await until(lambda: not hub.journal.up)
        monkeypatch.setattr(journal, "COMMIT_S", 60.0)
        await until(lambda: stream.run.log.size == 2, patience_s=5)
        ending = await asyncio.wait_for(stream.run.ended(), 5)
        store.gate.set()
        await until(lambda: hub.journal.is_kept(stream.id))
        assert orjson.loads((await kept.find(stream.id)).ending)["sha256"] == ending.sha256
