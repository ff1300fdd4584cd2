"""Conditions on rows: what is asked for, as SQL.

Columns are named by our code, values by the caller.
"""

import json
from collections.abc import Iterable
from typing import Any, Literal


class Where:
    """Conditions that all must hold."""

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self.values: list[Any] = []

    @property
    def sql(self) -> str:
        return " AND ".join(self._conditions) or "1"

    def add(self, condition: str, *values: Any) -> None:
        """Add a condition in SQL; for the store alone."""
        self._conditions.append(condition)
        self.values += values

    def also(self, other: "Where") -> None:
        """Require what another asks for, too."""
        self.add(other.sql, *other.values)

    def equal(self, column: str, value: Any) -> None:
        """Require a value, unless it is None."""
        if value is not None:
            self.add(f"{column} = ?", value)

    def differs(self, column: str, value: Any) -> None:
        self.add(f"{column} != ?", value)

    def among(self, column: str, values: Iterable[Any]) -> None:
        self.add(f"{column} IN (SELECT value FROM json_each(?))", json.dumps(list(values)))  # noqa: S608

    def bounded(self, column: str, bound: Literal[">=", "<="], value: Any) -> None:
        self.add(f"{column} {bound} ?", value)

    def near(self, column: str, number: float) -> None:
        """Require a number; a duration is shown to the millisecond, and asked for as it is shown."""
        self.add(f"abs({column} - ?) < 0.0005", number)

    def metadata(self, key: str, values: Iterable[str | float]) -> None:
        """Require a member of the metadata to be one of some values, each of its own type."""
        tests: list[str] = []
        given: list[str | float] = []
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
