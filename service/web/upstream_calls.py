"""What the service itself reads from the upstream, in a caller's name."""

import asyncio

from aiohttp import web

from protocol.errors import Refusal
from service.upstream.http import FAULTS, translated
from service.web.keys import UPSTREAM
from service.web.upstream_headers import analyze_headers

ASK_S = 10.0
MOST_BYTES = 1 << 22


async def asked_upstream(request: web.Request, path: str, most: int = MOST_BYTES) -> tuple[int, bytes]:
    """Return the status and the body of a ``GET`` of the upstream.

    Args:
        path: what follows ``/v1.3``, percent-encoded.
        most: bytes of the body that are enough; what comes after them is not waited for.

    Raises:
        Refusal: ``overloaded``: it cannot be asked now.
    """
    upstream = request.app[UPSTREAM]
    headers = dict(analyze_headers(request))
    if "x-api-key" not in headers and upstream.api_key is not None:
        headers["x-api-key"] = upstream.api_key
    body = bytearray()
    try:
        async with asyncio.timeout(ASK_S):
            async with upstream.session.get(upstream.url(path), headers=headers, allow_redirects=False) as answer:
                while len(body) < most and (data := await answer.content.readany()):
                    body += data
                return answer.status, bytes(body)
    except TimeoutError as exc:
        raise Refusal("overloaded", "the upstream does not answer in time", retry_after_s=1) from exc
    except FAULTS as exc:
        code = translated(exc).code
        raise Refusal("overloaded", f"the upstream cannot be asked now: {code}", retry_after_s=1) from exc
