"""The client for programs without asyncio.

    with Client() as client:
        for message in client.watch(stream):
            ...

It runs its event loop only while it is asked for something: Ctrl-C ends any wait, and leaving
the loop early closes the connection.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from fanlight.client import DEFAULT_URL, Watched
from fanlight.client import Client as AsyncClient
from fanlight.upload import Source

T = TypeVar("T")


class Client:
    """A client of one service; a context manager, for one thread.

    Args:
        url: the service's address.
        settings: as those of `fanlight.Client`, and so are the methods.
    """

    def __init__(self, url: str = DEFAULT_URL, **settings: Any) -> None:
        self._client = AsyncClient(url, **settings)
        self._runner = asyncio.Runner()
        self._left = False

    def __enter__(self) -> Self:
        self._runner.__enter__()
        self._run(self._client.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run(self._client.__aexit__(kind, exc, trace))
        finally:
            self._left = True
            self._runner.close()  # closes what is still iterated, too

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """One JSON call; returns the answer's JSON."""
        return self._run(self._client.call(method, path, **arguments))

    def start(self, request: Mapping[str, Any], options: Mapping[str, Any] | None = None, **settings: Any) -> str:
        """Start a stream, or join one that runs already; returns its id."""
        return self._run(self._client.start(request, options, **settings))

    def cancel(self, stream: str, *, force: bool = False) -> None:
        """Cancel a stream; idempotent."""
        self._run(self._client.cancel(stream, force=force))

    def upload(self, source: Source, **settings: Any) -> str:
        """Upload a video; returns the asset's id once it can be analysed."""
        return self._run(self._client.upload(source, **settings))

    def fetch(self, url: str, **settings: Any) -> str:
        """Let the upstream fetch an address; returns the asset's id once it can be analysed."""
        return self._run(self._client.fetch(url, **settings))

    def watch(self, stream: str, **settings: Any) -> Iterator[Watched]:
        """Yield what a stream tells, in order and without gap, up to its `Ending`."""
        messages = self._client.watch(stream, **settings)
        try:
            with suppress(StopAsyncIteration):
                while True:
                    yield self._run(_next(messages))
        finally:
            if not self._left:
                self._run(messages.aclose())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)


async def _next(messages: AsyncIterator[Watched]) -> Watched:
    # Asked within the loop, which then closes at its end what was not closed before.
    return await anext(messages)
