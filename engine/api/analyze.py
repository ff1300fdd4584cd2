"""The analyze call: a request is checked, a worker answers, its text becomes events.

Every fault that can be known before the first event is an HTTP error. After it there are
two endings only: ``stream_end``, or a connection that breaks off.
"""

import json
from typing import Annotated, Any, Literal, Self

import structlog
from aiohttp import web
from pydantic import Field, ValidationInfo, ValidatorFunctionWrapHandler, field_validator, model_validator

from engine.api.bodies import Body, absent, check_address, fault, object_or, read_body, says, sentence, that
from engine.api.web import read_object
from engine.errors import ApiError
from engine.work.analysis import Asked, MediaSources
from engine.work.answers import Answering, Answers
from engine.work.budget import tokens_in

log = structlog.get_logger()

MAX_PROMPT_TOKENS = 2000
MAX_TOKENS = 4096
# SDKs since 1.3 can ask for these: each would change the answer, so none is ignored in silence.
Later = Annotated[None, says("is not served here; leave it out")]
_SOURCES = ("url", "asset_id", "base64_string")


def _has_whole_characters(text: str) -> bool:
    """Whether a text holds no half of a surrogate pair: JSON can name one, no text can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_WHOLE = "holds half of a surrogate pair"


class Video(Body):
    """The source of the media: ``type`` names the member that holds it."""

    type: Annotated[Literal["url", "asset_id", "base64_string"], says("must be url, asset_id or base64_string")]
    url: Any = None
    asset_id: Any = None
    base64_string: Any = None

    @property
    def value(self) -> Any:
        return getattr(self, self.type)

    @model_validator(mode="after")
    def _names_one_source(self) -> Self:
        if self.value is None:
            raise absent(self.type)
        if not isinstance(self.value, str) or not self.value:
            raise fault("must be a string", self.type)
        if sum(getattr(self, name) is not None for name in _SOURCES) > 1:
            raise fault("must name exactly one source")
        if self.type == "url":
            check_address(self.value)
        return self


class ResponseFormat(Body):
    type: Annotated[Literal["json_schema"], says("must be json_schema")]
    json_schema: Annotated[
        dict[Any, Any],
        says("must be an object"),
        that(lambda schema: _has_whole_characters(json.dumps(schema, ensure_ascii=False)), _WHOLE),
    ]


class Analysis(Body):
    """The body of an analysis."""

    # Models that callers may name; the answer's model_name is the model that answered.
    model_name: Annotated[Literal["pegasus1.2", "pegasus1.5"], says("must be one of pegasus1.2, pegasus1.5")] | None = (
        None
    )
    analysis_mode: Annotated[Literal["general"], says("must be general: no other is served here")] | None = None
    image: Later = None
    prompt_v2: Later = None
    start_time: Later = None
    end_time: Later = None
    min_segment_duration: Later = None
    max_segment_duration: Later = None
    custom_id: Later = None
    video_id: Annotated[str, says("has the wrong type")] | None = None
    video: Annotated[Video | None, Field(validate_default=True)] = None
    prompt: Annotated[
        str,
        says("has the wrong type"),
        that(lambda prompt: bool(prompt.strip()), "must not be empty"),
        that(_has_whole_characters, _WHOLE),
    ]
    temperature: Annotated[
        Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)], says("must be a number from 0 to 1")
    ] = 0.2
    max_tokens: Annotated[
        Annotated[float, Field(ge=1, le=MAX_TOKENS, multiple_of=1)],
        says(f"must be a whole number from 1 to {MAX_TOKENS}"),
    ] = float(MAX_TOKENS)
    stream: Annotated[bool, says("has the wrong type")] = True
    response_format: Annotated[ResponseFormat, object_or("has the wrong type")] | None = None

    @field_validator("video", mode="wrap")
    @classmethod
    def _one_of_both(cls, value: Any, inner: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        if value is not None and not isinstance(value, dict):
            raise fault("has the wrong type")
        video_id = info.data.get("video_id")
        if value is not None and video_id is not None:
            raise sentence("Exactly one of the video and video_id parameters must be given, not both.")
        if value is None and video_id is None:
            raise absent()
        return inner(value)

    @field_validator("prompt")
    @classmethod
    def _is_short(cls, prompt: str) -> str:
        if tokens_in(prompt) > MAX_PROMPT_TOKENS:
            raise sentence(f"The prompt has more than {MAX_PROMPT_TOKENS} tokens.", "token_limit_exceeded")
        return prompt


def read_request(body: dict[str, Any]) -> Asked:
    """Check a request's members; unknown ones are ignored.

    Raises:
        ApiError: with the code and the member's name.
    """
    asked = read_body(Analysis, body)
    source, value = (asked.video.type, asked.video.value) if asked.video else ("video_id", asked.video_id or "")
    schema = asked.response_format.json_schema if asked.response_format else None
    return Asked(asked.prompt, source, value, schema, int(asked.max_tokens), asked.stream)


def encode(event: dict[str, Any]) -> bytes:
    """Return an event as one line.

    Pure ASCII: some readers split lines at U+2028, U+2029, U+0085, VT and FF as well.
    """
    return json.dumps(event, separators=(",", ":")).encode("ascii") + b"\n"


class AnalyzeRoute:
    """Answer ``POST /v1.3/analyze``."""

    def __init__(self, sources: MediaSources, answers: Answers) -> None:
        self._sources = sources
        self._answers = answers

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1.3/analyze", self.analyze)]

    async def analyze(self, request: web.Request) -> web.StreamResponse:
        asked = read_request(await read_object(request))
        await self._answers.check(asked)
        async with self._sources.lend(asked.source, asked.value) as media, self._answers.begin(asked, media) as run:
            if asked.stream:
                return await _stream(request, run)
            return await _whole(run)


async def _whole(run: Answering) -> web.Response:
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


async def _stream(request: web.Request, run: Answering) -> web.StreamResponse:
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
