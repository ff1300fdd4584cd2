"""What another process on this machine answers, asked on its Unix socket; its figures above all."""

from contextlib import suppress
from pathlib import Path

import aiohttp
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

ANSWER_S = 1.0
OPENMETRICS = {"Accept": "application/openmetrics-text"}


async def figures_at(socket: Path) -> list[Metric] | None:
    """What a process tells of itself; None where it does not answer in time."""
    answer = await answer_of(socket, "GET", "metrics")
    with suppress(ValueError):
        return list(text_string_to_metric_families(answer.decode())) if answer is not None else None
    return None


async def answer_of(socket: Path, method: str, what: str, body: bytes = b"") -> bytes | None:
    """The body of an answer; None where there is none in time."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    connector = aiohttp.UnixConnector(str(socket))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session,
            session.request(method, f"http://localhost/{what}", data=body or None, headers=OPENMETRICS) as answer,
        ):
            return await answer.read()
    except (aiohttp.ClientError, OSError):
        return None
