"""Where values stand in a JSON text, in bytes, without building any of them.

Only for text that a parser has accepted, or to find where a value that may not be JSON would end.
"""

import re
from collections.abc import Iterable

import orjson

from protocol.pointers import child, names_of

_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR = re.compile(rb"[^ \t\r\n,\]}]+")
_FLAT = (
    rb"(?:[\[{][^\[\]{}\"]*(?:" + _STRING.pattern + rb"[^\[\]{}\"]*)*[\]}]"
    rb"|" + _STRING.pattern + rb"|[^ \t\r\n,\]}\[{\"]+)"
)
# An element with no container in its own members and the comma after it, in one step: most are such.
_FLAT_ELEMENT = re.compile(_FLAT + rb"[ \t\r\n]*,[ \t\r\n]*", re.DOTALL)
_FLAT_MEMBER = re.compile(rb"(" + _STRING.pattern + rb")[ \t\r\n]*:[ \t\r\n]*" + _FLAT_ELEMENT.pattern, re.DOTALL)
_STRUCTURE = re.compile(rb'[\[{]|[\]}]|"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

# The wanted pointers as a tree of names.
_Names = dict[str, "_Names"]


def end_of_value(text: bytes, start: int) -> int | None:
    """Return the offset past the value that begins at ``start``; None when the text ends inside it.

    Brackets are counted, not matched: a parser says whether what lies between is JSON.
    """
    first = text[start : start + 1]
    if first == b'"':
        string = _STRING.match(text, start)
        return string.end() if string else None
    if first not in (b"{", b"["):
        scalar = _SCALAR.match(text, start)
        return scalar.end() if scalar else None
    return _end_of_brackets(text, start, depth=0)


def _end_of_brackets(text: bytes, start: int, depth: int) -> int | None:
    for found in _STRUCTURE.finditer(text, start):
        mark = text[found.start()]
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
            if not depth:
                return found.end()
    return None


def ends_of(text: bytes, start: int, pointers: Iterable[str]) -> dict[str, int]:
    """Return for each pointer the offset just past its value; of duplicate keys the last one counts.

    Args:
        text: holds an accepted JSON value of bounded depth from ``start`` (after white space).
        start: offset in bytes.
        pointers: those that lead nowhere are left out of the answer.
    """
    wanted: _Names = {}
    for pointer in pointers:
        node = wanted
        for name in names_of(pointer):
            node = node.setdefault(name, {})
    ends: dict[str, int] = {}
    _visit(text, _past_space(text, start), "", wanted, ends)
    return ends


def _past_space(text: bytes, start: int) -> int:
    space = _SPACE.match(text, start)
    return space.end() if space else start


def _visit(text: bytes, start: int, pointer: str, wanted: _Names, ends: dict[str, int]) -> int:
    if wanted and text[start] == ord("{"):
        end = _visit_object(text, start + 1, pointer, wanted, ends)
    elif wanted and text[start] == ord("["):
        end = _visit_array(text, start + 1, pointer, wanted, ends)
    else:
        end = end_of_value(text, start) or len(text)
    ends[pointer] = end
    return end


def _visit_object(text: bytes, start: int, pointer: str, wanted: _Names, ends: dict[str, int]) -> int:
    place = _past_space(text, start)
    while text[place] != ord("}"):
        flat = _FLAT_MEMBER.match(text, place)
        if flat and orjson.loads(flat[1]) not in wanted:
            place = flat.end()
            continue
        key_end = end_of_value(text, place) or len(text)
        name = orjson.loads(text[place:key_end])
        place = _past_space(text, _past_space(text, key_end) + 1)
        if name in wanted:
            place = _visit_again(text, place, child(pointer, name), wanted[name], ends)
        else:
            place = end_of_value(text, place) or len(text)
        place = _past_separator(text, place)
    return place + 1


def _visit_array(text: bytes, start: int, pointer: str, wanted: _Names, ends: dict[str, int]) -> int:
    place = _past_space(text, start)
    index = 0
    for next_wanted in sorted(int(name) for name in wanted if name.isdecimal()):
        while index < next_wanted and text[place] != ord("]"):
            flat = _FLAT_ELEMENT.match(text, place)
            place = flat.end() if flat else _past_separator(text, end_of_value(text, place) or len(text))
            index += 1
        if text[place] != ord("]"):
            below = wanted[str(next_wanted)]
            place = _past_separator(text, _visit(text, place, f"{pointer}/{next_wanted}", below, ends))
            index += 1
    return _end_of_rest(text, place)


def _visit_again(text: bytes, start: int, pointer: str, wanted: _Names, ends: dict[str, int]) -> int:
    for known in [place for place in ends if place.startswith(f"{pointer}/")]:
        del ends[known]  # the earlier value of a key that came twice
    return _visit(text, start, pointer, wanted, ends)


def _end_of_rest(text: bytes, start: int) -> int:
    """Return the offset past the bracket that closes what ``start`` is in."""
    return _end_of_brackets(text, start, depth=1) or len(text)


def _past_separator(text: bytes, end: int) -> int:
    place = _past_space(text, end)
    return _past_space(text, place + 1) if text[place] == ord(",") else place
