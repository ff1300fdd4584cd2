"""The pump: the single owner of a run's upstream call.

It turns every failure into the run's ending, so that no error dies unseen in a
task and nothing ever hangs: whatever happens, `Pump.run` leaves an ending behind.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import structlog

from protocol.ndjson import dumps
from protocol.schema.verdict import Verdict, judge
from protocol.upstream.decoder import Decoder
from protocol.upstream.events import EndOfBytes, ErrorObject, Event, RemoteProtocolError, StreamEnd, event_of
from protocol.upstream.request import asked_again
from protocol.upstream.textlog import TextLog, TextTooLong
from protocol.wire.endings import CLOCKS
from protocol.wire.traceparent import TraceContext, parse_trace
from service.hub.breaker import Breaker
from service.hub.clocks import ClockLimits, ClockRanOut, Clocks
from service.hub.keeping import Keeping, Waits, as_they_came, half_at_end, nothing, text_size
from service.hub.run import Refused, Run
from service.hub.tally import FragmentTimes, Tally
from service.upstream.contract import Answer, Broken, ConnectTimeout, Unreachable, Upstream, UpstreamFault
from service.watch.traces import Span, Traces, Unrecorded, of_answer, of_call

log = structlog.get_logger()

# Judging a text of this size takes about a millisecond: longer ones leave the loop.
JUDGE_ON_LOOP_BYTES = 1 << 14
# An upstream's error body, passed on to a caller of its dialect.
MAX_REFUSAL_BYTES = 1 << 20
# How long an answer may take to end after its stream_end; then its connection is closed.
READ_OUT_S = 0.25
# A stream may take at once what it may take in this time, behind a quiet one at most twice that.
BURST_S = 4.0
# Statuses that say "not now" and not "not so"; anything else is told at once.
WORTH_ANOTHER_TRY = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class PumpLimits:
    """What one call may take.

    Attributes:
        max_line_bytes: longest line of the upstream's answer.
        max_events_per_s: events taken a second, averaged over a few seconds.
        retries: further attempts before anything was published.
        backoff_s: first pause before another attempt, doubled each time, with full jitter.
        longest_retry_after_s: a ``Retry-After`` beyond it is not waited for.
    """

    clocks: ClockLimits
    max_line_bytes: int
    max_events_per_s: int = 1_000_000
    retries: int = 2
    backoff_s: float = 0.25
    longest_retry_after_s: float = 10.0


@dataclass(slots=True)
class Outcome:
    """How one attempt ended.

    Attributes:
        code: the ending's error code, None when all went well.
        again: whether another attempt could help.
        repair: what was wrong with the JSON that came, where the upstream is to be asked once more for it.
        retry_after_s: what the upstream asked for; None where it did not, inf where unreadable.
    """

    code: str | None
    end: StreamEnd | None = None
    again: bool = False
    repair: Verdict | None = None
    retry_after_s: float | None = None
    upstream_status: int | None = None


class Pump:
    """Bring one run's upstream call to its ending.

    Args:
        run: what it fills; nobody else writes it.
        keeping: its way there.
        restarts: that are left after text was published.
        body: the analyze request as it is sent.
        headers: sent besides the upstream's own; ``traceparent`` among them is the step that the run comes from.
        wall: wall-clock seconds, for ``ended_at``.
        ready: waited for before the first attempt.
    """

    def __init__(
        self,
        run: Run,
        keeping: Keeping,
        upstream: Upstream,
        breaker: Breaker,
        *,
        body: bytes,
        headers: Mapping[str, str],
        limits: PumpLimits,
        wall: Callable[[], float],
        restarts: int,
        tally: Tally,
        traces: Traces,
        model: Any = None,
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._run = run
        self._keeping = keeping
        self._upstream = upstream
        self._breaker = breaker
        self._body = body
        self._parent = parse_trace(headers.get("traceparent"), headers.get("tracestate"))
        run.trace_id = self._parent.trace_id if self._parent is not None else ""
        self._headers = headers
        self._traces = traces
        self._model = model
        self._limits = limits
        self._wall = wall
        self._restarts = restarts
        self._clock = tally.clock
        self._loop = asyncio.get_running_loop()
        self._fragments = FragmentTimes(tally)
        self._repairs = run.options.repair
        self._ready = ready
        self.cancel_code = "interrupted"  # what a cancellation means
        self._left = limits.max_events_per_s * BURST_S  # events that it may take before the next look at the clock
        self._looked_at = self._clock()

    async def run(self) -> None:
        """Call the upstream until the run has an ending."""
        run = self._run
        try:
            if self._ready is not None:
                await self._ready()
            await self._conclude(await self._attempts())
        except asyncio.CancelledError:
            await self._leave(self.cancel_code)
            raise
        except Exception:
            log.exception("pump_failed", stream=run.id)
            await self._leave("internal")
        finally:
            self._body = b""  # media in base64 must not outlive the call

    async def _leave(self, code: str) -> None:
        """Leave an ending behind, also where the task is cancelled once more meanwhile.

        What was taken is on its way through the journal, and perhaps an ending with it: written past
        them, one would stand before text that still comes.
        """
        while True:
            try:
                await self._keeping.finish(code, now=self._wall())
            except asyncio.CancelledError:
                continue
            return

    async def _conclude(self, outcome: Outcome) -> None:
        """Judge the text and write the ending; a second call does neither."""
        run = self._run
        if run.ending is not None:
            return
        await self._keeping.flushed()
        outcome = self._overruled(outcome)
        verdict = await self._verdict(outcome)
        await self._keeping.finish(
            outcome.code,
            now=self._wall(),
            end=outcome.end,
            verdict=verdict,
            upstream_status=outcome.upstream_status,
        )

    def _overruled(self, outcome: Outcome) -> Outcome:
        """What became known only when the last of the text was shown goes before what the upstream said."""
        if self._keeping.failed:
            return Outcome("internal")
        if self._keeping.is_too_long:
            return Outcome("text_too_long")
        return Outcome("schema_violation") if self._stopped_by_violation() else outcome

    async def _attempts(self) -> Outcome:
        run = self._run
        total_at = run.times.began + self._limits.clocks.total_s
        while True:
            source = _Direct(self._keeping) if run.log.count == 0 else _Again(run, self._keeping)
            outcome = await self._attempt(source, total_at)
            await self._keeping.flushed()
            if outcome.repair is not None:
                return await self._repaired(outcome, total_at)
            if run.ending is not None or outcome.code in (None, "upstream_warning") or not outcome.again:
                return outcome
            if self._keeping.withholds:
                if self._restarts <= 0:
                    return outcome
                await self._keeping.release()
            pause = self._pause(outcome)
            if pause is None or run.clock() + pause >= total_at:
                return outcome
            run.retries += 1
            log.info("upstream_retry", stream=run.id, code=outcome.code, attempt=run.retries)
            await asyncio.sleep(pause)
            run.refused = None

    async def _repaired(self, first: Outcome, total_at: float) -> Outcome:
        """Ask once more, naming what was wrong; where nothing comes of that, the first answer stands."""
        assert first.repair is not None
        log.info("upstream_repair", stream=self._run.id, errors=first.repair.error_count)
        faults = [f"{error.pointer or '/'} {error.message}" for error in first.repair.errors]
        self._body = asked_again(self._body, faults)
        gen = self._run.gen
        outcome = await self._attempt(_Anew(self._run, self._keeping), total_at)
        await self._keeping.flushed()
        first.repair = None
        return outcome if self._run.gen != gen else first

    def _pause(self, outcome: Outcome) -> float | None:
        """Seconds to wait before another attempt; None where there is to be none."""
        if self._run.log.count:
            if self._restarts <= 0:
                return None
            self._restarts -= 1
        elif self._run.retries >= self._limits.retries:
            return None
        if outcome.retry_after_s is not None:
            return outcome.retry_after_s if outcome.retry_after_s <= self._limits.longest_retry_after_s else None
        return random.uniform(0, self._limits.backoff_s * 2**self._run.retries)  # noqa: S311

    async def _attempt(self, source: "_Source", total_at: float) -> Outcome:
        """One upstream call; every way that it can go is an outcome."""
        if not self._breaker.allows():
            return Outcome("upstream_unreachable")
        span = self._call_begins()
        outcome: Outcome | None = None
        try:
            outcome = await self._call(source, total_at, span.context)
        finally:
            _tell(span, outcome or Outcome(self.cancel_code))
        return outcome

    def _call_begins(self) -> Span:
        """One more step of the run's trace."""
        run = self._run
        if not self._traces.records:
            return Unrecorded(self._parent)
        told = of_call(run.id, self._model, run.retries, is_json=run.schema is not None)
        span = self._traces.call(told, self._parent)
        if span.is_recorded and span.context is not None:
            run.trace_id = span.context.trace_id
            run.calls.append(span.context)
        return span

    async def _call(self, source: "_Source", total_at: float, step: TraceContext | None) -> Outcome:
        headers = self._headers if step is None else {**self._headers, **step.headers()}
        try:
            async with Clocks(self._limits.clocks, total_at, self._loop) as clocks:
                self._keeping.shown = lambda: self._look(clocks)
                body = _Body(self, source, clocks, Decoder(self._limits.max_line_bytes))
                async with self._upstream.analyze(self._body, headers, clocks.connected, body.begun) as answer:
                    if answer.status != 200:
                        return await self._refusal(answer)
                    return await self._read(answer, body)
        except ClockRanOut as exc:
            return Outcome(exc.code, again=self._published and exc.code in CLOCKS)
        except (Unreachable, ConnectTimeout) as exc:
            self._breaker.missed()
            return Outcome(exc.code, again=True)
        except Broken as exc:
            return Outcome(exc.code, again=True)
        except UpstreamFault as exc:
            return Outcome(exc.code, again=self._published)
        except TextTooLong:
            return Outcome("text_too_long")
        finally:
            self._keeping.shown = nothing

    def _look(self, clocks: Clocks) -> None:
        """Something was shown: what it shows may end the run."""
        outcome = self._overruled(Outcome(None))
        if outcome.code is not None:
            clocks.interrupt(outcome.code)

    async def _read(self, answer: Answer, body: "_Body") -> Outcome:
        await answer.taken()
        outcome = body.outcome or self._cut(*body.decoder.end(), body.source)
        if outcome.end is None or not body.source.brings:
            return outcome
        body.clocks.stop()
        if (verdict := await self._wrong(outcome)) is not None:
            outcome.repair = verdict
            return outcome
        # The ending first; then an answer that is read to its end leaves its connection for the next call.
        await self._conclude(outcome)
        if not answer.is_over:
            await _read_out(answer)
        return outcome

    def begun(self, answer: Answer) -> None:
        """The upstream has answered."""
        self._breaker.reached()
        if answer.status == 200:
            self._run.answer_headers = answer.headers

    def take(self, body: "_Body", data: bytes) -> bool:
        """Pass on what has come of a body; whether there is an outcome."""
        self._keeping.received = now = self._clock()
        decoder = body.decoder
        blanks = decoder.blank_lines
        events, error = decoder.feed(data)
        outcome: Outcome | None = None
        if len(events) == 1 and type(events[0]) is str:  # nearly all that comes
            if events[0]:
                self._fragments.came(now, self._run.trace_id)
            body.source.take(events)
            if self._run.violation is not None and self._stopped_by_violation():
                outcome = Outcome("schema_violation")
        else:
            if any(map(text_size, events)):
                self._fragments.came(now, self._run.trace_id)
            outcome = self._take(events, body.source)
        if outcome is None and error is not None:
            outcome = Outcome("upstream_protocol", again=self._published)
        if outcome is None and events:
            body.clocks.event()
            self._left -= len(events)
            if self._left < 0 and not self._refill(now):
                outcome = Outcome("too_many_events")
        elif decoder.blank_lines > blanks:
            body.clocks.blank()
        if outcome is None:
            return False
        body.outcome = outcome
        body.clocks.stop()  # what has come to its end is not late, however long it takes to be seen
        return True

    def _cut(self, events: list[Event], error: RemoteProtocolError | None, source: "_Source") -> Outcome:
        """The body has ended, and no ``stream_end`` has come unless it is here."""
        outcome = self._take(events, source)
        if outcome is not None:
            return outcome
        return Outcome("upstream_truncated" if error is None else "upstream_protocol", again=self._published)

    @property
    def _published(self) -> bool:
        """Whether readers have been shown anything; then only a restart may replace it."""
        return self._keeping.published

    def _take(self, events: list[Event], source: "_Source") -> Outcome | None:
        """Pass events on; an outcome when they hold the end."""
        if events and isinstance(events[-1], EndOfBytes):
            events = events[:-1]
        if not events:
            return None
        last = events[-1]
        if isinstance(last, StreamEnd) and source.is_shown_at_once and self._run.schema is None:
            code = "upstream_warning" if last.warned else None
            self._keeping.take_with_end(events[:-1], code, last, self._wall())
            return Outcome(code, end=last)
        if isinstance(last, StreamEnd | ErrorObject):
            alone = isinstance(last, ErrorObject) and not self._keeping.has_text and not any(map(text_size, events))
            again = self._published or len(events) > 1
            if alone:
                self._keeping.withhold(events[:-1])
            elif len(events) > 1:
                source.take(events[:-1])
            if self._stopped_by_violation():
                return Outcome("schema_violation")
            if isinstance(last, StreamEnd):
                source.settle()
                return Outcome("upstream_warning" if last.warned else None, end=last)
            if alone:
                self._run.refused = Refused(502, {}, dumps(last.members))
            return Outcome("upstream_error", again=again)
        source.take(events)
        return Outcome("schema_violation") if self._stopped_by_violation() else None

    def _stopped_by_violation(self) -> bool:
        return self._run.violation is not None and self._run.options.on_violation == "stop"

    def _refill(self, now: float) -> bool:
        """Whether what the stream took is no more than it may, by the time since the last look."""
        rate = self._limits.max_events_per_s
        burst = rate * BURST_S
        self._left = min(burst, self._left + min(burst, (now - self._looked_at) * rate))
        self._looked_at = now
        return self._left >= 0

    async def _refusal(self, answer: Answer) -> Outcome:
        """An HTTP status in place of a stream; its body is kept for callers of the dialect."""
        status, headers = answer.status, answer.headers
        if 300 <= status < 400 or status < 300:
            # Neither followed nor relayed: where it points is none of ours.
            return Outcome("upstream_refused", upstream_status=status)
        body = bytearray()

        def take(data: bytes) -> bool:
            body.extend(data)
            return len(body) > MAX_REFUSAL_BYTES

        with suppress(UpstreamFault):
            await answer.deliver(take)
        self._run.refused = Refused(status, headers, bytes(body) if len(body) <= MAX_REFUSAL_BYTES else b"")
        return Outcome(
            "upstream_refused",
            again=status in WORTH_ANOTHER_TRY,
            retry_after_s=_retry_after(headers.get("Retry-After"), self._wall()),
            upstream_status=status,
        )

    async def _wrong(self, outcome: Outcome) -> Verdict | None:
        """The verdict on what came, where it is negative and the upstream may be asked once more."""
        if self._repairs < 1 or outcome.code not in (None, "upstream_warning"):
            return None
        self._repairs -= 1
        await self._keeping.flushed()
        verdict = await self._judged(outcome)
        return None if verdict is None or verdict.valid or verdict.repaired_valid else verdict

    async def _verdict(self, outcome: Outcome) -> Verdict | None:
        if self._run.schema is None or outcome.end is None:
            return None
        self._run.end_text()
        return await self._judged(outcome)

    async def _judged(self, outcome: Outcome) -> Verdict | None:
        run = self._run
        if run.schema is None or outcome.end is None:
            return None
        text, reason = run.log.encoded(), outcome.end.finish_reason or ""
        if len(text) <= JUDGE_ON_LOOP_BYTES:
            return judge(text, run.schema, reason)
        return await asyncio.to_thread(judge, text, run.schema, reason)


class _Body:
    """One answer's body on its way into the run.

    Attributes:
        outcome: None until it is known.
    """

    __slots__ = ("_pump", "clocks", "decoder", "outcome", "source")

    def __init__(self, pump: Pump, source: "_Source", clocks: Clocks, decoder: Decoder) -> None:
        self._pump = pump
        self.source = source
        self.clocks = clocks
        self.decoder = decoder
        self.outcome: Outcome | None = None

    def begun(self, answer: Answer) -> None:
        """The headers have come: what is behind them is taken from now on, in that same turn of the loop."""
        self._pump.begun(answer)
        if answer.status == 200:
            answer.take(partial(self._pump.take, self))


class _Source:
    """Where an attempt's events go."""

    @property
    def brings(self) -> bool:
        """Whether what came is the run's."""
        return True

    is_shown_at_once = False  # whether what it takes is shown in that turn, as it is

    def take(self, events: list[Event]) -> None:
        raise NotImplementedError

    def settle(self) -> None:
        """``stream_end`` has come: what is held back is all there is."""


class _Direct(_Source):
    """Straight into the run: nothing was published before."""

    def __init__(self, keeping: Keeping) -> None:
        self.take = keeping.take  # type: ignore[method-assign]
        self.is_shown_at_once = keeping.is_direct


class _Again(_Source):
    """Another attempt after text was published.

    Held back until it has passed the shown length: a text with the same prefix
    goes on as if nothing had happened, another one is a new generation.
    """

    def __init__(self, run: Run, keeping: Keeping) -> None:
        self._keeping = keeping
        self._shown = run.log
        self._draft: TextLog | None = TextLog(run.max_text_bytes)
        self._equal = 0  # bytes found equal so far; never compared again

    def take(self, events: list[Event]) -> None:
        draft, shown = self._draft, self._shown
        if draft is None:
            self._keeping.take(events)
            return
        for event in events:
            draft.append(event)
        stop = min(draft.size, shown.size)
        if draft.encoded(self._equal, stop) != shown.encoded(self._equal, stop):
            self._replace(draft)
        elif draft.size > shown.size:
            self._go_on(draft)
        self._equal = stop

    def settle(self) -> None:
        draft, shown = self._draft, self._shown
        if draft is None:
            return
        if draft.size == shown.size:
            self._keeping.wait_for(draft.pending)
        else:
            draft.finish()
            self._replace(draft)

    def _go_on(self, draft: TextLog) -> None:
        """The same text, and more: what is new is appended as the events that brought it."""
        self._draft = None
        shown = self._shown.size
        first = draft.events_within(shown)
        half = half_at_end(event_of(draft.event(first)))
        text = draft.slice(shown, draft.end_of(first)) + half
        rest: list[Event] = [event_of({"event_type": "text_generation", "text": text})]
        for made in as_they_came(draft, first + 1, half):
            rest += [event for event in made if not isinstance(event, Waits)]
        self._keeping.wait_for("")  # the attempt that it came with is over
        self._keeping.take(rest)

    def _replace(self, draft: TextLog) -> None:
        self._draft = None
        self._keeping.regenerate(draft, "restarted")


class _Anew(_Source):
    """A corrected answer, which takes the place of the one before from its first text on."""

    def __init__(self, run: Run, keeping: Keeping) -> None:
        self._run = run
        self._keeping = keeping
        self._draft: TextLog | None = TextLog(run.max_text_bytes)

    @property
    def brings(self) -> bool:
        return self._draft is None

    def take(self, events: list[Event]) -> None:
        if self._draft is None:
            self._keeping.take(events)
            return
        for event in events:
            self._draft.append(event)
        if self._draft.size:
            draft, self._draft = self._draft, None
            self._keeping.regenerate(draft, "repaired")


def _tell(span: Span, outcome: Outcome) -> None:
    """A call is over."""
    if span.is_recorded:
        end = outcome.end
        members, reason = (end.members, end.finish_reason) if end is not None else ({}, None)
        fault = (outcome.code or "") if end is None else ""
        span.end(fault, of_answer(outcome.upstream_status, members, reason))


async def _read_out(answer: Answer) -> None:
    """Read what little follows ``stream_end``, so that the connection can serve again."""
    with suppress(UpstreamFault, TimeoutError):
        async with asyncio.timeout(READ_OUT_S):
            await answer.deliver(lambda _data: False)


def _retry_after(header: str | None, now: float) -> float | None:
    """Seconds that the upstream asks to wait (RFC 9110, section 10.2.3); inf where unreadable."""
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, OverflowError):
        return float("inf")
