"""Headless Chromium, driven over its own protocol: a page, and expressions evaluated in it."""

import asyncio
import itertools
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)


class Browser:
    """One browser with one page; an async context manager."""

    def __init__(self) -> None:
        self._profile = tempfile.mkdtemp(prefix="fanlight-browser-")
        self._ids = itertools.count(1)

    async def __aenter__(self) -> "Browser":
        assert CHROMIUM is not None
        self._process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={self._profile}",
            "about:blank",
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        assert self._process.stderr is not None
        async with asyncio.timeout(30):
            while b"DevTools listening on" not in (line := await self._process.stderr.readline()):
                assert line, "the browser ended before it listened"
        self._drain = asyncio.ensure_future(self._process.stderr.read())
        port = line.decode().split(":")[-1].split("/")[0]
        self._http = aiohttp.ClientSession()
        async with self._http.get(f"http://127.0.0.1:{port}/json") as answer:
            page = next(target for target in await answer.json() if target["type"] == "page")
        self._socket = await self._http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._socket.close()
        await self._http.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._drain
        await asyncio.to_thread(shutil.rmtree, self._profile, True)

    async def call(self, method: str, **parameters: Any) -> Any:
        """One command of the browser's protocol."""
        number = next(self._ids)
        await self._socket.send_str(orjson.dumps({"id": number, "method": method, "params": parameters}).decode())
        while True:
            message = await self._socket.receive_json(timeout=60)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    async def go(self, url: str) -> None:
        """Open an address and wait until the page is there."""
        await self.call("Page.navigate", url=url)
        while await self.run("document.readyState") != "complete":
            await asyncio.sleep(0.02)

    async def run(self, expression: str) -> Any:
        """Evaluate an expression in the page, and what it promises."""
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def picture(self, path: Path) -> None:
        """A screenshot."""
        import base64

        shot = await self.call("Page.captureScreenshot")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(shot["data"]))
