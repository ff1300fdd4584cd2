"""Who is to be streamed, and where its pieces begin and end once that was found."""

import json
from dataclasses import dataclass

from engine.store.library import Library

Piece = tuple[float, float]  # where it begins and ends, in seconds


@dataclass(frozen=True, slots=True)
class Wish:
    """A wish to have media streamed; ``pieces`` is None until they were looked for."""

    pieces: list[Piece] | None


class VideoStreams:
    """The rows of ``video_streams``."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def wish(self, indexed_id: str) -> None:
        await self._library.write("INSERT OR IGNORE INTO video_streams (indexed_id) VALUES (?)", [indexed_id])

    async def get(self, indexed_id: str) -> Wish | None:
        """Return the wish for a row of ``indexed``, if there is one."""
        row = await self._library.row("SELECT pieces FROM video_streams WHERE indexed_id = ?", [indexed_id])
        if row is None:
            return None
        return Wish(row["pieces"] and [(begin, end) for begin, end in json.loads(row["pieces"])])

    async def set_pieces(self, indexed_id: str, pieces: list[Piece]) -> None:
        sql = "UPDATE video_streams SET pieces = ? WHERE indexed_id = ?"
        await self._library.write(sql, [json.dumps(pieces), indexed_id])
