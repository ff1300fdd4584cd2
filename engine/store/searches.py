"""What searches found, kept for their further pages."""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from engine.store.library import Library
from engine.store.rows import as_value


@dataclass(frozen=True, slots=True)
class Search:
    """The outcome of a search."""

    id: str
    expires_at: str
    page_limit: int
    found: dict[str, Any]


class Searches:
    """The rows of ``searches``."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def get(self, ident: str) -> Search | None:
        row = await self._library.row("SELECT * FROM searches WHERE id = ?", [ident])
        return None if row is None else as_value(Search, row, found=json.loads(row["found"]))

    async def keep(self, search: Search, moment: str) -> None:
        """Keep an outcome; those that had expired by ``moment`` go."""

        def write(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM searches WHERE expires_at <= ?", [moment])
            row = [search.id, search.expires_at, search.page_limit, json.dumps(search.found)]
            db.execute("INSERT INTO searches VALUES (?, ?, ?, ?)", row)

        await self._library.together(write)
