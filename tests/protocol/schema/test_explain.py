"""The explanation of a misfit: it agrees with the validator, names real places, and stops at its bound."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from protocol.pointers import resolve
from protocol.schema.admitted import AdmittedSchema, SchemaInvalid, admit
from protocol.schema.explain import explain
from tests.protocol.json_cases import SCHEMAS, VALUES


def admitted(schema: Any) -> AdmittedSchema:
    try:
        return admit(schema)
    except SchemaInvalid:
        assume(False)
        raise


@settings(max_examples=150)
@given(SCHEMAS, st.lists(VALUES, min_size=1, max_size=6))
def test_a_value_has_faults_exactly_when_it_does_not_fit(schema: dict[str, Any], values: list[Any]) -> None:
    known = admitted(schema)
    for value in values:
        faults = explain(value, known, 1000)
        assert bool(faults) == (not known.validator.is_valid(value))
        for fault in faults:
            resolve(value, fault.pointer)
            resolve(schema, fault.schema_pointer)
            assert fault.keyword in ("false", "schema") or fault.schema_pointer.endswith(f"/{fault.keyword}")
        assert explain(value, known, 1) == faults[:1]


def keywords(schema: dict[str, Any], value: Any) -> list[tuple[str, str, str]]:
    return [tuple(fault[:3]) for fault in explain(value, admit(schema), 1000)]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "object"}, 1, [("", "/type", "type")]),
        ({"required": ["a", "b"]}, {}, [("", "/required", "required")] * 2),
        ({"additionalProperties": False}, {"x": 1, "y": 2}, [("", "/additionalProperties", "additionalProperties")]),
        ({"properties": {"a/b": {"const": 1}}}, {"a/b": 2}, [("/a~1b", "/properties/a~1b/const", "const")]),
        ({"properties": {"a": False}}, {"a": 2}, [("/a", "/properties/a", "false")]),
        ({"items": {"$ref": "#/$defs/x"}, "$defs": {"x": {"minimum": 3}}}, [3, 2], [("/1", "/$defs/x/minimum", "minimum")]),
        ({"prefixItems": [{}], "items": {"type": "null"}}, [1, 2], [("/1", "/items/type", "type")]),
        ({"anyOf": [{"type": "null"}, {"minimum": 3}]}, 2, [("", "/anyOf", "anyOf")]),
        ({"oneOf": [{"type": "integer"}, {"minimum": 1}]}, 2, [("", "/oneOf", "oneOf")]),
        ({"not": {"type": "null"}}, None, [("", "/not", "not")]),
        ({"if": {"type": "string"}, "then": {"minLength": 3}, "else": {"minimum": 2}}, 1, [("", "/else/minimum", "minimum")]),
        ({"contains": {"type": "null"}, "minContains": 2}, [None], [("", "/contains", "contains")]),
        ({"propertyNames": {"maxLength": 2}}, {"abc": 1}, [("", "/propertyNames", "propertyNames")]),
        ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}, [("", "/dependentSchemas/a/required", "required")]),
        ({"unevaluatedProperties": False}, {"a": 1}, [("", "/unevaluatedProperties", "unevaluatedProperties")]),
        ({"patternProperties": {"^s": {"type": "string"}}}, {"sx": 1}, [("/sx", "/patternProperties/^s/type", "type")]),
        ({"type": "timestamp", "format": "hh:mm:ss"}, "1:2", [("", "/format", "format")]),
        ({"type": "timestamp", "format": "seconds"}, "1", [("", "/type", "type")]),
    ],
)  # fmt: skip
def test_a_fault_names_value_and_keyword(schema: Any, value: Any, expected: list[tuple[str, str, str]]) -> None:
    assert keywords(schema, value) == expected


def test_messages_quote_no_value() -> None:
    schema = {
        "properties": {"a": {"enum": ["x"]}, "b": {"const": {"k": "hidden"}}, "c": {"pattern": "^q"}},
        "propertyNames": {"maxLength": 30},
        "additionalProperties": False,
    }
    value = {"a": "SECRET", "b": "SECRET", "c": "SECRET", "n" * 400: "SECRET"}
    messages = [fault.message for fault in explain(value, admit(schema), 1000)]
    assert len(messages) == 5
    assert all("SECRET" not in message and "hidden" not in message for message in messages)
    assert max(map(len, messages)) < 120


def test_recursion_is_explained_once_for_each_place() -> None:
    """Three ways into each level: an evaluator that follows them all would need 3**60 steps."""
    reference = {"properties": {"a": {"$ref": "#"}}}
    schema = {**reference, "allOf": [reference, reference], "type": "object"}
    value: Any = 1
    for _ in range(60):
        value = {"a": value}
    faults = explain(value, admit(schema), 1000)
    assert [(fault.pointer, fault.keyword) for fault in faults] == [("/a" * 60, "type")]


def test_the_bound_is_kept() -> None:
    assert len(explain([0] * 5000, admit({"items": {"type": "string"}}), 1000)) == 1000
