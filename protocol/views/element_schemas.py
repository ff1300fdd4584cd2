"""Which part of the schema an element of a document is judged by, before the document is whole.

Like ``schema_walk``, but through ``anyOf`` and ``oneOf`` as well: there an element fits when it fits in one
of the ways that are left (``{"anyOf": [{"type": "array", "items": …}, {"type": "null"}]}`` is how optional
lists are written). That is necessary, not sufficient: the whole is judged at the end.
"""

from typing import Any

from protocol.json.scan import Kind
from protocol.pointers import child
from protocol.schema.admitted import AdmittedSchema
from protocol.schema.walk import Place, SchemaWalk

# More ways than these are not followed: elements there are not judged.
_MAX_WAYS = 16
_KEPT_NAMES = 1000


class ElementSchemas:
    """The ways in which a value at one place can be judged.

    Args:
        walk: of the schema.
        ways: places of which one must accept the value; None when they are too many to follow.
    """

    def __init__(self, walk: SchemaWalk, ways: tuple[Place, ...] | None) -> None:
        self._walk = walk
        self._ways = ways
        self._open: tuple[Kind, tuple[Place, ...]] | None = None
        self._parts: dict[str | int, ElementSchemas] = {}

    @classmethod
    def of(cls, schema: AdmittedSchema) -> "ElementSchemas":
        """Return the root's."""
        walk = SchemaWalk(schema)
        return cls(walk, (walk.root,))

    def judge(self, value: Any) -> bool | None:
        """Whether a complete value fits; None when that cannot be said of it alone."""
        if self._ways is None:
            return None
        at = self._walk.schema.at
        return any(all(at(pointer).is_valid(value) for pointer in way.given) for way in self._ways)

    def member(self, name: str) -> "ElementSchemas":
        """Return what a member called ``name`` is judged by."""
        found = self._parts.get(name)
        if found is None:
            members = [way.member(name) for way in self._open_ways("object")]
            found = self._part([member.place for member in members if member.forbidden is None])
            if len(self._parts) < _KEPT_NAMES:
                self._parts[name] = found
        return found

    def element(self, index: int) -> "ElementSchemas":
        """Return what the element at ``index`` is judged by."""
        ways = self._open_ways("array")
        known = min(index, max((way.prefix for way in ways), default=0))
        if known not in self._parts:
            self._parts[known] = self._part([way.element(index) for way in ways])
        return self._parts[known]

    def _part(self, ways: list[Place]) -> "ElementSchemas":
        is_known = self._ways is not None and len(ways) <= _MAX_WAYS
        return ElementSchemas(self._walk, tuple(dict.fromkeys(ways)) if is_known else None)

    def _open_ways(self, kind: Kind) -> tuple[Place, ...]:
        """The ways that leave room for a value of that kind, each alternative a way of its own."""
        if self._open is None or self._open[0] != kind:
            self._open = (kind, tuple(self._opened(kind)))
        return self._open[1]

    def _opened(self, kind: Kind) -> list[Place]:
        waiting = [(way, frozenset[str]()) for way in self._ways or ()]
        opened: list[Place] = []
        while waiting and len(opened) <= _MAX_WAYS:
            way, chosen = waiting.pop()
            if kind in way.impossible:
                continue
            if choice := self._choice(way, chosen):
                taken = chosen | {pointer.rpartition("/")[0] for pointer in choice}
                waiting += [(self._walk.place([*way.pointers, branch]), taken) for branch in choice]
            elif way not in opened:
                opened.append(way)
        return opened

    def _choice(self, way: Place, chosen: frozenset[str]) -> list[str]:
        """The alternatives of the first choice that is still open."""
        for pointer in way.pointers:
            schema = self._walk.schema.subschemas[pointer]
            for keyword in ("anyOf", "oneOf") if isinstance(schema, dict) else ():
                place = child(pointer, keyword)
                if keyword in schema and place not in chosen:
                    return [f"{place}/{index}" for index in range(len(schema[keyword]))]
        return []
