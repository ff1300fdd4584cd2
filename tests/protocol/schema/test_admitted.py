"""Admission: what is refused before any validator sees it, and what the admitted ones judge."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.schema.admitted import SchemaInvalid, admit
from protocol.schema.pattern_cost import cost
from tests.protocol.json_cases import SCHEMAS


def doubling(levels: int) -> dict[str, Any]:
    steps = {
        f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}, {"$ref": f"#/$defs/d{level + 1}"}]}
        for level in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**steps, f"d{levels}": {"type": "string"}}}


def nested(keyword: str, depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {keyword: schema}
    return schema


def unevaluated(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"properties": {"a": True}}
    for _ in range(levels):
        schema = {"allOf": [schema], "unevaluatedProperties": False}
    return schema


HOSTILE = {
    "remote ref": ({"$ref": "https://example.com/schema.json"}, "/$ref"),
    "file ref": ({"properties": {"a": {"not": {"$ref": "file:///etc/passwd"}}}}, "/properties/a/not/$ref"),
    "relative ref": ({"$defs": {"unused": {"$ref": "other.json"}}}, "/$defs/unused/$ref"),
    "ref under an unknown keyword": ({"later": [{"$ref": "//host/x"}]}, "/later/0/$ref"),
    "dynamic ref": ({"$dynamicRef": "https://example.com/x#a"}, "/$dynamicRef"),
    "recursive ref": ({"$recursiveRef": "x"}, "/$recursiveRef"),
    "ref to nothing": ({"$ref": "#/$defs/none"}, "/$ref"),
    "ref to no schema": ({"required": ["a"], "$ref": "#/required"}, "/$ref"),
    "ref to no anchor": ({"$ref": "#none"}, "/$ref"),
    "embedded document": ({"items": {"$id": "http://x/", "$ref": "#/$defs/a"}, "$defs": {"a": {}}}, "/items/$id"),
    "anchor twice": ({"allOf": [{"$anchor": "a"}, {"$anchor": "a"}]}, None),
    "exponential ref": (doubling(60), ""),
    "exponential ref of ten steps": (doubling(10), ""),
    "nested unevaluated": (unevaluated(20), None),
    "unevaluated recursion": ({"unevaluatedProperties": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}, "/unevaluatedProperties"),
    "ten megabytes": ({"description": "x" * 10_000_000}, ""),
    "fifteen thousand subschemas": ({"allOf": [{}] * 15_000}, ""),
    "many members": ({"properties": {f"p{n}": {"type": "string"} for n in range(200_000)}}, ""),
    "a long list": ({"enum": list(range(1_000_000))}, ""),
    "depth 10,000": (nested("items", 10_000), ""),
    "depth 65": (nested("items", 64), ""),
    "no object": ([], ""),
    "no JSON": ({"const": {1, 2}}, ""),
    "lone surrogate": ({"const": "\ud83d"}, ""),
    "no type": ({"type": "text"}, "/type"),
    "wrong keyword": ({"properties": {"a": {"minLength": "x"}}}, "/properties/a/minLength"),
    "backtracking pattern": ({"pattern": "(a)\\1"}, "/pattern"),
    "look-ahead": ({"pattern": "(?=a)b"}, "/pattern"),
    "huge repetition": ({"pattern": "(a{100}){100}"}, "/pattern"),
    "nested huge repetition": ({"pattern": "((a{100}){100}){100}"}, "/pattern"),
    "long pattern": ({"pattern": "a" * 60_000}, "/pattern"),
    "many dear patterns": ({"allOf": [{"pattern": f"^\\p{{L}}{n}$"} for n in range(900)]}, None),
    "timestamp without format": ({"properties": {"at": {"type": "timestamp"}}}, "/properties/at/format"),
    "timestamp of another format": ({"type": "timestamp", "format": "date"}, "/format"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_is_refused_with_its_place(name: str) -> None:
    schema, pointer = HOSTILE[name]
    with pytest.raises(SchemaInvalid) as refused:
        admit(schema)
    assert refused.value.code == "schema_invalid"
    assert pointer is None or refused.value.pointer == pointer
    assert len(str(refused.value)) < 300


TREE = {"type": "object", "properties": {"below": {"type": "array", "items": {"$ref": "#"}}}}
BUSY = {
    "$ref": "#/$defs/k0",
    "$defs": {f"k{n}": {"properties": {f"p{m}": {"$ref": f"#/$defs/k{m}"} for m in range(12)}} for n in range(12)},
}
HARMLESS = {
    "recursive tree": TREE,
    "twelve kinds that name each other": BUSY,
    "a property called $ref": {"properties": {"$ref": {"type": "string"}}},
    "a ref inside const": {"const": {"$ref": "http://example.com"}},
    "a ref inside enum and examples": {"enum": [{"$ref": "x"}], "examples": [{"$ref": "y"}], "default": {"$ref": "z"}},
    "escaped refs": {"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"$ref": "#/$defs/c%20d"}, "c d": {}}},
    "anchors": {"$ref": "#here", "$defs": {"a": {"$anchor": "here"}}},
    "dynamic anchors": {"$dynamicAnchor": "n", "properties": {"a": {"$dynamicRef": "#n"}}},
    "an identifier": {"$id": "https://example.com/a", "$schema": "https://json-schema.org/draft/2020-12/schema"},
    "definitions of old": {"$ref": "#/definitions/a", "definitions": {"a": {"type": "string"}}},
    "a ref below an unknown keyword": {"$ref": "#/parts/a", "parts": {"a": {"type": "timestamp", "format": "seconds"}}},
    "catastrophic pattern, linear here": {"pattern": "^(a+)+$"},
    "a thousand characters": {"pattern": "^.{1,1000}$"},
    "what the cloud refuses": {"type": "array", "maxItems": 3, "uniqueItems": True, "items": {"maxLength": 3}},
    "seven doublings": doubling(7),
    "depth 64": nested("items", 63),
    "unevaluated, four deep": unevaluated(4),
    "two thousand members without ref": {"properties": {f"p{n}": {} for n in range(2000)}},
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_schema_is_admitted_and_every_part_of_it_judges(name: str) -> None:
    schema = admit(HARMLESS[name])
    for pointer in schema.subschemas:
        schema.at(pointer).is_valid({"a": [1]})


@given(SCHEMAS, st.just(None))
def test_admission_raises_one_kind_of_error_only(schema: dict[str, Any], value: None) -> None:
    try:
        admitted = admit(schema)
    except SchemaInvalid:
        return
    assert isinstance(admitted.validator.is_valid(value), bool)


def test_the_same_schema_is_compiled_once() -> None:
    first = admit({"type": "object", "properties": {"a": {"type": "number"}}})
    again = admit({"properties": {"a": {"type": "number"}}, "type": "object"})
    assert first is again
    assert admit({"type": "object"}).sha256 != first.sha256


def test_the_callers_schema_is_left_alone() -> None:
    schema = {"$id": "x", "properties": {"at": {"type": "timestamp", "format": "hh:mm:ss"}}}
    admit(schema)
    assert schema == {"$id": "x", "properties": {"at": {"type": "timestamp", "format": "hh:mm:ss"}}}


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("seconds", [10.5, 0, 3], ["10.5", "00:00:10", None, True]),
        ("hh:mm:ss", ["00:00:10", "100:59:59"], [10, "0:00:10", "00:60:00", "00:00:10.500", "00:00:10\n"]),
        ("hh:mm:ss.fff", ["00:00:10.500"], ["00:00:10", "00:00:10.5", 10.5]),
    ],
)
def test_a_timestamp_is_judged_by_its_format(form: str, good: list[Any], bad: list[Any]) -> None:
    validator = admit({"type": "timestamp", "format": form}).validator
    assert [value for value in good if not validator.is_valid(value)] == []
    assert [value for value in bad if validator.is_valid(value)] == []


def test_a_nullable_timestamp_is_a_timestamp_or_null() -> None:
    validator = admit({"type": ["timestamp", "null"], "format": "hh:mm:ss"}).validator
    assert validator.is_valid(None)
    assert validator.is_valid("00:00:01")
    assert not validator.is_valid("soon")


def test_with_pegasus15_clock_names_are_clock_times() -> None:
    times = {"start_time": {"type": "string"}, "end_time": {"type": "integer"}}
    schema = {"items": {"properties": times}}
    late = admit(schema, clock_times=True)
    assert late.validator.is_valid([{"start_time": "00:00:01.500", "end_time": 3}])
    assert not late.validator.is_valid([{"start_time": "a while in"}])
    assert late.spelled("/items/properties/start_time/pattern") == "/items/properties/start_time/type"
    # Other models write what they like there.
    assert admit(schema).validator.is_valid([{"start_time": "a while in"}])


def test_formats_are_asserted() -> None:
    validator = admit({"format": "date"}).validator
    assert validator.is_valid("2024-02-29")
    assert not validator.is_valid("2023-02-29")


@pytest.mark.parametrize(
    ("pattern", "states"),
    [("abc", 3), ("a{3}", 3), ("(ab){10,20}", 40), ("(a{10}){10}", 100), ("[a-z]+\\d*", 2), ("a{2,}", 3), ("(", 0)],
)
def test_the_states_of_a_pattern_are_counted(pattern: str, states: int) -> None:
    assert cost(pattern)[0] == states


@pytest.mark.parametrize("pattern", ["(?<" * 3000, "\\p{" * 3000, "[" + "\\p{" * 3000, "(" * 9000])
def test_a_pattern_of_beginnings_gets_an_estimate_too(pattern: str) -> None:
    states, microseconds = cost(pattern)
    assert states <= len(pattern)
    assert microseconds > 0


def test_admission_needs_no_deep_stack() -> None:
    chain = {f"c{n}": {"$ref": f"#/$defs/c{n + 1}"} for n in range(900)}
    schema = {"$ref": "#/$defs/c0", "$defs": {**chain, "c900": {"type": "null"}}}
    limit = sys.getrecursionlimit()
    assert admit(schema).validator.is_valid(None)
    assert sys.getrecursionlimit() == limit
