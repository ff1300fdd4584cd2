"""What else may answer at the service's address: proxies, portals, and peers that keep no rule."""

import asyncio
from contextlib import nullcontext, suppress
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanlight import Client, ClientError, Inexact, Refused, TooLarge, Unreachable
from tests.fanlight.peer import Act, Line, Peer, answers, attached, end, gone, says


async def at_once(_seconds: float) -> None:
    """Pauses between attempts take no time in tests."""


PAGE = b"<html><h1>Your room number, please</h1></html>"
HTML = "Content-Type: text/html"


def client_of(peer: Peer, **settings) -> Client:
    return Client(peer.url, sleep=at_once, attempts=3, **settings)


async def read_all(client: Client) -> None:
    async for _ in client.watch("st_x"):
        pass


@pytest.mark.parametrize("act", [
    answers(502, b"<html>Bad Gateway</html>", HTML), answers(200, PAGE, HTML), answers(200), answers(429), answers(503),
    answers(302, b"", "Location: /login"), answers(302, b"", "Location: http://127.0.0.1:1/login"),
    answers(302, b"", "Location: http://["),
])  # fmt: skip
async def test_what_may_pass_in_place_of_a_handshake_is_tried_again_with_a_pause_that_grows(act: Act):
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with Peer(act) as peer:
        async with Client(peer.url, sleep=pause, attempts=4) as client:
            with pytest.raises(Unreachable, match="was tried 4 times in a row"):
                await read_all(client)
    assert len(peer.heads) == 4
    assert [pause <= 0.2 * 2**n for n, pause in enumerate(pauses, 1)] == [True] * 3


async def test_a_pause_that_was_asked_for_is_made_once():
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    leaves = says(attached("one"), {"type": "draining", "retry_after_ms": 59_000}, then=gone)
    back = says(attached(mode="live", **{"from": 3}), end("one"))
    lost: list[int] = []
    async with Peer(leaves, answers(503), answers(503), back) as peer:
        async with Client(peer.url, sleep=pause, lost=lost.append) as client:
            await read_all(client)
    assert pauses[0] == 59.0
    assert [pause <= 0.8 for pause in pauses[1:]] == [True, True]
    assert lost == [1, 2]


@pytest.mark.parametrize(("status", "code"), [
    (204, "ended"), (400, "invalid_request"), (401, "unauthenticated"), (403, "forbidden"), (404, "not_found"),
    (410, "gone"), (451, "http_451"),
])  # fmt: skip
async def test_what_is_final_in_place_of_a_handshake_ends_at_once_with_its_name(status: int, code: str):
    async with Peer(answers(status, b"" if status == 204 else PAGE, HTML)) as peer, client_of(peer) as client:
        with pytest.raises(Refused) as refused:
            await read_all(client)
        assert (refused.value.status, refused.value.code) == (status, code)
        assert len(peer.heads) == 1


@pytest.mark.parametrize(("close", "code"), [(4401, "unauthenticated"), (4403, "forbidden"), (4404, "not_found"), (1008, "invalid_request")])  # fmt: skip
async def test_a_final_close_ends_at_once_with_its_name(close: int, code: str):
    async def closes(line: Line, _head: str) -> None:
        line.frame(close.to_bytes(2, "big"), 0x8)
        await line.until_gone()

    async with Peer(says(then=closes)) as peer, client_of(peer) as client:
        with pytest.raises(Refused, match=code):
            await read_all(client)
        assert len(peer.heads) == 1


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (502, b"<html>", Refused), (500, b"", Refused), (401, b"[]", Refused), (404, b'{"code": 7}', Refused),
        (200, PAGE, Inexact), (200, b"", Inexact), (200, b"[]", Inexact), (200, b"\xff", Inexact),
        (201, b'{"id": 7}', Inexact), (201, b"{}", Inexact), (302, b"", Unreachable),
    ],
)  # fmt: skip
async def test_a_start_that_is_answered_by_something_else_is_one_typed_error(
    status: int, body: bytes, error: type[Exception]
):
    async with Peer(answers(status, body, "Location: http://127.0.0.1:1/")) as peer, client_of(peer) as client:
        with pytest.raises(error):
            await client.start({"prompt": "p"})


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"_id": "a1"}', b'{"_id": 7, "status": "ready"}', PAGE, b""])
async def test_an_asset_that_is_none_is_one_typed_error(body: bytes, tmp_path: Path):
    (tmp_path / "clip.mp4").write_bytes(b"video")
    async with Peer(answers(201, body)) as peer, client_of(peer) as client:
        with pytest.raises(Inexact):
            await client.upload(tmp_path / "clip.mp4")
        with pytest.raises(Inexact):
            await client.fetch("http://example.org/clip.mp4")


async def test_the_key_does_not_follow_a_redirect():
    async with Peer(answers(200, b"{}")) as other:
        async with Peer(answers(307, b"", f"Location: {other.url}/")) as peer:
            async with client_of(peer, api_key="swordfish") as client:
                for call in (read_all(client), client.call("GET", "/v1/streams")):
                    with pytest.raises(Unreachable, match="redirects to"):
                        await call
        assert "swordfish" in peer.heads[0]
        assert other.heads == []


@pytest.mark.parametrize(
    "frame",
    [b"no json", b"[]", b"7", b"{}", b'{"type":"attached"}', b'{"type":"delta","from":0}', b"\xff", b"[" * 2000],
)
async def test_a_frame_that_is_no_message_is_one_typed_error(frame: bytes):
    async with Peer(says(frame)) as peer, client_of(peer) as client:
        with pytest.raises(Inexact):
            await read_all(client)
        assert len(peer.heads) == 1


@pytest.mark.parametrize(
    "data", [b"\x82\x01x", b"\xc1\x01x", b"\x83\x01x", b"\x81\x81\0\0\0\0x", b"\x89\x7e\x01\x00", b"\x80\x01x"]
)
async def test_a_binary_frame_and_what_is_no_frame_is_one_typed_error(data: bytes):
    async def sends(line: Line, head: str) -> None:
        line.send(data)
        await line.until_gone()

    async with Peer(says(attached("one"), then=sends)) as peer, client_of(peer) as client:
        heard = []
        with pytest.raises(Inexact):
            async for message in client.watch("st_x"):
                heard.append(message)
        assert len(heard) == 1
        assert len(peer.heads) == 1


async def test_a_socket_that_closes_at_once_is_tried_again_and_given_up_in_the_end():
    async with Peer(says(then=gone)) as peer, client_of(peer) as client:
        with pytest.raises(Unreachable):
            await read_all(client)
        assert len(peer.heads) == 3


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=200), max_size=4), st.sampled_from(["answer", "frames", "handshake"]))
def test_whatever_bytes_come_raise_nothing_but_errors_of_the_client(data: list[bytes], where: str):
    async def sends(line: Line, head: str) -> None:
        if where == "frames":
            line.shake(head)
        if where == "handshake":
            line.send(b"HTTP/1.1 101 Switching Protocols\r\n")
        for part in data:
            line.send(part)
        line.cut() if len(data) % 2 else line.finish()

    async def play() -> None:
        async with Peer(sends) as peer, client_of(peer, silence_s=1, answer_s=1) as client:
            for work in (read_all(client), client.start({"prompt": "p"}), client.cancel("st_x")):
                with suppress(ClientError):
                    await work

    asyncio.run(play())


# -- sizes


@pytest.mark.parametrize("cut_short", [False, True])
async def test_a_message_over_the_limit_is_one_typed_error(cut_short: bool):
    size = len(orjson.dumps(attached("x" * 1000)))
    async with Peer(says(attached("x" * 1000), end("x" * 1000))) as peer:
        async with client_of(peer, max_message_bytes=size - cut_short) as client:
            with pytest.raises(TooLarge, match="max_message_bytes") if cut_short else nullcontext():
                await read_all(client)
        assert len(peer.heads) == 1


# -- addresses


@pytest.mark.parametrize("suffix", ["/prefix", "/prefix/", "/a/b%20c/"])
async def test_a_path_in_the_address_is_kept(suffix: str, tmp_path: Path):
    (tmp_path / "clip.mp4").write_bytes(b"video")
    path = suffix.rstrip("/")
    ready = answers(200, b'{"id": "st_x", "_id": "a1", "status": "ready"}')
    async with Peer(ready, ready, ready, ready, says(attached("one"), end("one"))) as peer:
        async with Client(peer.url + suffix) as client:
            await client.start({"prompt": "p"})
            await client.cancel("st_x")
            await client.fetch("http://example.org/clip.mp4")
            await client.upload(tmp_path / "clip.mp4")
            await read_all(client)
    assert peer.asked == [
        f"POST {path}/v1/streams",
        f"DELETE {path}/v1/streams/st_x",
        f"POST {path}/v1.3/assets",
        f"POST {path}/v1.3/assets",
        f"GET {path}/v1/streams/st_x/ws?view=text",
    ]


@pytest.mark.parametrize("url", [
    "", "127.0.0.1:8080", "localhost", "ftp://host", "ws://host", "http://", "http:///path", "http://host?x=1",
    "http://host/?", "http://host/#a", "http://host:99999", "http://host:port", "http://[::1", "http://ho st", "http://h\nost",
    "http://host\udcff", "http://a..b", "http://" + "a" * 70, " http://host",
])  # fmt: skip
def test_an_address_that_is_none_is_said_to_be_so(url: str):
    with pytest.raises(ValueError, match="is no address of a service"):
        Client(url)


@pytest.mark.parametrize("host", ["\u2603.invalid", "no-such-host.invalid"])
async def test_a_host_that_is_not_there_is_unreachable(host: str):
    async with Client(f"http://{host}", attempts=2, sleep=at_once) as client:
        with pytest.raises(Unreachable):
            await read_all(client)
        with pytest.raises(Unreachable):
            await client.start({"prompt": "p"})


@pytest.mark.parametrize("key", ["a\nb", "schlüssel", "a\udcff"])
def test_a_key_that_is_none_is_said_to_be_so_and_not_told(key: str):
    with pytest.raises(ValueError, match=r"^an API key is printable ASCII$"):
        Client(api_key=key)


async def test_a_stream_of_any_name_is_asked_for_by_it():
    async with Peer(answers(404)) as peer, client_of(peer) as client:
        for name in ("a/b?c#d", "é\udcff", "%2e"):
            with pytest.raises(Refused):
                await client.cancel(name)
    assert [asked.rsplit("/", 1)[1] for asked in peer.asked] == ["a%2Fb%3Fc%23d", "%C3%A9%3F", "%252e"]
