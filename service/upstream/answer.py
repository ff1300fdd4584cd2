"""One HTTP/1.1 answer, read by the transport's own callback.

The answer is its connection's protocol from the request to the end: what the socket has goes through the
parser to the taker in one call, with no task woken and no queue between. llhttp (httptools) parses, as
leniently as aiohttp lets it; the bounds are ours.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict

from service.upstream.contract import Answer, BadHttp, Broken, UpstreamFault, ignored
from service.upstream.inflate import Inflater, inflater_for

# What may arrive ahead of a reader; then the peer waits.
AHEAD_BYTES = 1 << 16
MAX_FIELD_BYTES = 8190
MAX_FIELDS = 128
# What may come in one go that is none of the body: head, trailers, extensions of chunks.
MAX_OVERHEAD_BYTES = 1 << 16


class HttpAnswer(asyncio.Protocol):
    """The answer to one call (contract: `service.upstream.contract.Answer`).

    Args:
        transport: whose protocol it becomes; the request is written by whoever made it.
        begun: called at the end of the headers.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        begun: Callable[[Answer], None] = ignored,
    ) -> None:
        self.status = 0
        self.headers: CIMultiDict[str] = CIMultiDict()
        self._transport = transport
        self._begun = begun
        self._loop = loop
        self._arrived: list[bytes] = []  # of the body, not handed on yet
        self.on_body = self._arrived.append  # the parser's; no call of ours for a chunk
        self._parser: Any = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._head: asyncio.Future[UpstreamFault | None] = self._loop.create_future()
        self._fields = 0
        self._overhead = 0  # bytes since the last of the body
        self._ahead = 0  # bytes that came while nobody took any
        self._is_paused = False
        self._inflater: Inflater | None = None
        self._is_over = False
        self._keeps_alive = False
        self._fault: UpstreamFault | None = None
        self._take: Callable[[bytes], bool] | None = None
        self._taken: asyncio.Future[Exception | None] | None = None
        transport.set_protocol(self)
        if transport.is_closing():  # its last word was told to the protocol before
            self._fail(Broken("the connection is gone"))

    def __repr__(self) -> str:
        state = "over" if self._is_over else repr(self._fault) if self._fault else "under way"
        return f"<HttpAnswer {self.status} {state}>"

    @property
    def leaves_connection(self) -> bool:
        """Whether the connection can serve another call."""
        return self._is_over and self._keeps_alive and self._fault is None

    @property
    def is_over(self) -> bool:
        """See `service.upstream.contract.Answer.is_over`."""
        return self._is_over

    async def begun(self) -> None:
        """Wait for the head.

        Raises:
            Broken, BadHttp: none came.
        """
        if (fault := await self._head) is not None:
            raise fault

    def take(self, take: Callable[[bytes], bool]) -> None:
        """See `service.upstream.contract.Answer.take`."""
        self._taken = self._loop.create_future()
        self._take, self._ahead = take, 0
        self._hand_on()

    async def taken(self) -> None:
        """See `service.upstream.contract.Answer.taken`."""
        assert self._taken is not None, "nobody takes"
        try:
            found = await self._taken
        finally:
            self._take = None
        if found is not None:
            raise found

    async def deliver(self, take: Callable[[bytes], bool]) -> None:
        """See `service.upstream.contract.Answer.deliver`."""
        self.take(take)
        await self.taken()

    def leave(self) -> None:
        """Nobody takes what comes any more."""
        self._take = None

    # -- the transport's side

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._is_over, self._keeps_alive = True, False
        except HttpParserError as exc:
            self._broke_off(exc)
        if self._arrived:
            self._overhead = 0
        else:
            self._overhead += len(data)
            if self._overhead > MAX_OVERHEAD_BYTES:
                self._fail(BadHttp("too much that is none of the body"))
        if self._take is not None:
            self._hand_on()
        else:
            self._hold(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_over:
            if exc is None and self.status and self._ends_with_connection:
                self._is_over = True
            else:
                fault = Broken("the connection is lost")
                fault.__cause__ = exc
                self._fail(fault)
        self._keeps_alive = False
        self._hand_on()

    # -- the parser's side

    def on_message_begin(self) -> None:
        if self._is_over:
            raise BadHttp("bytes behind the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        if self._fields > MAX_FIELDS or len(name) > MAX_FIELD_BYTES or len(value) > MAX_FIELD_BYTES or b"\0" in value:
            raise BadHttp("a head out of bounds")
        if not self.status:  # else a trailer
            field = value.rstrip(b" \t").decode("utf-8", "surrogateescape")
            self.headers.add(name.decode("utf-8", "surrogateescape"), field)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:  # the answer is still to come
            self.headers.clear()
            return
        self.status = status
        self._inflater = inflater_for(self.headers.get("Content-Encoding", ""))
        if not self._head.done():
            self._head.set_result(None)
            self._begun(self)

    def on_message_complete(self) -> None:
        if self.status:
            self._is_over, self._keeps_alive = True, self._parser.should_keep_alive()

    # -- between the two

    @property
    def _ends_with_connection(self) -> bool:
        """RFC 9112, section 6.3: neither a length nor chunks."""
        codings = ",".join(self.headers.getall("Transfer-Encoding", ()))
        return "Content-Length" not in self.headers and not codings.lower().endswith("chunked")

    def _broke_off(self, exc: HttpParserError) -> None:
        """The parser reads no further; behind the answer's end that is the connection's trouble alone."""
        self._keeps_alive = False
        if not self._is_over:
            fault = BadHttp("not the answer that HTTP allows")
            fault.__cause__ = exc
            self._fail(fault)

    def _fail(self, fault: UpstreamFault) -> None:
        self._fault = self._fault or fault
        if not self._head.done():
            self._head.set_result(self._fault)

    def _hold(self, size: int) -> None:
        """Nobody takes what came: beyond some of it the peer waits."""
        self._ahead += size
        if self._ahead > AHEAD_BYTES:
            self._pause()

    def _pause(self) -> None:
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on; idempotent."""
        if self._is_paused:
            self._is_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _hand_on(self) -> None:
        """Give the taker what is there, and tell `taken` when that is all."""
        take, taken = self._take, self._taken
        if take is None or taken is None:
            return
        try:
            if not (self._given if self._inflater is None else self._given_inflated)(take):
                return
            found: Exception | None = None
        except Exception as exc:
            found = exc
        self._take = None
        if not taken.done():  # else its reader was cancelled
            taken.set_result(found)

    def _given(self, take: Callable[[bytes], bool]) -> bool:
        """Whether the taker has enough, or the body has ended."""
        if self._is_paused:
            self.resume()
        if self._arrived:
            data = b"".join(self._arrived)
            self._arrived.clear()
            if take(data):
                return True
        if self._fault is not None:
            raise self._fault
        return self._is_over

    def _given_inflated(self, take: Callable[[bytes], bool]) -> bool:
        """The same a step at a time; between steps the loop has its turn."""
        inflater = cast(Inflater, self._inflater)
        if self._arrived:
            inflater.feed(b"".join(self._arrived))
            self._arrived.clear()
        if step := inflater.step():
            if take(step):
                return True
            self._pause()
            self._loop.call_soon(self._hand_on)
            return False
        if self._is_over and self._fault is None:
            inflater.end()
        return self._given(take)
