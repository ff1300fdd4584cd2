"""Why a value does not fit its schema: the faults, found one by one, up to a bound.

The validator says at once whether a value fits; asking it for all faults makes it build every one of
them first (1.4 kB and 10 microseconds each: a 2 MB array of numbers cost 21 s and 1.4 GB), and in
recursive schemas once for each way to reach it. So the faults are found from above, by asking the
validators of subschemas about parts: work stops at the bound, and each part is explained once.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from protocol.pointers import child
from protocol.schema.admitted import AdmittedSchema
from protocol.schema.shape import UNEVALUATED
from protocol.schema.violations import told


class Fault(NamedTuple):
    """A keyword that a value breaks."""

    pointer: str
    schema_pointer: str
    keyword: str
    message: str


class _Place(NamedTuple):
    """A value to be judged by the subschema at ``schema``."""

    schema: str
    value: Any
    pointer: str


def explain(value: object, schema: AdmittedSchema, limit: int) -> list[Fault]:
    """Return at most ``limit`` faults of a parsed value; none when it fits.

    Outer faults come before inner ones. Alternatives (``anyOf``, ``oneOf``, ``not``) are one fault each.
    """
    faults: dict[Fault, None] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [_Place("", value, "")]
    while waiting and len(faults) < limit:
        place = waiting.pop()
        if (place.schema, place.pointer) in seen or schema.at(place.schema).is_valid(place.value):
            continue
        seen.add((place.schema, place.pointer))
        found = _Findings(schema, place, limit)
        faults.update(dict.fromkeys(found.faults))
        waiting.extend(reversed(found.below))
    if not faults and not schema.at("").is_valid(value):
        # A schema that refers to itself may not fit for a reason that no part shows.
        return [Fault("", "", "schema", "does not fit the schema")]
    return list(faults)[:limit]


class _Findings:
    """What one subschema has against one value: faults of its own, and parts to look into."""

    def __init__(self, schema: AdmittedSchema, place: _Place, limit: int) -> None:
        self.faults: list[Fault] = []
        self.below: list[_Place] = []
        self._schema = schema
        self._place = place
        self._limit = limit
        rules = schema.subschemas[place.schema]
        if rules is False:
            self._fault_at(place.schema, "false", rules)
            return
        for keyword, rule in rules.items():
            if keyword in _LEAVES:
                self._leaf(keyword, rule)
            elif keyword in _JUDGES:
                _JUDGES[keyword](self, keyword, rule)
        if not self.faults and not self.below:
            self._left_over(rules)

    def _left_over(self, rules: dict[str, Any]) -> None:
        # What sees the outcome of the other keywords cannot be asked alone.
        keyword = next(iter(sorted(UNEVALUATED & rules.keys())), "schema")
        where = child(self._place.schema, keyword) if keyword in rules else self._place.schema
        self._fault_at(where, keyword, None)

    def _fault(self, keyword: str, rule: object, name: str | None = None) -> None:
        self._fault_at(child(self._place.schema, keyword), keyword, rule, name)

    def _fault_at(self, where: str, keyword: str, rule: object, name: str | None = None) -> None:
        said = told(where, self._schema.spelled(where), keyword, rule, name)
        self.faults.append(Fault(self._place.pointer, *said))

    def _fits(self, schema_pointer: str, value: object) -> bool:
        return self._schema.at(schema_pointer).is_valid(value)

    def _look(self, schema_pointer: str) -> None:
        """Look later at the same value by another subschema."""
        self.below.append(_Place(schema_pointer, self._place.value, self._place.pointer))

    def _look_into(self, schema_pointer: str, parts: Iterable[tuple[str | int, Any]]) -> None:
        """Look later into those parts of the value that do not fit the subschema."""
        fits = self._schema.at(schema_pointer).is_valid
        wrong = ((name, value) for name, value in parts if not fits(value))
        # Each of them has a fault at least, so more than the limit would be looked at in vain.
        for name, value in islice(wrong, self._limit):
            self.below.append(_Place(schema_pointer, value, child(self._place.pointer, name)))

    def _sub(self, *names: str | int) -> str:
        pointer = self._place.schema
        for name in names:
            pointer = child(pointer, name)
        return pointer

    def _members(self) -> dict[str, Any]:
        return self._place.value if isinstance(self._place.value, dict) else {}

    def _elements(self) -> list[Any]:
        return self._place.value if isinstance(self._place.value, list) else []

    # One method for each kind of keyword.

    def _leaf(self, keyword: str, rule: Any) -> None:
        if not self._schema.keyword(self._place.schema, keyword).is_valid(self._place.value):
            self._fault(keyword, rule)

    def _reference(self, keyword: str, rule: Any) -> None:
        self._look(self._schema.targets[self._sub(keyword)])

    def _all_of(self, keyword: str, rule: list[Any]) -> None:
        for index in range(len(rule)):
            self._look(self._sub(keyword, index))

    def _any_of(self, keyword: str, rule: list[Any]) -> None:
        if not any(self._fits(self._sub(keyword, index), self._place.value) for index in range(len(rule))):
            self._fault(keyword, rule)

    def _one_of(self, keyword: str, rule: list[Any]) -> None:
        if sum(self._fits(self._sub(keyword, index), self._place.value) for index in range(len(rule))) != 1:
            self._fault(keyword, rule)

    def _not(self, keyword: str, rule: Any) -> None:
        if self._fits(self._sub(keyword), self._place.value):
            self._fault(keyword, rule)

    def _if(self, keyword: str, rule: Any) -> None:
        branch = "then" if self._fits(self._sub("if"), self._place.value) else "else"
        if self._sub(branch) in self._schema.subschemas:
            self._look(self._sub(branch))

    def _dependent_schemas(self, keyword: str, rule: dict[str, Any]) -> None:
        for name in rule:
            if name in self._members():
                self._look(self._sub(keyword, name))

    def _required(self, keyword: str, rule: list[str]) -> None:
        if isinstance(self._place.value, dict):
            for name in rule:
                if name not in self._place.value:
                    self._fault(keyword, rule, name)

    def _properties(self, keyword: str, rule: dict[str, Any]) -> None:
        for name, value in self._members().items():
            if name in rule:
                self._look_into(self._sub(keyword, name), [(name, value)])

    def _pattern_properties(self, keyword: str, rule: dict[str, Any]) -> None:
        for pattern in rule:
            named = ((name, self._members()[name]) for name in self._named_by(pattern))
            self._look_into(self._sub(keyword, pattern), named)

    def _additional_properties(self, keyword: str, rule: Any) -> None:
        rules = self._schema.subschemas[self._place.schema]
        known = set(rules.get("properties", ()))
        for pattern in rules.get("patternProperties", ()):
            known.update(self._named_by(pattern))
        others = ((name, value) for name, value in self._members().items() if name not in known)
        if rule is not False:
            self._look_into(self._sub(keyword), others)
        elif unwanted := next(others, None):
            self._fault(keyword, rule, unwanted[0])

    def _named_by(self, pattern: str) -> Iterator[str]:
        matches = self._schema.pattern(pattern)
        return (name for name in self._members() if matches.is_valid(name))

    def _property_names(self, keyword: str, rule: Any) -> None:
        if not all(self._fits(self._sub(keyword), name) for name in self._members()):
            self._fault(keyword, rule)

    def _prefix_items(self, keyword: str, rule: list[Any]) -> None:
        for index, value in enumerate(self._elements()[: len(rule)]):
            self._look_into(self._sub(keyword, index), [(index, value)])

    def _items(self, keyword: str, rule: Any) -> None:
        before = len(self._schema.subschemas[self._place.schema].get("prefixItems", ()))
        self._look_into(self._sub(keyword), islice(enumerate(self._elements()), before, None))

    def _contains(self, keyword: str, rule: Any) -> None:
        rules = self._schema.subschemas[self._place.schema]
        if isinstance(self._place.value, list):
            count = sum(self._fits(self._sub(keyword), value) for value in self._place.value)
            if not rules.get("minContains", 1) <= count <= rules.get("maxContains", count):
                self._fault(keyword, rule)


_JUDGES: dict[str, Callable[[_Findings, str, Any], None]] = {
    "$ref": _Findings._reference,
    "$dynamicRef": _Findings._reference,
    "additionalProperties": _Findings._additional_properties,
    "allOf": _Findings._all_of,
    "anyOf": _Findings._any_of,
    "contains": _Findings._contains,
    "dependentSchemas": _Findings._dependent_schemas,
    "if": _Findings._if,
    "items": _Findings._items,
    "not": _Findings._not,
    "oneOf": _Findings._one_of,
    "patternProperties": _Findings._pattern_properties,
    "prefixItems": _Findings._prefix_items,
    "properties": _Findings._properties,
    "propertyNames": _Findings._property_names,
    "required": _Findings._required,
}
# Keywords that can be judged with nothing of the schema around them.
_LEAVES = frozenset(
    [
        "const",
        "dependentRequired",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "pattern",
        "type",
        "uniqueItems",
    ]
)
