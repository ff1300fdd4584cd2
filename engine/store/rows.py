"""What all rows share: ids, instants, and how a row becomes a value."""

import secrets
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def new_id() -> str:
    """Return 24 hexadecimal digits."""
    return secrets.token_hex(12)


def is_id(text: str) -> bool:
    """Whether a text has the form of an id; what has not may hold anything."""
    return len(text) == 24 and set(text) <= set("0123456789abcdef")


def now() -> str:
    """Return the present time as the API writes it."""
    return written(datetime.now(UTC))


def written(moment: datetime) -> str:
    """Return an instant as the API writes it, in which form rows keep it and are compared by it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_value(kind: type[T], row: dict[str, Any], **decoded: Any) -> T:
    """Return a row as a dataclass; columns that it has no field for are left out.

    Args:
        decoded: members that are kept in another form than they are used in.
    """
    names = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in (row | decoded).items() if name in names})
