"""The view ``json``: each array element, at any depth, and each member of a root object, as it closes."""

from bisect import bisect_right
from typing import Any

from protocol.json.push import Kind
from protocol.schema.admitted import AdmittedSchema
from protocol.views.element_schemas import ElementSchemas
from protocol.views.projections import JsonProjection, Told

# All elements of a stream, as messages: those who come late are given them in one. An array in an array is told in
# each, and a short number has a longer message, so the text's own bound is none.
MAX_TOLD_BYTES = 48 << 20
ENVELOPE_BYTES = 48


class ElementProjection(JsonProjection):
    """Messages ``{at, pointer, value, valid}``; ``valid`` is None without a schema.

    Args:
        schema: what elements are judged by, each by its own part.
    """

    def __init__(self, schema: AdmittedSchema | None = None) -> None:
        super().__init__()
        self.parser.tells_growth = False
        self._elements: list[Told] = []
        self._ats: list[int] = []
        self._told_bytes = 0
        self._starts: list[int] = []  # of each open container
        self._is_repeated = False  # a member came twice: pointers are not unique
        # What judges the value in progress, and each open container with the index within it.
        self._judge = ElementSchemas.of(schema) if schema else None
        self._holders: list[ElementSchemas | None] = []
        self._index = -1
        self._indexes: list[int] = []

    def state(self, start: int) -> list[Told]:
        """Return the elements told after offset ``start``; of a pointer told twice the last."""
        elements = self._elements[bisect_right(self._ats, start) :]
        if self._is_repeated:
            elements = list({element["pointer"]: element for element in elements}.values())
        return elements

    def began(self, kind: Kind, at: int) -> None:
        if self._index >= 0 and (holder := self._holders[-1]) is not None:
            self._judge = holder.element(self._index)
        if kind in ("object", "array"):
            self._starts.append(at)
            self._holders.append(self._judge)
            self._indexes.append(self._index)
            self._index = 0 if kind == "array" else -1

    def named(self, name: str, at: int) -> None:
        if name in self.parser.innermost:
            self._is_repeated = True
        if (holder := self._holders[-1]) is not None:
            self._judge = holder.member(name)

    def more(self, at: int) -> None:
        self._index += 1

    def closed(self, value: Any, at: int) -> None:
        start = at
        if isinstance(value, dict | list):
            start = self._starts.pop()
            self._judge = self._holders.pop()
            self._index = self._indexes.pop()
        if self._index >= 0 or self.parser.depth == 1:
            self._tell(value, start, at)

    def _tell(self, value: Any, start: int, at: int) -> None:
        pointer = self.parser.pointer()
        # Scalars are counted without their own length: together they are no longer than the text.
        self._told_bytes += ENVELOPE_BYTES + len(pointer) + at - start
        if self._told_bytes > MAX_TOLD_BYTES:
            return  # nothing more is told; the text and the value have it all
        valid = self._judge.judge(value) if self._judge else None
        element = {"at": at, "pointer": pointer, "value": value, "valid": valid}
        self._elements.append(element)
        self._ats.append(at)
        self._told.append(element)
