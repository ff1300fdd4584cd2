"""The final verdict on a whole text: is it JSON, does it fit the schema, and if not, where not.

jsonschema-rs is the authority on whether a value fits. Runs in time linear in the text, keeps no more
than a bounded number of faults, and may run in any thread.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from protocol.explain import explain
from protocol.json_depth import MAX_DEPTH, too_deep
from protocol.json_span import ends_of
from protocol.schemas import AdmittedSchema
from protocol.violations import Violation
from protocol.wrapping import Wrapped, find_document

MAX_ERRORS = 20
MAX_COUNT = 1000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Section 6 of the contract.

    Attributes:
        valid: the text, exactly as delivered, is JSON that fits.
        errors: at most 20; of the repaired text when something was taken away.
        error_count: how many there are; stops at 1,000.
        repaired: what was taken away to parse it: ``prose_before``, ``code_fence``, ``text_after``.
        repaired_valid: whether the rest fits; None when nothing was taken away.
        value: the parsed JSON when valid or repaired-valid, else None.
    """

    valid: bool
    errors: tuple[Violation, ...] = ()
    error_count: int = 0
    repaired: tuple[str, ...] = ()
    repaired_valid: bool | None = None
    value: Any = field(default=None, repr=False)

    @property
    def truncated(self) -> bool:
        """Whether ``errors`` holds fewer than there are."""
        return self.error_count > len(self.errors)

    def members(self) -> dict[str, Any]:
        """Return the contract's JSON object, which is without ``value``."""
        return {
            "valid": self.valid,
            "errors": [error.members() for error in self.errors],
            "error_count": self.error_count,
            "truncated": self.truncated,
            "repaired": list(self.repaired),
            "repaired_valid": self.repaired_valid,
        }


def judge(text: bytes, schema: AdmittedSchema, finish_reason: str) -> Verdict:
    """Return the verdict on a whole text.

    Args:
        text: as delivered, valid UTF-8.
        schema: as admitted.
        finish_reason: as the upstream gave it; ``length`` says that a cut text was cut by the budget.
    """
    try:
        value = _parsed(text)
    except orjson.JSONDecodeError as exc:
        return _judge_wrapped(text, schema, finish_reason, exc)
    faults, count = _faults(text, 0, value, schema)
    if count:
        return Verdict(False, faults, count)
    return Verdict(True, value=value)


def _parsed(text: bytes) -> Any:
    return orjson.loads(text)


def _judge_wrapped(
    text: bytes, schema: AdmittedSchema, finish_reason: str, exc: orjson.JSONDecodeError
) -> Verdict:
    wrapped = find_document(text)
    if wrapped is None or wrapped.end is None or not wrapped.around:
        return _refused(text, wrapped, finish_reason, exc)
    try:
        value = _parsed(text[wrapped.start : wrapped.end])
    except orjson.JSONDecodeError as inner:
        return _refused(text, wrapped, finish_reason, inner)
    faults, count = _faults(text, wrapped.start, value, schema)
    fits = count == 0
    return Verdict(False, faults, count, wrapped.around, fits, value if fits else None)


def _refused(
    text: bytes, wrapped: Wrapped | None, finish_reason: str, exc: orjson.JSONDecodeError
) -> Verdict:
    """The text is no JSON, even without what stands around it."""
    if finish_reason == "length" or (wrapped and wrapped.end is None) or not text.strip():
        fault = Violation("", "", "incomplete", "the text ends before the JSON does", len(text))
    else:
        at = len(exc.doc[: exc.pos].encode()) + (wrapped.start if wrapped and wrapped.around else 0)
        fault = Violation("", "", "syntax", "the text is not JSON", min(at + 1, len(text)))
    return Verdict(False, (fault,), 1)


def _faults(text: bytes, start: int, value: Any, schema: AdmittedSchema) -> tuple[tuple[Violation, ...], int]:
    """Return the faults of the JSON that stands in ``text`` from ``start``: at most 20, and their count."""
    deep = too_deep(value)
    if deep is not None:
        end = ends_of(text, start, [deep])[deep]
        return (Violation(deep, "", "depth", f"is nested deeper than {MAX_DEPTH}", end),), 1
    if schema.validator.is_valid(value):
        return (), 0
    found = explain(value, schema, MAX_COUNT)
    told = found[:MAX_ERRORS]
    ends = ends_of(text, start, [fault.pointer for fault in told])
    return tuple(Violation(*fault, at=ends[fault.pointer]) for fault in told), len(found)
