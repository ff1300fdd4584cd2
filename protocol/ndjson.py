"""Write JSON so that one value is one line for every reader there is.

JSON allows U+2028, U+2029 and U+0085 raw inside strings, yet some clients split
lines there (httpx ``iter_lines`` does, and a text is lost whole); VT and FF
are control characters and always escaped. So these leave as ``\\u`` escapes.
"""

import json

import orjson

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
