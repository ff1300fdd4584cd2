"""Indexes: what is measured of the media in them."""

import json
from typing import Any

from engine.errors import unknown
from engine.store.library import Library, is_id


class Index:
    """What the other resources ask an index."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.id: str = row["id"]
        self.models: list[dict[str, Any]] = json.loads(row["models"])
        self.addons: list[str] = json.loads(row["addons"])

    def options_of(self, family: str) -> set[str] | None:
        """Return what the model of a family looks at; None when there is no such model."""
        options = [set(one["model_options"]) for one in self.models if one["model_name"].startswith(family)]
        return set().union(*options) if options else None


async def find_index(library: Library, index_id: str) -> Index:
    """Return an index.

    Raises:
        ApiError: ``resource_not_exist``.
    """
    row = await library.row("SELECT * FROM indexes WHERE id = ?", [index_id]) if is_id(index_id) else None
    if row is None:
        raise unknown("index", index_id)
    return Index(row)
