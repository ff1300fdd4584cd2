"""JSON that stands on one line for every reader, also for one that cuts at other ends of lines than the wire does."""

from typing import Any

from protocol.ndjson import dumps

# What Python's `splitlines` and JavaScript of old cut at, in UTF-8; below U+0020 JSON escapes by itself.
_ENDS = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


def one_line(value: Any) -> bytes:
    """Compact JSON without an end of a line in it, in whatever sense."""
    told = dumps(value)
    for end, escaped in _ENDS:
        told = told.replace(end, escaped)
    return told
