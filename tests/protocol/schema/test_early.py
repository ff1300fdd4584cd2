"""The early verdict: at the first provable byte, once, and never about a text that would be accepted."""

import json
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from protocol.schema.admitted import AdmittedSchema, SchemaInvalid, admit
from protocol.schema.early import EarlyCheck
from protocol.schema.explain import explain
from protocol.schema.verdict import judge
from protocol.schema.violations import Violation
from tests.protocol.json_cases import FOLLOWED_SCHEMAS, SCHEMAS, VALUES


def early(text: str, schema: AdmittedSchema, size: int = 1) -> Violation | None:
    check = EarlyCheck(schema)
    for place in range(0, len(text), size):
        if violation := check.feed(text[place : place + size]):
            return violation
    return check.close()


class Case(NamedTuple):
    """A text with ``^`` just past the first byte that proves it wrong.

    ``cure`` goes on from the byte before it to a text that the final verdict accepts: proof that
    nothing was provable earlier. Numbers and closed strings have none: the contract gives them one
    character after the token, and a string's close.
    """

    schema: Any
    text: str
    pointer: str
    where: str
    keyword: str
    cure: str | None = None


NUMBER = {"type": "number"}
SHOT = {"type": "object", "required": ["start", "text"], "properties": {"start": NUMBER, "text": {"type": "string"}}}
SHOTS = {
    "type": "object",
    "properties": {"shots": {"type": "array", "items": {"$ref": "#/$defs/shot"}}},
    "$defs": {"shot": SHOT},
}

CASES = {
    "root of another type": Case({"type": "object"}, '[^"a"]', "", "/type", "type", "{}"),
    "member of another type": Case(SHOTS, '{"shots":"^none"}', "/shots", "/properties/shots/type", "type", "[]}"),
    "behind a reference": Case(SHOTS, '{"shots":[{"start":"^1"', "/shots/0/start", "/$defs/shot/properties/start/type", "type", '1,"text":""}]}'),
    "null where none may be": Case({"properties": {"a": {"type": "string"}}}, '{"a":n^ull}', "/a", "/properties/a/type", "type", '""}'),
    "false where true must be": Case({"properties": {"a": {"const": True}}}, '{"a":f^alse}', "/a", "/properties/a/const", "const", "true}"),
    "a string of no option": Case({"items": {"enum": ["wide", "close"]}}, '["wide","cla^p"]', "/1", "/items/enum", "enum", 'ose"]'),
    "an option not finished": Case({"items": {"enum": ["wide", "close"]}}, '["clos"^]', "/0", "/items/enum", "enum", 'e"]'),
    "an option gone on": Case({"const": "é"}, '"éx^', "", "/const", "const", '"'),
    "a string of no option, escaped": Case({"items": {"const": "aé😀b"}}, '["\\u0061\\u00e9\\ud83d\\ude00c^"]', "/0", "/items/const", "const", 'b"]'),
    "a type that enum excludes": Case({"enum": ["a", None]}, "1^2 ", "", "/enum", "enum", "null"),
    "below the minimum": Case({"items": {"minimum": 0}}, "[1,-2,^", "/1", "/items/minimum", "minimum"),
    "above the exclusive maximum": Case({"items": {"exclusiveMaximum": 5}}, "[5]^", "/0", "/items/exclusiveMaximum", "exclusiveMaximum"),
    "no integer": Case({"items": {"type": "integer"}}, "[1.0,1.5 ^]", "/1", "/items/type", "type", "e1]"),
    "no multiple": Case({"items": {"multipleOf": 5}}, "[12,^", "/0", "/items/multipleOf", "multipleOf", "0]"),
    "too long": Case({"items": {"maxLength": 3}}, '["abc","abcd"^', "/1", "/items/maxLength", "maxLength"),
    "too short": Case({"items": {"minLength": 3}}, '["ab"^', "/0", "/items/minLength", "minLength", 'c"]'),
    "off the pattern": Case({"items": {"pattern": "^[0-9]+$"}}, '["12a"^', "/0", "/items/pattern", "pattern"),
    "off the format": Case({"items": {"format": "date"}}, '["2024-02-30"^', "/0", "/items/format", "format"),
    "no timestamp": Case({"properties": {"t": {"type": "timestamp", "format": "hh:mm:ss"}}}, '{"t":"1:20"^', "/t", "/properties/t/format", "format"),
    "a member missing": Case(SHOTS, '{"shots":[{"start":1}^', "/shots/0", "/$defs/shot/required", "required", ',"text":""}]}'),
    "a member too many": Case({"properties": {"a": {}}, "additionalProperties": False}, '{"a":1,"ab"^:', "", "/additionalProperties", "additionalProperties"),
    "a forbidden member": Case({"properties": {"a": False}}, '{"b":1,"a"^:', "/a", "/properties/a", "false", 'b":1}'),
    "a member of a pattern": Case({"patternProperties": {"^t": NUMBER}}, '{"a":"","t1":t^', "/t1", "/patternProperties/^t/type", "type", "1}"),
    "an unlisted member of another type": Case({"additionalProperties": NUMBER}, '{"a":{^', "/a", "/additionalProperties/type", "type", "1}"),
    "too many members": Case({"maxProperties": 1}, '{"a":1,"b"^', "", "/maxProperties", "maxProperties"),
    "too few members": Case({"minProperties": 2}, '{"a":1}^', "", "/minProperties", "minProperties", ',"b":1}'),
    "a dependent member missing": Case({"dependentRequired": {"a": ["b"]}}, '{"a":1}^', "", "/dependentRequired", "dependentRequired", ',"b":1}'),
    "too many elements": Case({"maxItems": 2}, "[1,2,^", "", "/maxItems", "maxItems", "]"),
    "too few elements": Case({"properties": {"a": {"minItems": 1}}}, '{"a":[]^', "/a", "/properties/a/minItems", "minItems", "1]}"),
    "elements not unique": Case({"uniqueItems": True}, '[{"a":1,"b":2},{"b":2,"a":1}^', "", "/uniqueItems", "uniqueItems", ',"c":0}]'),
    "a tuple's second of another type": Case({"prefixItems": [NUMBER, NUMBER]}, "[1,{^", "/1", "/prefixItems/1/type", "type", "1]"),
    "an element past the tuple": Case({"prefixItems": [{}], "items": False}, "[1,^", "/1", "/items", "false", "]"),
    "under allOf": Case({"allOf": [{}, {"properties": {"a": NUMBER}}]}, '{"a":[^', "/a", "/allOf/1/properties/a/type", "type", "1}"),
    "an object of no option": Case({"items": {"enum": [{"a": 1}]}}, '[{"a":2}^', "/0", "/items/enum", "enum"),
    "wrapped in prose and a fence": Case(SHOTS, 'Here:\n```json\n{"shots":{^', "/shots", "/properties/shots/type", "type"),
    "no JSON": Case(SHOTS, '{"shots":[{"start":1;^', "/shots/0", "", "syntax", ',"text":""}]}'),
    "too deep": Case({}, "[" * 65 + "^", "/0" * 64, "", "depth", "]" * 64),
    "half of a surrogate pair": Case({}, '{"a":"\\ud83dx^', "/a", "", "surrogate", '\\ude00"}'),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_violation_is_told_at_the_first_provable_byte(name: str, size: int) -> None:
    case = CASES[name]
    proven, _, rest = case.text.rpartition("^")
    violation = early(proven + rest, admit(case.schema), size)
    assert violation is not None
    assert (violation.pointer, violation.schema_pointer, violation.keyword) == (case.pointer, case.where, case.keyword)
    assert violation.at == len(proven.encode())
    assert early(proven, admit(case.schema), size) == violation, "the byte itself proves it"


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.cure is not None])
def test_a_byte_earlier_the_text_could_still_become_valid(name: str) -> None:
    case = CASES[name]
    before = case.text.rpartition("^")[0][:-1]
    cured = before + (case.cure or "")
    schema = admit(case.schema)
    assert judge(cured.encode(), schema, "stop").valid, cured
    assert early(cured, schema) is None


def accepted(schema: Any) -> AdmittedSchema:
    try:
        return admit(schema)
    except SchemaInvalid:
        assume(False)
        raise


@settings(max_examples=150)
@given(SCHEMAS | FOLLOWED_SCHEMAS, st.lists(VALUES, min_size=1, max_size=6), st.booleans(), st.integers(1, 7))
def test_nothing_is_told_of_what_the_final_verdict_accepts(
    schema: dict[str, Any], values: list[Any], ascii_only: bool, size: int
) -> None:
    known = accepted(schema)
    for value in values:
        text = json.dumps(value, ensure_ascii=ascii_only)
        violation = early(text, known, size)
        assert violation == early(text, known, len(text))
        if violation is None:
            continue
        parsed = orjson.loads(text)
        assert not known.validator.is_valid(parsed)
        # What is told early stands among the faults that the end tells.
        told = {fault[:4] for fault in explain(parsed, known, 1000)}
        assert (violation.pointer, violation.schema_pointer, violation.keyword, violation.message) in told


@settings(max_examples=150)
@given(FOLLOWED_SCHEMAS, VALUES)
def test_what_the_walk_follows_is_always_told_before_the_end(schema: dict[str, Any], value: Any) -> None:
    known = accepted(schema)
    text = json.dumps(value)
    fits = known.validator.is_valid(orjson.loads(text))
    assert (early(text, known) is None) == fits


def test_a_violation_is_told_once() -> None:
    check = EarlyCheck(admit({"items": {"type": "string"}}))
    assert check.feed("[1,2") is not None
    assert check.feed(",3]") is None
    assert check.close() is None


def test_a_root_number_is_proved_by_the_end_of_the_text() -> None:
    check = EarlyCheck(admit({"minimum": 5}))
    assert check.feed("4") is None
    violation = check.close()
    assert violation is not None
    assert (violation.keyword, violation.at) == ("minimum", 1)


def test_conditional_keywords_wait_for_the_end() -> None:
    schema = admit({"anyOf": [{"type": "null"}], "not": {"type": "array"}, "if": True, "then": False})
    assert early("[1]", schema) is None
    assert not schema.validator.is_valid([1])


def test_a_name_once_given_is_taken_as_given() -> None:
    """The one way to heal a fault is to say the member again; see the module's rule."""
    schema = admit({"properties": {"a": {"type": "string"}}})
    assert judge(b'{"a":1,"a":""}', schema, "stop").valid
    assert early('{"a":1,"a":""}', schema) is not None
    assert early('{"a":"","a":"x"}', schema) is None
    repeated = early('{"a":"","a":1}', schema)
    assert repeated is not None
    assert repeated.at == 13


def test_members_of_a_repeated_name_count_once() -> None:
    assert early('{"a":1,"a":2}', admit({"maxProperties": 1})) is None


def test_prose_is_no_violation() -> None:
    assert early("I see [two] people.", admit(SHOTS)) is None


def test_an_answer_that_ends_too_early_is_the_final_verdicts_business() -> None:
    assert early('{"shots":[{"start":1', admit(SHOTS)) is None


def test_integers_beyond_64_bits_are_told_apart_and_found_again() -> None:
    schema = accepted({"uniqueItems": True})
    assert early("[18446744073709551617, 18446744073709551618]", schema) is None
    assert early("[18446744073709551617, 18446744073709551617]", schema) is not None
