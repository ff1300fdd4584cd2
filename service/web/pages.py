"""The page at ``/``, the caption bar at ``/captions``, and the files that they and other pages load."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from protocol.errors import Refusal
from service.web.keys import CORS

FOLDER = Path(__file__).parent / "static"
# Nothing from elsewhere, nothing inline; videos that a tab holds are blobs.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:;"
    " media-src 'self' blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
MEDIA = frozenset({".mp4"})


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent; read once, for it changes with the program alone."""

    data: bytes
    packed: bytes
    content_type: str
    tag: str

    @classmethod
    def of(cls, path: Path) -> "Asset":
        """Read a file."""
        data = path.read_bytes()
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        tag = f'"{hashlib.sha256(data).hexdigest()[:24]}"'
        return cls(data, gzip.compress(data, mtime=0), kind, tag)

    def answer(self, request: web.Request) -> web.Response:
        """The file, packed where the caller takes that; 304 where it has it already."""
        # What every answer carries is put on last, and it may say Vary, too.
        request[CORS]["Vary"] = "Accept-Encoding, Origin"
        headers = {"ETag": self.tag, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        if self.tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        if self.content_type == "text/html":
            headers |= {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
        data = self.data
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            data, headers["Content-Encoding"] = self.packed, "gzip"
        return web.Response(body=data, content_type=self.content_type, charset="utf-8", headers=headers)


# By name: a name that is not here is never looked for.
STATIC = {path.name: path for path in FOLDER.iterdir() if path.is_file() and path.suffix != ".html"}
_ASSETS = {path.name: Asset.of(path) for path in FOLDER.iterdir() if path.is_file() and path.suffix not in MEDIA}


async def front_page(request: web.Request) -> web.StreamResponse:
    """``/``: the page on which to try it."""
    return _ASSETS["index.html"].answer(request)


async def caption_bar(request: web.Request) -> web.StreamResponse:
    """``/captions``: the latest lines of a stream or channel on nothing, for events and for OBS."""
    return _ASSETS["captions.html"].answer(request)


async def static_file(request: web.Request) -> web.StreamResponse:
    """``/static/{name}``: the modules, styles and the sample."""
    name = request.match_info["name"]
    if name not in STATIC:
        raise Refusal("not_found", "there is no such file")
    if name in _ASSETS:
        return _ASSETS[name].answer(request)
    return web.FileResponse(STATIC[name])  # media is asked for in ranges
