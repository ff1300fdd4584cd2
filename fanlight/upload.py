"""A video as the form that makes an asset of it."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import aiohttp

PIECE_BYTES = 1 << 16
Source = str | os.PathLike[str] | BinaryIO
# Told the bytes that were sent, and those in all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Video:
    """An open file, from where it stands to its end."""

    file: BinaryIO
    name: str
    size: int

    def form(self, progress: Progress) -> aiohttp.FormData:
        """The form that uploads it; ``progress`` is told of each piece that was sent."""
        form = aiohttp.FormData()
        form.add_field("method", "direct")
        form.add_field("filename", self.name)
        form.add_field("file", self._pieces(progress), filename=self.name, content_type="application/octet-stream")
        return form

    async def _pieces(self, progress: Progress) -> AsyncIterator[bytes]:
        sent = 0
        while piece := await asyncio.to_thread(self.file.read, PIECE_BYTES):
            yield piece
            sent += len(piece)
            progress(sent, self.size)


@contextmanager
def opened(source: Source) -> Iterator[Video]:
    """Open a video; a file that is open already stays so.

    Raises:
        OSError: there is no such file, it may not be read, or it is none.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.exists() and not path.is_file():
            # Opening a pipe would wait for whoever fills it, where nothing can stop the waiting.
            raise OSError(errno.EINVAL, "this is no file", str(path))
        with path.open("rb") as file:
            yield _video(file, path.name)
    else:
        name = getattr(source, "name", None)
        yield _video(source, Path(name).name if isinstance(name, str) else "video")


def _video(file: BinaryIO, name: str) -> Video:
    start = file.tell()
    size = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    return Video(file, _text(name), size)


def link_form(url: str) -> aiohttp.FormData:
    """The form that has an address fetched."""
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("method", "url")
    form.add_field("url", _text(url))
    return form


def _text(name: str) -> str:
    """A name as text, also where its bytes are none, and without what a header may not hold."""
    return "".join(character if character.isprintable() else "\ufffd" for character in name)
