"""Lists as the API pages them: numbered pages, sorted, a page past the end is empty."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from engine.api.filters import Where
from engine.api.web import positive
from engine.errors import invalid
from engine.store.library import Library

MAX_PAGE_LIMIT = 50


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

    @classmethod
    def of(cls, request: web.Request, sorts: Sequence[str] = ()) -> "Paging":
        """Read the query parameters.

        Args:
            sorts: what ``sort_by`` may name, the default first; none where it cannot be sorted.

        Raises:
            ApiError: ``parameter_invalid``.
        """
        page = positive(request, "page", 1)
        limit = positive(request, "page_limit", 10, most=MAX_PAGE_LIMIT)
        if not sorts:
            return cls(page, limit)
        return cls(
            page, limit, one_of(request, "sort_by", sorts), one_of(request, "sort_option", ("desc", "asc")) == "desc"
        )

    @property
    def order(self) -> str:
        """The ORDER BY; rows of the same instant keep their order of arrival."""
        way = "DESC" if self.descending else "ASC"
        return f"{self.sort_by} {way}, seq {way}"

    def info(self, total: int) -> dict[str, int]:
        """Return the API's description of one page."""
        return {
            "limit_per_page": self.limit,
            "page": self.page,
            "total_page": -(-total // self.limit),
            "total_results": total,
        }


def one_of(request: web.Request, name: str, allowed: Sequence[str]) -> str:
    """Return a query parameter that must be one of some words; the first is the default.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    value = request.query.get(name, allowed[0])
    if value not in allowed:
        raise invalid(f"The {name} parameter must be one of {', '.join(allowed)}.")
    return value


async def listed(
    library: Library, table: str, paging: Paging, where: Where, told: Callable[[dict[str, Any]], dict[str, Any]]
) -> web.Response:
    """Answer with one page of a table's rows."""
    count = await library.row(f"SELECT count(*) AS total FROM {table} WHERE {where.sql}", where.values)  # noqa: S608
    assert count is not None
    sql = f"SELECT * FROM {table} WHERE {where.sql} ORDER BY {paging.order} LIMIT ? OFFSET ?"  # noqa: S608
    rows = await library.rows(sql, [*where.values, paging.limit, (paging.page - 1) * paging.limit])
    return web.json_response({"data": [told(row) for row in rows], "page_info": paging.info(count["total"])})
