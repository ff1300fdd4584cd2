"""The verdict on a whole text, in the terms of the contract's section 6."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.json.span import ends_of
from protocol.schema.admitted import AdmittedSchema, admit
from protocol.schema.verdict import Verdict, judge
from tests.protocol.json_cases import VALUES

CUES = admit(
    {
        "type": "object",
        "required": ["segments"],
        "additionalProperties": False,
        "properties": {"segments": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/segment"}}},
        "$defs": {
            "segment": {
                "type": "object",
                "required": ["start", "text"],
                "properties": {"start": {"type": "number", "minimum": 0}, "text": {"type": "string"}},
            }
        },
    }
)
GOOD = '{"segments":[{"start":1,"text":"é"}]}'


def verdict(text: str, schema: AdmittedSchema = CUES, finish_reason: str = "stop") -> Verdict:
    return judge(text.encode(), schema, finish_reason)


def test_a_fitting_text_is_valid_and_gives_its_value() -> None:
    assert verdict(GOOD) == Verdict(True, value={"segments": [{"start": 1, "text": "é"}]})
    assert verdict(GOOD).members() == {
        "valid": True,
        "errors": [],
        "error_count": 0,
        "truncated": False,
        "repaired": [],
        "repaired_valid": None,
    }


def test_faults_name_value_keyword_and_byte() -> None:
    told = verdict('{"segments":[{"start":-1,"text":"é"},{"start":2}]}').members()
    assert told["valid"] is False
    assert told["error_count"] == 2
    assert told["errors"] == [
        {
            "pointer": "/segments/0/start",
            "schema_pointer": "/$defs/segment/properties/start/minimum",
            "keyword": "minimum",
            "message": "must be at least 0",
            "at": 24,
        },
        {
            "pointer": "/segments/1",
            "schema_pointer": "/$defs/segment/required",
            "keyword": "required",
            "message": 'lacks the required member "text"',
            "at": 49,
        },
    ]


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        (f"Here it is: {GOOD}", ("prose_before",)),
        (f"```json\n{GOOD}\n```", ("code_fence",)),
        (f"{GOOD} I hope this helps.", ("text_after",)),
        (f"Sure!\n```\n{GOOD}\n```\nMore?", ("prose_before", "code_fence", "text_after")),
    ],
)
def test_what_was_taken_away_is_named_and_the_rest_is_judged(text: str, repaired: tuple[str, ...]) -> None:
    found = verdict(text)
    assert (found.valid, found.repaired, found.repaired_valid) == (False, repaired, True)
    assert (found.errors, found.value) == ((), json.loads(GOOD))
    worse = verdict(text.replace("1,", "-1,"))
    assert (worse.repaired, worse.repaired_valid, worse.value) == (repaired, False, None)
    assert worse.errors[0].keyword == "minimum"
    cut = text.replace("1,", "-1,").encode()[: worse.errors[0].at]
    assert cut.endswith(b'"start":-1')


@pytest.mark.parametrize("cut", range(1, len(GOOD)))
def test_a_json_cut_by_length_is_incomplete(cut: int) -> None:
    found = verdict(GOOD[:cut], finish_reason="length")
    assert (found.valid, found.repaired_valid, found.value) == (False, None, None)
    assert [error.keyword for error in found.errors] == ["incomplete"]
    assert found.errors[0].at == len(GOOD[:cut].encode())


def test_a_whole_json_that_used_the_budget_up_is_judged() -> None:
    assert verdict(GOOD, finish_reason="length").valid


@pytest.mark.parametrize(
    ("text", "finish_reason", "keyword", "pointer"),
    [
        ("I cannot see that.", "stop", "syntax", ""),
        ("Well, the answer", "length", "incomplete", ""),
        ("", "stop", "incomplete", ""),
        ('{"segments":[01]}', "length", "syntax", "/segments/0"),
        ('{"segments":["\\ud83d"]}', "stop", "surrogate", "/segments/0"),
        ('{"segments":1e999}', "stop", "number", "/segments"),
        ('{"segments":' + "[" * 64 + "]" * 64 + "}", "stop", "depth", "/segments" + "/0" * 63),
        ("[" * 5000, "stop", "depth", "/0" * 64),
        ("Look: " + "[" * 66 + "]" * 66, "stop", "depth", "/0" * 64),
        ('{"segments":NaN}', "stop", "syntax", "/segments"),
    ],
)
def test_a_text_that_is_no_json_says_why_and_where(text: str, finish_reason: str, keyword: str, pointer: str) -> None:
    found = verdict(text, finish_reason=finish_reason)
    assert (found.valid, found.error_count, found.truncated) == (False, 1, False)
    assert (found.errors[0].keyword, found.errors[0].pointer) == (keyword, pointer)


def test_of_duplicate_keys_the_last_one_counts() -> None:
    assert verdict('{"segments":0,"segments":[{"start":0,"text":""}]}').valid
    found = verdict('{"segments":[{"start":0,"text":""}],"segments":[{"start":0,"text":5, "text":""},{}]}')
    assert [error.pointer for error in found.errors] == ["/segments/1", "/segments/1"]


def test_at_most_twenty_faults_are_listed_and_a_thousand_counted() -> None:
    found = verdict('{"segments":[' + ",".join("1" * 30) + "]}")
    assert (len(found.errors), found.error_count, found.truncated) == (20, 30, True)
    many = verdict('{"segments":[' + ",".join("1" * 3000) + "]}")
    assert (len(many.errors), many.error_count, many.truncated) == (20, 1000, True)


def test_a_large_text_of_faults_costs_a_bounded_number_of_them() -> None:
    found = judge(b'{"segments":[' + b"1," * 300_000 + b"1]}", CUES, "stop")
    assert (found.error_count, len(found.errors)) == (1000, 20)


@given(VALUES, st.sampled_from([None, 1]))
def test_the_end_of_every_value_is_found(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False).encode()
    places = dict(walk(value, ""))
    ends = ends_of(text, 0, places)
    for pointer, part in places.items():
        alone = json.dumps(part, ensure_ascii=False)[-1:].encode()
        assert text[: ends[pointer]].endswith(alone)
    if isinstance(value, dict) and value:
        # A prefix that ends there, closed by hand, holds the value last.
        last = list(value)[-1]
        rebuilt = orjson.loads(text[: ends["/" + last.replace("~", "~0").replace("/", "~1")]] + b"}")
        assert rebuilt == value


def walk(value: Any, pointer: str) -> list[tuple[str, Any]]:
    found = [(pointer, value)]
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in pairs:
        found += walk(part, f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}")
    return found
