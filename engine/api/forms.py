"""Multipart forms: text fields in memory, files straight to the disk."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from engine.errors import ApiError, invalid, missing
from engine.store.library import Incoming, Library

_PIECE_BYTES = 1 << 20
_FIELD_BYTES = 64 * 1024
_MOST_PARTS = 200


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a form; ``filename`` is empty when it has none."""

    incoming: Incoming
    filename: str


@dataclass(slots=True)
class Form:
    """The fields and files of a form, by name and in order."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[Upload]] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return the last value of a field; None when it is absent or empty."""
        values = self.fields.get(name)
        return (values[-1] or None) if values else None

    def needed(self, name: str) -> str:
        """Return a field that must be there.

        Raises:
            ApiError: ``parameter_not_provided``.
        """
        value = self.text(name)
        if value is None:
            raise missing(name)
        return value

    def texts(self, name: str) -> list[str]:
        """Return all values of a field that may be repeated (also as ``name[]``)."""
        return [one for one in (*self.fields.get(name, []), *self.fields.get(f"{name}[]", [])) if one]

    def flag(self, name: str, default: bool) -> bool:
        """Return a field that is ``true`` or ``false``.

        Raises:
            ApiError: ``parameter_invalid``.
        """
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in ("true", "false"):
            raise invalid(f"The {name} parameter must be true or false.")
        return value.lower() == "true"

    def file(self, name: str) -> Upload | None:
        """Return the first file of a name.

        Raises:
            ApiError: ``parameter_invalid``; it is empty.
        """
        files = self.files.get(name)
        if not files:
            return None
        if not files[0].incoming.size:
            raise invalid(f"The {name} parameter is empty.")
        return files[0]


@asynccontextmanager
async def read_form(request: web.Request, library: Library, *file_names: str) -> AsyncIterator[Form]:
    """Read a form; its files are gone afterwards, unless the library has taken them.

    Args:
        file_names: the parts that are files; all others are text.

    Raises:
        ApiError: ``parameter_invalid`` or a size limit.
    """
    if request.content_type != "multipart/form-data":
        raise ApiError("content_type_invalid", "The request must be multipart/form-data.")
    form = Form()
    try:
        await _read(request, library, form, set(file_names))
        yield form
    finally:
        for uploads in form.files.values():
            for upload in uploads:
                upload.incoming.discard()


async def _read(request: web.Request, library: Library, form: Form, file_names: set[str]) -> None:
    count = 0
    try:
        async for part in await request.multipart():
            count += 1
            if not isinstance(part, BodyPartReader) or count > _MOST_PARTS:
                raise invalid("The form must not contain nested parts, nor more than 200.")
            if part.name in file_names:
                await _read_file(library, form, part)
            elif part.name:
                text = (await _read_field(part)).decode(errors="replace")
                form.fields.setdefault(part.name, []).append(text)
    except (ValueError, HttpProcessingError) as exc:  # the latter of a part's headers
        raise invalid("The form is malformed.") from exc


async def _read_file(library: Library, form: Form, part: BodyPartReader) -> None:
    assert part.name is not None
    upload = Upload(library.incoming(), (part.filename or "").encode(errors="replace").decode())
    form.files.setdefault(part.name, []).append(upload)
    while chunk := await part.read_chunk(_PIECE_BYTES):
        await upload.incoming.write(bytes(chunk))


async def _read_field(part: BodyPartReader) -> bytes:
    value = bytearray()
    while chunk := await part.read_chunk(8192):
        value += chunk
        if len(value) > _FIELD_BYTES:
            raise invalid(f"The {part.name} parameter is too long.")
    return bytes(value)
