"""An upstream that tells by the clock: who calls again is told at once what was told before, and the rest in its time."""

import asyncio
from dataclasses import dataclass

import orjson
from aiohttp import web

from tests.fakes.upstream import end, start, text


@dataclass
class Tale:
    """What is told to a prompt.

    Args:
        fickle: each call after the first is told other words.
        afresh: each call is told all in its time.

    Attributes:
        began: when it was first called, by the loop's clock.
        calls: how often.
    """

    words: int
    pace_s: float
    fickle: bool = False
    afresh: bool = False
    began: float | None = None
    calls: int = 0

    def word(self, n: int, call: int) -> str:
        """One word, in more bytes than characters."""
        return f"wörd {n}; " if call == 1 or not self.fickle else f"other {n}/{call}; "

    def whole(self, call: int = 1) -> str:
        """All that one call is told."""
        return "".join(self.word(n, call) for n in range(self.words))


class TalkingServer:
    """Serve tales by their prompts.

    Attributes:
        tales: by prompt.
        url: to be asked as an upstream.
    """

    def __init__(self) -> None:
        self.tales: dict[str, Tale] = {}
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "TalkingServer":
        app = web.Application()
        app.router.add_post("/v1.3/analyze", self._tell)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1.3"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _tell(self, request: web.Request) -> web.StreamResponse:
        tale = self.tales[orjson.loads(await request.read())["prompt"]]
        loop = asyncio.get_running_loop()
        tale.calls += 1
        call = tale.calls
        began = tale.began = loop.time() if tale.began is None or tale.afresh else tale.began
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        try:
            await answer.prepare(request)
            await answer.write(start())
            for n in range(tale.words):
                await asyncio.sleep(max(0.0, began + n * tale.pace_s - loop.time()))
                await answer.write(text(tale.word(n, call)))
            await answer.write(end())
        except ConnectionError:
            pass  # the one who called has died
        return answer
