"""A run's laws: who waits for its first event, and for its ending, is told in the very turn."""

import asyncio

import pytest

from protocol.upstream.events import StreamEnd, StreamStart
from protocol.upstream.textlog import TextTooLong
from protocol.wire.options import parse_options
from service.hub.run import Run

END = StreamEnd({"event_type": "stream_end", "finish_reason": "stop", "metadata": {}})


class Told:
    """What a run said, in order."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.run = Run(
            "st_1",
            options=parse_options(None),
            schema=None,
            max_text_bytes=8,
            now=0.0,
            clock=lambda: 1.0,
            changed=lambda at_once: self.said.append(("changed", at_once)),
        )

    def opened(self) -> None:
        self.said.append(("opened", self.run.log.count, self.run.ending is not None))


def test_who_waits_for_the_first_event_is_told_once_and_before_the_others():
    told = Told()
    told.run.when_opened(told.opened)
    told.run.take(["a"])
    told.run.take(["b"])
    assert told.said == [("opened", 1, False), ("changed", False), ("changed", False)]


def test_who_comes_later_is_told_at_once():
    told = Told()
    told.run.take(["a"])
    told.run.when_opened(told.opened)
    assert told.said[-1] == ("opened", 1, False)


def test_who_waits_no_more_is_not_told_and_not_kept():
    told = Told()
    told.run.when_opened(told.opened)
    for _ in range(2):
        told.run.not_when_opened(told.opened)
    told.run.take(["a"])
    assert told.said == [("changed", False)]
    assert not told.run._on_opened


def test_an_ending_without_an_event_opens_too():
    told = Told()
    told.run.when_opened(told.opened)
    told.run.finish("upstream_refused", now=0.0)
    assert told.said == [("opened", 0, True), ("changed", True)]


def test_what_is_taken_quietly_is_told_with_the_ending():
    told = Told()
    told.run.when_opened(told.opened)
    told.run.take(["a", "b"], quietly=True)
    assert told.said == []
    told.run.finish(None, now=0.0, end=END)
    assert told.said == [("opened", 3, True), ("changed", True)]


def test_what_fitted_of_what_was_taken_quietly_is_told_with_another_ending():
    told = Told()
    told.run.when_opened(told.opened)
    with pytest.raises(TextTooLong):
        told.run.take(["abcd", "efghi"], quietly=True)
    told.run.finish("text_too_long", now=0.0)
    assert told.said == [("opened", 1, True), ("changed", True)]
    assert told.run.log.slice(0, told.run.log.size) == "abcd"


def test_events_that_are_told_only_with_the_ending_stand_before_it():
    told = Told()
    told.run.when_opened(told.opened)
    ending, _ = told.run.sealed("upstream_error")
    told.run.conclude(ending, now=0.0, before=[StreamStart({"event_type": "stream_start"})])
    assert told.said == [("opened", 1, True), ("changed", True)]


async def test_all_who_wait_for_the_ending_are_woken_and_who_comes_later_does_not_wait():
    run = Told().run
    waiting = [asyncio.create_task(run.ended()) for _ in range(2)]
    await asyncio.sleep(0)
    run.finish("cancelled", now=0.0)
    assert await asyncio.gather(*waiting) == [run.ending, run.ending] == [await run.ended()] * 2
