"""What the members of an analyze request that are known here can be (``POST /analyze`` of the v1.3 API).

The upstream is the judge of a request. But a native start is answered before the upstream is
asked, and a prompt that is a number can only end as a failed stream: so that is said at once.
Members that are not known pass.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from protocol.errors import Refusal, first_fault
from protocol.ndjson import dumps, loads


class _Members(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Video(_Members):
    type: str | None = None
    url: str | None = None
    asset_id: str | None = None
    base64_string: str | None = None


class _ResponseFormat(_Members):
    type: str | None = None
    # What its schema may be is judged where it is admitted, and refused with a code of its own.


class AnalyzeRequest(_Members):
    prompt: str | None = None
    video_id: str | None = None
    video: _Video | None = None
    temperature: float | None = None
    max_tokens: float | None = None  # 10.0 is 10
    response_format: _ResponseFormat | None = None
    stream: bool | None = None
    model_name: str | None = None
    prompt_v2: dict[str, Any] | None = None
    start_time: float | None = None
    end_time: float | None = None


# OpenAI's form of a schema: one level deeper than the v1.3 API has it.
_ENVELOPE = frozenset({"name", "strict", "schema", "description"})


def unwrapped(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """A request whose schema came in OpenAI's envelope, as the v1.3 API has it; any other as it is.

    Read as a schema, an envelope would allow everything.
    """
    form = request.get("response_format")
    inner = form.get("json_schema") if isinstance(form, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str) or inner.keys() - _ENVELOPE:
        return request
    schema = inner.get("schema")
    if not isinstance(schema, dict):
        return request
    return {**request, "response_format": {**(form or {}), "json_schema": schema}}


def check_members(request: Any) -> None:
    """Refuse an analyze request with a known member of a type that it cannot have.

    Raises:
        Refusal: ``invalid_request``, naming the member; its value is not quoted.
    """
    try:
        AnalyzeRequest.model_validate(request)
    except ValidationError as exc:
        raise Refusal("invalid_request", first_fault(exc, "request")) from exc


def asked_again(body: bytes, faults: Sequence[str]) -> bytes:
    """A request whose answer was no JSON that fits, with what was wrong added to its prompt."""
    request = loads(body)
    listed = "\n".join(f"- {fault}" for fault in faults)
    words = f"An answer to this did not fit the schema:\n{listed}\nGive the whole JSON again, corrected."
    return dumps({**request, "prompt": f"{request.get('prompt', '')}\n\n{words}"})
