"""Assets: files that were brought in, or are on their way."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from engine.errors import ApiError, unknown
from engine.store.library import Incoming, Library
from engine.store.paging import Page, Paging
from engine.store.rows import as_value, is_id

_CHOSEN = """
(:ids IS NULL OR id IN (SELECT value FROM json_each(:ids)))
AND (:filename IS NULL OR filename = :filename)
AND (:kinds IS NULL OR substr(file_type, 1, instr(file_type, '/') - 1) IN (SELECT value FROM json_each(:kinds)))
"""
_COUNT = f"SELECT count(*) AS total FROM assets WHERE {_CHOSEN}"  # noqa: S608 -- all of it stands here
_PAGE = f"SELECT * FROM assets WHERE {_CHOSEN} ORDER BY seq DESC LIMIT :limit OFFSET :skip"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that was brought in, or is on its way (``processing``)."""

    id: str
    method: str
    status: str
    filename: str | None
    file_type: str | None
    created_at: str
    url: str | None = None
    sha256: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class Assets:
    """The rows of ``assets``."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def add(self, asset: Asset) -> None:
        """Add an asset whose bytes are still to come."""
        await self._library.insert("assets", asdict(asset))

    async def add_with_content(self, asset: Asset, incoming: Incoming) -> Asset:
        """Add an asset together with its bytes; return it with their hash."""
        row = await self._library.insert_with_content("assets", asdict(asset), incoming)
        return replace(asset, sha256=row["sha256"])

    async def get(self, asset_id: str) -> Asset:
        """Return an asset.

        Raises:
            ApiError: ``resource_not_exist``.
        """
        row = await self._library.row("SELECT * FROM assets WHERE id = ?", [asset_id]) if is_id(asset_id) else None
        if row is None:
            raise unknown("asset", asset_id)
        return as_value(Asset, row)

    async def processing(self) -> list[Asset]:
        """Return the assets whose intake was not finished."""
        rows = await self._library.rows("SELECT * FROM assets WHERE status = 'processing' ORDER BY seq")
        return [as_value(Asset, row) for row in rows]

    async def page(
        self, paging: Paging, ids: Sequence[str] = (), kinds: Sequence[str] = (), filename: str | None = None
    ) -> Page[Asset]:
        """Return one page, newest first.

        Args:
            kinds: ``image``, ``video``, ``audio``.
        """
        values = {
            "ids": json.dumps(ids) if ids else None,
            "kinds": json.dumps(kinds) if kinds else None,
            "filename": filename,
            "limit": paging.limit,
            "skip": paging.skip,
        }
        count = await self._library.row(_COUNT, values)
        assert count is not None
        rows = await self._library.rows(_PAGE, values)
        return Page([as_value(Asset, row) for row in rows], count["total"])

    async def set_content(self, asset_id: str, incoming: Incoming) -> None:
        """Give an asset its bytes."""
        await self._library.set_row_content("assets", asset_id, incoming)

    async def set_ready(self, asset_id: str, file_type: str) -> None:
        sql = "UPDATE assets SET status = 'ready', file_type = ? WHERE id = ?"
        await self._library.write(sql, [file_type, asset_id])

    async def set_failed(self, asset_id: str, error: ApiError) -> None:
        sql = "UPDATE assets SET status = 'failed', error_code = ?, error_message = ? WHERE id = ?"
        await self._library.write(sql, [error.code, error.message, asset_id])

    async def delete(self, asset_id: str) -> None:
        """Forget an asset, and its bytes when no other row consists of them.

        Raises:
            ApiError: ``resource_not_exist``.
        """
        if not is_id(asset_id) or not await self._library.remove("assets", asset_id):
            raise unknown("asset", asset_id)
