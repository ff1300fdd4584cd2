"""View ``patch``: operations that build a document."""

import re
from collections.abc import Mapping
from typing import Any

from fanlight.errors import Inexact
from protocol.pointers import names_of

# Stricter than `int`: no sign, no blanks, no digits of other scripts.
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


def apply_op(tree: Any, op: Mapping[str, Any]) -> Any:
    """Apply one operation of view ``patch`` to a tree, in place; returns the tree.

    Raises:
        Inexact: it is no operation, or not one for this tree, which is then worth nothing.
    """
    try:
        return _applied(tree, op)
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        raise Inexact("an operation does not fit the document") from exc


def _applied(tree: Any, op: Mapping[str, Any]) -> Any:
    kind, names, value = op["op"], names_of(op["path"]), op["value"]
    if kind not in ("add", "append"):
        raise ValueError(kind)
    if not names:
        return value if kind == "add" else _text(tree) + _text(value)
    holder = tree
    for name in names[:-1]:
        holder = holder[_key(holder, name)]
    key = _key(holder, names[-1])
    if kind == "append":
        _append(holder, key, _text(value))
    elif isinstance(holder, list) and key == len(holder):
        holder.append(value)
    else:
        holder[key] = value
    return tree


def _append(holder: Any, key: Any, more: str) -> None:
    # With no other name for it CPython lets a string grow in place; a copy for each piece of a
    # long one would be quadratic.
    text, holder[key] = _text(holder[key]), None
    text += more
    holder[key] = text


def _key(holder: Any, name: str) -> Any:
    if isinstance(holder, dict):
        return name
    if isinstance(holder, list) and _INDEX.fullmatch(name):
        return int(name)
    raise LookupError(name)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("only a string can be appended to, and only a string to it")
    return value
