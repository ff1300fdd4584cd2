"""Answers by a vision-language model behind an OpenAI-compatible address, in the measured answers' place.

A video is measured as always; the model is shown pictures out of its shots and told what was said and written. What it
says is streamed as it comes. Nothing of a stranger's is fetched here: the address is the operator's.
"""

import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import structlog

from engine.errors import ApiError, invalid
from engine.facts.facts import Fact, Shot
from engine.facts.job import Pictures
from engine.facts.kept import clip_of, facts_of
from engine.vlm.prompt import Picture, Seen, messages
from engine.vlm.stream import ModelBroke, ModelStream
from engine.vlm.times import picture_times, windows
from engine.work.analysis import Asked, Media
from engine.work.budget import tokens_in
from engine.work.pool import Pool
from engine.work.recorder import Recorder
from engine.work.turns import Turns
from engine.work.waits import beside, soon

log = structlog.get_logger()

WIDTH = 512
CONNECT_S = 10.0
SILENCE_S = 120.0
WAITING = 32
PIECE_BYTES = 1 << 16
# Statuses of the model's server that are told as they are: waiting helps.
BUSY = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which model answers.

    Attributes:
        url: the base address, as ``http://127.0.0.1:11434/v1``.
        frames: pictures of a video, or of each part of a long one.
        by_url: hand a video's own http(s) address over instead of pictures, where it has one.
        parallel: calls at once.
        part_s: a longer video is told in parts of at most so many seconds.
        fallback: let the measured answer step in where the model cannot.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    frames: int = 16
    by_url: bool = False
    parallel: int = 2
    part_s: float = 600.0
    fallback: bool = False


class Model:
    """The model's address; a context for as long as the engine runs."""

    def __init__(self, settings: ModelSettings, pool: Pool, recorder: Recorder) -> None:
        self.settings = settings
        self.turns = Turns(settings.parallel)
        self._pool = pool
        self._recorder = recorder
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the HTTP client."""
        headers = {"Authorization": f"Bearer {self.settings.key}"} if self.settings.key else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        # A connection for each call: one that is kept may be closed just when it is used again, and a call costs.
        connector = aiohttp.TCPConnector(force_close=True)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector)

    async def close(self) -> None:
        """Break off what runs."""
        assert self._session is not None
        await self._session.close()

    async def look(self, asked: Asked, media: Media, longest_s: float, *, patient: bool) -> "Look":
        """Measure a video, unless that was done, and choose what the model is shown of it.

        Raises:
            ApiError: the video cannot be used.
        """
        path, record = media
        if record is None:
            record = await self._recorder.record_at(path)
        facts, clip = facts_of(record), clip_of(record)
        if clip.still_image:
            raise invalid("The video parameter names an image; this call takes video or audio.")
        if clip.duration > longest_s:
            raise ApiError("video_duration_too_long", f"The video is longer than {longest_s:.0f} seconds.")
        duration = clip.duration
        # A schema has one answer, so the whole video is shown at once.
        parts = windows(duration, self.settings.part_s) if asked.schema is None else [(0.0, duration)]
        if self.settings.by_url and asked.source == "url":
            return Look(duration, facts, [(0.0, duration)], [[]], asked.value)
        times = [picture_times(_shots(facts, part), self.settings.frames) for part in parts]
        return Look(duration, facts, parts, [await self._draw(media, chosen, patient) for chosen in times])

    async def _draw(self, media: Media, times: list[float], patient: bool) -> list[Picture]:
        if not times:
            return []
        async with self._pool.analysis(patient=patient) as worker:
            await worker.give(Pictures(media[0], tuple(times), WIDTH))
            drawn: list[Picture] = []
            while "image" in (message := await worker.receive()):
                drawn.append(Picture(message["time"], bytes.fromhex(message["image"])))
        return drawn

    def call(self, body: dict[str, Any]) -> Any:
        """One call, as a context manager of its answer."""
        assert self._session is not None
        url = self.settings.url.rstrip("/") + "/chat/completions"
        return self._session.post(url, json=body, allow_redirects=False)


@dataclass(frozen=True, slots=True)
class Look:
    """What a model is shown of a video: its parts, and the pictures of each."""

    duration: float
    facts: list[Fact]
    parts: list[tuple[float, float]]
    pictures: list[list[Picture]]
    url: str | None = None

    def seen(self, n: int, before: str) -> Seen:
        """The n-th part."""
        span = self.parts[n] if len(self.parts) > 1 else None
        return Seen(self.duration, self.facts, self.pictures[n], span, before, self.url)


class ModelRun:
    """One analysis by the model; used as `engine.work.analysis.Run` is."""

    def __init__(self, model: Model, asked: Asked, look: Look, *, patient: bool = False) -> None:
        self._model = model
        self._patient = patient
        self._asked = asked
        self._look = look
        self._stack = AsyncExitStack()
        self._answer: aiohttp.ClientResponse | None = None
        self._said = ""
        self._part = ""
        self._left = asked.max_tokens
        self._counted: int | None = 0
        self.generation_id = str(uuid.uuid4())
        self.finish_reason = "stop"
        self.usage: dict[str, int] | None = None
        frames = sum(len(pictures) for pictures in look.pictures)
        self.told: dict[str, Any] = {"model_name": model.settings.model, "frames": frames, "parts": len(look.parts)}

    async def __aenter__(self) -> "ModelRun":
        """Wait for a turn at the model, and for the head of its first answer.

        Raises:
            ApiError: it is busy, refuses, or cannot be reached.
        """
        turns = self._model.turns
        if not self._patient and turns.taken and turns.waiting() >= WAITING:
            raise ApiError("too_many_requests", "Too many calls wait for the model; try again in a moment.", 429)
        try:
            await self._have_turn(0)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        # Closing, not finishing: a caller who leaves ends the model's work, too.
        if self._answer is not None:
            self._answer.close()
        await self._stack.aclose()

    async def fragments(self) -> AsyncGenerator[str]:
        """Yield text; an empty one now and then while there is nothing to say.

        Raises:
            ApiError: the model broke off.
        """
        for n in range(len(self._look.parts)):
            if n:
                self._part = ""
                async with beside(self._have_turn(n)) as begun:
                    while not await soon(begun):
                        yield ""
                    begun.result()
                yield "\n\n"
            async with aclosing(self._one()) as texts:
                async for text in texts:
                    self._said += text
                    self._part += text
                    yield text
            if self.finish_reason == "length" or self._left <= 0:
                self.finish_reason = "length" if n + 1 < len(self._look.parts) else self.finish_reason
                return

    async def _have_turn(self, n: int) -> None:
        """Wait for a turn, and for the head of the n-th part's answer.

        Each part has a turn of its own: an hour of video would hold up all others for as long as it is told.
        """
        await self._stack.aclose()
        await self._stack.enter_async_context(self._model.turns.turn(self._patient))
        self._answer = await self._begin(n)

    async def _one(self) -> AsyncGenerator[str]:
        assert self._answer is not None
        stream = ModelStream()
        try:
            async for piece in _with_signs_of_life(self._answer):
                yield stream.feed(piece) if piece else ""
                if stream.done:
                    break
            yield stream.finish()
        except ModelBroke as exc:
            raise ApiError("internal_error", f"{str(exc)[:1].upper()}{str(exc)[1:]}.", 502) from exc
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise ApiError("internal_error", "The connection to the model's server broke.", 502) from exc
        finally:
            self._answer.close()
        assert stream.finish_reason is not None
        self.finish_reason = stream.finish_reason
        if stream.reasoned:
            self.told["reasoning_chars"] = self.told.get("reasoning_chars", 0) + stream.reasoned
        self._count(stream.usage)

    def _count(self, usage: dict[str, int] | None) -> None:
        """A part that nobody counted makes the sum unknown."""
        spent = usage.get("completion_tokens") if usage else None
        self._left -= spent if spent is not None else tokens_in(self._part)
        self._counted = None if spent is None or self._counted is None else self._counted + spent
        self.usage = None if self._counted is None else {"output_tokens": self._counted}

    async def _begin(self, n: int) -> aiohttp.ClientResponse:
        seen = self._look.seen(n, self._said)
        body: dict[str, Any] = {
            "model": self._model.settings.model,
            # In words, too: some servers drop a schema without a word, and then no model ever saw it.
            "messages": messages(self._asked.prompt, seen, self._asked.schema),
            "max_tokens": self._left,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._asked.schema is None:
            return await self._post(body)
        schema = {"name": "answer", "schema": self._asked.schema}
        try:
            return await self._post({**body, "response_format": {"type": "json_schema", "json_schema": schema}})
        except _Refused:
            # Some servers know no schemas; there the words are all that there is, and that is told.
            self.told["schema"] = "in words: the model's server refused it"
            return await self._post(body)

    async def _post(self, body: dict[str, Any]) -> aiohttp.ClientResponse:
        try:
            answer: aiohttp.ClientResponse = await self._model.call(body)
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise ApiError("service_unavailable", "The model's server cannot be reached.", 503) from exc
        if answer.status == 200:
            return answer
        answer.close()
        log.warning("model_refused", status=answer.status)
        if answer.status in BUSY:
            again = answer.headers.get("Retry-After")
            raise ApiError("too_many_requests", "The model's server is busy; try again later.", answer.status, again)
        if 400 <= answer.status < 500:
            raise _Refused(answer.status)
        raise ApiError("internal_error", f"The model's server answered with the status {answer.status}.", 502)


class _Refused(ApiError):
    """The model's server does not take the request."""

    def __init__(self, status: int) -> None:
        super().__init__("internal_error", f"The model's server refused the call with the status {status}.", 502)


async def _with_signs_of_life(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Pieces of a body; an empty one now and then while none comes."""
    while True:
        async with beside(answer.content.read(PIECE_BYTES)) as read:
            while not await soon(read):
                yield b""
        if not read.result():
            return
        yield read.result()


def _shots(facts: list[Fact], part: tuple[float, float]) -> list[tuple[float, float]]:
    """The shots of a part, cut to it."""
    start, end = part
    shots = [(max(start, one.start), min(end, one.end)) for one in facts if isinstance(one, Shot)]
    return [(begin, stop) for begin, stop in shots if stop > begin]
