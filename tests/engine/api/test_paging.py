"""Pages of lists."""

import pytest
from aiohttp.test_utils import make_mocked_request

from engine.api.paging import read_paging
from engine.errors import ApiError
from engine.store.paging import Paging

SORTS = ("created_at", "updated_at")


def read(query: str) -> Paging:
    return read_paging(make_mocked_request("GET", f"/?{query}"), SORTS)


def test_without_a_word_the_newest_ten_come_first() -> None:
    assert read("") == Paging(1, 10, "created_at", True)


def test_order_and_size_can_be_chosen() -> None:
    assert read("page=3&page_limit=50&sort_by=updated_at&sort_option=asc") == Paging(3, 50, "updated_at", False)


@pytest.mark.parametrize(
    "query",
    ["page=0", "page=-1", "page=x", "page=1.5", "page=", "page_limit=0", "page_limit=51", "sort_by=name",
     "sort_option=up", "page=99999999999"],
)  # fmt: skip
def test_what_is_no_page_is_refused_by_name(query: str) -> None:
    with pytest.raises(ApiError, match=query.partition("=")[0]) as caught:
        read(query)
    assert (caught.value.status, caught.value.code) == (400, "parameter_invalid")
