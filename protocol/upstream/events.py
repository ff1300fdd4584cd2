"""What the upstream says: one line of NDJSON to one event (TwelveLabs v1.3, ``POST /analyze``).

Unknown types and members are kept, never dropped: callers of the upstream dialect
receive each event one for one.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from protocol.json.bounds import MAX_STRUCTURE, nesting, too_much_structure

Members = dict[str, Any]
# Containers inside containers: what the writer of deep ones can tell again, wherever it is called from.
MAX_EVENT_DEPTH = 700
# How a plain fragment begins, as compact JSON, up to its text's opening quote.
_PLAIN = b'{"event_type":"text_generation","text":"'
# Where one ends and the next one begins. An expression finds so long a needle five times as fast as `bytes.replace`.
_BETWEEN = re.compile(re.escape(b'"}\n' + _PLAIN))


class RemoteProtocolError(Exception):
    """The upstream broke the rules of the wire; the one error of this parser."""


@dataclass(frozen=True, slots=True)
class StreamStart:
    """``stream_start``: the analysis has begun."""

    members: Members

    @property
    def generation_id(self) -> str | None:
        return _generation_id(self.members)


@dataclass(frozen=True, slots=True)
class Fragment:
    """``text_generation`` that is more than a plain text: further members, another order, surrogates."""

    members: Members
    text: str


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """``stream_end``: the analysis has ended as the upstream meant it to."""

    members: Members

    @property
    def generation_id(self) -> str | None:
        return _generation_id(self.members)

    @property
    def finish_reason(self) -> str | None:
        reason = self.members.get("finish_reason")
        return reason if isinstance(reason, str) else None

    @property
    def usage(self) -> Members | None:
        """The upstream's usage; figures that are not integers below 2**53 are null."""
        metadata = self.members.get("metadata")
        usage = metadata.get("usage") if isinstance(metadata, dict) else None
        return {key: _figure(value) for key, value in usage.items()} if isinstance(usage, dict) else None

    @property
    def warned(self) -> bool:
        """The upstream added a warning (seen since July 2026 with ``length``)."""
        return self.members.get("error") is not None


@dataclass(frozen=True, slots=True)
class ErrorObject:
    """An error in the place of an event."""

    members: Members


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event of a type that is not known here; kept and counted."""

    members: Members


@dataclass(frozen=True, slots=True)
class EndOfBytes:
    """The upstream's body has ended cleanly. An event too: a cut stream is no finished one."""


# A plain `{"event_type": "text_generation", "text": …}`, nearly every event
# there is, is told as its bare text: no object is made for it.
Event = str | StreamStart | Fragment | StreamEnd | ErrorObject | UnknownEvent | EndOfBytes


def parse_event(line: bytes) -> Event:
    """Return the event that one line holds.

    Raises:
        RemoteProtocolError: not strict JSON, not an object, ``text`` not a string, or so
            much structure that to parse it would hold up everybody else.
    """
    if len(line) > MAX_STRUCTURE and too_much_structure(line):
        raise RemoteProtocolError(f"an event has more than {MAX_STRUCTURE} brackets, commas and colons")
    try:
        members = orjson.loads(line)
    except orjson.JSONDecodeError:
        members = _loads_with_surrogates(line)
    if type(members) is not dict:
        raise RemoteProtocolError("an event is not a JSON object")
    kind = members.get("event_type")
    if kind != "text_generation":
        _check_depth(line)
        return _other(kind, members)
    text = members.get("text", "")
    if type(text) is not str:
        raise RemoteProtocolError("the text of an event is not a string")
    if len(members) == 2 and "text" in members and next(iter(members)) == "event_type" and _is_scalar(text):
        return text
    _check_depth(line)
    return Fragment(members, text)


def seems_plain(line: bytes) -> bool:
    """Whether a line begins as a plain fragment does."""
    return line.startswith(_PLAIN)


def plain_text(line: bytes) -> str | None:
    """The text of one line, its ``\\n`` among it, that is a plain fragment; None where that is not certain.

    As strict as `parse_event`, and a third of its cost: between a plain fragment's beginning and its end
    there is room for one JSON string alone.
    """
    size = len(line)
    if not (
        line.startswith(_PLAIN) and line.find(b"\n") == size - 1 and line.endswith(b'"}\n') and size <= MAX_STRUCTURE
    ):
        return None
    try:
        text = orjson.loads(line[len(_PLAIN) - 1 : -2])
    except orjson.JSONDecodeError:
        return None
    return text if type(text) is str else None


def plain_texts(lines: list[bytes]) -> list[Event] | None:
    """The texts of lines that are all plain fragments, read in one go; None where that is not certain.

    Several times as fast as line by line, and as strict. Each line begins as a plain fragment does, with a quote,
    and ends with another one that no backslash stands before: whatever was open, both are the beginning or
    the end of a string. So where there are as many strings as lines, and nothing but strings, each line is one.
    """
    count, whole = len(lines), b"\n".join(lines)
    strings = _BETWEEN.sub(b'","', whole)
    if (
        len(whole) - len(strings) != (count - 1) * (len(_PLAIN))
        or not (whole.startswith(_PLAIN) and whole.endswith(b'"}'))
        or min(map(len, lines)) < len(_PLAIN) + 2  # one quote for both
        or b'\\","' in strings
        or whole.endswith(b'\\"}')
    ):
        return None
    try:
        texts = orjson.loads(b'["%b]' % strings[len(_PLAIN) : -1])
    except orjson.JSONDecodeError:
        return None
    return texts if len(texts) == count and set(map(type, texts)) == {str} else None


def event_of(members: Members) -> Event:
    """An event kept in a log, to be taken again as it was."""
    if members.get("event_type") != "text_generation":
        return _other(members.get("event_type"), members)
    text: str = members.get("text", "")
    plain = list(members) == ["event_type", "text"] and _is_scalar(text)
    return text if plain else Fragment(members, text)


def _check_depth(line: bytes) -> None:
    """Refuse what can be read and not be written again.

    Raises:
        RemoteProtocolError: nested too deep.
    """
    if line.count(b"[") + line.count(b"{") > MAX_EVENT_DEPTH and nesting(line) > MAX_EVENT_DEPTH:
        raise RemoteProtocolError(f"an event is nested deeper than {MAX_EVENT_DEPTH}")


def _other(kind: object, members: Members) -> Event:
    if kind == "stream_start":
        return StreamStart(members)
    if kind == "stream_end":
        return StreamEnd(members)
    if kind == "error" or members.get("error") is not None or ("code" in members and "message" in members):
        return ErrorObject(members)
    return UnknownEvent(members)


def _is_scalar(text: str) -> bool:
    """Whether ``text`` has no surrogate, so that UTF-8 can carry it."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _loads_with_surrogates(line: bytes) -> object:
    """Read what orjson refuses for one good reason only: a surrogate without its pair.

    A pair cut over two events is two such lines, and the text joins it again.
    """
    if b"\\u" not in line:
        raise RemoteProtocolError("a line is not JSON")
    try:
        # Strict UTF-8, unlike orjson's callers we decode ourselves; strict JSON
        # but for NaN and its kin and numbers past a float, which the hooks refuse.
        return json.loads(line.decode(), parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError("a line is not JSON") from exc


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _generation_id(members: Members) -> str | None:
    metadata = members.get("metadata")
    value = metadata.get("generation_id") if isinstance(metadata, dict) else None
    return value if isinstance(value, str) else None


def _figure(value: object) -> int | None:
    # Above 2**53 a JavaScript reader would be told another number.
    return value if type(value) is int and 0 <= value < 2**53 else None
