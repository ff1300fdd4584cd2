"""One analysis, many viewers: the same bytes over every transport, and every cut told as a cut."""

import asyncio
import hashlib

import aiohttp
import orjson
import pytest

from service.web import dialect, keys
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Gate, Hang, Play, end, start, text
from tests.fakes.waiting import until

STORY = "A car drives – 🎬 – and leaves."
PARTS = [start(), text("A car drives"), text(" – 🎬 – "), text("and leaves."), end()]


def grown(messages: list[dict]) -> str:
    return "".join(message["text"] for message in messages if message["type"] in ("attached", "delta"))


def sse(body: bytes) -> list[tuple[str | None, dict]]:
    events = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in fields:
            events.append((fields.get("id"), orjson.loads(fields["data"])))
    return events


async def test_five_readers_of_different_kinds_hold_the_same_bytes(serving: Serving):
    gate = Gate()
    async with serving(Play([*PARTS[:2], gate, *PARTS[2:]])) as service:
        stream = await service.start()
        tasks = [
            asyncio.create_task(service.watch(stream)),
            asyncio.create_task(service.read(stream)),
            asyncio.create_task(_body(service, f"/v1/streams/{stream}/events")),
            asyncio.create_task(_body(service, f"/v1/streams/{stream}/text")),
        ]
        await gate.reached.wait()
        while (await service.show(stream))["offset"] == 0:
            pass
        late = asyncio.create_task(service.read(stream))
        resumed = asyncio.create_task(service.read(stream, "?cursor=1.5"))
        while sum((await service.show(stream))["subscribers"].values()) < 6:
            pass
        gate.open()
        (socket, close_code), lines, events, bare = await asyncio.gather(*tasks)
        assert close_code == 1000
        ending = socket[-1]
        assert ending["sha256"] == hashlib.sha256(STORY.encode()).hexdigest()
        assert grown(socket) == grown(lines) == grown(await late) == STORY
        assert bare.decode() == STORY
        assert grown([data for _, data in sse(events)]) == STORY
        again = await resumed
        assert again[0]["mode"] == "suffix"
        assert STORY[:5] + grown(again) == STORY
        assert len(service.upstream.seen) == 1
        shown = await service.show(stream)
        assert (shown["text"], shown["status"], shown["usage"]) == (STORY, "completed", {"output_tokens": 3})


async def _body(service: Service, path: str, **arguments) -> bytes:
    async with service.http.get(service.url + path, **arguments) as answer:
        assert answer.status == 200
        return await answer.read()


async def test_the_dialect_relays_the_events_one_for_one(serving: Serving):
    odd = b'{"event_type":"text_generation","extra":1,"text":"x"}\n{"event_type":"progress","percent":3}\n'
    async with serving(Play([PARTS[0], odd, *PARTS[1:]])) as service, service.analyze() as answer:
        assert answer.status == 200
        assert answer.headers["Fanlight-Join"] == "leader"
        assert await answer.read() == PARTS[0] + odd + b"".join(PARTS[1:]).replace(b"\\u", b"\\u")
        sent = orjson.loads(service.upstream.seen[0].body)
        assert sent == {"prompt": "What happens?", "video_id": "v1", "stream": True}


async def test_a_caller_that_does_not_stream_gets_the_object(serving: Serving):
    async with serving(Play(PARTS)) as service, service.analyze(stream=False) as answer:
        assert await answer.json() == {
            "id": "g1",
            "data": STORY,
            "finish_reason": "stop",
            "usage": {"output_tokens": 3},
        }


async def test_members_that_are_not_known_are_forwarded(serving: Serving):
    async with serving(Play(PARTS)) as service, service.analyze(model_name="pegasus1.5", new={"a": [1]}) as answer:
        await answer.read()
        assert orjson.loads(service.upstream.seen[0].body)["new"] == {"a": [1]}


CUTS = [
    pytest.param([PARTS[0], PARTS[1]], "truncated", "upstream_truncated", id="clean end without stream_end"),
    pytest.param([PARTS[0], PARTS[1], Cut()], "failed", "upstream_broken", id="broken transfer"),
    pytest.param([PARTS[0], PARTS[1], b"junk\n"], "failed", "upstream_protocol", id="junk"),
    pytest.param([PARTS[0], PARTS[1], b'{"code":"c","message":"m"}\n'], "failed", "upstream_error", id="error object"),
]


@pytest.mark.parametrize(("steps", "status", "code"), CUTS)
async def test_a_cut_upstream_is_a_cut_for_everybody(serving: Serving, steps, status, code):
    async with serving(Play(steps)) as service:
        with pytest.raises(aiohttp.ClientPayloadError):
            async with service.analyze() as answer:
                assert answer.status == 200
                await answer.read()
        stream = await service.start()
        messages, close_code = await service.watch(stream)
        assert (messages[-1]["status"], messages[-1]["error"]["code"], close_code) == (status, code, 1000)
        assert grown(messages) == "A car drives"
        assert (await service.read(stream))[-1] == messages[-1]
        with pytest.raises(aiohttp.ClientPayloadError):
            await _body(service, f"/v1/streams/{stream}/text")
        async with service.analyze(stream=False) as answer:
            assert answer.status == 502
            assert (await answer.json())["code"] == code


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500])
async def test_an_upstream_error_before_the_first_event_is_passed_on_untouched(serving: Serving, status: int):
    body = b'{"code": "parameter_invalid",  "message":"as it was"}'
    headers = {
        "Content-Type": "application/json",
        "X-Ratelimit-Remaining": "0",
        "Retry-After": "30",
        "Set-Cookie": "a=b",
        "X-Secret": "s",
    }
    async with serving(Play([body], status, headers)) as service:
        for stream in (True, False):
            async with service.analyze(stream=stream) as answer:
                assert answer.status == status
                assert await answer.read() == body
                assert answer.headers["X-Ratelimit-Remaining"] == "0"
                assert answer.headers["Retry-After"] == "30"
                assert "Set-Cookie" not in answer.headers
                assert "X-Secret" not in answer.headers
        native = await service.show(await service.start(), "?wait=5")
        assert native["error"]["code"] == "upstream_refused"
        assert native["error"]["upstream_status"] == status


async def test_an_empty_429_becomes_the_apis_json_form(serving: Serving):
    async with serving(Play([], 429, {"Retry-After": "60"})) as service, service.analyze() as answer:
        assert answer.status == 429
        assert (await answer.json())["code"] == "too_many_requests"


async def test_an_error_object_before_any_text_is_an_http_error(serving: Serving):
    for before in (b"", start()):
        async with serving(Play([before + b'{"code":"x","message":"said upstream"}\n'])) as service:
            async with service.analyze() as answer:
                assert answer.status == 502
                assert await answer.json() == {"code": "x", "message": "said upstream"}


async def test_a_redirect_is_neither_followed_nor_relayed(serving: Serving):
    async with serving(Play([], 307, {"Location": "http://127.0.0.1:1/elsewhere"})) as service:
        async with service.analyze(headers={}) as answer:
            assert answer.status == 502
            assert (await answer.json())["code"] == "upstream_refused"
            assert "Location" not in answer.headers


async def test_schema_output_is_judged_and_the_verdict_is_the_only_change(serving: Serving):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    ask = {"response_format": {"type": "json_schema", "json_schema": schema}}
    async with serving(Play([start(), text('{"n":'), text("3}"), end()])) as service:
        async with service.analyze(**ask) as answer:
            last = orjson.loads((await answer.read()).splitlines()[-1])
            assert last["metadata"].pop("validation")["valid"] is True
            assert orjson.dumps(last) + b"\n" == end()
        async with service.analyze(**ask, stream=False) as answer:
            assert (await answer.json())["validation"]["valid"] is True
        async with service.analyze(**ask, headers={"Fanlight-Options": "validate=off"}) as answer:
            assert (await answer.read()).splitlines()[-1] + b"\n" == end()
        shown = await service.show(await service.start(**ask), "?wait=5")
        assert (shown["value"], shown["validation"]["valid"]) == ({"n": 3}, True)


async def test_a_failed_validation_does_not_change_the_status(serving: Serving):
    schema = {"type": "object", "required": ["n"]}
    async with serving(Play([start(), text('{"m":3}'), end()])) as service:
        stream = await service.start(response_format={"type": "json_schema", "json_schema": schema})
        shown = await service.show(stream, "?wait=5")
        assert shown["status"] == "completed"
        assert shown["validation"]["valid"] is False
        assert shown["value"] is None


@pytest.mark.parametrize("schema", [{"$ref": "http://127.0.0.1:1/x"}, {"type": 7}, {"$ref": "file:///etc/passwd"}, 7])
async def test_a_schema_that_cannot_be_used_is_refused_before_anything_is_spent(serving: Serving, schema):
    ask = {"response_format": {"type": "json_schema", "json_schema": schema}}
    async with serving(Play(PARTS)) as service:
        async with service.analyze(**ask) as answer:
            assert answer.status == 400
            body = await answer.json()
            assert body["code"] == "schema_invalid"
            assert set(body) == {"code", "message"}
        async with service.http.post(service.url + "/v1/streams", json=ask) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "schema_invalid")
        assert service.upstream.seen == []


async def test_a_schema_that_no_parser_reads_is_refused_as_a_schema(serving: Serving):
    deep = b'{"properties":{"a":' * 10_000 + b"{}" + b"}}" * 10_000
    body = b'{"prompt":"[[[","response_format":{"type":"json_schema","json_schema":' + deep + b"}}"
    async with serving(Play(PARTS)) as service:
        headers = {"Content-Type": "application/json"}
        async with service.http.post(service.url + "/v1.3/analyze", data=body, headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "schema_invalid")
        shallow = b'{"json_schema": {"a": "' + b"[" * 5000 + b'"}, }'
        async with service.http.post(service.url + "/v1.3/analyze", data=shallow, headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "invalid_request")


async def test_an_identical_running_request_joins_and_another_does_not(serving: Serving):
    gate = Gate()
    async with serving(Play([*PARTS[:2], gate, *PARTS[2:]])) as service:
        first = await service.start(max_tokens=10)
        await gate.reached.wait()
        async with service.http.post(
            service.url + "/v1/streams", json={"max_tokens": 10.0, "video_id": "v1", "prompt": "What happens?"}
        ) as answer:
            assert (answer.status, answer.headers["Fanlight-Join"]) == (200, "joined")
            assert (await answer.json())["id"] == first
        async with service.analyze(max_tokens=10) as answer:
            assert answer.headers["Fanlight-Join"] == "joined"
            assert answer.headers["Fanlight-Stream"] == first
            gate.open()
            assert await answer.read() == b"".join(PARTS)
        assert await service.start(max_tokens=11) != first
        async with service.analyze(max_tokens=10, headers={"Fanlight-Options": "join=replay"}) as answer:
            assert answer.headers["Fanlight-Join"] == "replayed"
            assert await answer.read() == b"".join(PARTS)
        assert await service.start(max_tokens=10) != first


async def test_nobody_joins_a_stream_that_has_ended_or_is_being_cancelled(serving: Serving):
    async with serving(Play([start(), text("a"), end(), Hang()])) as service:
        first = await service.start()
        await service.show(first, "?wait=5")  # the upstream still holds its answer open
        async with service.analyze(headers={"Fanlight-Options": "join=replay"}) as answer:
            assert answer.headers["Fanlight-Join"] == "replayed"
        assert await service.start() != first
    async with serving(Play([start(), Hang()])) as service:
        first = await service.start()
        stream = service.hub.find("local", first)
        service.hub.cancel(stream)
        assert stream.run.ending is None  # asked for, and not done yet
        assert await service.start() != first


async def test_cancelling_closes_the_upstream_call_and_is_idempotent(serving: Serving):
    async with serving(Play([start(), text("a"), Hang()])) as service:
        stream = await service.start()
        watching = asyncio.create_task(service.watch(stream))
        while (await service.show(stream))["offset"] == 0 or not watching:
            pass
        url = f"{service.url}/v1/streams/{stream}"
        async with service.http.delete(url) as answer:
            assert answer.status == 202
        messages, close_code = await watching
        assert (messages[-1]["status"], messages[-1]["error"]["code"], close_code) == ("cancelled", "cancelled", 1000)
        async with service.http.delete(url) as answer:
            assert answer.status == 200
        await asyncio.wait_for(service.upstream.idle.wait(), 5)


async def test_a_stream_that_others_started_too_is_cancelled_by_force_only(serving: Serving):
    async with serving(Play([start(), Hang()])) as service:
        stream = await service.start()
        assert await service.start() == stream
        url = f"{service.url}/v1/streams/{stream}"
        async with service.http.delete(url) as answer:
            assert (answer.status, (await answer.json())["code"]) == (409, "shared")
        shared = service.hub.find("local", stream)
        service.hub.cancel(shared, force=True)
        service.hub.cancel(shared)  # said again before it has ended
        async with service.http.delete(url + "?force=true") as answer:
            assert answer.status in (200, 202)
        assert (await service.show(stream, "?wait=5"))["status"] == "cancelled"


@pytest.mark.parametrize("steps", [[Hang()], [start(), Hang()], [start(), text("a"), Hang()]])
async def test_a_dialect_caller_that_leaves_takes_its_upstream_call_along(serving: Serving, steps):
    async with serving(Play(steps)) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        body = b'{"prompt":"p","video_id":"v"}'
        writer.write(
            b"POST /v1.3/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        await until(lambda: service.upstream.open)
        if len(steps) > 1:
            await reader.readuntil(b"stream_start")
        writer.transport.abort()
        await asyncio.wait_for(service.upstream.idle.wait(), 5)
        (stream,) = service.hub.list("local")
        await stream.run.ended()
        assert stream.run.ending.code == "abandoned"


async def test_a_caller_that_sent_more_than_its_request_is_seen_to_leave_before_the_first_event(serving: Serving):
    async with serving(Play([Hang()])) as service:
        _, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        body = b'{"prompt":"p","video_id":"v"}'
        writer.write(
            b"POST /v1.3/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        await until(lambda: service.upstream.open)
        writer.write(b"\r\n")
        (connection,) = service.app[keys.CONNECTIONS].open()
        await until(lambda: connection._kept)
        writer.transport.abort()
        await asyncio.wait_for(service.upstream.idle.wait(), 5)
        (stream,) = service.hub.list("local")
        assert (await stream.run.ended()).code == "abandoned"


async def test_a_caller_that_joined_and_left_before_the_first_event_leaves_nothing_behind(serving: Serving):
    gate = Gate()
    async with serving(Play([gate, *PARTS])) as service:
        staying = asyncio.create_task(read(service))
        await until(lambda: service.upstream.open)
        (stream,) = service.hub.list("local")
        leaving = asyncio.create_task(read(service))
        await until(lambda: len(stream.run._on_opened) == 2)
        leaving.cancel()
        await until(lambda: len(stream.run._on_opened) == 1)
        gate.open()
        assert b"stream_end" in await staying


async def read(service) -> bytes:
    async with service.analyze() as answer:
        return await answer.read()


async def test_a_fault_of_ours_before_the_answer_begins_is_an_http_error(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
):
    def fails(*_: object) -> bytes:
        raise ValueError("ours")

    monkeypatch.setattr(dialect, "head", fails)
    async with serving(Play(PARTS)) as service, service.analyze() as answer:
        assert (answer.status, (await answer.json())["code"]) == (500, "internal")


async def test_readers_that_leave_a_native_stream_do_not_end_it(serving: Serving):
    gate = Gate()
    async with serving(Play([*PARTS[:2], gate, *PARTS[2:]])) as service:
        stream = await service.start()
        async with service.http.ws_connect(f"{service.url}/v1/streams/{stream}/ws") as socket:
            await socket.receive()
        gate.open()
        assert (await service.show(stream, "?wait=5"))["status"] == "completed"


async def test_an_event_source_that_has_seen_the_end_is_told_to_stay_away(serving: Serving):
    async with serving(Play(PARTS)) as service:
        stream = await service.start()
        events = sse(await _body(service, f"/v1/streams/{stream}/events"))
        last = events[-1][0]
        assert last == f"1.{len(STORY.encode())}.end"
        async with service.http.get(
            f"{service.url}/v1/streams/{stream}/events", headers={"Last-Event-ID": last}
        ) as answer:
            assert answer.status == 204
        body = await _body(service, f"/v1/streams/{stream}/events", headers={"Last-Event-ID": "1.12"})
        assert sse(body)[0][1]["mode"] == "suffix"


async def test_a_keep_alive_connection_serves_one_analysis_after_another(serving: Serving):
    async with serving(Play(PARTS)) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        body = b'{"prompt":"p","video_id":"v"}'
        request = (
            b"POST /v1.3/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        # The second one is sent before the first is answered.
        writer.write(request + request)
        for _ in range(2):
            answer = await reader.readuntil(b"0\r\n\r\n")
            assert b"200 OK" in answer
            assert answer.count(b"stream_end") == 1
        writer.close()


async def test_an_idempotency_key_leads_to_the_same_stream_or_to_a_conflict(serving: Serving):
    async with serving(Play(PARTS)) as service:
        url, headers = service.url + "/v1/streams", {"Idempotency-Key": "k1"}
        ids = []
        for body, status in (({"prompt": "a"}, 201), ({"prompt": "a"}, 200), ({"prompt": "b"}, 409)):
            async with service.http.post(url, json=body, headers=headers) as answer:
                assert answer.status == status
                ids.append((await answer.json()).get("id"))
            if ids[0]:
                await service.show(ids[0], "?wait=5")
        assert ids[0] == ids[1]
        assert len(service.upstream.seen) == 1


async def test_streams_are_listed_newest_first_in_pages_without_their_content(serving: Serving):
    async with serving(Play(PARTS)) as service:
        ids = [await service.start(prompt=str(n)) for n in range(3)]
        for stream in ids:
            await service.show(stream, "?wait=5")
        async with service.http.get(service.url + "/v1/streams?limit=2&status=completed") as answer:
            page = await answer.json()
        assert [row["id"] for row in page["streams"]] == ids[:0:-1]
        assert not {"request", "text", "value"} & set(page["streams"][0])
        async with service.http.get(service.url + f"/v1/streams?limit=2&after={page['next']}") as answer:
            rest = await answer.json()
        assert [row["id"] for row in rest["streams"]] == ids[:1]
        assert rest["next"] is None


async def test_media_in_base64_is_shown_as_its_digest(serving: Serving):
    async with serving(Play(PARTS)) as service:
        shown = await service.show(
            await service.start(video={"type": "base64_string", "base64_string": "aGVsbG8="}), "?wait=5"
        )
        digest = hashlib.sha256(b"hello").hexdigest()
        assert shown["request"]["video"]["base64_string"] == {"sha256": digest, "bytes": 5}
