"""The view ``patch``: the tree as it grows, in operations that rebuild it."""

from collections.abc import Iterable
from typing import Any

from protocol.json.push import Kind
from protocol.pointers import names_of
from protocol.views.projections import JsonProjection

Op = dict[str, Any]


class PatchProjection(JsonProjection):
    """Messages ``{at, ops}`` with ``ops`` of ``{op, path, value}``.

    ``add`` puts a value at a path, in the place of what may stand there; ``append`` continues a string.
    """

    def __init__(self) -> None:
        super().__init__()
        self._path = ""  # of the open string

    def state(self, start: int) -> Any:
        """Return the whole tree so far, None while there is none; ``start`` does not matter."""
        return self.parser.tree

    def began(self, kind: Kind, at: int) -> None:
        if kind == "string":
            self._path = self.parser.pointer()
            self._add(at, self._path, "")
        elif kind == "object":
            self._add(at, self.parser.pointer(), {})
        elif kind == "array":
            self._add(at, self.parser.pointer(), [])

    def grew(self, text: str, at: int) -> None:
        self._op(at, {"op": "append", "path": self._path, "value": text})

    def closed(self, value: Any, at: int) -> None:
        if not isinstance(value, str | dict | list):
            self._add(at, self.parser.pointer(), value)

    def withdrawn(self, at: int) -> None:
        self._add(at, "", None)

    def _add(self, at: int, path: str, value: Any) -> None:
        self._op(at, {"op": "add", "path": path, "value": value})

    def _op(self, at: int, op: Op) -> None:
        if self._told and self._told[-1]["at"] == at:
            self._told[-1]["ops"].append(op)
        else:
            self._told.append({"at": at, "ops": [op]})


def join_ops(ops: Iterable[Op]) -> list[Op]:
    """Return fewer operations with the same outcome, for a reader who was away meanwhile.

    What was begun among ``ops`` comes as one ``add`` with all that it has become, and a string that grew as
    one ``append``. The operations given are left as they are.
    """
    joined: list[Op] = []
    made: dict[str, Any] = {}  # by path, the containers and strings that came to be among `ops`
    for op in ops:
        if op["op"] == "append":
            _append(op, made, joined)
        else:
            _add(op, made, joined)
    for op in joined:
        op["value"] = _plain(op["value"])
    return joined


class _Text:
    """A string in the making; joined once."""

    def __init__(self, parts: list[str]) -> None:
        self.parts = parts


def _append(op: Op, made: dict[str, Any], joined: list[Op]) -> None:
    text = made.get(op["path"])
    if isinstance(text, _Text):
        text.parts.append(op["value"])
    else:
        text = made[op["path"]] = _Text([op["value"]])
        joined.append({**op, "value": text})


def _add(op: Op, made: dict[str, Any], joined: list[Op]) -> None:
    path, value = op["path"], op["value"]
    fresh = _Text([value]) if isinstance(value, str) else value.copy() if isinstance(value, dict | list) else value
    above, _, _ = path.rpartition("/")
    holder = made.get(above) if path else None
    if isinstance(holder, dict):
        holder[names_of(path)[-1]] = fresh
    elif isinstance(holder, list):
        holder.append(fresh)
    else:
        joined.append({**op, "value": fresh})
    made[path] = fresh


def _plain(value: Any) -> Any:
    """The value with its strings joined; containers were made here and are changed in place."""
    waiting: list[Any] = [value]
    while waiting:
        part = waiting.pop()
        pairs = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for name, below in list(pairs):
            if isinstance(below, _Text):
                part[name] = "".join(below.parts)
            elif isinstance(below, dict | list):
                waiting.append(below)
    return "".join(value.parts) if isinstance(value, _Text) else value
