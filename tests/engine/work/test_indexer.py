"""Rows of an index and their tasks: what belongs together is written together."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.errors import ApiError
from engine.sentences.meaning import Meaning
from engine.store.assets import Asset
from engine.store.indexed import Indexed
from engine.store.library import Library
from engine.store.rows import new_id, now
from engine.store.store import Store
from engine.work.fetch import Fetcher
from engine.work.indexer import Indexer
from engine.work.pool import Pool
from engine.work.recorder import Recorder
from engine.work.vectors import Vectors

INDEX = "a" * 24


class Indexes:
    """One index, and an indexer whose work is never begun."""

    def __init__(self, home: Path) -> None:
        self.library = Library(home)
        self.store = Store(self.library)
        pool = Pool(1)
        recorder = Recorder(self.store, pool, 1, "x")
        self.indexer = Indexer(self.store, pool, Fetcher(), recorder, Vectors(self.library, Meaning(None)))
        self.indexer._index = self._nothing  # type: ignore[method-assign, assignment]

    async def _nothing(self, row: Indexed) -> None:
        return None

    async def bring(self, index: str = INDEX) -> tuple[str, str]:
        incoming = self.library.incoming()
        try:
            await incoming.write(b"film")
            return await self.indexer.from_upload(index, incoming, "x.mp4", {})
        finally:
            incoming.discard()

    async def statuses(self, table: str) -> list[str]:
        return [row["status"] for row in await self.library.rows(f"SELECT status FROM {table} ORDER BY seq")]


@pytest.fixture
async def indexes(tmp_path: Path) -> AsyncIterator[Indexes]:
    made = Indexes(tmp_path)
    await made.library.open()
    row = {"id": INDEX, "index_name": "x", "models": "[]", "addons": "[]", "created_at": now(), "updated_at": now()}
    await made.library.insert("indexes", row)
    yield made
    await made.indexer.close()
    await made.library.close()


async def refuse(library: Library, event: str) -> None:
    """Have the database break off at an event, as a kill would."""
    await library.write(f"CREATE TRIGGER killed BEFORE {event} BEGIN SELECT raise(ABORT, 'killed'); END")


async def test_a_task_and_its_video_are_made_together(indexes: Indexes) -> None:
    await refuse(indexes.library, "INSERT ON tasks")
    with pytest.raises(Exception, match="killed"):
        await indexes.bring()
    assert await indexes.statuses("indexed") == await indexes.statuses("tasks") == []


async def test_bytes_for_an_index_that_is_gone_are_not_kept(indexes: Indexes, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="FOREIGN KEY"):
        await indexes.bring("b" * 24)
    assert [path for path in (tmp_path / "media").rglob("*") if path.is_file()] == []


async def test_a_task_and_its_video_end_together(indexes: Indexes) -> None:
    _, video = await indexes.bring()
    await refuse(indexes.library, "UPDATE ON tasks")
    with pytest.raises(Exception, match="killed"):
        await indexes.store.indexed.set(video, status="ready")
    assert await indexes.statuses("indexed") == await indexes.statuses("tasks") == ["validating"]


async def test_a_video_is_not_deleted_without_its_task_being_told(indexes: Indexes) -> None:
    _, video = await indexes.bring()
    row = await indexes.store.indexed.get(video)
    assert row is not None
    await refuse(indexes.library, "UPDATE ON tasks")
    with pytest.raises(Exception, match="killed"):
        await indexes.indexer.delete(row)
    assert await indexes.statuses("indexed") == ["validating"]


async def test_an_index_goes_with_its_videos_and_bytes_and_its_tasks_say_so(indexes: Indexes, tmp_path: Path) -> None:
    await indexes.bring()
    await indexes.indexer.delete_index(INDEX)
    assert (await indexes.statuses("indexed"), await indexes.statuses("tasks")) == ([], ["failed"])
    assert await indexes.library.rows("SELECT * FROM indexes") == []
    assert [path for path in (tmp_path / "media").rglob("*") if path.is_file()] == []


async def test_an_asset_that_is_deleted_in_the_same_moment_is_not_indexed(indexes: Indexes) -> None:
    incoming = indexes.library.incoming()
    await incoming.write(b"film")
    asset = Asset(new_id(), "direct", "ready", "x.mp4", "video/mp4", now())
    asset = await indexes.store.assets.add_with_content(asset, incoming)

    async def get(asset_id: str) -> Asset:
        await indexes.store.assets.delete(asset_id)
        (indexes.library.path_of(str(asset.sha256))).touch()  # its size is still to be had
        return asset

    indexes.store.assets.get = get  # type: ignore[method-assign]
    with pytest.raises(ApiError, match="asset"):
        await indexes.indexer.from_asset(INDEX, asset.id)
    assert await indexes.statuses("indexed") == []
