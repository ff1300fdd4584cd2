"""Refusals as HTTP answers, in the native form or in the upstream's flat one."""

from aiohttp import web

from protocol.errors import Refusal
from protocol.ndjson import dumps

# Where the upstream's API has a code of its own for what we refuse.
DIALECT_CODES = {"unauthenticated": "api_key_invalid"}


def is_dialect(path: str) -> bool:
    """Whether a path belongs to the upstream dialect."""
    return path == "/v1.3" or path.startswith("/v1.3/")


def refusal_response(refusal: Refusal, path: str) -> web.Response:
    """The HTTP answer for a refusal."""
    body = refusal.body()
    if is_dialect(path):
        del body["retryable"]
        body["code"] = DIALECT_CODES.get(refusal.code, refusal.code)
    headers = {"Cache-Control": "no-store", **refusal.headers}
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    if refusal.code == "unauthenticated":
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(
        status=refusal.answer.status, body=dumps(body), content_type="application/json", headers=headers
    )


def json_response(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer that nothing caches."""
    return web.Response(
        status=status,
        body=dumps(value),
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
