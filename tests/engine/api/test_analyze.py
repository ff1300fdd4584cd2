"""Requests of every form, and what a token is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api.analyze import encode, read_request
from engine.errors import ApiError

ASSET = {"type": "asset_id", "asset_id": "a" * 24}


def body(**members: Any) -> dict[str, Any]:
    return {"prompt": "summarize", "video": ASSET, **members}


def test_the_least_request_streams_with_the_largest_budget() -> None:
    asked = read_request(body())
    assert (asked.source, asked.value, asked.stream, asked.max_tokens) == ("asset_id", "a" * 24, True, 4096)


def test_members_that_are_not_known_are_not_judged() -> None:
    assert read_request(body(model_name="pegasus1.5", analysis_mode="general", more=[1])).prompt == "summarize"


@pytest.mark.parametrize(
    "member",
    [{"image": [1]}, {"prompt_v2": {}}, {"start_time": 1.0}, {"end_time": 9}, {"model_name": "other"},
     {"analysis_mode": "time_based_metadata"}, {"min_segment_duration": 2}, {"custom_id": "x"}],
)  # fmt: skip
def test_what_would_change_the_answer_and_cannot_be_served_is_refused(member: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match=next(iter(member))):
        read_request(body(**member))


def test_null_is_as_good_as_absent() -> None:
    asked = read_request(body(video_id=None, temperature=None, max_tokens=None, stream=None, response_format=None))
    assert asked.stream
    assert asked.schema is None


def test_a_video_id_is_a_source_of_its_own() -> None:
    asked = read_request({"prompt": "x", "video_id": "b" * 24})
    assert (asked.source, asked.value) == ("video_id", "b" * 24)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"prompt": None}, "parameter_not_provided"),
        ({"prompt": "  "}, "parameter_invalid"),
        ({"prompt": 7}, "parameter_invalid"),
        ({"prompt": "half \ud800"}, "parameter_invalid"),
        ({"prompt": "word " * 2000}, "token_limit_exceeded"),
        ({"video": None}, "parameter_not_provided"),
        ({"video": "x"}, "parameter_invalid"),
        ({"video": {}}, "parameter_not_provided"),
        ({"video": {"type": "file"}}, "parameter_invalid"),
        ({"video": {"type": ["url"]}}, "parameter_invalid"),
        ({"video": {"type": "url"}}, "parameter_not_provided"),
        ({"video": {"type": "url", "url": ""}}, "parameter_invalid"),
        ({"video": {"type": "url", "url": "file:///a"}}, "parameter_invalid"),
        ({"video": {**ASSET, "url": "http://example.com/a"}}, "parameter_invalid"),
        ({"video_id": "b"}, "parameter_invalid"),
        ({"temperature": 1.1}, "parameter_invalid"),
        ({"temperature": True}, "parameter_invalid"),
        ({"temperature": "0.2"}, "parameter_invalid"),
        ({"max_tokens": 0}, "parameter_invalid"),
        ({"max_tokens": 4097}, "parameter_invalid"),
        ({"max_tokens": 1.5}, "parameter_invalid"),
        ({"max_tokens": float("nan")}, "parameter_invalid"),
        ({"stream": "true"}, "parameter_invalid"),
        ({"response_format": {"json_schema": {}}}, "parameter_not_provided"),
        ({"response_format": {"type": "text", "json_schema": {}}}, "parameter_invalid"),
        ({"response_format": {"type": "json_schema"}}, "parameter_not_provided"),
        ({"response_format": {"type": "json_schema", "json_schema": []}}, "parameter_invalid"),
        ({"response_format": {"type": "json_schema", "json_schema": {"const": "\udfff"}}}, "parameter_invalid"),
    ],
)
def test_what_is_wrong_with_a_request_is_told_by_code(wrong: dict[str, Any], code: str) -> None:
    with pytest.raises(ApiError) as caught:
        read_request(body(**wrong))
    assert (caught.value.code, caught.value.status) == (code, 400)


@given(st.dictionaries(st.sampled_from(["prompt", "video", "video_id", "temperature", "max_tokens", "stream"]),
       st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.dictionaries(st.text(), inner))))  # fmt: skip
def test_no_request_breaks_the_reader(members: dict[str, Any]) -> None:
    try:
        read_request(members)
    except ApiError as exc:
        assert exc.status == 400


@given(st.text())
def test_an_event_is_one_line_for_every_reader(text: str) -> None:
    line = encode({"event_type": "text_generation", "text": text}).decode("ascii")
    assert len(line.splitlines()) == 1
