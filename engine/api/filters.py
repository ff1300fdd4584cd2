"""Filters of lists and searches, as conditions on rows.

A list takes them from its query (``duration[gte]=5``), a search from JSON
(``{"duration": {"gte": 5}}``); both end in the same conditions.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from engine.errors import ApiError, invalid

NUMBERS = ("duration", "fps", "width", "height", "size")
_BOUNDS = {"gte": ">=", "lte": "<="}
_METADATA_KEY = re.compile(r"user_metadata\[(.+)\]", re.DOTALL)


class Where:
    """Conditions that all must hold; columns are named by our code, values by the caller."""

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self.values: list[Any] = []

    @property
    def sql(self) -> str:
        return " AND ".join(self._conditions) or "1"

    def add(self, condition: str, *values: Any) -> None:
        self._conditions.append(condition)
        self.values += values

    def equal(self, column: str, value: Any) -> None:
        """Require a value, unless it is None."""
        if value is not None:
            self.add(f"{column} = ?", value)

    def among(self, column: str, values: Iterable[Any]) -> None:
        self.add(f"{column} IN (SELECT value FROM json_each(?))", json.dumps(list(values)))  # noqa: S608

    def statuses(self, request: web.Request, allowed: tuple[str, ...]) -> None:
        """Read the ``status`` parameter, which may be repeated.

        Raises:
            ApiError: ``parameter_invalid``.
        """
        statuses = request.query.getall("status", [])
        if not set(statuses) <= set(allowed):
            raise invalid(f"The status parameter takes {', '.join(allowed)}.")
        if statuses:
            self.among("status", statuses)

    def since(self, request: web.Request, name: str, column: str = "", bound: str = ">=") -> None:
        """Read a parameter that names an instant.

        Raises:
            ApiError: ``parameter_invalid``.
        """
        text = request.query.get(name)
        if text is not None:
            self.add(f"{column or name} {bound} ?", instant(name, text))

    def number(self, request: web.Request, name: str) -> None:
        """Read a parameter that is a number, or a range: ``name[gte]`` and ``name[lte]``.

        Raises:
            ApiError: ``parameter_invalid``.
        """
        for key in request.query:
            if key.startswith(f"{name}[") and key not in (f"{name}[gte]", f"{name}[lte]"):
                raise invalid(f"The {name} parameter takes a number, or {name}[gte] and {name}[lte].")
        if name in request.query:
            self._equals(name, _number(name, request.query[name]))
        for bound, sign in _BOUNDS.items():
            if (key := f"{name}[{bound}]") in request.query:
                self.add(f"{name} {sign} ?", _number(key, request.query[key]))

    def metadata_query(self, request: web.Request, known: Iterable[str]) -> None:
        """Take every other query key, and ``user_metadata[key]``, for a filter on metadata."""
        names = set(known)
        for key, text in request.query.items():
            if match := _METADATA_KEY.fullmatch(key):
                self.metadata_text(match[1], text)
            elif key not in names and key.partition("[")[0] not in NUMBERS:
                self.metadata_text(key, text)

    def metadata_text(self, key: str, text: str) -> None:
        """Require a member of the metadata, given as text: ``5`` and ``true`` are what they look like too."""
        values: list[Any] = [text]
        if text in ("true", "false"):
            values.append(text == "true")
        elif (number := _finite(text)) is not None:
            values.append(number)
        self._metadata(key, values)

    def search(self, wanted: Mapping[str, Any]) -> None:
        """Add a search's filter.

        Raises:
            ApiError: ``search_filter_invalid``.
        """
        for key, value in wanted.items():
            if key == "id":
                if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                    raise filter_invalid("id must be a list of strings")
                self.among("id", value)
            elif key == "filename":
                if not isinstance(value, str):
                    raise filter_invalid("filename must be a string")
                self.equal("filename", value)
            elif key in ("duration", "width", "height", "size"):
                self._search_number(key, value)
            elif isinstance(value, str | bool) or _is_number(value):
                self._metadata(key, [value])
            else:
                raise filter_invalid(f"{key[:64]} must be a string, a number or a boolean")

    def _search_number(self, key: str, value: Any) -> None:
        if _is_number(value):
            self._equals(key, value)
            return
        if not isinstance(value, dict) or not value or not set(value) <= set(_BOUNDS):
            raise filter_invalid(f"{key} must be a number, or an object with gte, lte or both")
        for bound, number in value.items():
            if not _is_number(number):
                raise filter_invalid(f"{key}.{bound} must be a number")
            self.add(f"{key} {_BOUNDS[bound]} ?", number)

    def _equals(self, column: str, number: float) -> None:
        # A duration is shown to the millisecond, and asked for as it is shown.
        self.add(f"abs({column} - ?) < 0.0005", number)

    def _metadata(self, key: str, values: list[Any]) -> None:
        tests, given = [], []
        for value in values:
            if isinstance(value, bool):
                tests.append(f"type = '{'true' if value else 'false'}'")
            elif isinstance(value, str):
                tests.append("type = 'text' AND value = ?")
                given.append(value)
            else:
                tests.append("type IN ('integer', 'real') AND value = ?")
                given.append(value)
        alternatives = " OR ".join(f"({test})" for test in tests)
        self.add(
            f"EXISTS (SELECT 1 FROM json_each(user_metadata) WHERE key = ? AND ({alternatives}))",  # noqa: S608
            key,
            *given,
        )


def filter_invalid(why: str) -> ApiError:
    return ApiError("search_filter_invalid", f"The filter parameter is invalid: {why}.")


def instant(name: str, text: str) -> str:
    """Return an RFC 3339 instant in the form in which the library writes them.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    try:
        # A plus sign in a query that was not encoded arrives as a space.
        moment = datetime.fromisoformat(re.sub(r" (\d\d:\d\d)$", r"+\1", text.strip()))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
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
