"""The contract of an upstream, in a few words.

An upstream is an HTTP server that speaks v1.3, at an address. `analyze` opens one
``POST /analyze`` and gives back its answer as it stands at the end of the headers:

* the call is closed, and its connection with it unless it was read to its end, when the
  context is left, however it is left;
* ``connected`` is called once, when a connection is had and before anything is waited for on it;
* ``begun`` is called once, at the end of the headers and from the transport's own callback: what it hands the body
  to (`Answer.take`) is given what came along with the headers in that same turn; it does not raise;
* `Answer.take` hands on what arrives, as it arrives, in order and uncompressed; what arrived
  together comes together, and nothing that arrived before a break is lost to it;
* `Answer.taken` returns at the clean end of the body; any other end raises `Broken`;
* nothing is retried, redirected, or handed on before it is asked for.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class UpstreamFault(Exception):
    """The upstream could not be used; ``code`` is the ending's error code."""

    code = "internal"


class Unreachable(UpstreamFault):
    """No connection could be had; nothing was sent."""

    code = "upstream_unreachable"


class ConnectTimeout(UpstreamFault):
    """Connecting took longer than the connect clock allows; nothing was sent."""

    code = "upstream_timeout_connect"


class Broken(UpstreamFault):
    """The connection broke, before or inside the answer's body."""

    code = "upstream_broken"


class BadHttp(UpstreamFault):
    """What came is not HTTP, or a body that its encoding does not fit."""

    code = "upstream_protocol"


class Answer(Protocol):
    """The answer to one analyze call. One reader at a time."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def is_over(self) -> bool:
        """Whether all of it has come."""

    def take(self, take: Callable[[bytes], bool]) -> None:
        """Call ``take`` with what arrives of the body, until it returns True or the body has ended.

        ``take`` is called from the transport's own callback: no task is woken for a
        fragment. Another call goes on where this one stopped.
        """

    async def taken(self) -> None:
        """Wait until that is so. What ``take`` raises is raised here.

        Raises:
            Broken: the transfer broke.
            BadHttp: the body is not what its headers say.
        """

    async def deliver(self, take: Callable[[bytes], bool]) -> None:
        """`take`, and wait until it is `taken`."""


def ignored(_answer: Answer) -> None:
    """For those who take the body later."""


class Upstream(Protocol):
    """An address that speaks v1.3."""

    def analyze(
        self,
        body: bytes,
        headers: Mapping[str, str],
        connected: Callable[[], None],
        begun: Callable[[Answer], None] = ignored,
    ) -> AbstractAsyncContextManager[Answer]:
        """Open one ``POST /analyze``; entering sends it and waits for the answer's headers.

        Raises:
            Unreachable, ConnectTimeout, Broken, BadHttp: on entering.
        """
