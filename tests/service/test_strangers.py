"""What a stranger's bytes can do: to the door, to bodies, to headers, to paths, to logs."""

import asyncio
import gzip
import hashlib
import io
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import aiohttp
import orjson
import pytest
import structlog
from yarl import URL

from service import logs
from service.web import keys
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Gate, Hang, Play, end, start, text

PARTS = [start(), text("one"), end()]
KEYS = {hashlib.sha256(b"ka").hexdigest(): "anna"}
JSON = {"Content-Type": "application/json"}
ASK = b'{"prompt":"p"}'
# Without the time: the names of tests are the same each time.
packed = partial(gzip.compress, mtime=0)


@asynccontextmanager
async def raw(
    service: Service, *lines: str, body: bytes = b""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which a request's head was sent as it stands."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(service.url).port)
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answered(service: Service, *lines: str, body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of the answer to a request that closes its connection."""
    async with raw(service, *lines, body=body) as (reader, _):
        head, _, rest = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
        return int(head.split()[1]), rest


# -- bodies


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", packed(ASK)),
        ("x-gzip", packed(ASK)),
        ("deflate", zlib.compress(ASK)),
        ("identity", ASK),
        ("", ASK),
        ("identity, gzip", packed(ASK)),
    ],
)
@pytest.mark.parametrize("path", ["/v1/streams", "/v1.3/analyze"])
async def test_an_encoded_body_is_read(serving: Serving, path: str, encoding: str, body: bytes):
    async with serving(Play(PARTS)) as service:
        headers = JSON | {"Content-Encoding": encoding}
        async with service.http.post(service.url + path, data=body, headers=headers) as answer:
            assert answer.status in (200, 201), await answer.text()
            await service.show(answer.headers["Fanlight-Stream"], "?wait=5")
        assert orjson.loads(service.upstream.seen[0].body)["prompt"] == "p"


@pytest.mark.parametrize(
    ("encoding", "body", "status", "code"),
    [
        ("gzip", ASK, 400, "invalid_request"),
        ("gzip", packed(ASK)[:-4], 400, "invalid_request"),
        ("gzip", packed(ASK) + b"x", 400, "invalid_request"),
        ("gzip", packed(ASK) * 2, 400, "invalid_request"),
        ("deflate", packed(ASK), 400, "invalid_request"),
        ("br", ASK, 400, "invalid_request"),
        ("gzip, gzip", packed(packed(ASK)), 400, "invalid_request"),
        ("gzip", packed(b" " * 3_000_000), 413, "too_large"),
    ],
)
async def test_an_encoded_body_that_is_wrong_or_becomes_too_much_is_refused(
    serving: Serving, encoding: str, body: bytes, status: int, code: str
):
    async with serving(Play(PARTS), max_body_bytes=1 << 20) as service:
        headers = JSON | {"Content-Encoding": encoding}
        async with service.http.post(service.url + "/v1/streams", data=body, headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (status, code)
        assert service.upstream.seen == []


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/streams", 401), ("/metrics", 405), ("/livez", 405), ("/v1.3/assets", 401)]
)
async def test_what_the_door_refuses_is_not_inflated(serving: Serving, path: str, status: int):
    # No gzip at all: whoever inflated it would answer 400, and break the connection off.
    async with serving(Play(PARTS), api_keys=KEYS) as service:
        headers = JSON | {"Content-Encoding": "gzip", "x-api-key": "wrong"}
        async with service.http.post(service.url + path, data=b"no gzip", headers=headers) as answer:
            assert answer.status == status


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("encoding", ["gzip", "br", "made-up"])
async def test_encoded_bodies_are_passed_through_byte_for_byte_both_ways(
    serving: Serving, encoding: str, chunked: bool
):
    sent, told = packed(b"a question" * 99), packed(b"an answer" * 99)
    size = {} if chunked else {"Content-Length": str(len(told))}
    async with serving(Play([told], 200, {"Content-Encoding": encoding} | size)) as service:

        async def pieces() -> AsyncIterator[bytes]:
            yield sent[:20]
            yield sent[20:]

        session = aiohttp.ClientSession(auto_decompress=False)
        async with (
            session,
            session.post(
                service.url + "/v1.3/assets", data=pieces() if chunked else sent, headers={"Content-Encoding": encoding}
            ) as answer,
        ):
            assert await answer.read() == told
            assert answer.headers["Content-Encoding"] == encoding
        (seen,) = service.upstream.seen
        assert seen.body == sent
        named = {name.lower(): value for name, value in seen.headers}
        assert named["content-encoding"] == encoding
        assert named.get("content-length") == (None if chunked else str(len(sent)))


@pytest.mark.parametrize("path", ["/v1/streams", "/v1.3/analyze"])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"prompt":[' + b",".join([b"[]"] * 60_000) + b"]}", "invalid_request"),
        (b"{" + b",".join(b'"k%d":1' % n for n in range(30_000)) + b"}", "invalid_request"),
        (b'{"json_schema":[' + b",".join([b"[]"] * 60_000) + b"]}", "schema_invalid"),
    ],
)
async def test_json_whose_brackets_would_take_long_is_refused_before_it_is_parsed(serving: Serving, path, body, code):
    async with serving(Play(PARTS)) as service:
        async with service.http.post(service.url + path, data=body, headers=JSON) as answer:
            told = await answer.json()
            assert (answer.status, told["code"]) == (400, code)
            assert "100000 brackets" in told["message"]
        assert service.upstream.seen == []


async def test_a_body_that_is_not_framed_as_it_says_is_refused_without_its_bytes(serving: Serving):
    async with serving(Play(PARTS)) as service:
        lines = ("POST /v1/streams HTTP/1.1", "Host: localhost", "Content-Type: application/json")
        async with raw(service, *lines, "Transfer-Encoding: chunked", body=b"secret\r\n{}\r\n") as (reader, _):
            answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.split()[1] == b"400"
        assert b"secret" not in answer


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"prompt": 7}, "prompt"),
        ({"prompt": "p", "video": ["x"]}, "video"),
        ({"prompt": "p", "video": {"type": "url", "url": 1}}, "video.url"),
        ({"prompt": "p", "temperature": "hot"}, "temperature"),
        ({"prompt": "p", "temperature": True}, "temperature"),
        ({"prompt": "p", "max_tokens": "many"}, "max_tokens"),
        ({"prompt": "p", "video_id": 1}, "video_id"),
        ({"prompt": "p", "response_format": "json"}, "response_format"),
        ({"prompt": "p", "start_time": "0"}, "start_time"),
    ],
)
async def test_a_native_start_with_a_known_member_of_an_impossible_type_starts_nothing(
    serving: Serving, members, named
):
    async with serving(Play(PARTS)) as service:
        async with service.http.post(service.url + "/v1/streams", json=members) as answer:
            told = await answer.json()
            assert (answer.status, told["code"]) == (400, "invalid_request")
            assert told["message"].startswith(f"{named}: ")
        async with service.http.ws_connect(service.url + "/v1/ws") as socket:
            await socket.send_json({"type": "start", "request": members})
            assert (await socket.receive_json(timeout=5))["code"] == "invalid_request"
        async with service.http.get(service.url + "/v1/streams") as answer:
            assert (await answer.json())["streams"] == []
        assert service.upstream.seen == []


async def test_members_that_are_not_known_pass_whatever_they_are(serving: Serving):
    members = {
        "prompt": "p",
        "new": {"a": [1]},
        "video": {"type": "new_kind", "new": 7},
        "max_tokens": 10.0,
        "temperature": None,
    }
    async with serving(Play(PARTS)) as service:
        await service.show(await service.start(**members), "?wait=5")
        assert orjson.loads(service.upstream.seen[0].body).items() >= members.items()


# -- headers, paths, and what is not HTTP


SINGLE = [
    ("Origin: http://localhost:1", "Origin: http://evil.example"),
    ("Host: localhost", "Host: evil.example"),
    ("x-api-key: ka", "x-api-key: other"),
    ("Authorization: Bearer ka", "Authorization: Bearer other"),
    ("Idempotency-Key: a", "Idempotency-Key: b"),
    ("Last-Event-ID: 1.0", "Last-Event-ID: 1.1"),
    ("Content-Type: application/json", "content-type: text/plain"),
]


@pytest.mark.parametrize("pair", SINGLE, ids=lambda pair: pair[0].split(":")[0])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("path", ["/v1/streams", "/v1.3/assets", "/"])
async def test_a_header_that_decides_something_and_comes_twice_is_refused(serving: Serving, path, order, pair):
    async with serving(Play(PARTS)) as service:
        host = () if pair[0].startswith("Host") else (f"Host: localhost:{URL(service.url).port}",)
        status, body = await answered(service, f"GET {path} HTTP/1.1", *host, *pair[::order], "Connection: close")
        assert (status, orjson.loads(body)["code"]) == (400, "invalid_request")
        assert b"evil" not in body
        assert service.upstream.seen == []


async def test_a_header_that_decides_nothing_may_come_twice(serving: Serving):
    async with serving(Play(PARTS)) as service:
        lines = ("GET /v1/streams HTTP/1.1", "Host: localhost", "Accept: a/b", "Accept: c/d", "Connection: close")
        assert (await answered(service, *lines))[0] == 200


@pytest.mark.parametrize("path", ["/v1.3/analyze", "/v1.3/assets", "/v1.3/tasks/x"])
@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}, {"Authorization": "Bearer wrong"}])
async def test_a_wrong_key_has_the_apis_own_code_under_its_dialect(serving: Serving, path, headers):
    async with serving(Play(PARTS), api_keys=KEYS) as service:
        async with service.http.post(service.url + path, json={}, headers=headers) as answer:
            assert answer.status == 401
            assert set(told := await answer.json()) == {"code", "message"}
            assert told["code"] == "api_key_invalid"


STRANGE = [
    "x" * 3000,
    "%00",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "a%0d%0ab",
    "%ff%fe",
    "%F0%9F%98%80" * 100,
    "a;b=c",
    "~",
    "'\"<>",
]


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("place", ["/static/{}", "/static/{}/{}", "/{}", "/v1/streams/{}", "/v1/streams/{}/captions.vtt", "/v1/channels/{}/events", "/v1/streams?after={}", "/v1/streams?limit={}", "/livez?{}"])  # fmt: skip
async def test_a_name_of_any_length_and_alphabet_has_an_answer_of_ours(serving: Serving, place, name):
    async with serving(Play(PARTS)) as service:
        url = URL(service.url + place.replace("{}", name), encoded=True)
        async with service.http.get(url, headers={"X-Request-Id": name}) as answer:
            assert answer.status in ({200} if "/livez" in place else {400, 404})
            assert "message" in await answer.json() or answer.status == 200


@pytest.mark.parametrize(
    "lines",
    [
        ("GET /v1/streams HTTP/1.1", "Host: localhost", "Authorization: Bearer secret" + "x" * 20_000),
        ("GET /v1/ws?ticket=secret" + "x" * 20_000 + " HTTP/1.1", "Host: localhost"),
        ("GET /v1/streams HTTP/1.1", "Host: localhost", "x-api-key: secret\x01"),
        ("GET /v1/streams HTTP/1.1", "Host: localhost", "secret header"),
        ("GET /v1/streams HTTP/9.9", "Host: localhost", "x-api-key: secret"),
        ("secret",),
        ("GET /v1/streams HTTP/1.1", "Host: localhost", "Content-Length: secret"),
        ("GET /v1/streams HTTP/1.1", "Host: localhost", *[f"secret{n}: 1" for n in range(500)]),
    ],
)
async def test_what_is_no_http_is_answered_in_our_words_and_logged_without_its_bytes(
    serving: Serving, lines, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
):
    logs.configure("info")
    try:
        async with serving(Play(PARTS)) as service:
            status, body = await answered(service, *lines)
    finally:
        structlog.reset_defaults()
    assert (status, orjson.loads(body)["code"]) == (400, "invalid_request")
    assert b"secret" not in body
    out, err = capfdbinary.readouterr()
    assert b"secret" not in out + err


def test_a_log_says_what_failed_and_where_but_not_in_the_exceptions_words(monkeypatch: pytest.MonkeyPatch):
    def logged(level: str) -> bytes:
        monkeypatch.setattr("sys.stderr", io.TextIOWrapper(written := io.BytesIO()))
        logs.configure(level)
        try:
            try:
                raise ValueError("a secret prompt")
            except ValueError as exc:
                raise KeyError("another secret") from exc
        except KeyError:
            structlog.get_logger().exception("failed")
        return written.getvalue()

    try:
        for level in ("info", "debug"):
            line = orjson.loads(logged(level))
            assert line["faults"] == ["KeyError", "ValueError"]
            assert "test_strangers.py" in line["stack"][0]
            assert "secret" not in str(line)
    finally:
        structlog.reset_defaults()


async def test_an_upgrade_over_http_1_0_is_refused_as_http(serving: Serving):
    async with serving(Play(PARTS)) as service:
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
        lines = ("Host: localhost", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key)
        status, body = await answered(service, "GET /v1/ws HTTP/1.0", *lines)
        assert (status, orjson.loads(body)["code"]) == (400, "invalid_request")


# -- bodies of ours that are cut


@pytest.mark.parametrize("kind", ["events", "ndjson", "text"])
async def test_a_body_that_may_be_cut_does_not_say_that_it_closes(serving: Serving, kind: str):
    async with serving(Play(PARTS)) as service:
        stream = await service.start()
        await service.show(stream, "?wait=5")
        for hop in ("keep-alive", "close"):
            lines = (f"GET /v1/streams/{stream}/{kind} HTTP/1.1", "Host: localhost", f"Connection: {hop}")
            async with raw(service, *lines) as (reader, _):
                whole = await asyncio.wait_for(reader.read(), 5)  # it closes all the same
            head = whole.partition(b"\r\n\r\n")[0].lower()
            assert b"connection: keep-alive" in head
            assert b"connection: close" not in head
            assert whole.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("path", ["/v1.3/analyze", "/v1.3/assets"])
async def test_a_caller_of_the_dialect_sees_a_cut_also_when_it_said_close(serving: Serving, path: str):
    async with serving(Play([start(), text("half"), Cut()])) as service:
        lines = (f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 14")
        async with raw(service, *lines, "Connection: close", body=ASK) as (reader, _):
            whole = b""
            try:
                while data := await asyncio.wait_for(reader.read(1 << 16), 5):
                    whole += data
            except ConnectionResetError:
                pass
        head = whole.partition(b"\r\n\r\n")[0].lower()
        assert b"connection: keep-alive" in head
        assert b"connection: close" not in head
        assert not whole.endswith(b"0\r\n\r\n")


def over_1_0(service: Service, path: str, body: bytes = b""):
    sized = ("Content-Type: application/json", f"Content-Length: {len(body)}") if body else ()
    return raw(service, f"{'POST' if body else 'GET'} {path} HTTP/1.0", "Host: localhost", *sized, body=body)


async def assert_reset(reader: asyncio.StreamReader) -> None:
    with pytest.raises(ConnectionResetError):
        while await asyncio.wait_for(reader.read(1 << 16), 5):
            pass


@pytest.mark.parametrize("how", ["truncated", "drained", "too slow", "closed down"])
@pytest.mark.parametrize("kind", ["text", "events", "ndjson"])
async def test_over_http_1_0_a_body_that_ends_early_ends_in_a_reset(serving: Serving, kind: str, how: str):
    gate = Gate()
    steps = [start(), text("half"), gate] if how == "truncated" else [start(), text("half"), Hang()]
    async with serving(Play(steps)) as service:
        stream = await service.start()
        async with over_1_0(service, f"/v1/streams/{stream}/{kind}") as (reader, _):
            await asyncio.wait_for(reader.readuntil(b"half"), 5)
            if how == "truncated":
                gate.open()
                if kind != "text":  # messages tell the ending, and then the body may end
                    assert b'"truncated"' in await asyncio.wait_for(reader.read(), 5)
                    return
            for connection in service.app[keys.CONNECTIONS].open():
                if how == "drained":
                    connection.drain()
                elif how == "too slow":
                    connection.too_slow()
                elif how == "closed down":
                    connection.drop()
            await assert_reset(reader)


@pytest.mark.parametrize("path", ["/v1.3/analyze", "/v1.3/assets"])
async def test_over_http_1_0_a_caller_of_the_dialect_sees_the_cut_as_a_reset(serving: Serving, path: str):
    async with serving(Play([start(), text("half"), gate := Gate(), Cut()])) as service:
        async with over_1_0(service, path, ASK) as (reader, _):
            await asyncio.wait_for(reader.readuntil(b"half"), 5)
            gate.open()
            await assert_reset(reader)


@pytest.mark.parametrize("path", ["/v1.3/analyze", "/v1.3/assets"])
async def test_over_http_1_0_a_caller_who_is_left_behind_when_the_service_goes_sees_a_reset(
    serving: Serving, path: str
):
    reader = None
    async with serving(Play([start(), text("half"), Hang()])) as service, AsyncExitStack() as left:
        reader, _ = await left.enter_async_context(over_1_0(service, path, ASK))
        await asyncio.wait_for(reader.readuntil(b"half"), 5)
        left = left.pop_all()
    async with left:
        await assert_reset(reader)
