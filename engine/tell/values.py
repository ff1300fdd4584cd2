"""From a measurement to a JSON value of the type, format and range that a schema asks for."""

import json
import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from engine.tell.schema_rules import Schema
from engine.tell.vocabulary import Concept, Kind, normalised

_KINDS: dict[str, tuple[Kind, ...]] = {
    "string": ("text", "time", "length", "number", "count", "share", "decibels", "flag"),
    "number": ("time", "length", "number", "count", "share", "decibels"),
    "integer": ("time", "length", "count", "number", "share", "decibels"),
    "boolean": ("flag",),
    "timestamp": ("time", "length"),
}
_PERCENT = re.compile(r"percent|per cent|pct|%|0\s*(?:-|to|and|\.\.)\s*100|out of 100", re.IGNORECASE)
_CLOCKS = ("hh:mm:ss.fff", "hh:mm:ss", "mm:ss")
_YES = {True: ("yes", "true", "y", "present"), False: ("no", "false", "n", "absent", "none")}


def json_text(value: Any) -> str:
    """Return compact JSON; characters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def clock(seconds: float, form: str) -> str:
    """Return a time as ``hh:mm:ss.fff``, ``hh:mm:ss`` or ``mm:ss``; nothing is before zero."""
    millis = max(0, round(seconds * 1000))
    if form == "hh:mm:ss.fff":
        whole, rest = divmod(millis, 1000)
        return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{rest:03d}"
    if form == "hh:mm:ss":
        whole = max(0, math.floor(seconds + 0.5))
        return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    whole = millis // 1000
    return f"{whole // 60:02d}:{whole % 60:02d}"


@dataclass(frozen=True)
class Shape:
    """What a scalar of a schema may be.

    Attributes:
        name: the member's name, which can ask for a form (``start_time``, ``percent``).
        concept, unit: what fills it, once that is known.
    """

    node: Schema
    kind: str
    name: str
    concept: Concept | None = None
    unit: float = 1.0

    @classmethod
    def of(cls, node: Schema, kind: str, name: str) -> "Shape":
        return cls(node, kind, name)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of measurement that can take this shape."""
        if self.kind == "string" and "format" in self.node:
            return ()  # a date or a UUID: nothing here is one
        kinds = _KINDS.get(self.kind, ())
        if self.kind == "integer" and not self._percent:
            return tuple(kind for kind in kinds if kind != "share")
        return kinds

    @property
    def free(self) -> bool:
        """Whether any value of a fitting kind will do."""
        return not {"enum", "const", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} & set(
            self.node
        )

    def measured(self, concept: Concept, unit: float) -> "Shape":
        return replace(self, concept=concept, unit=unit)

    def fit(self, value: Any) -> Any:
        """Return the value in this shape, or None where it has none that is valid."""
        return next((form for form in self._forms(value) if self._valid(form)), None)

    @property
    def _percent(self) -> bool:
        return bool(_PERCENT.search(f"{self.name} {self.node.get('description', '')}"))

    def _forms(self, value: Any) -> list[Any]:
        """Return the ways to write a value, the best first."""
        assert self.concept is not None
        if self.kind == "string":
            return self._strings(value)
        if self.kind == "boolean":
            return [bool(value)]
        number = float(value)
        if self.concept.kind in ("time", "length"):
            if self.kind == "timestamp":
                form = self.node["format"]
                return [round(number, 3) if form == "seconds" else clock(number, form)]
            number *= self.unit
        elif self.concept.kind == "share" and self._percent:
            number *= 100
        if self.kind == "integer":
            return [math.floor(number + 0.5)]
        return [int(number) if self.concept.kind == "count" else round(number, 3)]

    def _strings(self, value: Any) -> list[Any]:
        assert self.concept is not None
        match self.concept.kind:
            case "text":
                return [value, *self._members_like(str(value))]
            case "time" | "length":
                return self._times(float(value))
            case "flag":
                return [word for word in _YES[bool(value)] for word in self._cased(word)]
        forms = [f"{value:.3g}" if isinstance(value, float) else str(value)]
        if self.concept.word is not None:
            word = self.concept.word(value)
            forms = [word, *self._members_like(word), *forms]
        return forms

    def _times(self, seconds: float) -> list[str]:
        hint = str(self.node.get("description", "")).lower()
        asked = [form for form in _CLOCKS if form in hint]
        if not asked and normalised(self.name) in ("start_time", "end_time"):
            asked = ["hh:mm:ss.fff"]
        elif not asked and self.concept is not None and self.concept.kind == "length":
            asked = []
        plain = f"{round(seconds * self.unit, 3):g}"
        spoken = [f"{seconds:.1f} s"] if not asked and self.concept and self.concept.kind == "length" else []
        forms = [clock(seconds, form) for form in (*asked, "mm:ss", "hh:mm:ss", "hh:mm:ss.fff")]
        return [*spoken, *forms, plain]

    def _members_like(self, text: str) -> list[str]:
        """Return the members of an enum that ``text`` names, in another case or as one of its words."""
        members = [one for one in self.node.get("enum", []) if isinstance(one, str)]
        plain = normalised(text)
        same = [one for one in members if normalised(one) == plain]
        return same or [one for one in members if normalised(one) in plain.split("_")]

    def _cased(self, word: str) -> list[str]:
        return [word, *self._members_like(word)]

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        pattern = self.node.get("pattern")
        try:
            return re.compile(pattern) if pattern is not None else None
        except re.error:
            return re.compile(r"(?!)")  # not ours to read: nothing is known to fit it

    def _valid(self, value: Any) -> bool:
        node = self.node
        if "const" in node and not _same(value, node["const"]):
            return False
        if "enum" in node and not any(_same(value, member) for member in node["enum"]):
            return False
        if isinstance(value, str) and self._pattern is not None and not self._pattern.search(value):
            return False
        if isinstance(value, int | float) and not isinstance(value, bool):
            low, high = node.get("minimum", -math.inf), node.get("maximum", math.inf)
            above, below = node.get("exclusiveMinimum", -math.inf), node.get("exclusiveMaximum", math.inf)
            return bool(low <= value <= high and above < value < below)
        return True


def _same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other
