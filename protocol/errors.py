"""What the service answers when it does not serve: one table for HTTP, WebSocket and messages.

Wire contract, section 2.6; the close codes are in section 5.1.
"""

from dataclasses import dataclass

from pydantic import ValidationError


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """How one code is told: HTTP status, WebSocket close code, and whether trying again helps."""

    status: int
    close: int
    retryable: bool


ANSWERS: dict[str, ErrorForm] = {
    "invalid_request": ErrorForm(400, 1008, False),
    "option_invalid": ErrorForm(400, 1008, False),
    "schema_invalid": ErrorForm(400, 1008, False),
    "unauthenticated": ErrorForm(401, 4401, False),
    "ticket_expired": ErrorForm(401, 4401, False),
    "forbidden": ErrorForm(403, 4403, False),
    "not_found": ErrorForm(404, 4404, False),
    "shared": ErrorForm(409, 1008, False),
    "idempotency_conflict": ErrorForm(409, 1008, False),
    "too_large": ErrorForm(413, 1009, False),
    "limit_reached": ErrorForm(429, 4429, True),
    "internal": ErrorForm(500, 1011, True),
    "draining": ErrorForm(503, 1001, True),
    "overloaded": ErrorForm(503, 1013, True),
    # Of the dialects.
    "video_required": ErrorForm(400, 1008, False),
    "video_invalid": ErrorForm(400, 1008, False),
    "too_many_videos": ErrorForm(400, 1008, False),
    "part_unsupported": ErrorForm(400, 1008, False),
    "prompt_too_long": ErrorForm(400, 1008, False),
    "unsupported": ErrorForm(400, 1008, False),
    "model_not_found": ErrorForm(404, 4404, False),
}


class Refusal(Exception):
    """A request that is not served, in terms of the contract.

    Args:
        code: a key of `ANSWERS`.
        message: for a person; never quotes a secret, a prompt or a transcript.
        retry_after_s: told where waiting helps.

    Attributes:
        headers: what the answer says besides, over HTTP.
    """

    def __init__(self, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s
        self.headers: dict[str, str] = {}

    @property
    def answer(self) -> ErrorForm:
        return ANSWERS[self.code]

    def body(self) -> dict[str, object]:
        """The JSON form."""
        return {"code": self.code, "message": self.message, "retryable": self.answer.retryable}


def first_fault(exc: ValidationError, whole: str) -> str:
    """Where and why something does not fit its model, without its values; ``whole`` names it."""
    fault = exc.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or whole
    # The words for a tag that is none quote it.
    why = "its type is none that is known" if fault["type"] == "union_tag_invalid" else fault["msg"][:200]
    return f"{where[:100]}: {why}"
