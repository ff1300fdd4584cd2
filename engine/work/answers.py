"""Who answers an analysis: a worker out of what was measured, or the model that the operator named."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Protocol

import structlog

from engine.errors import ApiError
from engine.tell.paraphrase import Prompts
from engine.tell.schema_rules import check_schema
from engine.work.analysis import MAX_DURATION_S, Asked, Media, Run, read_question
from engine.work.model import Model, ModelRun
from engine.work.pool import Pool
from engine.work.waits import beside, soon

log = structlog.get_logger()

# A caller of a stream has its head after that, begun or not: proxies and clients wait a minute or two for one.
HEAD_S = 20.0
STEPPED_IN = "The model could not answer; this was measured instead."


class Answering(Protocol):
    """An analysis that has begun."""

    generation_id: str

    @property
    def told(self) -> dict[str, object]:
        """What is told beside the text, as far as it is known."""

    def fragments(self) -> AsyncGenerator[str]:
        """Yield text; an empty one now and then while there is nothing to say."""

    @property
    def finish_reason(self) -> str:
        """``stop`` or ``length``, once the text is over."""

    @property
    def usage(self) -> dict[str, int] | None:
        """The tokens that it took; None where nobody counted."""


class Answers:
    """Begin analyses.

    Args:
        model: answers in the workers' place; None where there is none.
    """

    def __init__(self, pool: Pool, prompts: Prompts, model: Model | None) -> None:
        self._pool = pool
        self._prompts = prompts
        self._model = model

    async def check(self, asked: Asked) -> None:
        """Refuse what cannot be answered, before any media is touched.

        Raises:
            ApiError: the schema is none, or nothing measured fills it.
        """
        if self._model is None:
            await read_question(asked, self._prompts)
        elif asked.schema is not None:
            check_schema(asked.schema)

    @asynccontextmanager
    async def begin(
        self, asked: Asked, media: Media, longest_s: float = MAX_DURATION_S, *, patient: bool = False
    ) -> AsyncIterator[Answering]:
        """An analysis that was accepted; leaving ends it.

        Raises:
            ApiError: it is not accepted.
        """
        async with AsyncExitStack() as stack:
            if self._model is None:
                yield await stack.enter_async_context(self._measured(asked, media, longest_s, patient))
                return
            begun = self._by(self._model, stack, asked, media, longest_s, patient)
            # Left before the stack is: what it opens is open until then.
            async with beside(begun) as beginning:
                # Who waits for the whole waits for its beginning, too; in a stream silence would pass for a fault.
                await asyncio.wait({beginning}, timeout=HEAD_S if asked.stream else None)
                yield beginning.result() if beginning.done() else Late(beginning)

    async def _by(
        self, model: Model, stack: AsyncExitStack, asked: Asked, media: Media, longest_s: float, patient: bool
    ) -> Answering:
        """Begin the model's answer, or the measured one where that may step in."""
        try:
            look = await model.look(asked, media, longest_s, patient=patient)
            return await stack.enter_async_context(ModelRun(model, asked, look, patient=patient))
        except ApiError as exc:
            if not model.settings.fallback or exc.status < 429:
                raise
            log.warning("model_replaced", code=exc.code, status=exc.status)
        run = await stack.enter_async_context(self._measured(asked, media, longest_s, patient))
        run.stands_in(STEPPED_IN, in_text=asked.schema is None)
        return run

    @asynccontextmanager
    async def _measured(self, asked: Asked, media: Media, longest_s: float, patient: bool) -> AsyncIterator[Run]:
        question = await read_question(asked, self._prompts)
        async with self._pool.analysis(patient=patient) as worker:
            run = Run(worker, asked.max_tokens)
            await run.begin(question.job(media, longest_s))
            yield run


class Late:
    """An analysis that has not begun when its caller is answered: a long video is still measured for the model."""

    def __init__(self, beginning: asyncio.Task[Answering]) -> None:
        self._beginning = beginning
        self.generation_id = str(uuid.uuid4())

    @property
    def told(self) -> dict[str, object]:
        return self._beginning.result().told if self._beginning.done() else {}

    async def fragments(self) -> AsyncGenerator[str]:
        """Yield empty texts until it begins, and then its own.

        Raises:
            ApiError: it did not begin, or broke off.
        """
        while not await soon(self._beginning):
            yield ""
        async with aclosing(self._beginning.result().fragments()) as texts:
            async for text in texts:
                yield text

    @property
    def finish_reason(self) -> str:
        return self._beginning.result().finish_reason

    @property
    def usage(self) -> dict[str, int] | None:
        return self._beginning.result().usage
