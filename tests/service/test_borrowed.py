"""A caller's connection, lent for one answer: what leaves first, and what the fan-out may write to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from protocol.errors import Refusal
from protocol.wire.frames import NDJSON
from service.web.connection import BorrowedConnection, Connections


@asynccontextmanager
async def borrowed() -> AsyncIterator[tuple[BorrowedConnection, asyncio.StreamReader]]:
    arrived: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Future()
    server = await asyncio.start_server(lambda *both: arrived.set_result(both), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = BorrowedConnection(Connections(1 << 16, 30.0), NDJSON[True], chunked=True)
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", port)
    reader, writer = await arrived
    try:
        yield connection, reader
    finally:
        transport.abort()
        writer.transport.abort()
        server.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_nothing_can_be_written_past_a_head_that_has_not_left():
    async with asyncio.timeout(5), borrowed() as (connection, reader):
        connection.begin(b"head;")
        assert connection.fd == -1
        connection.write(b"one;")
        assert await reader.readexactly(9) == b"head;one;"


async def test_behind_its_head_a_callers_socket_is_written_like_any_other():
    async with asyncio.timeout(5), borrowed() as (connection, reader):
        own = connection.fd
        connection.begin(b"head;")
        connection.write(b"one;")
        assert connection.fd == own >= 0
        connection.write(b"two;")
        assert await reader.readexactly(13) == b"head;one;two;"


async def test_a_connection_that_was_given_back_is_nobodys_to_write_to():
    async with asyncio.timeout(5), borrowed() as (connection, _reader):
        connection.begin(b"head;")
        connection.write(b"one;")
        connection.give_back(asyncio.Protocol())
        assert connection.fd == -1


async def test_a_caller_that_waits_is_refused_once_and_one_that_has_left_is_not():
    async with asyncio.timeout(5), borrowed() as (waiting, _), borrowed() as (gone, _):
        first, second = Refusal("ticket_expired", "first"), Refusal("overloaded", "second")
        waiting.expel(first)
        waiting.expel(second)
        assert (waiting.refusal, waiting.done.result()) == (first, False)
        gone.connection_lost(None)
        gone.expel(first)
        assert (gone.refusal, gone.done.result()) == (None, False)


async def test_a_caller_whose_answer_has_begun_is_cut_and_not_answered_anew():
    async with asyncio.timeout(5), borrowed() as (connection, reader):
        connection.begin(b"head;")
        connection.expel(Refusal("ticket_expired", "too late"))
        assert connection.refusal is None
        assert not await connection.done
        with pytest.raises(ConnectionResetError):
            await reader.read()
