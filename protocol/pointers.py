"""JSON Pointers (RFC 6901): how schemas, verdicts and views name a place in a document."""

import re
from collections.abc import Iterable

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def token(name: str | int) -> str:
    """Return one reference token: ``~`` and ``/`` escaped, an array index as its digits."""
    text = str(name)
    # Nearly no member name holds either; two searches cost less than two copies.
    if "~" in text or "/" in text:
        return text.replace("~", "~0").replace("/", "~1")
    return text


def child(pointer: str, name: str | int) -> str:
    """Return the pointer of member or element ``name`` of the value at ``pointer``."""
    return f"{pointer}/{token(name)}"


def joined(names: Iterable[str | int]) -> str:
    """Return the pointer that walks ``names`` from the root; none of them is the root, ``""``."""
    return "".join([f"/{token(name)}" for name in names])


def names_of(pointer: str) -> list[str]:
    """Return the unescaped tokens of ``pointer``; array indexes stay digits.

    Raises:
        ValueError: the pointer is neither empty nor begins with ``/``, or an escape is not RFC 6901's.
    """
    if not pointer:
        return []
    if pointer[0] != "/":
        raise ValueError("a pointer begins with /")
    return [_unescaped(part) for part in pointer[1:].split("/")]


def _unescaped(part: str) -> str:
    if "~" not in part:
        return part
    pieces = part.split("~")
    if any(piece[:1] not in ("0", "1") for piece in pieces[1:]):
        raise ValueError("~ is followed by 0 or 1")
    return part.replace("~1", "/").replace("~0", "~")


def resolve(document: object, pointer: str) -> object:
    """Return the value at ``pointer``.

    Raises:
        LookupError: nothing is there.
        ValueError: not a pointer.
    """
    value = document
    for name in names_of(pointer):
        if isinstance(value, dict):
            value = value[name]
        elif isinstance(value, list) and _INDEX.fullmatch(name):
            value = value[int(name)]
        else:
            raise LookupError(name)
    return value
