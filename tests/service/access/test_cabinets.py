"""The laws of where the book of keys stands, held against each place."""

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.access import book
from service.access.book import Book, BookBroken
from service.access.cabinets import Cabinet, FileCabinet, StoreCabinet, change
from service.store.memory import MemoryStore
from service.store.redis import RedisStore
from service.store.sqlite import SqliteStore
from tests.fakes.redis_server import needs_redis, redis_server


def key(name: str) -> book.Key:
    return book.new_key(name, name, *book.new_secret(), 1.0)


@pytest.fixture(params=["file", "memory", "sqlite", pytest.param("redis", marks=needs_redis)])
async def cabinet(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cabinet]:
    if request.param == "file":
        yield FileCabinet(tmp_path / "deep" / "keys.json")
        return
    if request.param == "redis":
        async with redis_server() as server:
            store = RedisStore(server.url, "n")
            await store.open()
            yield StoreCabinet(store)
            await store.close()
        return
    store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "streams.db")
    await store.open()
    yield StoreCabinet(store)
    await store.close()


async def test_what_was_written_is_read(cabinet: Cabinet):
    assert await cabinet.read() is None
    assert await cabinet.write(None, b"one")
    assert await cabinet.read() == b"one"


async def test_of_two_who_change_it_at_once_one_has_to_look_again(cabinet: Cabinet):
    assert await cabinet.write(None, b"one")
    assert not await cabinet.write(None, b"two")
    assert not await cabinet.write(b"zero", b"two")
    assert await cabinet.write(b"one", b"two")
    assert await cabinet.read() == b"two"


async def test_no_change_is_lost_among_many(cabinet: Cabinet):
    names = [f"k{n}" for n in range(8)]
    await asyncio.gather(*(change(cabinet, lambda known, n=name: book.created(known, key(n))) for name in names))
    assert sorted(Book.parse(await cabinet.read()).keys) == names


async def test_a_change_that_cannot_be_made_leaves_the_book_as_it_is(cabinet: Cabinet):
    await change(cabinet, lambda known: book.created(known, key("a")))
    before = await cabinet.read()
    with pytest.raises(BookBroken, match="already"):
        await change(cabinet, lambda known: book.created(known, key("a")))
    assert await cabinet.read() == before


async def test_a_file_of_keys_is_its_owners_alone(tmp_path: Path):
    path = tmp_path / "keys.json"
    assert await FileCabinet(path).write(None, b"x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_guest_writes_notes_beside_a_service_that_holds_the_file(tmp_path: Path):
    path = tmp_path / "streams.db"
    service, guest = SqliteStore(path), SqliteStore(path, guest=True)
    await service.open()
    await guest.open()
    await change(StoreCabinet(guest), lambda known: book.created(known, key("a")))
    assert "a" in Book.parse(await StoreCabinet(service).read()).keys
    await guest.close()
    await service.close()


def test_nothing_of_a_secret_stands_in_the_book():
    ident, secret = book.new_secret()
    text = book.created(Book(), book.new_key("a", "a", ident, secret, 1.0)).text()
    assert secret.encode() not in text
    assert book.taken_apart(book.shown(ident, secret)) == (ident, secret)


@pytest.mark.parametrize("text", [b"[]", b"{", b'{"keys":{"a":{}}}', b'{"more":1}'])
def test_a_book_that_is_none_is_told_without_its_values(text: bytes):
    with pytest.raises(BookBroken):
        Book.parse(text)
