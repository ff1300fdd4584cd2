"""The analyze call: a request is checked, a worker answers, its text becomes events.

Everything that can be known before the first event is an HTTP error. After it there are
two endings only: ``stream_end``, or a connection that breaks off.
"""

import json
import math
from typing import Any

import structlog
from aiohttp import web

from engine.api.web import read_object
from engine.errors import ApiError, invalid, missing
from engine.tell.paraphrase import Prompts
from engine.work.analysis import Asked, MediaSources, Run, read_question
from engine.work.budget import tokens_in
from engine.work.fetch import check_url
from engine.work.pool import Pool

log = structlog.get_logger()

MAX_PROMPT_TOKENS = 2000
MAX_TOKENS = 4096
_SOURCES = ("url", "asset_id", "base64_string")
# What callers may name; the answer's model_name is the true one.
_MODELS = ("pegasus1.2", "pegasus1.5")
# What SDKs since 1.3 can ask for: each would change the answer, so none is passed over in silence.
_LATER = (
    "image", "prompt_v2", "start_time", "end_time", "min_segment_duration", "max_segment_duration", "custom_id",
)  # fmt: skip


def read_request(body: dict[str, Any]) -> Asked:
    """Check a request's members; unknown ones are not ours to judge.

    Raises:
        ApiError: with the code and the member's name.
    """
    _refuse_later(body)
    source, value = _read_video(body)
    prompt = _member(body, "prompt", str)
    if prompt is None:
        raise missing("prompt")
    if not prompt.strip():
        raise invalid("The prompt parameter must not be empty.")
    _check_characters("prompt", prompt)
    if tokens_in(prompt) > MAX_PROMPT_TOKENS:
        raise ApiError("token_limit_exceeded", f"The prompt has more than {MAX_PROMPT_TOKENS} tokens.")
    temperature = body.get("temperature")
    if temperature is not None and (not _is_number(temperature) or not 0 <= temperature <= 1):
        raise invalid("The temperature parameter must be a number from 0 to 1.")
    max_tokens = body.get("max_tokens")
    if max_tokens is None:
        max_tokens = MAX_TOKENS
    elif not _is_number(max_tokens) or max_tokens != int(max_tokens) or not 1 <= max_tokens <= MAX_TOKENS:
        raise invalid(f"The max_tokens parameter must be a whole number from 1 to {MAX_TOKENS}.")
    stream = _member(body, "stream", bool)
    return Asked(prompt, source, value, _read_schema(body), int(max_tokens), stream is not False)


def _refuse_later(body: dict[str, Any]) -> None:
    """Refuse what is asked of later models and cannot be served.

    Raises:
        ApiError: ``parameter_invalid``, with the member's name.
    """
    if body.get("model_name") not in (None, *_MODELS):
        raise invalid(f"The model_name parameter must be one of {', '.join(_MODELS)}.")
    if body.get("analysis_mode") not in (None, "general"):
        raise invalid("The analysis_mode parameter must be general: no other is served here.")
    for name in _LATER:
        if body.get(name) is not None:
            raise invalid(f"The {name} parameter is not served here; leave it out.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


def _member(body: dict[str, Any], name: str, kind: type) -> Any:
    """Return a member, None where it is absent or null."""
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise invalid(f"The {name} parameter has the wrong type.")
    return value


def _read_video(body: dict[str, Any]) -> tuple[str, str]:
    video_id, video = _member(body, "video_id", str), _member(body, "video", dict)
    if video is not None and video_id is not None:
        raise invalid("Exactly one of the video and video_id parameters must be given, not both.")
    if video_id is not None:
        return "video_id", video_id
    if video is None:
        raise missing("video")
    kind = video.get("type")
    if kind is None:
        raise missing("video.type")
    if not isinstance(kind, str) or kind not in _SOURCES:
        raise invalid("The video.type parameter must be url, asset_id or base64_string.")
    value = video.get(kind)
    if value is None:
        raise missing(f"video.{kind}")
    if not isinstance(value, str) or not value:
        raise invalid(f"The video.{kind} parameter must be a string.")
    if any(video.get(other) is not None for other in _SOURCES if other != kind):
        raise invalid("The video parameter must name exactly one source.")
    if kind == "url":
        check_url(value)
    return kind, value


def _read_schema(body: dict[str, Any]) -> dict[str, Any] | None:
    wanted = _member(body, "response_format", dict)
    if wanted is None:
        return None
    if wanted.get("type") is None:
        raise missing("response_format.type")
    if wanted["type"] != "json_schema":
        raise invalid("The response_format.type parameter must be json_schema.")
    if wanted.get("json_schema") is None:
        raise missing("response_format.json_schema")
    schema = wanted["json_schema"]
    if not isinstance(schema, dict):
        raise invalid("The response_format.json_schema parameter must be an object.")
    _check_characters("response_format.json_schema", json.dumps(schema, ensure_ascii=False))
    return schema


def _check_characters(name: str, text: str) -> None:
    """Refuse halves of characters, which JSON can name but no text can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise invalid(f"The {name} parameter holds half of a surrogate pair.") from exc


def encode(event: dict[str, Any]) -> bytes:
    """Return an event as one line.

    Pure ASCII: some readers split lines at U+2028, U+2029, U+0085, VT and FF as well.
    """
    return json.dumps(event, separators=(",", ":")).encode("ascii") + b"\n"


class AnalyzeRoute:
    """Answer ``POST /v1.3/analyze``."""

    def __init__(self, sources: MediaSources, pool: Pool, prompts: Prompts) -> None:
        self._sources = sources
        self._pool = pool
        self._prompts = prompts

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1.3/analyze", self.analyze)]

    async def analyze(self, request: web.Request) -> web.StreamResponse:
        asked = read_request(await read_object(request))
        question = await read_question(asked, self._prompts)
        async with self._sources.lend(asked.source, asked.value) as media, self._pool.analysis() as worker:
            run = Run(worker, asked.max_tokens)
            await run.begin(question.job(media))
            if asked.stream:
                return await _stream(request, run)
            return await _whole(run)


async def _whole(run: Run) -> web.Response:
    data = "".join([fragment async for fragment in run.fragments()])
    return web.json_response(
        {
            "id": run.generation_id,
            "data": data,
            "finish_reason": run.finish_reason,
            "usage": run.usage,
            **run.told,
        }
    )


async def _stream(request: web.Request, run: Run) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
    await response.prepare(request)
    generation = {"generation_id": run.generation_id}
    await response.write(encode({"event_type": "stream_start", "metadata": {**generation, **run.told}}))
    try:
        async for text in run.fragments():
            event = {"event_type": "text_generation", "text": text}
            await response.write(encode(event) if text else b"\n")
    except ApiError as exc:
        log.warning("analysis_broke", code=exc.code)
        await response.write(encode(exc.body()))
        # No last chunk: a body that ends cleanly would pass for a finished answer.
        # Closing, unlike aborting, lets the line above reach the caller first.
        if request.transport is not None:
            request.transport.close()
        return response
    end = {**generation, "usage": run.usage, **run.told}
    await response.write(encode({"event_type": "stream_end", "finish_reason": run.finish_reason, "metadata": end}))
    await response.write_eof()
    return response
