"""Write JSON so that one value is one line for every reader there is, and read it without loss.

JSON allows U+2028, U+2029 and U+0085 raw inside strings, yet some clients split
lines there (httpx ``iter_lines`` does, and a text is lost whole); VT and FF
are control characters and always escaped. So these leave as ``\\u`` escapes.
"""

import json
import re
from typing import Any

import orjson

_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_SEPARATORS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


def dumps(value: object) -> bytes:
    """Encode ``value`` as one compact line of JSON, without the newline.

    Lone surrogates, which UTF-8 cannot carry, leave as ``\\u`` escapes.

    Raises:
        TypeError: ``value`` is not made of JSON's types.
    """
    try:
        return escape_separators(orjson.dumps(value))
    except TypeError:
        # orjson refuses lone surrogates and integers over 64 bits; the slow
        # way takes both, and everything else that it refuses fails here too.
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode()


def canonical(value: object) -> bytes:
    """The same bytes for equal values, whatever the order of their members."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer over 64 bits
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def loads(data: bytes) -> Any:
    """Decode JSON; integers of any length stay integers, which 64 bits alone would make floats.

    Raises:
        orjson.JSONDecodeError: it is no JSON.
    """
    value = orjson.loads(data)  # the judge of what JSON is
    if _LONG_NUMBER.search(data) is None:
        return value
    try:
        return json.loads(data)
    except (ValueError, RecursionError):  # of more digits, or deeper, than the interpreter takes
        return value


def integer(number: str, value: int | float) -> int | float:
    """The value of a JSON number, an integer where it is spelled as one."""
    if isinstance(value, int) or not number.removeprefix("-").isdecimal():
        return value
    try:
        return int(number)
    except ValueError:  # of more digits than the interpreter takes
        return value


def string(text: str) -> bytes:
    """A JSON string that no reader splits; ``text`` is without surrogates."""
    return escape_separators(orjson.dumps(text))


def escape_separators(line: bytes) -> bytes:
    """Escape the characters of ``line`` (JSON) at which some clients split lines."""
    if line.isascii():
        return line
    for raw, escaped in _SEPARATORS:
        line = line.replace(raw, escaped)
    return line
