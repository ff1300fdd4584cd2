"""What is wrong with a body is told by its path, and in the API's own way."""

from typing import Annotated, Any

import pytest
from pydantic import Field

from engine.api.bodies import Body, Flag, Metadata, Text, list_or, object_or, read_body, says, takes, that
from engine.errors import ApiError


class Inner(Body):
    name: Text
    words: Annotated[list[str], takes("red", "blue")] = Field(default_factory=list)


class Outer(Body):
    name: Annotated[Text, that(lambda name: name != "x", "must not be x")]
    inner: Annotated[Inner, object_or("has the wrong type")] | None = None
    many: Annotated[list[Inner], list_or("must be a list with at least one")] | None = None
    size: Annotated[Annotated[int, Field(ge=1)], says("must be from 1 on")] = 5
    sure: Flag | None = None
    about: Metadata | None = None


def refused(body: Any, path: str = "") -> tuple[str, str]:
    with pytest.raises(ApiError) as caught:
        read_body(Outer, body, path)
    assert caught.value.status == 400
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"name": 5}, "The name parameter must be a string."),
        ({"name": "x"}, "The name parameter must not be x."),
        ({"inner": []}, "The inner parameter has the wrong type."),
        ({"inner": {"name": "a", "words": ["red", "green"]}}, "The inner.words parameter takes red, blue."),
        ({"inner": {"name": "a", "words": [[]]}}, "The inner.words parameter takes red, blue."),
        ({"many": []}, "The many parameter must be a list with at least one."),
        ({"many": [{"name": "a"}, 5]}, "The many[1] parameter must be an object."),
        ({"many": [{"name": "a"}, {"name": True}]}, "The many[1].name parameter must be a string."),
        ({"size": True}, "The size parameter must be from 1 on."),
        ({"size": "5"}, "The size parameter must be from 1 on."),
        ({"size": 0, "sure": "yes"}, "The size parameter must be from 1 on."),  # the first of two
        ({"sure": 1}, "The sure parameter must be true or false."),
        ({"about": {"a": []}}, "The about.a parameter must be a string, a number or a boolean."),
    ],
)
def test_a_fault_is_told_with_the_path_of_its_member(members: dict[str, Any], message: str) -> None:
    assert refused({"name": "a", **members}) == ("parameter_invalid", message)


@pytest.mark.parametrize(
    ("body", "path"),
    [({}, "name"), ({"name": None}, "name"), ({"name": "a", "many": [{}]}, "many[0].name")],
)
def test_what_is_not_there_is_missed_by_its_path(body: dict[str, Any], path: str) -> None:
    assert refused(body) == ("parameter_not_provided", f"The {path} parameter is required but was not provided.")
    assert refused(body, "audio")[1].startswith(f"The audio.{path} ")


def test_null_is_as_good_as_absent_and_the_unknown_is_not_judged() -> None:
    read = read_body(Outer, {"name": "a", "size": None, "inner": {"name": "b", "words": None}, "more": [{}]})
    assert (read.size, read.inner) == (5, Inner(name="b"))


def test_a_word_that_is_named_twice_counts_once() -> None:
    assert read_body(Inner, {"name": "a", "words": ["blue", "red", "blue"]}).words == ["blue", "red"]
