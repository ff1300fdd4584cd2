"""The upstream's connections: made, kept, given up; over TCP, TLS and Unix sockets, on both loops."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.upstream import pool as pools
from service.upstream.address import Address, parse_address
from service.upstream.contract import Broken, ConnectTimeout, Unreachable
from service.upstream.http import HttpUpstream
from service.upstream.pool import Pool
from tests.fakes.waiting import until

ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


class Peer:
    """Answers each request alike; remembers requests and connections."""

    def __init__(self, answer: bytes = ANSWER) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(size))
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A port where ``handler`` serves; nothing of it is left behind."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await handler(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, limit=1 << 26)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def to(address: str | Address, **more: Any) -> HttpUpstream:
    address = parse_address(address) if isinstance(address, str) else address
    return HttpUpstream(address, api_key=None, **{"connect_timeout_s": 5, **more})


async def called(upstream: HttpUpstream, body: bytes = b"{}") -> bytes:
    got = b""

    def take(data: bytes) -> bool:
        nonlocal got
        got += data
        return False

    async with upstream.analyze(body, {"traceparent": "t"}, lambda: None) as answer:
        await answer.deliver(take)
    return got


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context; its authority is the one that clients trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "here")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "both.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context


async def test_a_call_says_what_it_must_and_nothing_else():
    peer = Peer()
    async with (
        listening(peer.serve) as port,
        HttpUpstream(parse_address(f"http://127.0.0.1:{port}/v1.3"), api_key="secret", connect_timeout_s=5) as upstream,
    ):
        await called(upstream)
    assert peer.requests == [
        b"POST /v1.3/analyze HTTP/1.1\r\n"
        b"Host: 127.0.0.1:%d\r\n"
        b"Accept: */*\r\nAccept-Encoding: identity\r\nUser-Agent: fanlight\r\n"
        b"Content-Type: application/json\r\n"
        b"traceparent: t\r\nx-api-key: secret\r\n"
        b"Content-Length: 2\r\n\r\n{}" % port
    ]


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\rb", "a\0b"])
async def test_a_header_of_more_than_a_line_is_never_sent(value: str):
    peer = Peer()
    async with listening(peer.serve) as port, to(f"http://127.0.0.1:{port}/v1.3") as upstream:
        with pytest.raises(ValueError, match="more than a line"):
            async with upstream.analyze(b"{}", {"x-api-key": value}, lambda: None):
                pass
    assert peer.connections == 0


async def test_a_body_of_megabytes_arrives_whole():
    peer = Peer()
    async with listening(peer.serve) as port, to(f"http://127.0.0.1:{port}/v1.3") as upstream:
        assert await called(upstream, b"x" * (8 << 20)) == b"ok"
    assert len(peer.requests[0].split(b"\r\n\r\n")[1]) == 8 << 20


async def through_all(address: str | Address, peer: Peer) -> None:
    async with asyncio.timeout(10), to(address) as upstream:
        assert [await called(upstream) for _ in range(3)] == [b"ok"] * 3
        assert peer.connections == 1
        assert await asyncio.gather(*(called(upstream) for _ in range(4))) == [b"ok"] * 4
    await until(lambda: all(writer.is_closing() for writer in peer.writers))


def over_tcp(_tmp_path: Path, _authority: ssl.SSLContext) -> Coroutine[Any, Any, None]:
    async def run() -> None:
        peer = Peer()
        async with listening(peer.serve) as port:
            await through_all(f"http://localhost:{port}/v1.3", peer)

    return run()


def over_tls(_tmp_path: Path, authority: ssl.SSLContext) -> Coroutine[Any, Any, None]:
    async def run() -> None:
        peer = Peer()
        async with listening(peer.serve, authority) as port:
            await through_all(f"https://localhost:{port}/v1.3", peer)

    return run()


def over_a_unix_socket(tmp_path: Path, _authority: ssl.SSLContext) -> Coroutine[Any, Any, None]:
    async def run() -> None:
        peer, path = Peer(), str(tmp_path / "s")
        server = await asyncio.start_unix_server(peer.serve, path)
        await through_all(Address("http://localhost/v1.3", path), peer)
        server.close()

    return run()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("way", [over_tcp, over_tls, over_a_unix_socket])
def test_one_connection_serves_call_after_call_and_is_closed_at_the_end(
    tmp_path: Path, authority: ssl.SSLContext, way: Any, loop: str
):
    run = uvloop.run if loop == "uvloop" else asyncio.run
    run(way(tmp_path, authority))


async def test_a_server_that_nobody_trusts_is_unreachable(authority: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    peer = Peer()
    async with listening(peer.serve, authority) as port, to(f"https://127.0.0.1:{port}/v1.3") as upstream:
        with pytest.raises(Unreachable):
            await called(upstream)


async def test_a_port_where_nobody_listens_is_unreachable():
    async with listening(Peer().serve) as port:
        pass
    async with to(f"http://127.0.0.1:{port}/v1.3") as upstream:
        with pytest.raises(Unreachable):
            await called(upstream)


async def test_a_name_that_is_none_is_unreachable():
    async with to("http://nowhere.invalid/v1.3", connect_timeout_s=20) as upstream:
        with pytest.raises(Unreachable):
            await called(upstream)


async def test_a_handshake_that_does_not_come_runs_out_the_connect_clock():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with (
        asyncio.timeout(5),
        listening(silent) as port,
        to(f"https://127.0.0.1:{port}/v1.3", connect_timeout_s=0.05) as upstream,
    ):
        with pytest.raises(ConnectTimeout):
            await called(upstream)


async def test_who_is_cancelled_while_connecting_leaves_no_connection():
    met, left = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.set()
        await reader.read()
        left.set()
        writer.close()

    async with asyncio.timeout(5), listening(silent) as port, to(f"https://127.0.0.1:{port}/v1.3") as upstream:
        calling = asyncio.ensure_future(called(upstream))
        await met.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await left.wait()


async def test_who_is_cancelled_while_waiting_for_the_head_closes_the_connection():
    peer = Peer(answer=b"")
    async with asyncio.timeout(5), listening(peer.serve) as port, to(f"http://127.0.0.1:{port}/v1.3") as upstream:
        calling = asyncio.ensure_future(called(upstream))
        await until(lambda: peer.requests)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await until(lambda: peer.writers[0].is_closing())


async def test_a_kept_connection_that_the_server_has_closed_is_not_used_again():
    peer = Peer()
    async with asyncio.timeout(5), listening(peer.serve) as port, to(f"http://127.0.0.1:{port}/v1.3") as upstream:
        await called(upstream)
        kept = upstream._pool._kept[0][1]
        peer.writers[0].close()
        await until(kept.is_closing)
        assert await called(upstream) == b"ok"
    assert peer.connections == 2


async def test_a_kept_connection_on_which_something_comes_unasked_is_given_up():
    peer = Peer()
    async with asyncio.timeout(5), listening(peer.serve) as port, to(f"http://127.0.0.1:{port}/v1.3") as upstream:
        await called(upstream)
        kept = upstream._pool._kept[0][1]
        peer.writers[0].write(ANSWER)
        await until(kept.is_closing)
        assert await called(upstream) == b"ok"
    assert peer.connections == 2


async def test_an_answer_before_the_request_is_sent_whole_costs_the_connection():
    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    async with asyncio.timeout(5), listening(hasty) as port, to(f"http://127.0.0.1:{port}/v1.3") as upstream:
        async with upstream.analyze(b"x" * (32 << 20), {}, lambda: None) as answer:
            assert answer.status == 413
            await answer.deliver(lambda _data: False)
        assert not upstream._pool._kept


async def test_a_call_on_a_connection_that_breaks_meanwhile_is_broken_and_not_tried_again():
    async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with asyncio.timeout(5), listening(leaving) as port, to(f"http://127.0.0.1:{port}/v1.3") as upstream:
        with pytest.raises(Broken):
            await called(upstream)


async def test_only_so_many_connections_are_kept_and_none_for_long(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pools, "MOST_KEPT", 2)
    peer = Peer()
    async with asyncio.timeout(5), listening(peer.serve) as port:
        pool = Pool(parse_address(f"http://127.0.0.1:{port}/v1.3"), 5)
        made = [await pool.made() for _ in range(3)]
        for transport in made:
            pool.give_back(transport)
        assert [transport.is_closing() for transport in made] == [False, False, True]
        assert "2 kept" in repr(pool)
        monkeypatch.setattr(pools, "KEPT_S", 0.0)
        pool._tidy()
        assert all(transport.is_closing() for transport in made)
        assert pool.kept() is None
        pool.close()


async def test_a_pool_that_is_closed_keeps_nothing():
    peer = Peer()
    async with asyncio.timeout(5), listening(peer.serve) as port:
        pool = Pool(parse_address(f"http://127.0.0.1:{port}/v1.3"), 5)
        out, back = await pool.made(), await pool.made()
        pool.give_back(back)
        pool.close()
        pool.give_back(out)
        assert (out.is_closing(), back.is_closing()) == (True, True)
