"""Ended streams at the pace at which they came: for demos, front-end work and load tests without upstream cost.

A replay is a stream of its own that nobody else sees: it follows the log of the ended one,
batch by batch, at the recorded times. So every view and transport works.
"""

import asyncio

import structlog

from service.hub.streams import Stream

log = structlog.get_logger()


def shadow_of(stream: Stream) -> Stream:
    """A stream that is about to become what ``stream`` was."""
    shadow = stream.shadow()
    shadow.run.gen = stream.run.gen
    return shadow


async def replay(stream: Stream, shadow: Stream, factor: float) -> None:
    """Let ``shadow`` grow as ``stream`` did, ``factor`` times as fast, as long as somebody reads it."""
    try:
        await _grow(stream, shadow, factor)
    except Exception:  # of a projection; its readers are told, as they would be of a run
        log.exception("replay_failed", stream=stream.id)
        shadow.run.finish("internal", now=shadow.run.times.created)


async def _grow(stream: Stream, shadow: Stream, factor: float) -> None:
    run = stream.run
    assert run.ending is not None
    began = run.clock()
    for millis, count in zip(run.pace.millis, run.pace.counts, strict=True):
        pause = began + millis / 1000 / factor - run.clock()
        if pause > 0:
            await asyncio.sleep(pause)
        if not shadow.subscribers:
            return
        shadow.run.follow(run.log, count)
    shadow.run.conclude(run.ending)
