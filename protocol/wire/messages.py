"""Messages from the server, as JSON bytes, encoded once for all readers.

Shapes: wire contract, section 3. A message is a line without its newline; framing
for a transport is the business of `protocol.wire.frames`.
"""

from typing import Any

from protocol.ndjson import dumps
from protocol.wire.cursors import Mode
from protocol.wire.endings import Ending

MAX_MESSAGE_BYTES = 1 << 20
# What a message may need besides its text: ids, offsets, names.
ENVELOPE_BYTES = 512


def delta(stream: str, start: int, stop: int, text: bytes) -> bytes:
    """``delta``; ``text`` is already JSON (`protocol.ndjson.string`)."""
    return b'{"type":"delta","stream":"%b","from":%d,"to":%d,"text":%b}' % (
        stream.encode(),
        start,
        stop,
        text,
    )


def attached(
    stream: str | None,
    *,
    gen: int,
    mode: Mode,
    start: int,
    stop: int,
    status: str,
    view: str,
    text: bytes = b'""',
    ref: Any = None,
    extra: dict[str, Any] | None = None,
) -> bytes:
    """``attached``; ``text`` is already JSON, ``extra`` holds ``state`` and ``channel`` where they apply.

    Args:
        ref: echoed when not None.
    """
    head: dict[str, Any] = {"type": "attached"}
    if ref is not None:
        head["ref"] = ref
    head |= {"stream": stream, "gen": gen, "mode": str(mode), "from": start, "to": stop}
    tail = {**(extra or {}), "status": status, "view": view}
    return dumps(head)[:-1] + b',"text":' + text + b"," + dumps(tail)[1:]


def event(stream: str, at: int, n: int, members: bytes) -> bytes:
    """``event``: one of the upstream's, one for one; ``members`` is already JSON."""
    return b'{"type":"event","stream":"%b","at":%d,"n":%d,"event":%b}' % (
        stream.encode(),
        at,
        n,
        members,
    )


def derived(kind: str, stream: str, message: dict[str, Any]) -> bytes:
    """``element``, ``patch``, ``caption`` or ``violation``: what a projection of the text told."""
    return dumps({"type": kind, "stream": stream, **message})


def reset(stream: str, gen: int, reason: str) -> bytes:
    """``reset``: drop everything shown; the text restarts at offset 0 of generation ``gen``."""
    return dumps({"type": "reset", "stream": stream, "gen": gen, "reason": reason})


def end(stream: str, ending: Ending) -> bytes:
    """``end``: the ending; the subscription is over."""
    return dumps(
        {
            "type": "end",
            "stream": stream,
            "gen": ending.gen,
            "to": ending.to,
            "status": str(ending.status),
            "finish_reason": ending.finish_reason,
            "usage": ending.usage,
            "validation": ending.validation,
            "sha256": ending.sha256,
            "error": ending.error,
        }
    )


def presence(stream: str, counts: dict[str, int]) -> bytes:
    """``presence``: subscribers by view."""
    return dumps({"type": "presence", "stream": stream, "counts": counts})


def draining(stream: str | None, retry_after_ms: int, cursors: dict[str, str]) -> bytes:
    """``draining``: reconnect elsewhere with the cursor; ``stream`` None on a multiplexed socket."""
    message: dict[str, Any] = {"type": "draining"}
    if stream is not None:
        message |= {"stream": stream, "retry_after_ms": retry_after_ms, "cursor": cursors.get(stream)}
    else:
        message |= {"retry_after_ms": retry_after_ms, "cursors": cursors}
    return dumps(message)


def error(code: str, message: str, retryable: bool, ref: Any = None, stream: str | None = None) -> bytes:
    """``error``: the direct answer to a message that could not be served."""
    body: dict[str, Any] = {"type": "error"}
    if ref is not None:
        body["ref"] = ref
    if stream is not None:
        body["stream"] = stream
    return dumps(body | {"code": code, "message": message, "retryable": retryable})


def expiring(in_s: float) -> bytes:
    """``expiring``: the ticket that this connection was opened with ends then."""
    return dumps({"type": "expiring", "in_s": in_s})


def pong(ref: Any = None) -> bytes:
    """``pong``: everything asked before it has been answered."""
    return dumps({"type": "pong"} if ref is None else {"type": "pong", "ref": ref})
