"""What upstreams do, well and badly: each case with what the contract says must come of it.

Played by `test_upstream_behaviours` in the suite and by `bench/behaviours.py` as a table.
"""

import gzip
import zlib
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.fakes.upstream import Cut, Hang, Play, end, start, text

NDJSON = {"Content-Type": "application/x-ndjson"}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
S, T, E = start(), text("Hello"), end()
WHOLE = S + T + E
# Short where that very clock ends the case; a busy machine must not end others by one.
SHORT = {"connect_timeout_s": 0.5, "first_event_timeout_s": 0.4, "idle_timeout_s": 0.3, "total_timeout_s": 2.0}
LONG = dict.fromkeys(SHORT, 60.0)


@dataclass(frozen=True)
class Case:
    """One behaviour.

    Attributes:
        dialect: the HTTP status that a streaming caller of the dialect sees.
        body: ``clean`` when its body ends cleanly, ``cut`` when it breaks off.
        seen: the text that readers hold at the end.
    """

    name: str
    play: Play
    status: str
    code: str | None
    dialect: int = 200
    seen: str = "Hello"
    raw: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return self.status in ("completed", "length")

    @property
    def all_settings(self) -> dict[str, Any]:
        """Its clocks, and what else it wants."""
        mine = (self.code or "").removeprefix("upstream_timeout_") + "_timeout_s"
        return {**LONG, **{name: value for name, value in SHORT.items() if name == mine}, **self.settings}


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def bodies(name: str, *steps: Any, status: str, code: str | None, **rest: Any) -> Case:
    return Case(name, Play(list(steps), headers=NDJSON), status, code, **rest)


def raw(name: str, *steps: Any, status: str, code: str | None, **rest: Any) -> Case:
    return Case(name, Play(list(steps)), status, code, raw=True, **rest)


def fails(name: str, *steps: Any, code: str, **rest: Any) -> Case:
    return bodies(name, *steps, status="failed", code=code, **rest)


def lines(*objects: Any) -> bytes:
    return b"".join(orjson.dumps(item) + b"\n" for item in objects)


def encoded(coding: str, data: bytes) -> Case:
    play = Play([data], headers={**NDJSON, "Content-Encoding": coding})
    return Case(f"{coding}-encoded body", play, "completed", None)


GOOD = [
    bodies("the plain case", S, T, E, status="completed", code=None),
    bodies("all in one chunk", WHOLE, status="completed", code=None),
    bodies("one byte a chunk", *[WHOLE[n : n + 1] for n in range(len(WHOLE))], status="completed", code=None),
    bodies("CRLF line ends", WHOLE.replace(b"\n", b"\r\n"), status="completed", code=None),
    bodies("a byte order mark", b"\xef\xbb\xbf" + WHOLE, status="completed", code=None),
    bodies("blank lines everywhere", b"\n\n" + S + b"\n  \n\r\n" + T + b"\n" + E + b"\n", status="completed", code=None),
    bodies("no newline at the end", WHOLE[:-1], status="completed", code=None),
    bodies("finish_reason length", S, T, end("length"), status="length", code=None),
    bodies("an unknown finish_reason", S, T, end("content_filter"), status="completed", code=None),
    bodies("no finish_reason", S, T, lines({"event_type": "stream_end"}), status="completed", code=None),
    bodies("finish_reason null", S, T, lines({"event_type": "stream_end", "finish_reason": None}), status="completed", code=None),
    bodies("finish_reason a number", S, T, lines({"event_type": "stream_end", "finish_reason": 7}), status="completed", code=None),
    bodies("a warning in stream_end", S, T, lines({"event_type": "stream_end", "finish_reason": "length", "error": {"message": "cut"}}), status="length", code="upstream_warning"),
    bodies("no stream_start", T, E, status="completed", code=None),
    bodies("two stream_starts", S, S, T, E, status="completed", code=None),
    bodies("stream_end alone", E, status="completed", code=None, seen=""),
    bodies("an empty text", S, text(""), E, status="completed", code=None, seen=""),
    bodies("text_generation without text", S, lines({"event_type": "text_generation"}), T, E, status="completed", code=None),
    bodies("two stream_ends", S, T, E, end("length"), status="completed", code=None),
    bodies("text after stream_end", S, T, E, text("late"), status="completed", code=None),
    bodies("junk after stream_end", S, T, E, b"not json\n", status="completed", code=None),
    bodies("a cut after stream_end", S, T, E, Cut(), status="completed", code=None),
    bodies("silence after stream_end", S, T, E, Hang(), status="completed", code=None),
    bodies("an error object after stream_end", S, T, E, lines({"code": "c", "message": "m"}), status="completed", code=None),
    bodies("an unknown event", S, lines({"event_type": "progress", "percent": 3}), T, E, status="completed", code=None),
    bodies("an object without event_type", S, lines({"hello": 1}), T, E, status="completed", code=None),
    bodies("event_type not a string", S, lines({"event_type": 7}), T, E, status="completed", code=None),
    bodies("unknown members", S, lines({"event_type": "text_generation", "text": "Hello", "logprob": -1}), E, status="completed", code=None),
    bodies("members in another order", S, b'{"text":"Hello","event_type":"text_generation"}\n', E, status="completed", code=None),
    bodies("duplicate members", S, b'{"event_type":"text_generation","text":"no","text":"Hello"}\n', E, status="completed", code=None),
    bodies("a character cut over chunks", S, text("é")[:40], text("é")[40:], E, status="completed", code=None, seen="é"),
    bodies("a surrogate pair cut over events", S, b'{"event_type":"text_generation","text":"\\ud83d"}\n{"event_type":"text_generation","text":"\\ude00"}\n', E, status="completed", code=None, seen="😀"),
    bodies("a lone surrogate", S, b'{"event_type":"text_generation","text":"a\\ud83d"}\n', E, status="completed", code=None, seen="a\ufffd"),
    bodies("escaped NUL", S, text("\0"), E, status="completed", code=None, seen="\0"),
    bodies("U+2028 and its kin raw", S, text("a\u2028b\u2029c\x85d"), E, status="completed", code=None, seen="a\u2028b\u2029c\x85d"),
    bodies("a noncharacter", S, text("\uffff"), E, status="completed", code=None, seen="\uffff"),
    bodies("usage a string", S, T, lines({"event_type": "stream_end", "finish_reason": "stop", "metadata": {"usage": "much"}}), status="completed", code=None),
    bodies("usage of 2**60", S, T, lines({"event_type": "stream_end", "finish_reason": "stop", "metadata": {"usage": {"output_tokens": 2**60}}}), status="completed", code=None),
    bodies("metadata a list", S, T, lines({"event_type": "stream_end", "finish_reason": "stop", "metadata": []}), status="completed", code=None),
    bodies("deep JSON in an unknown member", S, b'{"event_type":"x","deep":' + b"[" * 500 + b"]" * 500 + b"}\n", T, E, status="completed", code=None),
    bodies("ten thousand fragments in one chunk", S, text("a") * 10_000, E, status="completed", code=None, seen="a" * 10_000),
    bodies("a line just under the cap", S, text("x" * 900), E, status="completed", code=None, seen="x" * 900, settings={"max_line_bytes": 1000}),
    encoded("gzip", gzip.compress(WHOLE)),
    encoded("deflate", zlib.compress(WHOLE)),
    Case("another content type", Play([WHOLE], headers={"Content-Type": "text/plain"}), "completed", None),
    Case("no content type", Play([WHOLE]), "completed", None),
    Case("a body of stated length", Play([WHOLE], headers={"Content-Length": str(len(WHOLE))}), "completed", None),
    raw("a body that ends with the connection", HEAD + b"Connection: close\r\n\r\n" + WHOLE, Cut(), status="completed", code=None),
    raw("HTTP/1.0", HEAD.replace(b"1.1", b"1.0") + b"\r\n" + WHOLE, Cut(), status="completed", code=None),
    raw("trailers", CHUNKED + chunk(WHOLE) + b"0\r\nX-Trailer: 1\r\n\r\n", status="completed", code=None),
    raw("chunk extensions", CHUNKED + b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(WHOLE), WHOLE), status="completed", code=None),
    raw("100 Continue first", b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + chunk(WHOLE) + b"0\r\n\r\n", status="completed", code=None),
    raw("103 Early Hints first", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + CHUNKED + chunk(WHOLE) + b"0\r\n\r\n", status="completed", code=None),
]  # fmt: skip

CUTS = [
    bodies("a clean end after the text", S, T, status="truncated", code="upstream_truncated"),
    bodies("a clean end after stream_start", S, status="truncated", code="upstream_truncated", seen=""),
    bodies("an empty body", status="truncated", code="upstream_truncated", dialect=502, seen=""),
    bodies("only blank lines", b"\n\n\n", status="truncated", code="upstream_truncated", dialect=502, seen=""),
    fails("a clean end inside a line", S, T, text("lost")[:20], code="upstream_protocol"),
    fails("a clean end inside stream_end", S, T, E[:-20], code="upstream_protocol"),
    fails("a broken transfer after the text", S, T, Cut(), code="upstream_broken"),
    fails("a broken transfer after stream_start", S, Cut(), code="upstream_broken", seen=""),
    fails("a broken transfer inside a line", S, T, text("lost")[:20], Cut(), code="upstream_broken"),
    fails("a broken transfer before any byte", Cut(), code="upstream_broken", dialect=502, seen=""),
    raw("all at once, then cut", CHUNKED + chunk(S + T), Cut(), status="failed", code="upstream_broken"),
    raw("shorter than its stated length", HEAD + b"Content-Length: 9999\r\n\r\n" + S + T, Cut(), status="failed", code="upstream_broken"),
    raw("a chunk cut in its size", CHUNKED + chunk(S + T) + b"1", Cut(), status="failed", code="upstream_broken"),
    raw("a connection closed without an answer", Cut(), status="failed", code="upstream_broken", dialect=502, seen=""),
    raw("a connection closed inside the head", b"HTTP/1.1 200 O", Cut(), status="failed", code="upstream_broken", dialect=502, seen=""),
    raw("no last chunk", CHUNKED + chunk(S + T) + chunk(b"\n"), Cut(), status="failed", code="upstream_broken"),
    raw("no length: ends with the connection, without stream_end", HEAD + b"Connection: close\r\n\r\n" + S + T, Cut(), status="truncated", code="upstream_truncated"),
]  # fmt: skip

JUNK = [
    fails("junk in the place of a line", S, T, b"not json\n", code="upstream_protocol"),
    fails("HTML in a 200", b"<html><body>Bad gateway</body></html>\n", code="upstream_protocol", dialect=502, seen=""),
    fails("a JSON array", S, T, b"[1,2]\n", code="upstream_protocol"),
    fails("a JSON string", S, T, b'"text"\n', code="upstream_protocol"),
    fails("null", S, T, b"null\n", code="upstream_protocol"),
    fails("NaN", S, T, b'{"event_type":"x","a":NaN}\n', code="upstream_protocol"),
    fails("text a number", S, T, lines({"event_type": "text_generation", "text": 7}), code="upstream_protocol"),
    fails("text null", S, T, lines({"event_type": "text_generation", "text": None}), code="upstream_protocol"),
    fails("text an object", S, T, lines({"event_type": "text_generation", "text": {}}), code="upstream_protocol"),
    fails("two objects on a line", S, T, b'{"event_type":"x"}{"event_type":"y"}\n', code="upstream_protocol"),
    fails("an object over two lines", S, T, b'{"event_type":\n"x"}\n', code="upstream_protocol"),
    fails("Latin-1", S, T, b'{"event_type":"text_generation","text":"\xe9"}\n', code="upstream_protocol"),
    fails("UTF-16", WHOLE.decode().encode("utf-16"), code="upstream_protocol", dialect=502, seen=""),
    fails("a raw NUL", S, T, b'{"event_type":"text_generation","text":"\x00"}\n', code="upstream_protocol"),
    fails("server-sent events", b"data: " + T, code="upstream_protocol", dialect=502, seen=""),
    fails("deep JSON", S, T, b"[" * 50_000 + b"\n", code="upstream_protocol"),
    fails("deep JSON with a surrogate", S, T, b'{"a":"\\ud800","b":' + b"[" * 50_000 + b"\n", code="upstream_protocol"),
    fails("a line over the cap", S, T, text("x" * 5000), code="upstream_protocol", settings={"max_line_bytes": 1000}),
    fails("an endless line", S, T, *[b"x" * 60_000] * 40, code="upstream_protocol"),
    fails("an unfinished line over the cap", S, T, b"{" + b" " * 5000, Hang(), code="upstream_protocol", settings={"max_line_bytes": 1000}),
    Case("gzip that is not gzip", Play([b"plain"], headers={**NDJSON, "Content-Encoding": "gzip"}), "failed", "upstream_protocol", dialect=502, seen=""),
    raw("not HTTP", b"220 smtp.example ESMTP\r\n", Cut(), status="failed", code="upstream_protocol", dialect=502, seen=""),
    raw("a bad chunk size", CHUNKED + b"zz\r\n" + T + b"\r\n", Hang(), status="failed", code="upstream_protocol", dialect=502, seen=""),
    raw("endless headers", b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 5000, Hang(), status="failed", code="upstream_protocol", dialect=502, seen=""),
    raw("a header of 100 KiB", b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 100_000 + b"\r\n\r\n", Hang(), status="failed", code="upstream_protocol", dialect=502, seen=""),
]  # fmt: skip

TOLD = [
    fails("an error event", S, T, lines({"event_type": "error", "message": "m"}), code="upstream_error"),
    fails("an error object after text", S, T, lines({"code": "c", "message": "m"}), code="upstream_error"),
    fails("a nested error after text", S, T, lines({"error": {"code": "c", "message": "m"}}), code="upstream_error"),
    fails("an unknown event that carries an error", S, T, lines({"event_type": "x", "error": "m"}), code="upstream_error"),
    fails("an error object in a 200 before any text", lines({"code": "c", "message": "m"}), code="upstream_error", dialect=502, seen=""),
    fails("an error object right after stream_start", S + lines({"code": "c", "message": "m"}), code="upstream_error", dialect=502, seen=""),
    fails("text after an error object", S, T, lines({"code": "c", "message": "m"}) + text("late") + E, code="upstream_error"),
    *[
        Case(f"HTTP {status}", Play([b'{"code":"c","message":"m"}'], status, {"Content-Type": "application/json", "Retry-After": "60"}), "failed", "upstream_refused", dialect=status, seen="")
        for status in (400, 401, 402, 403, 404, 409, 422, 429, 500, 502, 503, 504)
    ],
    *[
        Case(f"HTTP {status}", Play([], status, {"Location": "http://127.0.0.1:1/"}), "failed", "upstream_refused", dialect=502, seen="")
        for status in (301, 302, 307, 308)
    ],
    Case("HTTP 204", Play([], 204, {"Content-Length": "0"}), "failed", "upstream_refused", dialect=502, seen=""),
    Case("HTTP 201", Play([WHOLE], 201, NDJSON), "failed", "upstream_refused", dialect=502, seen=""),
    Case("a 400 whose body breaks off", Play([b'{"code":', Cut()], 400), "failed", "upstream_refused", dialect=400, seen=""),
    Case("a 500 in HTML", Play([b"<html>"], 500, {"Content-Type": "text/html"}), "failed", "upstream_refused", dialect=500, seen=""),
    Case("a redirect to itself", Play([], 302, {"Location": "/v1.3/analyze"}), "failed", "upstream_refused", dialect=502, seen=""),
]  # fmt: skip

SLOW = [
    fails("silence before the head", Hang(), code="upstream_timeout_first_event", dialect=504, seen=""),
    raw("silence inside the head", b"HTTP/1.1 200 OK\r\nX-", Hang(), status="failed", code="upstream_timeout_first_event", dialect=504, seen=""),
    fails("silence before the first event", b"\n", Hang(), code="upstream_timeout_first_event", dialect=504, seen=""),
    fails("silence after stream_start", S, Hang(), code="upstream_timeout_idle", seen=""),
    fails("silence after text", S, T, Hang(), code="upstream_timeout_idle"),
    fails("silence inside a line", S, T, text("lost")[:20], Hang(), code="upstream_timeout_idle"),
    fails("text over the cap", S, T, text("x" * 100), E, code="text_too_long", settings={"max_text_bytes": 50}),
    fails("a flood of empty events", S, T, text("") * 30_000, Hang(), code="too_many_events", settings={"max_events_per_s": 5000}),
    Case("a gzip bomb in one line", Play([gzip.compress(S + T + b'{"event_type":"text_generation","text":"' + b"x" * (64 << 20))], headers={**NDJSON, "Content-Encoding": "gzip"}), "failed", "upstream_protocol"),
    Case("a gzip bomb of text", Play([gzip.compress(S + T + text("x" * 1000) * 60_000)], headers={**NDJSON, "Content-Encoding": "gzip"}), "failed", "text_too_long", seen="…"),
]  # fmt: skip

CASES = [*GOOD, *CUTS, *JUNK, *TOLD, *SLOW]
