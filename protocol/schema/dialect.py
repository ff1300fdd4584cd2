"""TwelveLabs's own words in a schema, said again in plain JSON Schema so that a validator can judge.

Upstream documentation (structured responses): ``{"type": "timestamp", "format": F}`` gives a number for
``seconds`` and a string for ``hh:mm:ss`` and ``hh:mm:ss.fff``. With pegasus1.5 a property called
``start_time`` or ``end_time`` that is a string without a format becomes ``hh:mm:ss.fff`` too; a number or
integer stays one. Where the cloud takes a timestamp, and which keywords it refuses, is the cloud's answer.
"""

from protocol.pointers import child
from protocol.schema.bounds import SchemaInvalid

_CLOCK = {
    "hh:mm:ss": r"^\d{2,}:[0-5]\d:[0-5]\d$",
    "hh:mm:ss.fff": r"^\d{2,}:[0-5]\d:[0-5]\d\.\d{3}$",
}
_FORMATS = ("seconds", *_CLOCK)
_CLOCK_NAMES = ("start_time", "end_time")
# They name other documents or other dialects, or give this one a name; all is judged as one document.
_DROPPED = ("$id", "$schema", "$vocabulary")


def translate(subschemas: dict[str, object], *, clock_times: bool) -> dict[str, str]:
    """Rewrite every subschema in place; return where a rewritten keyword was spelled otherwise.

    Args:
        subschemas: the document's own objects, by pointer.
        clock_times: the request is for pegasus1.5, whose ``start_time`` and ``end_time`` strings
            are ``hh:mm:ss.fff``.

    Returns:
        For the pointer of each keyword that was put in (``/a/pattern``), the pointer in the caller's
        schema that stands for it (``/a/format``).

    Raises:
        SchemaInvalid: a timestamp without one of the three formats.
    """
    spelled: dict[str, str] = {}
    for pointer, schema in subschemas.items():
        if isinstance(schema, dict):
            for keyword in _DROPPED:
                schema.pop(keyword, None)
            if clock_times:
                _clock_members(pointer, schema, spelled)
            if _is_timestamp(schema.get("type")):
                _timestamp(pointer, schema, spelled)
    return spelled


def _is_timestamp(kind: object) -> bool:
    return kind == "timestamp" or (isinstance(kind, list) and "timestamp" in kind)


def _timestamp(pointer: str, schema: dict[str, object], spelled: dict[str, str]) -> None:
    form = schema.pop("format", None)
    if form not in _FORMATS:
        raise SchemaInvalid(child(pointer, "format"), f"a timestamp's format is one of {', '.join(_FORMATS)}")
    assert isinstance(form, str)
    plain = "string" if form in _CLOCK else "number"
    kind = schema["type"]
    if isinstance(kind, list):
        schema["type"] = list(dict.fromkeys(plain if name == "timestamp" else name for name in kind))
    else:
        schema["type"] = plain
    if form in _CLOCK:
        _put_pattern(pointer, schema, _CLOCK[form], spelled, "format")


def _clock_members(pointer: str, schema: dict[str, object], spelled: dict[str, str]) -> None:
    members = schema.get("properties")
    if not isinstance(members, dict):
        return
    for name in _CLOCK_NAMES:
        member = members.get(name)
        if isinstance(member, dict) and member.get("type") == "string" and "format" not in member:
            where = child(child(pointer, "properties"), name)
            _put_pattern(where, member, _CLOCK["hh:mm:ss.fff"], spelled, "type")


def _put_pattern(pointer: str, schema: dict[str, object], pattern: str, spelled: dict[str, str], keyword: str) -> None:
    # A pattern of the caller's own is written for the rewritten value, and stays.
    if "pattern" not in schema:
        schema["pattern"] = pattern
        spelled[child(pointer, "pattern")] = child(pointer, keyword)
