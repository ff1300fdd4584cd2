"""How streams end: the table of endings (wire contract, section 3.4), whole.

The ending is state, written once, and given to late joiners as well. ``message`` is
the service's own words; whether trying again helps is fixed by the code alone.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """The status of a stream; the last five are endings."""

    WAITING = "waiting"  # a channel nobody has started a stream on
    STARTING = "starting"  # no event has come yet
    RUNNING = "running"
    COMPLETED = "completed"
    LENGTH = "length"
    TRUNCATED = "truncated"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Code:
    """One way to end: its status, its words, and whether trying again helps."""

    status: Status
    message: str
    retryable: bool


CODES: dict[str, Code] = {
    "upstream_truncated": Code(Status.TRUNCATED, "The upstream's answer ended before stream_end.", True),
    "upstream_broken": Code(Status.FAILED, "The transfer from the upstream broke.", True),
    "upstream_unreachable": Code(Status.FAILED, "The upstream could not be reached.", True),
    "upstream_refused": Code(Status.FAILED, "The upstream refused the call; its status is beside this.", False),
    "upstream_timeout_connect": Code(Status.FAILED, "Connecting to the upstream took too long.", True),
    "upstream_timeout_first_event": Code(Status.FAILED, "The upstream's first event did not come in time.", True),
    "upstream_timeout_idle": Code(Status.FAILED, "The upstream fell silent.", True),
    "upstream_timeout_total": Code(Status.FAILED, "The analysis took longer than it may.", True),
    "upstream_protocol": Code(Status.FAILED, "The upstream's answer broke the rules of its format.", True),
    "upstream_error": Code(Status.FAILED, "The upstream told an error instead of an event.", True),
    "cancelled": Code(Status.CANCELLED, "The stream was cancelled by a call.", False),
    "abandoned": Code(Status.CANCELLED, "The stream was cancelled because nobody was left to read it.", True),
    "text_too_long": Code(Status.FAILED, "The text is longer than the service keeps.", False),
    "too_many_events": Code(Status.FAILED, "The upstream sent more events a second than the service takes.", True),
    "schema_violation": Code(Status.FAILED, "The output broke its schema and the request said to stop.", False),
    "interrupted": Code(Status.FAILED, "The service stopped while the stream was running.", True),
    "internal": Code(Status.FAILED, "The service failed.", True),
    # Beside an ending that went well: the upstream added a warning of its own.
    "upstream_warning": Code(Status.COMPLETED, "The upstream ended its answer with a warning.", False),
}
# Statuses of an upstream that pass: the one code whose worth of another try they decide.
BUSY = frozenset({429, 503})
CLOCKS = frozenset(code for code in CODES if code.startswith("upstream_timeout_"))


@dataclass(frozen=True, slots=True)
class Ending:
    """The durable record that closes a stream; exactly one.

    Attributes:
        status: one of the last five of `Status`.
        code: a key of `CODES`, or None when all went well.
        finish_reason: the upstream's, as it said it.
        usage: the upstream's figures; None where it told none.
        upstream_status: the HTTP status, where that was the reason.
        sha256: hex digest of the whole kept text.
        validation: the verdict's JSON form, None without a schema or a whole text.
        value: the parsed JSON where valid or repaired-valid.
    """

    status: Status
    gen: int
    to: int
    sha256: str
    code: str | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    upstream_status: int | None = None
    validation: dict[str, Any] | None = None
    value: Any = field(default=None, repr=False)

    @property
    def error(self) -> dict[str, Any] | None:
        """The ``error`` member of the ending, or None."""
        if self.code is None:
            return None
        code = CODES[self.code]
        retryable = code.retryable or (self.code == "upstream_refused" and self.upstream_status in BUSY)
        error: dict[str, Any] = {"code": self.code, "message": code.message, "retryable": retryable}
        if self.upstream_status is not None:
            error["upstream_status"] = self.upstream_status
        return error


def status_of_finish(finish_reason: str | None) -> Status:
    """The status of a stream that ended with ``stream_end``; an unknown reason is a completion."""
    return Status.LENGTH if finish_reason == "length" else Status.COMPLETED
