"""A body's content coding undone, a step at a time, so that a small body never becomes a huge one at once."""

import zlib

from service.upstream.contract import BadHttp

STEP_BYTES = 1 << 16
GZIP = zlib.MAX_WBITS | 16
# Codings that exist, and that nothing here undoes.
OTHERS = frozenset({"br", "zstd"})


class Inflater:
    """Undo ``gzip`` or ``deflate``; one that is named otherwise is passed on as it is by whoever reads.

    A gzip body may be of several members. ``deflate`` is zlib's format, and what some servers send
    under that name: the bare one.
    """

    def __init__(self, coding: str) -> None:
        self._is_gzip = coding == "gzip"
        self._inside = zlib.decompressobj(GZIP) if self._is_gzip else None
        self._waiting = b""

    def feed(self, data: bytes) -> None:
        """Take more of what came."""
        self._waiting += data

    def step(self) -> bytes:
        """The next of the plain body, at most `STEP_BYTES`; empty where more must come first.

        Raises:
            BadHttp: it is not of its coding.
        """
        while True:
            found = self._inflated()
            if found or not self._waiting:
                return found

    def _inflated(self) -> bytes:
        if self._inside is None:
            if not self._waiting:
                return b""
            # RFC 1950, section 2.2: the method's four bits are 8 in zlib's format.
            self._inside = zlib.decompressobj(zlib.MAX_WBITS if self._waiting[0] & 15 == 8 else -zlib.MAX_WBITS)
        if self._inside.eof:
            if not self._waiting:
                return b""
            self._next_member()
        try:
            found = self._inside.decompress(self._waiting, STEP_BYTES)
        except zlib.error as exc:
            raise BadHttp("the body is not of its content coding") from exc
        self._waiting = self._inside.unused_data if self._inside.eof else self._inside.unconsumed_tail
        return found

    def _next_member(self) -> None:
        if not self._is_gzip:
            raise BadHttp("bytes behind the end of the content coding")
        self._inside = zlib.decompressobj(GZIP)

    def end(self) -> None:
        """The body is over.

        Raises:
            BadHttp: its coding is not. gzip is let off: servers that flush it after each event may never end it.
        """
        if self._inside is not None and not self._is_gzip and not self._inside.eof:
            raise BadHttp("the content coding has no end")


def inflater_for(coding: str) -> Inflater | None:
    """What undoes a ``Content-Encoding``; None where there is nothing to undo.

    Raises:
        BadHttp: a coding that cannot be undone here, and was not asked for.
    """
    coding = coding.lower()
    if coding in OTHERS:
        raise BadHttp("a content coding that was not asked for")
    return Inflater(coding) if coding in ("gzip", "deflate") else None
