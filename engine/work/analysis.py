"""One analysis: the file that is asked about, a worker that answers, and its text within the budget."""

import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.facts.intent import Intent
from engine.facts.job import Analyze
from engine.tell.intent import read_intent
from engine.tell.paraphrase import Prompts
from engine.tell.schema_fill import check_fillable
from engine.work.budget import Budget
from engine.work.indexer import Indexer
from engine.work.intake import Intake
from engine.work.pool import Worker
from engine.work.recorder import Recorder
from engine.work.waits import beside, soon

MAX_DURATION_S = 3600.0
Media = tuple[Path, dict[str, Any] | None]  # a file, and its record if it was measured before


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that has the right form.

    Attributes:
        source: ``video_id``, ``url``, ``asset_id`` or ``base64_string``; ``value`` is what it holds.
    """

    prompt: str
    source: str
    value: str
    schema: dict[str, Any] | None
    max_tokens: int
    stream: bool


@dataclass(frozen=True, slots=True)
class Question:
    """A request after its prompt was read: all that a worker is told, except the file."""

    intent: Intent
    schema: dict[str, Any] | None
    weights: Path | None

    def job(self, media: Media, longest_s: float = MAX_DURATION_S) -> Analyze:
        """Return the job that answers it from a file.

        Args:
            longest_s: how long the media may be.
        """
        path, record = media
        return Analyze(path, self.intent, self.schema, record, longest_s, self.weights)


def read_words(asked: Asked) -> Intent:
    """Judge a request by the words of its prompt, and its schema by what can be filled at all.

    Raises:
        ApiError: the schema cannot be filled.
    """
    intent = read_intent(asked.prompt)
    if asked.schema is not None:
        check_fillable(intent, asked.schema)
    return intent


async def read_question(asked: Asked, prompts: Prompts) -> Question:
    """Read a request's prompt, by its words and, where they do not settle it, by what it is like.

    A schema says by itself what is to be told, so there the words are enough.

    Raises:
        ApiError: the schema cannot be filled.
    """
    intent = read_words(asked)
    if asked.schema is None:
        intent = await prompts.settle(asked.prompt, intent)
    return Question(intent, asked.schema, prompts.weights)


class Run:
    """One analysis: the worker's messages as fragments within the budget."""

    def __init__(self, worker: Worker, max_tokens: int) -> None:
        self._worker = worker
        self._budget = Budget(max_tokens)
        self._first = ""
        self.generation_id = str(uuid.uuid4())
        self.told: dict[str, Any] = {}

    def stands_in(self, words: str, *, in_text: bool) -> None:
        """Say that this is not the answer that was meant: in its first line, and beside it."""
        self.told["stands_in"] = words
        self._first = f"{words}\n\n" if in_text else ""

    async def begin(self, job: Analyze) -> None:
        """Hand the job over; returns when the worker has accepted it.

        Raises:
            ApiError: the worker has not accepted it.
        """
        await self._worker.give(job)
        self.told = (await self._worker.receive())["accepted"]

    async def fragments(self) -> AsyncGenerator[str]:
        """Yield text; an empty one now and then while there is nothing to say.

        Raises:
            ApiError: the worker failed or died.
        """
        if self._first:
            yield self._budget.take(self._first)
        while not self._budget.exhausted:
            async with beside(self._worker.receive()) as received:
                while not await soon(received):
                    yield ""
            message = received.result()
            if "end" in message:
                self.told |= message["end"]
                return
            if text := self._budget.take(message["text"]):
                yield text

    @property
    def finish_reason(self) -> str:
        return "length" if self._budget.exhausted else "stop"

    @property
    def usage(self) -> dict[str, int]:
        return {"output_tokens": self._budget.tokens}


class MediaSources:
    """Find the file that a request names, and what was measured of it before."""

    def __init__(self, intake: Intake, indexer: Indexer, recorder: Recorder) -> None:
        self._intake = intake
        self._indexer = indexer
        self._recorder = recorder

    @asynccontextmanager
    async def lend(self, source: str, value: str) -> AsyncIterator[Media]:
        """Lend the file of a source.

        Raises:
            ApiError: there is none, or it cannot be used.
        """
        if source == "video_id" and (media := await self._indexer.for_analysis(value)):
            yield media
        elif source in ("video_id", "asset_id"):
            path = await self._intake.ready(value)
            yield path, await self._recorder.kept(path.name)
        else:
            async with self._intake.passing(source, value) as path:
                yield path, None
