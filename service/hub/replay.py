"""Ended streams at the pace at which they came: for demos, front-end work and load tests without upstream cost.

A replay is a stream of its own that nobody else sees: it follows the log of the ended one,
batch by batch, at the recorded times. So every view and transport works.
"""

import asyncio

from service.hub.streams import Stream


def shadow_of(stream: Stream) -> Stream:
    """A stream that is about to become what ``stream`` was."""
    shadow = Stream(
        stream.id,
        stream.tenant,
        request=stream.request,
        options=stream.options,
        terms=stream.terms,
        schema=stream.schema,
        limits=stream.limits,
        now=stream.times.created,
        loop=stream.loop,
        on_idle=lambda _stream: None,
    )
    shadow.gen = stream.gen
    return shadow


async def replay(stream: Stream, shadow: Stream, factor: float) -> None:
    """Let ``shadow`` grow as ``stream`` did, ``factor`` times as fast, as long as somebody reads it."""
    assert stream.ending is not None
    log, began = stream.log, stream.loop.time()
    for millis, count in zip(stream.pace.millis, stream.pace.counts, strict=True):
        pause = began + millis / 1000 / factor - stream.loop.time()
        if pause > 0:
            await asyncio.sleep(pause)
        if not shadow.subscribers:
            return
        shadow.follow(log, count)
    shadow.conclude(stream.ending)
