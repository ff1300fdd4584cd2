"""The final verdict on a whole text: is it JSON, does it fit the schema, and if not, where not.

jsonschema-rs is the authority on whether a value fits. Runs in time linear in the text, keeps no more
than a bounded number of faults, and may run in any thread.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from protocol.json.bounds import too_deep
from protocol.json.push import JsonPush, JsonRefused
from protocol.json.span import ends_of
from protocol.json.wrapping import find_document
from protocol.ndjson import loads
from protocol.schema.admitted import AdmittedSchema
from protocol.schema.explain import explain
from protocol.schema.violations import Violation

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
        finish_reason: as the upstream gave it; ``length`` says that the text was cut by the budget.
    """
    try:
        value = loads(text)
    except orjson.JSONDecodeError:
        return _judge_repaired(text, schema) or _refused(text, finish_reason)
    if too_deep(value):
        return _refused(text, finish_reason)
    faults, count = _faults(text, 0, value, schema)
    return Verdict(count == 0, faults, count, value=None if count else value)


def _judge_repaired(text: bytes, schema: AdmittedSchema) -> Verdict | None:
    """Judge the JSON that stands in the text; None when there is none to be had."""
    found = find_document(text)
    if found is None or found.end is None or not found.around:
        return None
    try:
        value = loads(text[found.start : found.end])
    except orjson.JSONDecodeError:
        return None
    if too_deep(value):
        return None
    faults, count = _faults(text, found.start, value, schema)
    return Verdict(False, faults, count, found.around, count == 0, None if count else value)


def _refused(text: bytes, finish_reason: str) -> Verdict:
    """The text is no JSON; the push parser says where and why."""
    parser = JsonPush()
    fault = Violation("", "", "syntax", "the text is no JSON", len(text))
    try:
        parser.feed(text.decode())
        parser.close()
    except JsonRefused as refusal:
        fault = Violation(refusal.pointer, "", refusal.keyword, refusal.message, refusal.at)
    if finish_reason == "length" and not parser.has_tree and fault.keyword == "syntax":
        fault = replace(fault, keyword="incomplete", message="the text ends before any JSON")
    return Verdict(False, (fault,), 1)


def _faults(text: bytes, start: int, value: Any, schema: AdmittedSchema) -> tuple[tuple[Violation, ...], int]:
    """Return the faults of the JSON that stands in ``text`` from ``start``: at most 20, and their count."""
    if schema.validator.is_valid(value):
        return (), 0
    found = explain(value, schema, MAX_COUNT)
    told = found[:MAX_ERRORS]
    ends = ends_of(text, start, [fault.pointer for fault in told])
    return tuple(Violation(*fault, at=ends[fault.pointer]) for fault in told), len(found)
