"""Pages of rows: numbered, sorted, empty past the end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from engine.store.library import Library
from engine.store.where import Where

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page of a list is wanted, and in which order.

    Attributes:
        page: counts from 1.
        limit: rows on a page.
        sort_by: a column.
    """

    page: int
    limit: int
    sort_by: str = "created_at"
    descending: bool = True

    @property
    def order(self) -> str:
        """The ORDER BY; rows of the same instant keep their order of arrival."""
        way = "DESC" if self.descending else "ASC"
        return f"{self.sort_by} {way}, seq {way}"

    @property
    def skip(self) -> int:
        """Rows on the pages before."""
        return (self.page - 1) * self.limit

    def info(self, total: int) -> dict[str, int]:
        """Return the API's description of one page."""
        return {
            "limit_per_page": self.limit,
            "page": self.page,
            "total_page": -(-total // self.limit),
            "total_results": total,
        }


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The rows of one page, and how many there are on all of them."""

    rows: list[T]
    total: int


async def page_of(
    library: Library, table: str, paging: Paging, where: Where, read: Callable[[dict[str, Any]], T]
) -> Page[T]:
    """Return one page of a table, or of a query in parentheses."""
    count = await library.row(f"SELECT count(*) AS total FROM {table} WHERE {where.sql}", where.values)  # noqa: S608
    assert count is not None
    sql = f"SELECT * FROM {table} WHERE {where.sql} ORDER BY {paging.order} LIMIT ? OFFSET ?"  # noqa: S608
    rows = await library.rows(sql, [*where.values, paging.limit, paging.skip])
    return Page([read(row) for row in rows], count["total"])
