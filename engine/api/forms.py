"""Multipart forms: text fields in memory, files straight to the disk."""

import re
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote

from aiohttp import BadContentDispositionHeader, BadContentDispositionParam, BodyPartReader, web

from engine.errors import ApiError, invalid, missing
from engine.store.library import Incoming, Library

# The library reads these headers too, and warns of semicolons in names, which it does not understand.
warnings.filterwarnings("ignore", category=BadContentDispositionHeader)
warnings.filterwarnings("ignore", category=BadContentDispositionParam)

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
    """Read a form; its files are removed afterwards, unless the library has taken them.

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
    async for part in _parts(request):
        count += 1
        if not isinstance(part, BodyPartReader) or count > _MOST_PARTS:
            raise invalid("The form must not contain nested parts, nor more than 200.")
        names = read_disposition(part.headers.get("Content-Disposition", ""))
        name = names.get("name", "")
        if name in file_names:
            upload = Upload(library.incoming(), names.get("filename", ""))
            form.files.setdefault(name, []).append(upload)
            await _read_file(upload, part)
        elif name:
            form.fields.setdefault(name, []).append(await _read_field(part, name))


@contextmanager
def _malformed() -> Iterator[None]:
    """Say that a form is malformed, whatever its parser breaks with: it knows errors of many classes."""
    try:
        yield
    except (ApiError, web.HTTPException, ConnectionError):
        raise
    except Exception as exc:
        raise invalid("The form is malformed.") from exc


async def _parts(request: web.Request) -> AsyncIterator[object]:
    with _malformed():
        reader = await request.multipart()
    while True:
        with _malformed():
            part = await reader.next()
        if part is None:
            return
        yield part


async def _chunk(part: BodyPartReader, size: int) -> bytes:
    with _malformed():
        return bytes(await part.read_chunk(size))


async def _read_file(upload: Upload, part: BodyPartReader) -> None:
    while chunk := await _chunk(part, _PIECE_BYTES):
        await upload.incoming.write(chunk)


async def _read_field(part: BodyPartReader, name: str) -> str:
    value = bytearray()
    while chunk := await _chunk(part, 8192):
        value += chunk
        if len(value) > _FIELD_BYTES:
            raise invalid(f"The {name} parameter is too long.")
    return value.decode(errors="replace")


_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'\s*;\s*(?:({_NAME})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^";]*)))?')


def read_disposition(header: str) -> dict[str, str]:
    """Return the parameters of a part's ``Content-Disposition``; in quotes stands what may, also semicolons.

    Raises:
        ApiError: ``parameter_invalid``; it has not the form of RFC 6266, or says a thing twice.
    """
    header = header.encode(errors="surrogateescape").decode(errors="replace").strip()
    kind = re.match(f"(?:{_NAME})?", header)
    assert kind is not None
    at, found = kind.end(), dict[str, str]()
    while at < len(header):
        match = _PARAMETER.match(header, at)
        if match is None or (match[1] or "").lower() in found:
            raise invalid("The form is malformed: a part's Content-Disposition cannot be read.")
        at = match.end()
        if match[1]:
            # Only these two are escaped: browsers write a Windows path as it is.
            quoted = None if match[2] is None else re.sub(r'\\(["\\])', r"\1", match[2])
            found[match[1].lower()] = match[3].strip() if quoted is None else quoted
    for name, value in [(name, value) for name, value in found.items() if name.endswith("*")]:
        found[name[:-1]] = _extended(value)
    return found


def _extended(value: str) -> str:
    """Read a value as RFC 8187 has it: ``utf-8''na%C3%AFve.mp4``."""
    charset, _, text = value.partition("'")
    if charset.lower() not in ("utf-8", "iso-8859-1"):
        raise invalid("The form is malformed: a part's name is in an encoding that is not taken.")
    return unquote(text.partition("'")[2], charset, "replace")
