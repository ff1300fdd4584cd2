"""Lists as the API pages them: which page a request wants, and how one is told."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from aiohttp import web

from engine.api.web import positive
from engine.errors import invalid
from engine.store.paging import Page, Paging

T = TypeVar("T")

MAX_PAGE_LIMIT = 50


def read_paging(request: web.Request, sorts: Sequence[str] = ()) -> Paging:
    """Read which page is wanted from the query.

    Args:
        sorts: what ``sort_by`` may name, the default first; none where it cannot be sorted.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    page = positive(request, "page", 1)
    limit = positive(request, "page_limit", 10, most=MAX_PAGE_LIMIT)
    if not sorts:
        return Paging(page, limit)
    sort_by = one_of(request, "sort_by", sorts)
    return Paging(page, limit, sort_by, one_of(request, "sort_option", ("desc", "asc")) == "desc")


def one_of(request: web.Request, name: str, allowed: Sequence[str]) -> str:
    """Return a query parameter that must be one of some words; the first is the default.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    value = request.query.get(name, allowed[0])
    if value not in allowed:
        raise invalid(f"The {name} parameter must be one of {', '.join(allowed)}.")
    return value


def listed(page: Page[T], paging: Paging, told: Callable[[T], dict[str, Any]]) -> web.Response:
    """Answer with a page of rows."""
    return web.json_response({"data": [told(row) for row in page.rows], "page_info": paging.info(page.total)})
