"""The one way out: which addresses are fetched, and which never."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from engine.errors import ApiError
from engine.work.fetch import MAX_REDIRECTS, Fetcher, check_url, filename_of, is_public


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)
def test_addresses_within_are_not_public_in_any_disguise(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/a",
        "gopher://example.com",
        "data:text/plain,a",
        "//example.com/a",
        "http://",
        "http://user:secret@example.com/",
        "http://user@example.com/",
        "http://example.com:99999/",
        "http://[::1/",
        "clip.mp4",
        "",
    ],
)
def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    with pytest.raises(ApiError) as caught:
        check_url(url)
    assert caught.value.code == "parameter_invalid"


def test_a_refusal_does_not_repeat_the_address() -> None:
    with pytest.raises(ApiError) as caught:
        check_url("http://user:secret@example.com/")
    assert "secret" not in caught.value.message


def test_a_file_is_named_by_the_last_part_of_its_path() -> None:
    assert filename_of("https://example.com/a/my%20clip.mp4?token=x") == "my clip.mp4"
    assert filename_of("https://example.com") is None


Start = Callable[[web.Application], Awaitable[str]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    servers: list[TestServer] = []

    async def run(app: web.Application) -> str:
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        servers.append(server)
        return str(server.make_url("/"))

    yield run
    for server in servers:
        await server.close()


async def fetched(url: str, allow_private: bool = True) -> bytes:
    body = bytearray()

    async def write(chunk: bytes) -> None:
        body.extend(chunk)

    await Fetcher(allow_private).fetch(url, write)
    return bytes(body)


def answering(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Application:
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    return app


async def test_a_body_is_handed_over_whole(start: Start) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 3_000_000)

    assert len(await fetched(await start(answering(handler)))) == 3_000_000


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001"])
async def test_no_connection_to_this_machine_is_made_by_name_or_number(start: Start, host: str) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(body=b"secret")

    url = (await start(answering(handler))).replace("127.0.0.1", host)
    with pytest.raises(ApiError, match="could not be fetched"):
        await fetched(url, allow_private=False)
    assert asked == []


async def test_redirects_are_followed_and_each_is_judged(start: Start) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/":
            raise web.HTTPFound("/next")
        if request.path == "/next":
            raise web.HTTPFound("file:///etc/passwd")
        return web.Response()

    with pytest.raises(ApiError, match="http or https"):
        await fetched(await start(answering(handler)))


async def test_redirects_end(start: Start) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound("/again")

    with pytest.raises(ApiError, match="redirects"):
        await fetched(await start(answering(handler)))
    assert len(asked) == MAX_REDIRECTS + 1


async def test_an_answer_that_is_no_success_is_refused(start: Start) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=403)

    with pytest.raises(ApiError, match="it answers 403"):
        await fetched(await start(answering(handler)))


async def test_a_transfer_that_breaks_is_no_success(start: Start) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    with pytest.raises(ApiError, match="the transfer broke"):
        await fetched(await start(answering(handler)))


async def test_the_writer_bounds_the_size(start: Start) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 100)

    async def full(chunk: bytes) -> None:
        raise ApiError("video_filesize_too_large", "too large")

    with pytest.raises(ApiError, match="too large"):
        await Fetcher(True).fetch(await start(answering(handler)), full)
