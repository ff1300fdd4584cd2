"""What the service answers when it does not serve: one table for HTTP, WebSocket and messages."""

from dataclasses import dataclass

from pydantic import ValidationError


@dataclass(frozen=True, slots=True)
class Answer:
    """How one code is told: HTTP status, WebSocket close code, and whether trying again helps."""

    status: int
    close: int
    retryable: bool


ANSWERS: dict[str, Answer] = {
    "invalid_request": Answer(400, 1008, False),
    "option_invalid": Answer(400, 1008, False),
    "schema_invalid": Answer(400, 1008, False),
    "unauthenticated": Answer(401, 4401, False),
    "forbidden": Answer(403, 4403, False),
    "not_found": Answer(404, 4404, False),
    "shared": Answer(409, 1008, False),
    "idempotency_conflict": Answer(409, 1008, False),
    "too_large": Answer(413, 1009, False),
    "limit_reached": Answer(429, 4429, True),
    "internal": Answer(500, 1011, True),
    "draining": Answer(503, 1001, True),
    "overloaded": Answer(503, 1013, True),
}


class Refusal(Exception):
    """A request that is not served, in terms of the contract.

    Args:
        code: a key of `ANSWERS`.
        message: for a person; never quotes a secret, a prompt or a transcript.
        retry_after_s: told where waiting helps.
    """

    def __init__(self, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s

    @property
    def answer(self) -> Answer:
        return ANSWERS[self.code]

    def body(self) -> dict[str, object]:
        """The JSON form."""
        return {"code": self.code, "message": self.message, "retryable": self.answer.retryable}


def first_fault(exc: ValidationError, whole: str) -> str:
    """Where and why something does not fit its model, without its values; ``whole`` names it."""
    fault = exc.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or whole
    return f"{where[:100]}: {fault['msg'][:200]}"
