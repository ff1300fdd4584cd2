"""Captions as files: WebVTT, SRT and JSON, out of the final cues so far; the request is never held open."""

from aiohttp import web

from protocol.captions.subtitles import Subtitles
from protocol.ndjson import dumps
from service.hub.derived import CaptionView
from service.web.streams import flag, found_whole

TYPES = {"vtt": "text/vtt", "srt": "application/x-subrip", "json": "application/json"}


async def captions(request: web.Request) -> web.StreamResponse:
    """``GET /v1/streams/{id}/captions.vtt``, ``.srt``, ``.json``; ``?formatted=1`` lays them out for the screen.

    Growing while the stream runs; once it has ended the file has an ``ETag``.
    """
    stream, kind, formatted = await found_whole(request), request.match_info["kind"], flag(request, "formatted")
    headers = {"Cache-Control": "no-store"}
    if stream.run.ending is not None:
        tag = f'"{stream.run.ending.sha256[:32]}-{kind}{"-f" if formatted else ""}"'
        headers = {"Cache-Control": "private, no-cache", "ETag": tag}
        if tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
    await stream.ready("captions")
    view = stream.view("captions")
    assert isinstance(view, CaptionView)
    subtitles = Subtitles.of(view.finals(), formatted=formatted)
    body = subtitles.vtt() if kind == "vtt" else subtitles.srt() if kind == "srt" else dumps(subtitles.json()).decode()
    return web.Response(text=body, content_type=TYPES[kind], charset="utf-8", headers=headers)
