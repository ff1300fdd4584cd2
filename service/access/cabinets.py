"""Where the book of keys stands: in a file, or in the store as a note. The laws:

* `read` gives the whole text, None where there is none;
* `write` replaces it where it still says what it did before, and says whether it did: of two who change it at
  once one has to look again;
* what was written is there after a kill of the process, except where the store keeps nothing.
"""

import asyncio
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from service.access.book import Book, BookAway, BookBroken, Edit
from service.store.contract import Store, StoreFailed

TRIES = 16
# No tenant of anybody is called so: names of tenants are not empty.
_NOBODY = ""
_NOTE = "keys"
_FOR_EVER = 4e10


class Cabinet(Protocol):
    """See the module's text."""

    async def read(self) -> bytes | None:
        """The book's text.

        Raises:
            BookBroken: it cannot be read now.
        """

    async def write(self, before: bytes | None, text: bytes) -> bool:
        """Replace the text where it is what it was; whether it is.

        Raises:
            BookBroken: it cannot be written now.
        """


class FileCabinet:
    """A file of the operator's own; another one beside it is the lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> bytes | None:
        """See `Cabinet.read`."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes() or None
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise BookBroken(f"{self._path} cannot be read: {exc.strerror}") from exc

    async def write(self, before: bytes | None, text: bytes) -> bool:
        """See `Cabinet.write`."""
        return await asyncio.to_thread(self._write, before, text)

    def _write(self, before: bytes | None, text: bytes) -> bool:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                if self._read() != before:
                    return False
                fresh = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
                with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                fresh.rename(self._path)
                return True
        except OSError as exc:
            raise BookBroken(f"{self._path} cannot be written: {exc.strerror}") from exc

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self._path.with_name(f"{self._path.name}.lock")
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class StoreCabinet:
    """A note in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self) -> bytes | None:
        """See `Cabinet.read`."""
        try:
            return await self._store.note(_NOBODY, _NOTE, 0.0)
        except StoreFailed as exc:
            raise BookAway("the store that the keys are in cannot be read now") from exc

    async def write(self, before: bytes | None, text: bytes) -> bool:
        """See `Cabinet.write`."""
        try:
            return await self._store.write_note(_NOBODY, _NOTE, before, text, _FOR_EVER, 0.0)
        except StoreFailed as exc:
            raise BookAway("the store that the keys are in cannot be written now") from exc


async def change(cabinet: Cabinet, edit: Edit) -> Book:
    """Change the book, whoever else does; return it as it is then.

    Raises:
        BookBroken: as ``edit`` does, and where it cannot be read or written.
    """
    for _ in range(TRIES):
        before = await cabinet.read()
        book = edit(Book.parse(before))
        if await cabinet.write(before, book.text()):
            return book
    raise BookBroken("the book of keys is changed by too many at once")
