"""Put a file or an address before the service as an asset, and wait until it can be analysed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp

from fanlight.client import Client, Refused

PIECE_BYTES = 1 << 18
POLL_S = 0.2


async def upload(client: Client, path: Path, progress: Callable[[int, int], None]) -> str:
    """Upload a file; returns the asset's id once it is ready.

    Args:
        progress: told bytes sent and bytes in all.

    Raises:
        Refused: the upstream said no, or cannot use the file.
    """
    size = (await asyncio.to_thread(path.stat)).st_size

    async def pieces() -> AsyncIterator[bytes]:
        sent = 0
        with await asyncio.to_thread(path.open, "rb") as file:
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                yield piece
                sent += len(piece)
                progress(sent, size)

    form = aiohttp.FormData()
    form.add_field("method", "direct")
    form.add_field("filename", path.name)
    form.add_field("file", pieces(), filename=path.name, content_type="application/octet-stream")
    return await _ready(client, await client.call("POST", "/v1.3/assets", data=form))


async def fetch(client: Client, url: str) -> str:
    """Let the upstream fetch an address; returns the asset's id once it is ready.

    Raises:
        Refused: the upstream said no, or cannot use what it found.
    """
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("method", "url")
    form.add_field("url", url)
    return await _ready(client, await client.call("POST", "/v1.3/assets", data=form))


async def _ready(client: Client, asset: dict[str, Any]) -> str:
    while asset["status"] == "processing":
        await asyncio.sleep(POLL_S)
        asset = await client.call("GET", f"/v1.3/assets/{asset['_id']}")
    if asset["status"] != "ready":
        fault = asset.get("error")
        why = fault if isinstance(fault, dict) else {}
        message = str(why.get("message") or "the upstream cannot use this file")
        raise Refused(400, str(why.get("code") or "asset_failed"), message)
    return str(asset["_id"])
