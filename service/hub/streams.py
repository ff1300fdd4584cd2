"""A stream: a run, and everybody who watches it, each through a view."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

import orjson
import structlog

from protocol.captions.projection import CaptionProjection, CueNames
from protocol.schema.admitted import AdmittedSchema
from protocol.schema.violations import Violation
from protocol.views.elements import ElementProjection
from protocol.views.patch import PatchProjection
from protocol.wire import messages
from protocol.wire.cursors import Cursor, Mode
from protocol.wire.frames import Framing
from protocol.wire.options import Options
from service.hub.audience import Audience, Rollup
from service.hub.derived import CaptionView, DerivedView, ElementView, PatchView
from service.hub.run import Run
from service.hub.subscribers import Outlet, Subscriber
from service.hub.tally import Tally
from service.hub.views import EndView, MessageView, RawView, TextView, View, head_of, text_place
from service.store.shared import Also

log = structlog.get_logger()

VIEWS: dict[str, Callable[[Run], MessageView]] = {
    "text": TextView,
    "raw": RawView,
    "end": EndView,
    "json": lambda run: ElementView(run, lambda: ElementProjection(run.schema)),
    "patch": lambda run: PatchView(run, PatchProjection),
    "captions": lambda run: CaptionView(run, partial(_cues, run.options)),
}
NAMELESS = frozenset[str]()
# A view of a text up to here is made at once, a longer one in steps: some milliseconds each.
AT_ONCE_BYTES = 1 << 15
STEP_BYTES = 1 << 14
# Views in which a violation is told.
VIOLATION_VIEWS = frozenset({"text", "json", "patch", "captions"})


def _cues(options: Options) -> CaptionProjection:
    """A projection of a text into cues, where the request says that they stand."""
    names = options.captions
    return CaptionProjection(CueNames(**names.model_dump(exclude_none=True))) if names else CaptionProjection()


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

    def also(self, also: Also) -> None:
        """What the starters want that joined it at any node."""
        self.starters = also.starters
        self.on_abandon = "finish" if also.finish else self.on_abandon
        self.grace_s = max(self.grace_s, also.grace_s)
        self.ttl_s = max(self.ttl_s, also.ttl_s)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one stream, and its roll-up window in seconds."""

    max_text_bytes: int
    rollup_s: float = 0.0


def _nothing() -> None:
    """Nobody asked to be told."""


def new_id() -> str:
    """An id for a stream, which nobody can guess."""
    return f"st_{secrets.token_urlsafe(18)}"


class Stream:
    """One run and its readers.

    Attributes:
        request: the analyze request as the resource shows it, media replaced by a digest.
        channels: names under which it was started.
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
        tally: Tally | None = None,
    ) -> None:
        self.id = stream_id
        self.tenant = tenant
        self.request = request
        self.terms = terms
        self.limits = limits
        self.restarts = options.restart  # that are left where its process dies
        self.payer = ""  # the name of the key that its cost is told under
        self.node = ""  # of the process that pumps it, or did
        self.channels = frozenset({options.channel}) if options.channel else NAMELESS
        self._loop = loop
        self._on_idle = on_idle
        self._tally = tally or Tally()
        self._rollup = Rollup(loop, limits.rollup_s, partial(self._advance, True)) if limits.rollup_s else None
        self.run = Run(
            stream_id,
            options=options,
            schema=schema,
            max_text_bytes=limits.max_text_bytes,
            now=now,
            clock=loop.time,
            changed=self._advance if self._rollup is None else self._tell,
        )
        self._audiences: dict[tuple[str, str], Audience] = {}
        self._views: dict[str, View] = {}
        self._preparing: dict[str, list[Callable[[], None]]] = {}  # views in the making, and who waits for them
        self._failed = NAMELESS  # views that could not be made in steps, and are not tried so again
        self._subscribers = 0
        self.on_watched: Callable[[], None] = _nothing  # called when a first reader has come
        self.elsewhere: Mapping[str, Mapping[str, int]] = {}  # readers at other nodes, by view
        self._watching: set[Subscriber] | None = None  # those who asked for presence
        self._told_presence: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Stream {self.run} {self._subscribers} subscribers>"

    def shadow(self) -> "Stream":
        """A stream for one reader alone, of which nobody else knows, that is about to become what this one was."""
        return Stream(
            self.id,
            self.tenant,
            request=self.request,
            options=self.run.options,
            terms=self.terms,
            schema=self.run.schema,
            limits=self.limits,
            now=self.run.times.created,
            loop=self._loop,
            on_idle=lambda _stream: None,
            tally=self._tally,
        )

    @property
    def subscribers(self) -> int:
        """How many are attached, over any transport."""
        return self._subscribers

    def partial(self) -> Any:
        """The JSON tree so far; null while there is none."""
        view = self.view("patch")
        assert isinstance(view, PatchView)
        return view.tree

    # -- who else is here

    @property
    def is_watched(self) -> bool:
        """Whether anybody is attached, at whatever node."""
        return self._subscribers > 0 or bool(self.elsewhere)

    def present_at(self, node: str, told: bytes) -> None:
        """Who is attached at another node."""
        others = {name: counts for name, counts in self.elsewhere.items() if name != node}
        self.elsewhere = {**others, node: orjson.loads(told)} if told else others

    def present_elsewhere(self, told: Mapping[str, bytes]) -> None:
        """Who is attached at all other nodes."""
        self.elsewhere = {node: orjson.loads(counts) for node, counts in told.items()}

    def presence(self) -> dict[str, int]:
        """Subscribers by view, over all nodes."""
        counts = Counter(self.present())
        for there in self.elsewhere.values():
            counts.update(there)
        return dict(counts)

    def present(self) -> dict[str, int]:
        """Subscribers here, by view."""
        counts: Counter[str] = Counter()
        for audience in self.audiences():
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

    def audiences(self) -> tuple[Audience, ...]:
        """Those who are attached here, by what they see."""
        return tuple(audience for audience in self._audiences.values() if len(audience))

    # -- telling what is new

    def _tell(self, at_once: bool) -> None:
        assert self._rollup is not None
        self._rollup.flush() if at_once else self._rollup.touch()

    def _advance(self, _at_once: bool) -> None:
        received, self.run.received = self.run.received, 0.0
        for audience in list(self._audiences.values()):
            audience.advance(received)

    def _delivered(self, received: float) -> None:
        """What was received then has been written to a row of readers."""
        self._tally.delivery.observe(self._tally.clock() - received, self.run.trace_id)

    def beat(self, silence_s: float) -> None:
        """Write keep-alives to those who were told nothing for ``silence_s``."""
        now = self.run.clock()
        for audience in self._audiences.values():
            if now - audience.last_write >= silence_s and len(audience):
                audience.beat()

    # -- views

    def view(self, name: str) -> MessageView:
        """The projection of that name; made when first asked for."""
        view = self._views.get(name)
        if view is None:
            view = VIEWS[name](self.run)
            if isinstance(view, DerivedView):
                view.catch_up(self.run.log.size)
            self._add_view(name, view)
        return view  # type: ignore[return-value]

    def _add_view(self, name: str, view: View) -> None:
        self._views[name] = view
        if isinstance(view, DerivedView):
            self.run.followers += (view,)

    def prepare(self, name: str, then: Callable[[], None]) -> bool:
        """Make a view that would take long, in steps; whether it is ready now, else ``then`` is called when it is."""
        if name in self._views or name in self._failed or self.run.log.size <= AT_ONCE_BYTES:
            return True
        if name not in self._preparing:
            view = VIEWS[name](self.run)
            if not isinstance(view, DerivedView):
                return True
            self._preparing[name] = []
            self._loop.call_soon(partial(self._prepare, name, view))
        self._preparing[name].append(then)
        return False

    def _prepare(self, name: str, view: DerivedView) -> None:
        """One step of making a view."""
        try:
            if name not in self._views and not view.catch_up(STEP_BYTES):
                self._loop.call_soon(partial(self._prepare, name, view))
                return
            if name not in self._views:
                self._add_view(name, view)
        except Exception:  # then the call that asks for it meets it, and can say so
            log.exception("view_failed", stream=self.id, view=name)
            self._failed |= {name}
        for then in self._preparing.pop(name):
            then()

    async def ready(self, name: str) -> None:
        """Wait until a view can be had without a long step."""
        done = asyncio.Event()
        if not self.prepare(name, done.set):
            await done.wait()

    # -- attaching

    def audience(self, view: View, framing: Framing) -> Audience:
        """Those who see ``view`` through ``framing``."""
        key = (view.name, framing.name)
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = Audience(view, framing, self._loop, self._left, self._delivered)
        return audience

    def attach(
        self,
        outlet: Outlet,
        view: str,
        cursor: Cursor | None,
        *,
        presence: bool = False,
        live_only: bool = False,
        ref: Any = None,
    ) -> Subscriber:
        """Attach a reader of messages: ``attached``, then everything past its place, with no gap.

        Args:
            live_only: its place is the head, whatever its cursor says.
        """
        cursor = head_of(self.run, view) if live_only else cursor
        subscriber = Subscriber(self.run, outlet, presence=presence, ref=ref)
        shown = self.view(view)
        # Nothing is awaited between the decision and the seat: replay meets live.
        mode, message, position, resumes = shown.attach(cursor, ref)
        self._tally.attaches["reset" if cursor is not None and mode is Mode.SNAPSHOT else str(mode)] += 1
        framing = outlet.framing
        framed = framing.message(message, resumes)
        violation = self._repeated_violation(view, position, cursor)
        if violation is not None:
            framed += framing.message(messages.derived("violation", self.id, violation.members()), None)
        outlet.attached(subscriber)
        outlet.write(framing.body(framed))
        self.seat(subscriber, shown, position)
        return subscriber

    def _repeated_violation(self, view: str, position: int, cursor: Cursor | None) -> Violation | None:
        """The violation to repeat right after a ``snapshot`` or ``suffix``; the rest of a long one tells it itself."""
        run = self.run
        if run.violation is None or view not in VIOLATION_VIEWS or text_place(run, cursor)[0] is Mode.LIVE:
            return None
        return None if view == "text" and run.violation_from > position else run.violation

    def seat(self, subscriber: Subscriber, view: View, position: int) -> None:
        """Seat a subscriber that stands at ``position`` of the current generation."""
        self._one_more()
        if subscriber.presence:
            self._watching = self._watching or set()
            self._watching.add(subscriber)
            self._told_presence = {}  # a newcomer is told, whatever the others know
        self.audience(view, subscriber.outlet.framing).add(subscriber, self.run.gen, position)

    def _left(self, subscriber: Subscriber) -> None:
        """A subscriber has gone (told by its audience)."""
        if self._watching is not None:
            self._watching.discard(subscriber)
        self._one_less()

    def _one_more(self) -> None:
        self._subscribers += 1
        if self._subscribers == 1:
            self._tally.watched.add(self)
            self.on_watched()

    def _one_less(self) -> None:
        self._subscribers -= 1
        if self._subscribers == 0:
            self._tally.watched.discard(self)
            if self.run.ending is not None:
                self._audiences.clear()  # whoever comes later makes its own
            self._on_idle(self)

    def hold(self) -> "AbstractContextManager[Stream]":
        """Be present without reading, as one who waits for the ending does."""
        return _Presence(self, self._one_more, self._one_less)


class _Presence:
    """A stream, held for a while."""

    __slots__ = ("_one_less", "_one_more", "_stream")

    def __init__(self, stream: Stream, one_more: Callable[[], None], one_less: Callable[[], None]) -> None:
        self._stream, self._one_more, self._one_less = stream, one_more, one_less

    def __enter__(self) -> Stream:
        self._one_more()
        return self._stream

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._one_less()


@dataclass(frozen=True, slots=True)
class Started:
    """A stream and how its starter came to it: ``leader``, ``joined`` or ``replayed``."""

    stream: Stream
    join: str
