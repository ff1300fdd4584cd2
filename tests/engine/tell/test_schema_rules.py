"""Which schemas are taken, and what is said of those that are not."""

from typing import Any

import pytest

from engine.errors import ApiError
from engine.tell.schema_rules import check_schema, resolve


def refusal(schema: dict[str, Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        check_schema(schema)
    assert caught.value.code == "parameter_invalid"
    return caught.value


def of(**members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        of(a={"type": "string", "pattern": "^a", "title": "A", "description": "b", "$comment": "c"}),
        of(a={"type": ["integer", "null"], "minimum": 1, "exclusiveMaximum": 9}),
        of(a={"type": "array", "items": {"type": "string"}, "minItems": 1}),
        of(a={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        of(a={"enum": ["x", 1, None, True]}, b={"const": 3}),
        of(a={"type": "string", "format": "date-time"}),
        of(a={"type": "timestamp", "format": "seconds"}),
        of(a={"type": "array", "items": of(b={"type": "timestamp", "format": "hh:mm:ss.fff"})}),
        {"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"},
        {**of(a={"type": "string"}), "additionalProperties": False},
        {"$defs": {"n": of(next={"$ref": "#/$defs/n"})}, "$ref": "#/$defs/n"},
    ],
)
def test_what_the_api_takes_is_taken(schema: dict[str, Any]) -> None:
    check_schema(schema)


@pytest.mark.parametrize(
    ("member", "keyword"),
    [
        ({"type": "string", "minLength": 1}, "minLength"),
        ({"type": "string", "maxLength": 1}, "maxLength"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "array", "maxItems": 3}, "maxItems"),
        ({"type": "array", "minItems": 2}, "minItems"),
        ({"type": "number", "minimum": 0}, "minimum"),
        ({"oneOf": [{"type": "string"}]}, "oneOf"),
        ({"allOf": [{"type": "string"}]}, "allOf"),
        ({"type": "string", "format": "email"}, "format"),
    ],
)
def test_keywords_that_the_api_refuses_are_refused_by_name_and_place(member: dict[str, Any], keyword: str) -> None:
    error = refusal(of(deep=of(here=member)))
    assert error.status == 422
    assert keyword in error.message
    assert "/deep/here" in error.message


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "thing"},
        {"type": "object", "properties": []},
        {"type": "object", "required": "a"},
        of(a="string"),
        {"anyOf": []},
        {"enum": []},
        {"enum": [[1]]},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/$defs/nowhere"},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"type": "string", "pattern": "a" * 1000},
        of(a={"type": "timestamp"}),
        of(a={"type": "timestamp", "format": "minutes"}),
        of(a=of(b={"type": "timestamp", "format": "seconds"})),
        of(a={"anyOf": [{"type": "timestamp", "format": "seconds"}]}),
        of(a={"type": "string", "description": "x" * 70_000}),
    ],
)
def test_what_is_no_schema_is_refused(schema: dict[str, Any]) -> None:
    assert refusal(schema).status == 400


def test_a_schema_that_nests_too_deep_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(70):
        schema = of(a=schema)
    assert "nested deeper" in refusal(schema).message


def test_a_schema_that_explodes_through_references_is_refused() -> None:
    definitions: dict[str, Any] = {"d0": {"type": "string"}}
    for level in range(1, 30):
        reference = {"$ref": f"#/$defs/d{level - 1}"}
        definitions[f"d{level}"] = of(a=reference, b=reference)
    assert "more than 1000" in refusal({"$defs": definitions, "$ref": "#/$defs/d29"}).message


def test_a_reference_keeps_what_stands_beside_it() -> None:
    root = {"$defs": {"a/b": {"type": "string", "description": "old"}}}
    assert resolve(root, {"$ref": "#/$defs/a~1b", "description": "new"}) == {"type": "string", "description": "new"}
