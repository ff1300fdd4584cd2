"""What one request, or the connection that it became, leaves behind for those who run the service.

Its step of a trace, its lines of the audit log, and a count where it was refused. Of a request there stand who
made it, from where, the route as it was declared, the stream and what came of it: no query, body, key or ticket.
"""

import re
from collections import Counter, deque
from collections.abc import Sequence

from aiohttp import web

from protocol.wire.traceparent import TraceContext, parse_trace
from service.access.caller import Caller
from service.watch.audit import AuditLog
from service.watch.traces import Span, Traces, Unrecorded

# Refusals that say something of a caller, and not of a call's form or of our state.
OF_CALLERS = frozenset({"unauthenticated", "ticket_expired", "forbidden", "not_found", "limit_reached", "shared"})
MAX_LINKS = 100
_STREAM = re.compile(r"st_[A-Za-z0-9_-]{1,64}")
_ADDRESSES = re.compile(r"[0-9A-Fa-f:., \[\]]{1,200}")


class Watching:
    """Whom all trails of a process lead to.

    Attributes:
        refusals: requests and messages that were refused, by code.
    """

    def __init__(self, traces: Traces, audit: AuditLog | None) -> None:
        self.traces = traces
        self.audit = audit
        self.refusals: Counter[str] = Counter()

    def refused(self, code: str, trail: "Trail | None") -> None:
        """A message on a socket was refused."""
        if trail is not None:
            trail.refused(code, call="message")
        else:
            self.refusals[code] += 1


class Trail:
    """See the module's text.

    Attributes:
        route: the route as it was declared.
        caller: None as long as nobody is known.
    """

    __slots__ = (
        "_address",
        "_calls",
        "_forwarded",
        "_is_told",
        "_request_id",
        "_watching",
        "caller",
        "method",
        "route",
        "span",
    )

    def __init__(self, watching: Watching, request: web.Request, request_id: str, route: str, *, traced: bool) -> None:
        self._watching = watching
        self._request_id = request_id
        self._address: str | None = None
        self._forwarded: str | None = None
        if watching.audit is not None:
            self._address = request.remote
            forwarded = request.headers.get("X-Forwarded-For", "")
            self._forwarded = forwarded if _ADDRESSES.fullmatch(forwarded) else None
        self._is_told = False
        self._calls: deque[Sequence[TraceContext]] | None = None
        self.method, self.route = request.method, route
        self.caller: Caller | None = None
        headers, parent = request.headers, None
        if "traceparent" in headers:
            parent = parse_trace(headers["traceparent"], headers.get("tracestate"))
        self.span: Span = watching.traces.request(self.method, route, parent) if traced else Unrecorded(parent)

    @property
    def context(self) -> TraceContext | None:
        """The step that calls are made in which come of this request."""
        return self.span.context

    @property
    def goes_on(self) -> bool:
        """Whether there is anything to be told of the connection that the request became."""
        return self.span.is_recorded or self._watching.audit is not None

    # -- what happened

    def saw(self, calls: Sequence[TraceContext]) -> None:
        """A stream was shown; ``calls`` are its upstream calls, and more may come."""
        if self.span.is_recorded:
            self._calls = self._calls or deque(maxlen=MAX_LINKS)
            self._calls.append(calls)

    def note(self, call: str, result: str, stream: str | None = None, **more: object) -> None:
        """Write a line."""
        self._is_told = True
        audit = self._watching.audit
        if audit is None:
            return
        caller, context = self.caller, self.context
        audit.write(
            {
                "call": call,
                "result": result,
                "tenant": caller.tenant if caller is not None else None,
                "key": caller.key or None if caller is not None else None,
                "ticket": caller.grant.jti if caller is not None and caller.grant is not None else None,
                "stream": stream if stream is not None and _STREAM.fullmatch(stream) else None,
                **more,
                "route": f"{self.method} {self.route}",
                "request_id": self._request_id,
                "address": self._address,
                "forwarded_for": self._forwarded,
                "trace_id": context.trace_id if context is not None else None,
            }
        )

    def refused(self, code: str, stream: str | None = None, call: str | None = None) -> None:
        """It was not served, or a message on its socket was not."""
        self._watching.refusals[code] += 1
        if code in OF_CALLERS and (call or self.route != "unknown"):
            self.note(call or named(self.method, self.route), code, stream)

    def answered(self, status: int, stream: str | None) -> None:
        """A request was answered; where its handler did not say what it did its route does."""
        if self._watching.audit is None:
            return
        call = named(self.method, self.route)
        reads_upstream = call == "upstream" and self.method in ("GET", "HEAD")
        if not self._is_told and call in ("read", "cancel", "admin", "upstream") and not reads_upstream:
            self.note(call, "ok" if status < 400 else str(status), stream)

    def end(self, status: int = 0, fault: str = "") -> None:
        """Its step of the trace is over."""
        if self.span.is_recorded:
            told = {"http.response.status_code": status} if status else {}
            self.span.end(fault, told, [step for calls in self._calls or () for step in calls][-MAX_LINKS:])


def named(method: str, route: str) -> str:
    """What the audit log calls a call of a route."""
    if route.startswith("/v1/admin/"):
        return "admin"
    if route.startswith("/v1/tickets"):
        return "ticket"
    if route == "/v1.3/{path}":
        return "upstream"
    if method == "DELETE" or route.endswith("/stop"):
        return "cancel"
    if method == "POST":
        return "start"
    return "read" if "{" in route and not route.startswith(("/static", "/openai")) else "look"


TRAIL = web.RequestKey("trail", Trail)
