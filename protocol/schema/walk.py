"""The schema walked beside a document: at each place, what certainly applies there.

From the root the walk follows ``$ref``, ``allOf``, ``properties``, ``patternProperties``,
``additionalProperties``, ``prefixItems`` and ``items``; a value must satisfy every keyword of every
subschema that is met. What lies under ``anyOf``, ``oneOf``, ``not``, ``if``, ``dependentSchemas``,
``contains``, ``propertyNames`` or ``unevaluated*`` holds only under conditions and is left to the end.

Places with the same subschemas are one object; it is made when a document first comes there.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NamedTuple

from protocol.json.scan import Kind
from protocol.pointers import child
from protocol.schema.admitted import AdmittedSchema

_KEPT_NAMES = 1000
KINDS: tuple[Kind, ...] = ("object", "array", "string", "number", "true", "false", "null")
_KINDS_OF_TYPE: dict[str, tuple[Kind, ...]] = {
    "object": ("object",),
    "array": ("array",),
    "string": ("string",),
    "number": ("number",),
    "integer": ("number",),
    "boolean": ("true", "false"),
    "null": ("null",),
}
_Breaks = Callable[[Any, Any], bool]


class Rule(NamedTuple):
    """A keyword that applies at a place.

    Attributes:
        keyword: ``false`` for a subschema that is ``false``.
        schema: pointer of the subschema that holds the keyword.
        limit: the keyword's value.
        breaks: a quick look at a value, which may miss a break and never sees one that is none;
            None when only the validator tells.
    """

    keyword: str
    schema: str
    limit: Any
    breaks: _Breaks | None = None

    @property
    def where(self) -> str:
        """The pointer of the keyword."""
        return self.schema if self.keyword == "false" else child(self.schema, self.keyword)


class AllowedStrings(NamedTuple):
    """The only strings that an ``enum`` or ``const`` leaves, sorted."""

    rule: Rule
    strings: list[str]
    longest: int

    def allow(self, beginning: str) -> bool:
        """Whether one of them begins so."""
        place = bisect_left(self.strings, beginning)
        return place < len(self.strings) and self.strings[place].startswith(beginning)


class Member(NamedTuple):
    """What applies to a member: its place, and the rule that forbids it."""

    place: "Place"
    forbidden: Rule | None


# What a value that closes is held against, by the kind that the keyword bears on.
_CLOSING: dict[Kind, dict[str, _Breaks | None]] = {
    "number": {
        "minimum": lambda value, limit: bool(value < limit),
        "maximum": lambda value, limit: bool(value > limit),
        "exclusiveMinimum": lambda value, limit: bool(value <= limit),
        "exclusiveMaximum": lambda value, limit: bool(value >= limit),
        "multipleOf": None,
        "type": lambda value, limit: isinstance(value, float) and not value.is_integer(),
        "enum": None,
        "const": None,
    },
    "string": {
        "minLength": lambda value, limit: len(value) < limit,
        "maxLength": lambda value, limit: len(value) > limit,
        "pattern": None,
        "format": None,
    },
    "array": {
        "minItems": lambda value, limit: len(value) < limit,
        "maxItems": lambda value, limit: len(value) > limit,
        "uniqueItems": None,
        "enum": None,
        "const": None,
    },
    "object": {
        "required": lambda value, limit: not value.keys() >= set(limit),
        "minProperties": lambda value, limit: len(value) < limit,
        "maxProperties": lambda value, limit: len(value) > limit,
        "dependentRequired": None,
        "enum": None,
        "const": None,
    },
}


class Place:
    """What applies at one place of a document.

    Attributes:
        given: pointers of the subschemas that apply; a value fits when each of them accepts it.
        pointers: the same with all that they refer to.
        never: the subschema ``false``, under which nothing can stand here, or None.
        impossible: for each kind of value that cannot stand here, the rule that its first byte breaks.
        options: what a growing string is held against.
        closing: by kind, what a complete value is held against.
        max_items, max_members: the tightest bound, or None.
        members: those met so far, by name.
        unique: the rule that an array's elements must differ, or None.
    """

    def __init__(self, walk: "SchemaWalk", given: tuple[str, ...], pointers: frozenset[str]) -> None:
        self.given = given
        self.pointers = sorted(pointers)
        self._walk = walk
        self._schemas = [(pointer, walk.schema.subschemas[pointer]) for pointer in self.pointers]
        rules = [rule for pointer, schema in self._schemas for rule in _rules(pointer, schema)]
        self.impossible = _impossible(rules)
        self.never = next((rule for rule in rules if rule.keyword == "false"), None)
        self.options = [_options(rule) for rule in rules if rule.keyword in ("enum", "const")]
        self.closing = {kind: _closing(rules, kind) for kind in KINDS}
        self.max_items = _tightest(rules, "maxItems")
        self.max_members = _tightest(rules, "maxProperties")
        self.unique = next((rule for rule in rules if rule.keyword == "uniqueItems" and rule.limit is True), None)
        # An array's element is found by index up to here, and is like all others from here on.
        self.prefix = max((len(rule.limit) for rule in rules if rule.keyword == "prefixItems"), default=0)
        self._has_patterns = any(rule.keyword == "patternProperties" for rule in rules)
        self._names = {name for rule in rules if rule.keyword == "properties" for name in rule.limit}
        self.members: dict[str, Member] = {}
        self._elements: dict[int, Place] = {}
        self._other: Member | None = None

    @cached_property
    def every(self) -> "Place | None":
        """What applies to each element of an array here; None when it depends on the index."""
        return self.element(0) if not self.prefix else None

    @cached_property
    def forbids_elements(self) -> bool:
        """Whether nothing can stand at some index of an array here."""
        return any(self.element(index).never is not None for index in range(self.prefix + 1))

    def member(self, name: str) -> Member:
        """Return what applies to the member called ``name``."""
        found = self.members.get(name)
        if found is not None:
            return found
        if name not in self._names and not self._has_patterns:
            if self._other is None:
                self._other = self._find_member(name)
            return self._other
        found = self._find_member(name)
        if len(self.members) < _KEPT_NAMES:
            self.members[name] = found
        return found

    def _find_member(self, name: str) -> Member:
        pointers: list[str] = []
        forbidden = None
        for pointer, schema in self._schemas:
            if not isinstance(schema, dict):
                continue
            met = [child(child(pointer, "properties"), name)] if name in schema.get("properties", ()) else []
            for pattern in schema.get("patternProperties", ()):
                if self._walk.schema.pattern(pattern).is_valid(name):
                    met.append(child(child(pointer, "patternProperties"), pattern))
            if not met and schema.get("additionalProperties") is False:
                forbidden = forbidden or Rule("additionalProperties", pointer, False)
            elif not met and "additionalProperties" in schema:
                met.append(child(pointer, "additionalProperties"))
            pointers += met
        return Member(self._walk.place(pointers), forbidden)

    def element(self, index: int) -> "Place":
        """Return what applies to the element at ``index``."""
        known = min(index, self.prefix)
        if known not in self._elements:
            self._elements[known] = self._walk.place(self._element_schemas(known))
        return self._elements[known]

    def _element_schemas(self, index: int) -> Iterable[str]:
        for pointer, schema in self._schemas:
            if isinstance(schema, dict):
                if index < len(schema.get("prefixItems", ())):
                    yield child(child(pointer, "prefixItems"), index)
                elif "items" in schema:
                    yield child(pointer, "items")


class SchemaWalk:
    """The places of one schema.

    Attributes:
        root: where every document begins.
    """

    def __init__(self, schema: AdmittedSchema) -> None:
        self.schema = schema
        self._places: dict[frozenset[str], Place] = {}
        self.root = self.place([""])

    def place(self, pointers: Iterable[str]) -> Place:
        """Return the place where these subschemas, and all that they refer to, apply."""
        given = tuple(pointers)
        reached = self._reached(given)
        if reached not in self._places:
            self._places[reached] = Place(self, given, reached)
        return self._places[reached]

    def _reached(self, pointers: Iterable[str]) -> frozenset[str]:
        reached: set[str] = set()
        waiting = list(pointers)
        while waiting:
            pointer = waiting.pop()
            schema = self.schema.subschemas[pointer]
            if pointer in reached or schema is True:
                continue
            reached.add(pointer)
            if isinstance(schema, dict):
                for keyword in ("$ref", "$dynamicRef"):
                    if keyword in schema:
                        waiting.append(self.schema.targets[child(pointer, keyword)])
                waiting += [f"{pointer}/allOf/{index}" for index in range(len(schema.get("allOf", ())))]
        return frozenset(reached)


def kind_of(value: Any) -> Kind:
    """Return the kind of a parsed value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, dict):
        return "object"
    return "null" if value is None else "array"


def _rules(pointer: str, schema: Any) -> list[Rule]:
    if isinstance(schema, dict):
        return [Rule(keyword, pointer, limit) for keyword, limit in schema.items()]
    return [Rule("false", pointer, False)]


def _impossible(rules: list[Rule]) -> dict[Kind, Rule]:
    found: dict[Kind, Rule] = {}
    for rule in rules:
        possible = _possible_kinds(rule)
        for kind in KINDS if possible is not None else ():
            if kind not in possible:  # type: ignore[operator]
                found.setdefault(kind, rule)
    return found


def _possible_kinds(rule: Rule) -> set[Kind] | None:
    """The kinds that a rule leaves; None when it does not ask."""
    if rule.keyword == "false":
        return set()
    if rule.keyword == "type":
        types = rule.limit if isinstance(rule.limit, list) else [rule.limit]
        return {kind for name in types for kind in _KINDS_OF_TYPE[name]}
    if rule.keyword == "enum":
        return {kind_of(value) for value in rule.limit}
    return {kind_of(rule.limit)} if rule.keyword == "const" else None


def _options(rule: Rule) -> AllowedStrings:
    values = rule.limit if rule.keyword == "enum" else [rule.limit]
    strings = sorted(value for value in values if isinstance(value, str))
    return AllowedStrings(rule, strings, max(map(len, strings), default=0))


def _closing(rules: list[Rule], kind: Kind) -> tuple[Rule, ...]:
    looks = _CLOSING.get(kind, {})
    return tuple(
        rule._replace(breaks=looks[rule.keyword])
        for rule in rules
        if rule.keyword in looks and not (rule.keyword == "type" and not _asks_for_integer(rule))
    )


def _asks_for_integer(rule: Rule) -> bool:
    types = rule.limit if isinstance(rule.limit, list) else [rule.limit]
    return "integer" in types and "number" not in types


def _tightest(rules: list[Rule], keyword: str) -> Rule | None:
    return min((rule for rule in rules if rule.keyword == keyword), key=lambda rule: rule.limit, default=None)
