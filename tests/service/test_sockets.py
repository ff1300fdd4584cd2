"""WebSockets: what clients say, what they are told, and how a socket closes."""

import asyncio
import hashlib
from contextlib import asynccontextmanager

import aiohttp
import orjson
import pytest

from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Gate, Hang, Play, end, start, text
from tests.fakes.waiting import until

PARTS = [start(), text("one "), text("two"), end()]


@asynccontextmanager
async def many(service: Service, path: str = "/v1/ws", **arguments):
    async with service.http.ws_connect(service.url + path, **arguments) as socket:
        yield socket


async def say(socket, **message):
    await socket.send_str(orjson.dumps(message).decode())


async def hear(socket):
    message = await socket.receive(timeout=5)
    assert message.type is aiohttp.WSMsgType.TEXT, message
    return orjson.loads(message.data)


async def hear_until(socket, kind: str) -> list[dict]:
    heard = [await hear(socket)]
    while heard[-1]["type"] != kind:
        heard.append(await hear(socket))
    return heard


async def test_a_socket_starts_streams_and_sees_each_to_its_end(serving: Serving):
    async with serving(Play(PARTS)) as service, many(service) as socket:
        await say(socket, type="start", ref={"n": 1}, request={"prompt": "a"})
        await say(socket, type="start", ref=2, request={"prompt": "b"}, view="raw")
        heard = []
        while sum(message["type"] == "end" for message in heard) < 2:
            heard.append(await hear(socket))
        first, second = (m["stream"] for m in heard if m["type"] == "attached")
        assert [m.get("ref") for m in heard if m["type"] == "attached"] == [{"n": 1}, 2]
        assert not [m for m in heard if "ref" in m and m["type"] != "attached"]
        grown = "".join(m["text"] for m in heard if m["stream"] == first and "text" in m)
        assert grown == "one two"
        assert [m["n"] for m in heard if m["type"] == "event"] == [0, 1, 2, 3]
        assert {m["stream"] for m in heard if m["type"] == "event"} == {second}


async def test_after_the_pong_nothing_of_an_unsubscribed_stream_arrives(serving: Serving):
    gate = Gate()
    async with serving(Play([*PARTS[:2], gate, *PARTS[2:]])) as service, many(service) as socket:
        await say(socket, type="start", request={"prompt": "a"})
        stream = (await hear(socket))["stream"]
        await gate.reached.wait()
        await say(socket, type="unsubscribe", stream=stream)
        await say(socket, type="ping", ref="done")
        assert (await hear_until(socket, "pong"))[-1]["ref"] == "done"
        gate.open()
        assert (await service.show(stream, "?wait=5"))["status"] == "completed"
        await say(socket, type="ping")
        assert (await hear(socket))["type"] == "pong"


async def test_a_second_subscribe_replaces_the_first_and_its_attached_is_the_boundary(serving: Serving):
    gate = Gate()
    async with serving(Play([*PARTS[:2], gate, *PARTS[2:]])) as service, many(service) as socket:
        stream = await service.start(fanlight={"on_abandon": "cancel", "grace_s": 0})
        await gate.reached.wait()
        await until(lambda: service.hub.list("local")[0].run.log.size)
        for view, cursor in (("text", None), ("text", "1.2"), ("end", None)):
            await say(socket, type="subscribe", stream=stream, view=view, cursor=cursor)
        await say(socket, type="ping")
        attached = [m for m in await hear_until(socket, "pong") if m["type"] == "attached"]
        assert [(m["view"], m["mode"]) for m in attached] == [
            ("text", "snapshot"),
            ("text", "suffix"),
            ("end", "snapshot"),
        ]
        gate.open()
        assert [m["type"] for m in await hear_until(socket, "end")] == ["end"]
        assert (await service.show(stream))["subscribers"] == {}


async def test_cancel_has_no_answer_but_the_ending(serving: Serving):
    async with serving(Play([start(), Hang()])) as service, many(service) as socket:
        await say(socket, type="start", request={"prompt": "a"})
        stream = (await hear(socket))["stream"]
        await say(socket, type="cancel", stream=stream)
        heard = await hear_until(socket, "end")
        assert [m["type"] for m in heard] == ["end"]
        assert heard[0]["status"] == "cancelled"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("not json", "invalid_request"),
        ("[]", "invalid_request"),
        ('{"type":"nonsense","ref":5}', "invalid_request"),
        ('{"type":"subscribe","ref":5}', "invalid_request"),
        ('{"type":"subscribe","stream":"st_x","channel":"c","ref":5}', "invalid_request"),
        ('{"type":"subscribe","stream":"st_none","ref":5}', "not_found"),
        ('{"type":"start","request":{"fanlight":{"x":1}},"ref":5}', "option_invalid"),
        (
            '{"type":"start","request":{"response_format":{"type":"json_schema","json_schema":7}},"ref":5}',
            "schema_invalid",
        ),
    ],
)
async def test_a_message_that_is_wrong_is_answered_and_the_socket_stays(serving: Serving, message, code):
    async with serving(Play(PARTS)) as service, many(service) as socket:
        await socket.send_str(message)
        error = await hear(socket)
        assert (error["type"], error["code"], error.get("ref")) == ("error", code, 5 if "ref" in message else None)
        await say(socket, type="ping")
        assert (await hear(socket))["type"] == "pong"


async def test_more_than_twenty_malformed_messages_close_the_socket(serving: Serving):
    async with serving(Play(PARTS)) as service, many(service) as socket:
        for _ in range(30):
            await say(socket, type="subscribe", stream="st_none")
        for _ in range(21):
            await socket.send_str("{")
        heard = [message async for message in socket]
        assert sum(orjson.loads(m.data)["code"] == "not_found" for m in heard) == 30
        assert socket.close_code == 1008


async def test_binary_closes_1003_and_too_long_1009(serving: Serving):
    async with serving(Play(PARTS)) as service:
        async with many(service) as socket:
            await socket.send_bytes(b"x")
            assert (await socket.receive(timeout=5)).data == 1003
        async with many(service) as socket:
            await socket.send_str('{"type":"ping","ref":"' + "x" * 70_000 + '"}')
            assert (await socket.receive(timeout=5)).data == 1009


async def test_an_unknown_stream_upgrades_and_closes_4404(serving: Serving):
    async with serving(Play(PARTS)) as service:
        assert await service.watch("st_none") == ([], 4404)


async def test_the_single_stream_socket_refuses_to_show_another(serving: Serving):
    gate = Gate()
    async with serving(Play([*PARTS[:2], gate, *PARTS[2:]])) as service:
        stream = await service.start()
        async with many(service, f"/v1/streams/{stream}/ws") as socket:
            await hear(socket)
            await say(socket, type="subscribe", stream=stream, ref=1)
            await say(socket, type="start", request={})
            await say(socket, type="ping")
            heard = await hear_until(socket, "pong")
            assert [m["code"] for m in heard if m["type"] == "error"] == ["invalid_request"] * 2
            await say(socket, type="cancel")
            assert (await hear_until(socket, "end"))[-1]["status"] == "cancelled"
            assert (await socket.receive(timeout=5)).data == 1000


async def test_readers_of_a_channel_attach_before_its_stream_is_started(serving: Serving):
    async with serving(Play(PARTS)) as service:
        async with many(service, "/v1/channels/wall/ws") as socket:
            waiting = await hear(socket)
            assert (waiting["status"], waiting["stream"], waiting["channel"]) == ("waiting", None, "wall")
            for prompt in ("a", "b"):
                stream = await service.start(prompt=prompt, fanlight={"channel": "wall"})
                heard = await hear_until(socket, "end")
                assert heard[0]["type"] == "attached"
                assert {m["stream"] for m in heard} == {stream}
                assert (
                    hashlib.sha256("".join(m.get("text", "") for m in heard).encode()).hexdigest()
                    == heard[-1]["sha256"]
                )


async def test_a_channel_is_read_over_sse_and_ndjson_too(serving: Serving):
    async with serving(Play(PARTS)) as service:
        for kind in ("events", "ndjson"):
            async with service.http.get(f"{service.url}/v1/channels/{kind}/{kind}") as answer:
                await answer.content.readuntil(b"waiting")
                await service.start(prompt=kind, fanlight={"channel": kind})
                assert b"one two" in (await answer.content.readuntil(b'"end"')).replace(b'"text":"two"', b"one two")


async def test_presence_is_told_to_those_who_ask(serving: Serving):
    gate = Gate()
    async with serving(Play([*PARTS[:2], gate, *PARTS[2:]])) as service:
        stream = await service.start()
        async with many(service, f"/v1/streams/{stream}/ws?presence=1") as socket:
            assert (await hear_until(socket, "presence"))[-1]["counts"] == {"text": 1}
        gate.open()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}, 400),
        ({"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "8", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}, 400),
        ({"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "short"}, 400),
        ({"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": "http://evil.example"}, 403),
        ({"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Host": "evil.example"}, 403),
    ],
)  # fmt: skip
async def test_a_handshake_that_is_wrong_is_refused_as_http(serving: Serving, headers, status):
    async with serving(Play(PARTS)) as service, service.http.get(service.url + "/v1/ws", headers=headers) as answer:
        assert answer.status == status


async def test_no_smuggling_through_an_upgrade_with_a_body(serving: Serving):
    async with serving(Play(PARTS)) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        inner = b"GET /v1/streams HTTP/1.1\r\nHost: localhost\r\n\r\n"
        writer.write(
            b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(inner), inner)
        )
        answer = await asyncio.wait_for(reader.read(65_536), 5)
        assert answer.startswith(b"HTTP/1.1 400")
        assert b'"streams"' not in answer
        writer.close()


async def test_the_protocol_name_is_selected_where_it_is_offered(serving: Serving):
    async with serving(Play(PARTS)) as service:
        async with many(service, protocols=["other", "fanlight.v1"]) as socket:
            assert socket.protocol == "fanlight.v1"


async def test_messages_sent_along_with_the_handshake_are_heard(serving: Serving):
    async with serving(Play(PARTS)) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        ping = b'{"type":"ping","ref":1}'
        writer.write(
            b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            + b"\x81" + bytes((0x80 | len(ping),)) + b"\0\0\0\0" + ping
        )  # fmt: skip
        assert b'{"type":"pong","ref":1}' in await asyncio.wait_for(reader.readuntil(b'"ref":1}'), 5)
        writer.close()


async def test_a_client_that_floods_without_reading_is_asked_no_more_and_then_closed(serving: Serving):
    big = [start(), text("x" * 500_000), end()]
    async with serving(Play(big), send_deadline_s=0.3, high_water_bytes=4096) as service:
        stream = await service.start()
        await service.show(stream, "?wait=5")
        _, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]), limit=1024)
        subscribe = orjson.dumps({"type": "subscribe", "stream": stream})
        frame = b"\x81" + bytes((0x80 | len(subscribe),)) + b"\0\0\0\0" + subscribe
        writer.write(
            b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + frame * 600
        )
        from service.web import keys

        connections = service.app[keys.CONNECTIONS]
        async with asyncio.timeout(20):
            await until(lambda: len(connections))
            (connection,) = connections.open()
            most = 0
            while len(connections):
                most = max(most, connection.waiting_bytes)
                await asyncio.sleep(0.01)
        assert most < 3_000_000
        writer.close()


async def test_who_subscribes_to_a_long_text_has_its_view_made_in_steps_and_what_follows_waits(serving: Serving):
    whole = "[" + ",".join(f'{{"start":{n},"text":"t{n}"}}' for n in range(4000)) + "]"
    async with serving(Play([start(), text(whole), end()])) as service, many(service) as socket:
        stream = await service.start()
        await service.show(stream, "?wait=5")
        for view in ("json", "captions", "patch"):
            await say(socket, type="subscribe", stream=stream, view=view, ref=view)
            await say(socket, type="ping", ref="after")
        heard = [await hear(socket) for _ in range(9)]
        assert [m["type"] for m in heard] == ["attached", "end", "pong"] * 3
        assert [m["ref"] for m in heard if m["type"] == "attached"] == ["json", "captions", "patch"]
        assert heard[6]["state"] == orjson.loads(whole)
        assert len(heard[3]["state"]) == 4000


async def test_a_view_that_cannot_be_made_closes_the_socket_that_waits_for_it(serving: Serving, monkeypatch):
    def fails(*_: object) -> bool:
        raise RuntimeError("scripted")

    async with serving(Play([start(), text("x" * (1 << 16)), end()])) as service, many(service) as socket:
        stream = await service.start()
        await service.show(stream, "?wait=5")
        monkeypatch.setattr("service.hub.derived.DerivedView.catch_up", fails)
        await say(socket, type="subscribe", stream=stream, view="json")
        assert (await socket.receive(timeout=5)).data == 1011
