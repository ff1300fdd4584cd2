"""Pages of rows."""

import pytest

from engine.store.paging import Paging


@pytest.mark.parametrize(("total", "pages"), [(0, 0), (1, 1), (10, 1), (11, 2)])
def test_the_number_of_pages_is_rounded_up(total: int, pages: int) -> None:
    assert Paging(1, 10).info(total) == {
        "limit_per_page": 10, "page": 1, "total_page": pages, "total_results": total,
    }  # fmt: skip


def test_rows_of_the_same_instant_keep_their_order_of_arrival() -> None:
    assert Paging(1, 10).order == "created_at DESC, seq DESC"
    assert Paging(3, 10, "name", False).order == "name ASC, seq ASC"
    assert Paging(3, 10).skip == 20
