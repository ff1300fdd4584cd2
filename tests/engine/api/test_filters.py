"""Filters of lists and searches, run on rows."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from engine.api.filters import check_metadata, instant, metadata_query, number, search_filter
from engine.errors import ApiError
from engine.store.where import Where

ROWS = [
    ("a", 10.0, {"kind": "film", "year": 2024}),
    ("b", 20.5, {"kind": "2024", "on": True}),
    ("c", None, {"kind": "true", "year": 2024.5}),
]


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (id TEXT, duration REAL, filename TEXT, user_metadata TEXT)")
    connection.executemany("INSERT INTO t VALUES (?, ?, NULL, ?)", [(a, b, json.dumps(c)) for a, b, c in ROWS])
    yield connection
    connection.close()


def ids(db: sqlite3.Connection, where: Where) -> str:
    return "".join(row[0] for row in db.execute(f"SELECT id FROM t WHERE {where.sql} ORDER BY id", where.values))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "abc"),
        ("duration=10", "a"),
        ("duration=20.5004", "b"),
        ("duration[gte]=10&duration[lte]=20", "a"),
        ("duration[gte]=10.5", "b"),
        ("kind=film", "a"),
        ("user_metadata[kind]=film", "a"),
        ("kind=2024", "b"),
        ("year=2024", "a"),
        ("year=2024.5", "c"),
        ("on=true", "b"),
        ("kind=true", "c"),
        ("kind=film&year=2025", ""),
        ("no'%22such=x", ""),
    ],
)
def test_a_query_finds_the_rows_it_describes(db: sqlite3.Connection, query: str, found: str) -> None:
    request, where = make_mocked_request("GET", f"/?{query}"), Where()
    number(where, request, "duration")
    metadata_query(where, request, ("page",))
    assert ids(db, where) == found


@pytest.mark.parametrize("query", ["duration=x", "duration[gte]=nan", "duration=inf", "duration[gt]=1", "duration[]=1"])
def test_what_is_no_number_is_refused(query: str) -> None:
    with pytest.raises(ApiError, match="duration"):
        number(Where(), make_mocked_request("GET", f"/?{query}"), "duration")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "abc"),
        ({"id": ["a", "c", "z"]}, "ac"),
        ({"duration": 10}, "a"),
        ({"duration": {"gte": 10, "lte": 21}}, "ab"),
        ({"year": 2024}, "a"),
        ({"kind": "2024"}, "b"),
        ({"on": True}, "b"),
        ({"on": 1}, ""),
        ({"year": "2024"}, ""),
    ],
)
def test_a_search_filter_is_strict_about_types(db: sqlite3.Connection, wanted: dict[str, Any], found: str) -> None:
    assert ids(db, search_filter(wanted)) == found


@pytest.mark.parametrize(
    "wanted",
    [{"id": "a"}, {"id": [1]}, {"duration": "10"}, {"duration": {}}, {"duration": {"gt": 1}},
     {"duration": {"gte": True}}, {"filename": 1}, {"kind": None}, {"kind": {"gte": 1}}],
)  # fmt: skip
def test_a_search_filter_of_another_form_is_refused(wanted: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        search_filter(wanted)
    assert caught.value.code == "search_filter_invalid"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00.000Z"),
        ("2024-05-01T12:00:00+02:00", "2024-05-01T10:00:00.000Z"),
        ("2024-05-01T12:00:00 02:00", "2024-05-01T10:00:00.000Z"),
        ("2024-05-01", "2024-05-01T00:00:00.000Z"),
    ],
)
def test_instants_are_brought_to_one_form(text: str, moment: str) -> None:
    assert instant("created_at", text) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01", "0001-01-01T00:00:00+10:00"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ApiError, match="created_at"):
        instant("created_at", text)


@pytest.mark.parametrize("value", [[], "x", {"a": []}, {"a": None}, {"a": {"b": 1}}, {"a": float("nan")}])
def test_metadata_is_flat(value: Any) -> None:
    with pytest.raises(ApiError, match="user_metadata"):
        check_metadata(value)


def test_null_in_metadata_is_for_changes_only() -> None:
    assert check_metadata({"a": None}, nulls=True) == {"a": None}
