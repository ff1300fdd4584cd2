"""A stream: one analysis, from request to ending, and everything that is known of it.

Plain state with the rules that keep it whole; it starts no task and waits for
nothing. The pump writes it, the audiences read it.
"""

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from protocol import messages
from protocol.captions import CaptionView as Cues
from protocol.captions import CueNames
from protocol.cursors import Cursor, Mode
from protocol.early import EarlyCheck
from protocol.element_view import ElementView
from protocol.endings import CODES, Ending, Status, status_of_finish
from protocol.events import Event, StreamEnd
from protocol.frames import Framing
from protocol.options import Options
from protocol.patch_view import PatchView as Tree
from protocol.schemas import AdmittedSchema
from protocol.textlog import TextLog
from protocol.verdict import Verdict
from protocol.violations import Violation
from service.hub.audience import Audience, Rollup
from service.hub.derived import CaptionView, DerivedView, JsonView, PatchView
from service.hub.subscribers import Outlet, Subscriber
from service.hub.views import EndView, MessageView, RawView, TextView, View, text_place

log = structlog.get_logger()

VIEWS: dict[str, Callable[["Stream"], MessageView]] = {
    "text": TextView,
    "raw": RawView,
    "end": EndView,
    "json": lambda stream: JsonView(stream, lambda: ElementView(stream.schema)),
    "patch": lambda stream: PatchView(stream, Tree),
    "captions": lambda stream: CaptionView(stream, stream.cues),
}
# A view of a text up to here is made at once, a longer one in steps: some milliseconds each.
AT_ONCE_BYTES = 1 << 15
STEP_BYTES = 1 << 14
# Views in which a violation is told.
VIOLATION_VIEWS = frozenset({"text", "json", "patch", "captions"})


@dataclass(frozen=True, slots=True)
class Refused:
    """The upstream's answer in place of a stream, to be passed on as it was."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Terms:
    """What the starters of one stream, together, want done about it."""

    on_abandon: str
    grace_s: float
    ttl_s: float
    starters: int = 1

    def join(self, other: "Terms") -> None:
        """Another starter: ``finish`` and the longest times win."""
        if "finish" in (self.on_abandon, other.on_abandon):
            self.on_abandon = "finish"
        self.grace_s = max(self.grace_s, other.grace_s)
        self.ttl_s = max(self.ttl_s, other.ttl_s)
        self.starters += 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one stream, and its roll-up window in seconds."""

    max_text_bytes: int
    rollup_s: float = 0.0


@dataclass(slots=True)
class Times:
    """When things happened to a stream.

    Attributes:
        created, ended: wall-clock seconds since the epoch.
        began: on the loop's clock, as `first_event` and `done` are.
    """

    created: float
    began: float
    ended: float | None = None
    first_event: float | None = None
    done: float | None = None


@dataclass(slots=True)
class Pace:
    """When each batch arrived, in milliseconds since the stream began: for replay at the original pace."""

    millis: "array[int]" = field(default_factory=lambda: array("L"))
    counts: "array[int]" = field(default_factory=lambda: array("Q"))  # events in the log after that batch


class Stream:
    """One analysis.

    Attributes:
        log: the text and events of the current generation.
        shown: the analyze request as the resource shows it, media replaced by a digest.
        ending: None until it is written, once.
        refused: the upstream's HTTP error, where that was the answer.
    """

    def __init__(
        self,
        stream_id: str,
        tenant: str,
        *,
        request: Mapping[str, Any],
        options: Options,
        terms: Terms,
        schema: AdmittedSchema | None,
        limits: Limits,
        now: float,
        loop: asyncio.AbstractEventLoop,
        on_idle: Callable[["Stream"], None],
    ) -> None:
        self.id = stream_id
        self.tenant = tenant
        self.request = request
        self.options = options
        self.terms = terms
        self.schema: AdmittedSchema | None = schema
        self.limits = limits
        self.loop = loop
        self.clock = loop.time
        self.times = Times(now, loop.time())
        self.gen = 1
        self.reset_reason = ""
        self.log = TextLog(limits.max_text_bytes)
        self.pace = Pace()
        self.ending: Ending | None = None
        self.refused: Refused | None = None
        self.answer_headers: Mapping[str, str] = {}  # the upstream's, of the answer being read
        self.retries = 0
        self.channels: set[str] = {options.channel} if options.channel else set()
        self._on_idle = on_idle
        self.violation: Violation | None = None
        self.violation_from = 0  # readers of the text are told with what lies up to here, at the earliest
        self._early = EarlyCheck(schema) if schema is not None else None
        self._audiences: dict[tuple[str, str], Audience] = {}
        self._views: dict[str, View] = {}
        self._derived: list[DerivedView] = []  # those of them that are fed
        self._preparing: dict[str, list[Callable[[], None]]] = {}  # views in the making, and who waits for them
        self._subscribers = 0
        self._watching: set[Subscriber] = set()  # those who asked for presence
        self._told_presence: dict[str, int] = {}
        self._rollup = Rollup(self.loop, limits.rollup_s, self._advance)
        self._opened = asyncio.Event()
        self._ended = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Stream {self.id} {self.status} gen {self.gen} {self.log} {self._subscribers} subscribers>"

    # -- what it is

    @property
    def status(self) -> Status:
        if self.ending is not None:
            return self.ending.status
        return Status.RUNNING if self._opened.is_set() else Status.STARTING

    @property
    def subscribers(self) -> int:
        """How many are attached, over any transport."""
        return self._subscribers

    @property
    def announcement(self) -> dict[str, Any]:
        """What ``attached`` says besides: the channel that the stream was started under."""
        return {"channel": self.options.channel} if self.options.channel else {}

    @property
    def weight(self) -> int:
        """Bytes that keeping it costs, estimated."""
        return 4096 + self.log.size + 32 * self.log.count

    @property
    def text_is_over(self) -> bool:
        """Whether views have been told that no more text comes; after a fault of ours none is."""
        return self.ending is not None and self.ending.code != "internal"

    def partial(self) -> Any:
        """The JSON tree so far; null while there is none."""
        view = self.view("patch")
        assert isinstance(view, PatchView)
        return view.tree

    def cues(self) -> Cues:
        """A projection of the text into cues, where the request says that they stand."""
        names = self.options.captions
        return Cues(CueNames(**names.model_dump(exclude_none=True))) if names else Cues()

    def presence(self) -> dict[str, int]:
        """Subscribers by view."""
        counts: Counter[str] = Counter()
        for audience in self._audiences.values():
            if len(audience):
                counts[audience.view.name] += len(audience)
        return dict(counts)

    def tell_presence(self) -> None:
        """Tell those who asked who else is here, where that has changed."""
        if not self._watching or (counts := self.presence()) == self._told_presence:
            return
        self._told_presence = counts
        payload = messages.presence(self.id, counts)
        for subscriber in self._watching:
            if not subscriber.outlet.paused:
                framing = subscriber.outlet.framing
                subscriber.write(framing.body(framing.message(payload, None)))

    # -- what the pump does to it

    def take(self, events: list[Event]) -> None:
        """Append events of the upstream and tell the audiences.

        Raises:
            TextTooLong: what came before the event that passed the cap is kept and told.
        """
        before = self.log.size
        try:
            self.log.extend(events)
        finally:
            self._grown(before)

    def follow(self, log: TextLog, count: int) -> None:
        """Take the events of another log up to ``count``, as they stand there, and tell the audiences."""
        before = self.log.size
        self.log.follow(log, count)
        self._grown(before)

    def _grown(self, before: int) -> None:
        if self._derived or self._early:
            self._derive(before)
        self.note_arrival()
        self.publish()

    def end_text(self) -> None:
        """No more text comes: what waited for more becomes text; idempotent."""
        before = self.log.size
        self.log.finish()
        self._derive(before)

    def _derive(self, before: int) -> None:
        """Bring what is projected from the text to its head."""
        if self.log.size == before:
            return
        text = self.log.slice(before, self.log.size)
        violation = None
        if self._early is not None and self.violation is None:
            violation = self.violation = self._early.feed(text)
            # What it hangs on may have been read before: that the text is a document, for one.
            self.violation_from = max(violation.at, before + 1) if violation is not None else 0
        for view in self._derived:
            view.feed(text, violation)

    def note_arrival(self) -> None:
        """Remember when this batch came."""
        if self.times.first_event is None:
            self.times.first_event = self.clock()
            self._opened.set()
        self._note_pace()

    def _note_pace(self) -> None:
        first = self.times.first_event
        self.pace.millis.append(0 if first is None else int((self.clock() - first) * 1000))
        self.pace.counts.append(self.log.count)

    def publish(self) -> None:
        """Tell the audiences what is new, now or at the end of the roll-up window."""
        self._rollup.touch()

    def regenerate(self, log: TextLog, reason: str) -> None:
        """Replace the text that was published by another: a new generation."""
        self.gen += 1
        self.reset_reason = reason
        self.log = log
        self.pace = Pace()
        self._note_pace()
        if self.schema is not None:
            self._early = EarlyCheck(self.schema)
            self.violation = self._early.feed(log.slice(0, log.size))
            self.violation_from = self.violation.at if self.violation is not None else 0
        for view in self._derived:
            view.restart(self.violation)
        self._rollup.flush()

    def finish(
        self,
        code: str | None,
        *,
        now: float,
        end: StreamEnd | None = None,
        verdict: Verdict | None = None,
        upstream_status: int | None = None,
    ) -> None:
        """Write the ending, once; a second call changes nothing.

        Args:
            code: a key of `CODES`, None when all went well.
            now: wall-clock seconds.
            end: the upstream's ``stream_end``, where it came.
        """
        if self.ending is not None:
            return
        if code != "internal":  # which may be a projection's fault
            self.end_text()
        well = end is not None and code in (None, "upstream_warning")
        status = status_of_finish(end.finish_reason) if well and end is not None else CODES[code or "internal"].status
        if well and end is not None:
            self.log.append(end)
        ending = Ending(
            status=status,
            gen=self.gen,
            to=self.log.size,
            sha256=self.log.sha256(),
            code=code,
            finish_reason=end.finish_reason if end is not None else None,
            usage=end.usage if end is not None else None,
            upstream_status=upstream_status,
            validation=verdict.members() if verdict is not None else None,
            value=verdict.value if verdict is not None else None,
        )
        self.times.ended, self.times.done = now, self.clock()
        self._note_pace()
        self.conclude(ending)

    def conclude(self, ending: Ending) -> None:
        """Let the ending stand, and tell it."""
        self.ending = ending
        if self.text_is_over:
            for view in self._derived:
                view.close()
        self._ended.set()
        self._opened.set()
        self._rollup.flush()

    def _advance(self) -> None:
        for audience in list(self._audiences.values()):
            audience.advance()

    # -- who sees it

    def view(self, name: str) -> MessageView:
        """The projection of that name; made when first asked for."""
        view = self._views.get(name)
        if view is None:
            view = VIEWS[name](self)
            if isinstance(view, DerivedView):
                view.catch_up(self.log.size)
            self._add_view(name, view)
        return view  # type: ignore[return-value]

    def _add_view(self, name: str, view: View) -> None:
        self._views[name] = view
        if isinstance(view, DerivedView):
            self._derived.append(view)

    def prepare(self, name: str, then: Callable[[], None]) -> bool:
        """Make a view that would take long, in steps; whether it is ready now, else ``then`` is called when it is."""
        if name in self._views or self.log.size <= AT_ONCE_BYTES:
            return True
        if name not in self._preparing:
            view = VIEWS[name](self)
            if not isinstance(view, DerivedView):
                return True
            self._preparing[name] = []
            self.loop.call_soon(partial(self._prepare, name, view))
        self._preparing[name].append(then)
        return False

    def _prepare(self, name: str, view: DerivedView) -> None:
        """One step of making a view."""
        try:
            if name not in self._views and not view.catch_up(STEP_BYTES):
                self.loop.call_soon(partial(self._prepare, name, view))
                return
            if name not in self._views:
                self._add_view(name, view)
        except Exception:  # then whoever asks for it meets it, and can say so
            log.exception("view_failed", stream=self.id, view=name)
        for then in self._preparing.pop(name):
            then()

    async def ready(self, name: str) -> None:
        """Wait until a view can be had without a long step."""
        done = asyncio.Event()
        if not self.prepare(name, done.set):
            await done.wait()

    def audience(self, view: View, framing: Framing) -> Audience:
        """Those who see ``view`` through ``framing``."""
        key = (view.name, framing.name)
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = Audience(self, view, framing)
        return audience

    def attach(
        self, outlet: Outlet, view: str, cursor: Cursor | None, *, presence: bool = False, ref: Any = None
    ) -> Subscriber:
        """Attach a reader of messages: ``attached``, then everything past its place, with no gap."""
        subscriber = Subscriber(self, outlet, presence=presence, ref=ref)
        shown = self.view(view)
        # Nothing is awaited between the decision and the seat: replay meets live.
        message, position, resumes = shown.attach(cursor, ref)
        framing = outlet.framing
        framed = framing.message(message, resumes)
        violation = self._repeated_violation(view, shown, position, cursor)
        if violation is not None:
            framed += framing.message(messages.derived("violation", self.id, violation.members()), None)
        outlet.attached(subscriber)
        outlet.write(framing.body(framed))
        self.seat(subscriber, shown, position)
        return subscriber

    def _repeated_violation(
        self, view: str, shown: MessageView, position: int, cursor: Cursor | None
    ) -> Violation | None:
        """The violation to repeat right after a ``snapshot`` or ``suffix``; the rest of a long one tells it itself."""
        violation = self.violation
        if violation is None or view not in VIOLATION_VIEWS or text_place(self, cursor)[0] is Mode.LIVE:
            return None
        return None if view == "text" and self.violation_from > position else violation

    def seat(self, subscriber: Subscriber, view: View, position: int) -> None:
        """Seat a subscriber that stands at ``position`` of the current generation."""
        self._subscribers += 1
        if subscriber.presence:
            self._watching.add(subscriber)
            self._told_presence = {}  # a newcomer is told, whatever the others know
        self.audience(view, subscriber.outlet.framing).add(subscriber, self.gen, position)

    def left(self, subscriber: Subscriber) -> None:
        """A subscriber has gone (told by its audience)."""
        self._subscribers -= 1
        self._watching.discard(subscriber)
        if self._subscribers == 0:
            self._on_idle(self)

    def hold(self) -> "Held":
        """Be present without reading, as one who waits for the ending does."""
        return Held(self)

    def beat(self, silence_s: float) -> None:
        """Write keep-alives to those who were told nothing for ``silence_s``."""
        now = self.clock()
        for audience in self._audiences.values():
            if now - audience.last_write >= silence_s and len(audience):
                audience.beat()

    # -- waiting for it

    async def opened(self) -> None:
        """Wait for the first event, or the ending."""
        await self._opened.wait()

    async def ended(self) -> Ending:
        """Wait for the ending."""
        await self._ended.wait()
        assert self.ending is not None
        return self.ending


class Held:
    """Presence without a cursor, for as long as the context is open."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __enter__(self) -> Stream:
        self._stream._subscribers += 1
        return self._stream

    def __exit__(self, *exc_info: object) -> None:
        self._stream._subscribers -= 1
        if self._stream._subscribers == 0:
            self._stream._on_idle(self._stream)
