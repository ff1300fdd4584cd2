"""Captions for players of HTTP Live Streaming: a master playlist over the video's own, and subtitles that grow.

The addresses in the master playlist carry what it learned of the video: nothing is kept, and any process answers.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urljoin

import orjson
from aiohttp import web

from protocol.captions import hls
from protocol.errors import Refusal
from service.hub.derived import CaptionView
from service.web.keys import UPSTREAM
from service.web.streams import found_whole, number, seconds
from service.web.upstream_calls import asked_upstream

PLAYLIST = "application/vnd.apple.mpegurl"
MAX_DURATION_S = 86_400.0
MAX_TICKS = (1 << 33) - 1  # of MPEG-TS's clock
PAGE, MOST_PAGES = 50, 10
# A segment's first picture comes early in it, behind some sound.
BEGINNING_BYTES = 1 << 18
# Where the upstream stands, seen from the master playlist.
_UPSTREAM = "../../../v1.3"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PATH = re.compile(r"/[\w./~%?=&+:,;@!$()*-]*", re.ASCII)
_NO_STORE = {"Cache-Control": "no-store"}


async def master(request: web.Request) -> web.Response:
    """``GET /v1/streams/{id}/master.m3u8``: the video's own renditions, with the captions as subtitles.

    Raises:
        Refusal: ``not_found``: the stream's video has no playlist at the upstream.
    """
    stream = await found_whole(request)
    row = await _indexed(request, stream.request)
    at = _path(request, row["hls"]["video_url"])
    playlist = await _playlist(request, at)
    media_at, media = at, playlist
    if hls.is_master(playlist):
        media_at = _path(request, hls.first_uri(playlist) or "", at)
        media = await _playlist(request, media_at)
    else:
        playlist = f"#EXTM3U\n{_video(row).variant()}\n{row['hls']['video_url']}\n"
    query = _query(await _zero(request, media, media_at), hls.duration_of(media))
    body = hls.master(playlist, lambda uri: _UPSTREAM + _path(request, uri, at), f"captions.m3u8?{query}")
    return web.Response(text=body, content_type=PLAYLIST, headers=_NO_STORE)


async def captions(request: web.Request) -> web.Response:
    """``GET /v1/streams/{id}/captions.m3u8``: the segments that are closed."""
    segments, zero, duration = await _segments(request)
    body = segments.playlist(lambda place: f"captions/{place}.vtt?{_query(zero, duration)}")
    return web.Response(text=body, content_type=PLAYLIST, headers=_NO_STORE)


async def segment(request: web.Request) -> web.Response:
    """``GET /v1/streams/{id}/captions/{number}.vtt``: a closed segment.

    Raises:
        Refusal: ``not_found``: it is not closed yet, or there is none.
    """
    segments, zero, _ = await _segments(request)
    place = int(request.match_info["number"])
    if place >= len(segments):
        raise Refusal("not_found", "there is no such segment yet")
    return web.Response(text=segments.segment(place, zero), content_type="text/vtt", charset="utf-8", headers=_NO_STORE)


async def _segments(request: web.Request) -> tuple[hls.CaptionSegments, int, float]:
    """The segments so far, and what the address says of the video: when it begins, and how long it is."""
    zero, duration = number(request, "zero", 0, 0, MAX_TICKS), seconds(request, "duration", MAX_DURATION_S)
    if not duration:
        raise Refusal("invalid_request", "duration: that of the video, as the master playlist gives it")
    stream = await found_whole(request)
    await stream.ready("captions")
    view = stream.view("captions")
    assert isinstance(view, CaptionView)
    return hls.CaptionSegments(view.finals(), duration, over=stream.run.ending is not None), zero, duration


def _query(zero: int, duration: float) -> str:
    return f"zero={zero}&duration={duration:.3f}"


# -- the video


async def _indexed(request: web.Request, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """The index's row of a stream's video, with the address of its playlist.

    Raises:
        Refusal: ``not_found``.
    """
    why = "it is in no index"
    for index, ident in await _places(request, asked):
        row = await _read(request, f"/indexes/{index}/indexed-assets/{ident}")
        if row is None:
            continue
        told = row.get("hls")
        if isinstance(told, Mapping) and isinstance(told.get("video_url"), str):
            return row
        why = "its index has it without enable_video_stream" if told is None else "its playlist is not ready, or failed"
    raise Refusal("not_found", f"the stream's video cannot be played over HLS: {why}")


async def _places(request: web.Request, asked: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where a stream's video may be: pairs of an index and an id in it."""
    video = asked.get("video")
    if ident := _id(asked.get("video_id")):
        places = [(_id(row.get("_id")), ident) for row in await _rows(request, "/indexes")]
    elif isinstance(video, Mapping) and (asset := _id(video.get("asset_id"))):
        rows = await _rows(request, f"/assets/{asset}/indexed-assets")
        places = [(_id((row.get("index") or {}).get("_id")), _id(row.get("_id"))) for row in rows]
    else:
        places = []
    return [place for place in places if all(place)]


def _id(value: object) -> str:
    """A value that is an id, and so a part of a path; empty for any other."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else ""


async def _rows(request: web.Request, path: str) -> list[dict[str, Any]]:
    """The rows of a list of the upstream's, page by page."""
    found: list[dict[str, Any]] = []
    for page in range(1, MOST_PAGES + 1):
        told = await _read(request, f"{path}?page={page}&page_limit={PAGE}")
        rows = [row for row in (told or {}).get("data") or () if isinstance(row, dict)]
        found += rows
        if len(rows) < PAGE:
            break
    return found


async def _read(request: web.Request, path: str) -> dict[str, Any] | None:
    """A JSON object of the upstream's; None where it has none there."""
    status, body = await asked_upstream(request, path)
    try:
        told = orjson.loads(body) if status == 200 else None
    except orjson.JSONDecodeError:
        told = None
    return told if isinstance(told, dict) else None


def _video(row: Mapping[str, Any]) -> hls.Video:
    told = row.get("system_metadata")
    known = told if isinstance(told, Mapping) else {}
    sizes = {name: known.get(name) for name in ("size", "duration", "width", "height")}
    return hls.Video(**{name: size for name, size in sizes.items() if isinstance(size, int | float)})


# -- its playlists


def _path(request: web.Request, uri: str, base: str = "") -> str:
    """The path below the upstream's address of what a URI names, seen from the playlist at ``base``.

    Raises:
        Refusal: ``not_found``: it is elsewhere, and what is elsewhere is not fetched.
    """
    upstream = request.app[UPSTREAM].address.base
    url = urljoin(upstream + base, uri)
    path = url.removeprefix(upstream)
    climbs = any(part in (".", "..") for part in unquote(path.partition("?")[0]).replace("\\", "/").split("/"))
    if path == url or climbs or not _PATH.fullmatch(path):
        raise Refusal("not_found", "the video's playlist leads away from the upstream: nothing else is fetched")
    return path


async def _playlist(request: web.Request, path: str) -> str:
    status, body = await asked_upstream(request, path)
    playlist = body.decode(errors="replace")
    if status != 200 or not hls.is_playlist(playlist):
        raise Refusal("not_found", "the video's playlist cannot be read")
    return playlist


async def _zero(request: web.Request, media: str, base: str) -> int:
    """When the video begins, on its own clock; 0 where its first segment does not tell."""
    first = hls.first_uri(media)
    if first is None:
        return 0
    _, beginning = await asked_upstream(request, _path(request, first, base), BEGINNING_BYTES)
    return hls.first_time(beginning) or 0
