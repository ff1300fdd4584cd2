"""The view ``json``: each array element, at any depth, and each member of a root object, as it closes."""

from bisect import bisect_right
from typing import Any

from protocol.json.push import Kind
from protocol.schema.admitted import AdmittedSchema
from protocol.views.element_schemas import ElementSchemas
from protocol.views.projections import JsonProjection, Told


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
        if isinstance(value, dict | list):
            self._judge = self._holders.pop()
            self._index = self._indexes.pop()
        if self._index >= 0 or self.parser.depth == 1:
            self._tell(value, at)

    def _tell(self, value: Any, at: int) -> None:
        valid = self._judge.judge(value) if self._judge else None
        element = {"at": at, "pointer": self.parser.pointer(), "value": value, "valid": valid}
        self._elements.append(element)
        self._ats.append(at)
        self._told.append(element)
