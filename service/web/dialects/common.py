"""What all dialects do alike: start an analysis, and open a body that may be cut."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from protocol.errors import Refusal
from protocol.upstream.request import check_members
from protocol.wire.endings import CODES, Ending
from protocol.wire.frames import Framing
from protocol.wire.options import Options, parse_options, parse_options_header
from service.hub.hub import Dialect
from service.hub.streams import Started
from service.hub.subscribers import Subscriber
from service.hub.views import View
from service.web.access import caller_of, check_room, check_still
from service.web.bodies import asked_of
from service.web.connection import BorrowedConnection, Connections, Sent, borrow, framing_headers, head
from service.web.keys import CONNECTIONS, CORS, HUB
from service.web.starts import begin as begin_for

# Keywords of a schema that hold schemas by name, and those that hold values.
_BY_NAME = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_VALUES = frozenset({"enum", "const", "default", "examples"})


class _Answering(BorrowedConnection):
    """A caller's connection for an answer that has last words where it breaks off.

    Args:
        last_words: a message for then; None has none.
    """

    def __init__(
        self, connections: Connections, framing: Framing, *, chunked: bool, last_words: Callable[[], bytes] | None
    ) -> None:
        super().__init__(connections, framing, chunked=chunked)
        self._last_words = last_words

    def ended(self, subscriber: Subscriber, clean: bool) -> None:
        if not clean and self._last_words is not None:
            self.write(self.framing.body(self.framing.message(self._last_words(), None)))
        super().ended(subscriber, clean)


async def show(
    request: web.Request,
    started: Started,
    view: View,
    framings: Mapping[bool, Framing],
    content_type: str,
    headers: Mapping[str, str],
    first: bytes = b"",
    last_words: Callable[[], bytes] | None = None,
) -> Sent:
    """Write an answer from its beginning, on the caller's own connection, which goes back when it ended well.

    One that did not has no last chunk, and its connection closes behind it: so every client knows.

    Args:
        first: a message before all others.
        last_words: the message of an ending that the view cannot tell.

    Raises:
        Refusal: ``unauthenticated``, ``ticket_expired``, ``limit_reached``, ``overloaded``.
    """
    stream = started.stream
    check_still(request)
    check_room(request.app, caller_of(request), stream)
    chunked = request.version >= (1, 1)
    keep_alive = bool(request.keep_alive) and chunked
    always: dict[str, str] = request[CORS]
    told = {
        "Content-Type": content_type,
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
        "Fanlight-Stream": stream.id,
        "Fanlight-Join": started.join,
        **headers,
        **always,
        **framing_headers(chunked=chunked, kept=keep_alive),
    }
    connection = _Answering(request.app[CONNECTIONS], framings[chunked], chunked=chunked, last_words=last_words)
    with borrow(request, connection) as borrowed:
        connection.begin(head("200 OK", told.items()))
        framing = connection.framing
        connection.write(framing.body(framing.message(first, None)) if first else b"")
        subscriber = Subscriber(stream.run, connection)
        connection.attached(subscriber)
        stream.seat(subscriber, view, 0)
        clean = await borrowed.done
    return Sent(keep_alive=keep_alive and clean)


def sentence_of(ending: Ending) -> str:
    """Why a run did not end well, for a person who sees nothing beside it."""
    if ending.code == "upstream_refused" and ending.upstream_status is not None:
        return f"The upstream refused the call with status {ending.upstream_status}."
    return CODES[ending.code or "internal"].message


def options_of(request: web.Request, value: Any) -> Options:
    """Options in the body, or else in the header.

    Raises:
        Refusal: ``option_invalid``.
    """
    return parse_options(value) if value is not None else parse_options_header(request.headers.get("Fanlight-Options"))


async def begin(request: web.Request, asked: Mapping[str, Any], options: Options, dialect: Dialect) -> Started:
    """Start an analysis, or come to one.

    Raises:
        Refusal: see `service.hub.hub.Hub.begin`.
    """
    value = dict(asked)
    check_members(value)
    media = value["video"].get("base64_string") if isinstance(value.get("video"), dict) else None
    size = len(media or "") + len(value["prompt"])
    prepared = await asked_of(value, options, size, sent=_as_sent(value))
    hub = request.app[HUB]
    started = await begin_for(request, prepared, dialect)
    await hub.journal.flushed()  # an id that was told is not forgotten
    return started


def _as_sent(value: dict[str, Any]) -> dict[str, Any]:
    """A request without what the upstream's schemas cannot say; the verdict keeps it."""
    form = value.get("response_format")
    if not isinstance(form, dict) or "json_schema" not in form:
        return value
    return {**value, "response_format": {**form, "json_schema": _plain(form["json_schema"])}}


def _plain(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_plain(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _plain_member(key, inner) for key, inner in schema.items() if key != "additionalProperties"}


def _plain_member(keyword: str, inner: Any) -> Any:
    if keyword in _VALUES:
        return inner
    if keyword in _BY_NAME and isinstance(inner, dict):
        return {name: _plain(schema) for name, schema in inner.items()}
    return _plain(inner)


def schema_format(schema: Any, response_format: Any) -> dict[str, Any] | None:
    """The native ``response_format`` of a bare schema or of OpenAI's envelope; None without either.

    Raises:
        Refusal: ``invalid_request``.
    """
    if schema is not None:
        if not isinstance(schema, dict):
            raise Refusal("invalid_request", "schema: a JSON Schema is an object")
        return {"type": "json_schema", "json_schema": schema}
    if not isinstance(response_format, dict) or response_format.get("type") != "json_schema":
        return None
    inner = response_format.get("json_schema")
    # No schema has a keyword of that name: it is the envelope's.
    if isinstance(inner, dict) and isinstance(inner.get("schema"), dict):
        inner = inner["schema"]
    return {"type": "json_schema", "json_schema": inner}
