"""Who answers an analysis: a worker out of what was measured, or the model that the operator named."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import structlog

from engine.errors import ApiError
from engine.tell.paraphrase import Prompts
from engine.tell.schema_rules import check_schema
from engine.work.analysis import MAX_DURATION_S, Asked, Media, Run, read_question
from engine.work.model import Model, ModelRun
from engine.work.pool import Pool

log = structlog.get_logger()

STEPPED_IN = "The model could not answer; this was measured instead."


class Answering(Protocol):
    """An analysis that has begun."""

    generation_id: str
    told: dict[str, object]

    def fragments(self) -> AsyncIterator[str]:
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
        if self._model is None:
            async with self._measured(asked, media, longest_s, patient) as run:
                yield run
            return
        try:
            look = await self._model.look(asked, media, longest_s, patient=patient)
            answering = await ModelRun(self._model, asked, look, patient=patient).__aenter__()
        except ApiError as exc:
            if not self._model.settings.fallback or exc.status < 429:
                raise
            log.warning("model_replaced", code=exc.code, status=exc.status)
            async with self._measured(asked, media, longest_s, patient) as run:
                run.stands_in(STEPPED_IN, in_text=asked.schema is None)
                yield run
            return
        try:
            yield answering
        finally:
            await answering.__aexit__()

    @asynccontextmanager
    async def _measured(self, asked: Asked, media: Media, longest_s: float, patient: bool) -> AsyncIterator[Run]:
        question = await read_question(asked, self._prompts)
        async with self._pool.analysis(patient=patient) as worker:
            run = Run(worker, asked.max_tokens)
            await run.begin(question.job(media, longest_s))
            yield run
