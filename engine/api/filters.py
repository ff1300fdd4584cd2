"""Filters of lists and searches, read from requests into conditions on rows.

A list takes them from its query (``duration[gte]=5``), a search from JSON
(``{"duration": {"gte": 5}}``); both end in the same conditions.
"""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from aiohttp import web

from engine.errors import ApiError, invalid
from engine.store.rows import written
from engine.store.where import Where

NUMBERS = ("duration", "fps", "width", "height", "size")
_BOUNDS: dict[str, Literal[">=", "<="]] = {"gte": ">=", "lte": "<="}
_METADATA_KEY = re.compile(r"user_metadata\[(.+)\]", re.DOTALL)


# -- of lists --------------------------------------------------------------------


def statuses(where: Where, request: web.Request, allowed: tuple[str, ...]) -> None:
    """Read the ``status`` parameter, which may be repeated.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    wanted = request.query.getall("status", [])
    if not set(wanted) <= set(allowed):
        raise invalid(f"The status parameter takes {', '.join(allowed)}.")
    if wanted:
        where.among("status", wanted)


def since(where: Where, request: web.Request, name: str, column: str = "", bound: Literal[">=", "<="] = ">=") -> None:
    """Read a parameter that names an instant.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    text = request.query.get(name)
    if text is not None:
        where.bounded(column or name, bound, instant(name, text))


def number(where: Where, request: web.Request, name: str) -> None:
    """Read a parameter that is a number, or a range: ``name[gte]`` and ``name[lte]``.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    for key in request.query:
        if key.startswith(f"{name}[") and key not in (f"{name}[gte]", f"{name}[lte]"):
            raise invalid(f"The {name} parameter takes a number, or {name}[gte] and {name}[lte].")
    if name in request.query:
        where.near(name, _number(name, request.query[name]))
    for bound, sign in _BOUNDS.items():
        if (key := f"{name}[{bound}]") in request.query:
            where.bounded(name, sign, _number(key, request.query[key]))


def metadata_query(where: Where, request: web.Request, known: Iterable[str]) -> None:
    """Take every other query key, and ``user_metadata[key]``, for a filter on metadata."""
    names = set(known)
    for key, text in request.query.items():
        if match := _METADATA_KEY.fullmatch(key):
            where.metadata(match[1], _looks_like(text))
        elif key not in names and key.partition("[")[0] not in NUMBERS:
            where.metadata(key, _looks_like(text))


def _looks_like(text: str) -> list[str | float]:
    """Return what a text may stand for: ``5`` and ``true`` are what they look like too."""
    if text in ("true", "false"):
        return [text, text == "true"]
    number = _finite(text)
    return [text] if number is None else [text, number]


# -- of searches -----------------------------------------------------------------


def search_filter(wanted: Mapping[str, Any]) -> Where:
    """Return a search's filter.

    Raises:
        ApiError: ``search_filter_invalid``.
    """
    where = Where()
    for key, value in wanted.items():
        if key == "id":
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise filter_invalid("id must be a list of strings")
            where.among("id", value)
        elif key == "filename":
            if not isinstance(value, str):
                raise filter_invalid("filename must be a string")
            where.equal("filename", value)
        elif key in ("duration", "width", "height", "size"):
            _search_number(where, key, value)
        elif isinstance(value, str | bool) or _is_number(value):
            where.metadata(key, [value])
        else:
            raise filter_invalid(f"{key[:64]} must be a string, a number or a boolean")
    return where


def _search_number(where: Where, key: str, value: Any) -> None:
    if _is_number(value):
        where.near(key, value)
        return
    if not isinstance(value, dict) or not value or not set(value) <= set(_BOUNDS):
        raise filter_invalid(f"{key} must be a number, or an object with gte, lte or both")
    for bound, number in value.items():
        if not _is_number(number):
            raise filter_invalid(f"{key}.{bound} must be a number")
        where.bounded(key, _BOUNDS[bound], number)


def filter_invalid(why: str) -> ApiError:
    return ApiError("search_filter_invalid", f"The filter parameter is invalid: {why}.")


# -- values ----------------------------------------------------------------------


def instant(name: str, text: str) -> str:
    """Return an RFC 3339 instant in the form in which the library writes them.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    try:
        # A plus sign in a query that was not encoded arrives as a space.
        moment = datetime.fromisoformat(re.sub(r" (\d\d:\d\d)$", r"+\1", text.strip()))
        return written(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError) as exc:
        raise invalid(f"The {name} parameter must be an RFC 3339 date and time.") from exc


def check_metadata(value: Any, path: str = "user_metadata", nulls: bool = False) -> dict[str, Any]:
    """Return metadata: a flat object of strings, numbers and booleans; with ``nulls`` also null.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    if not isinstance(value, dict):
        raise invalid(f"The {path} parameter must be an object.")
    for key, one in value.items():
        if not (isinstance(one, str | bool) or _is_number(one) or (nulls and one is None)):
            raise invalid(f"The {path}.{key[:64]} parameter must be a string, a number or a boolean.")
    return value


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and -(2**63) <= value < 2**63  # NaN is neither
    )


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _number(name: str, text: str) -> float:
    number = _finite(text)
    if number is None:
        raise invalid(f"The {name} parameter must be a number.")
    return number
