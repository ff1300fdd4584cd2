"""Which trace a call belongs to, as W3C Trace Context (level 1) has it on the wire.

A value that is malformed is as none: the trace begins anew.
"""

import re
from dataclasses import dataclass

SAMPLED = 1
# Later versions may have more behind the flags, behind another dash; version ff is none.
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE = re.compile(r"[\x20-\x7e]{1,512}")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One step of a trace.

    Attributes:
        trace_id, span_id: 32 and 16 hexadecimal digits, not all of them 0.
        flags: of which `SAMPLED` has a meaning.
        state: what vendors hand on with it, as it came.
    """

    trace_id: str
    span_id: str
    flags: int = 0
    state: str = ""

    def headers(self) -> dict[str, str]:
        """The headers of a call that is made in this step."""
        told = {"traceparent": f"00-{self.trace_id}-{self.span_id}-{self.flags & SAMPLED:02x}"}
        return {**told, "tracestate": self.state} if self.state else told


def parse_trace(parent: str | None, state: str | None = None) -> TraceContext | None:
    """The step that a call was made in; None where its headers tell of none."""
    match = _PARENT.fullmatch(parent) if parent else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    known = state if state and _STATE.fullmatch(state) else ""
    return TraceContext(trace_id, span_id, int(flags, 16), known)
