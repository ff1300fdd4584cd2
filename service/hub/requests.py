"""A start as it is asked for: checked, measured and ready to be sent, before anything is spent."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from protocol.errors import Refusal
from protocol.schema.admitted import AdmittedSchema, SchemaInvalid, admit
from protocol.upstream.identity import identity
from protocol.upstream.request import unwrapped
from protocol.wire.options import Options

DECODED_AT_ONCE = 1 << 20  # characters, a multiple of four


@dataclass(frozen=True, slots=True)
class Asked:
    """One start.

    Attributes:
        body: what is sent upstream.
        shown: the request as the resource shows it.
        identity: equal for requests that mean the same.
        schema: the output's schema, admitted.
    """

    body: bytes
    shown: Mapping[str, Any]
    identity: bytes
    options: Options
    schema: AdmittedSchema | None


def ask(request: Mapping[str, Any], options: Options, *, sent: Mapping[str, Any] | None = None) -> Asked:
    """Check a request and make it ready. Takes time with large media: then call it in a thread.

    Args:
        sent: what is sent upstream in its place, where the answer is judged by more than that.

    Raises:
        Refusal: ``invalid_request`` or ``schema_invalid``.
    """
    request = unwrapped(request)
    if not isinstance(request.get("stream", True), bool):
        raise Refusal("invalid_request", "stream must be true or false")
    try:
        # Upstream we always stream: one call serves those who stream and those who wait.
        body = orjson.dumps({**(sent or request), "stream": True})
        same = identity(request, options.identity())
    except (TypeError, RecursionError) as exc:
        raise Refusal("invalid_request", "the request cannot be written as JSON") from exc
    return Asked(body, _shown(request), same, options, schema_of(request.get("response_format")))


def may_run_again(asked: Asked) -> bool:
    """Whether a request may be sent again after its process died; media in base64 are not kept for that."""
    video = asked.shown.get("video")
    media = video.get("base64_string") if isinstance(video, dict) else None
    return asked.options.restart > 0 and media is None


def schema_of(response_format: object) -> AdmittedSchema | None:
    """The output's schema, admitted; None where the request has none."""
    if not isinstance(response_format, dict) or "json_schema" not in response_format:
        return None  # whatever else it is, the upstream answers for it
    try:
        return admit(response_format["json_schema"])
    except SchemaInvalid as exc:
        raise Refusal("schema_invalid", f"response_format.json_schema{exc.pointer}: {exc.message}"[:1000]) from exc


def _shown(request: Mapping[str, Any]) -> dict[str, Any]:
    video = request.get("video")
    media = video.get("base64_string") if isinstance(video, dict) else None
    if not isinstance(media, str):
        return dict(request)
    return {**request, "video": {**(video or {}), "base64_string": _digest(media)}}


def _digest(media: str) -> dict[str, Any]:
    """What is shown in place of base64 media: digest and size of the bytes, of the text where it is no base64.

    In steps: decoding holds the interpreter's lock, and the loop must have it in between.
    """
    digest, size = hashlib.sha256(), 0
    try:
        for start in range(0, len(media), DECODED_AT_ONCE):
            raw = binascii.a2b_base64(media[start : start + DECODED_AT_ONCE], strict_mode=True)
            digest.update(raw)
            size += len(raw)
    except (binascii.Error, ValueError):
        raw = _whole(media)
        digest, size = hashlib.sha256(raw), len(raw)
    return {"sha256": digest.hexdigest(), "bytes": size}


def _whole(media: str) -> bytes:
    """Media in base64 with line breaks and the like between."""
    try:
        return base64.b64decode(media)
    except (binascii.Error, ValueError):
        return media.encode(errors="replace")
