"""Rows as values: what is written comes back as it was, and belongs together."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import ApiError
from engine.store.assets import Asset
from engine.store.entities import EntityWhere
from engine.store.indexed import Indexed
from engine.store.indexes import IndexWhere
from engine.store.library import Library
from engine.store.paging import Paging
from engine.store.rows import new_id, now
from engine.store.searches import Search
from engine.store.store import Store
from engine.store.tasks import Task
from engine.store.where import Where

PAGING = Paging(1, 10)
MODELS = [{"model_name": "marengo3.0", "model_options": ["visual"]}]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(Library(tmp_path))
    await made.library.open()
    yield made
    await made.library.close()


async def index_of(store: Store, name: str = "films") -> str:
    return await store.indexes.add(name, MODELS, ["thumbnail"])


async def test_an_index_counts_what_is_ready_in_it(store: Store) -> None:
    ident = await index_of(store)
    for status, duration in (("ready", 2.5), ("ready", 1.0), ("failed", 9.0)):
        row = Indexed.new(ident, status, "x.mp4", duration=duration)
        await store.indexed.add_with_task(row, Task(new_id(), ident, row.id, status, None, now(), now()))
    index = await store.indexes.counted(ident)
    assert (index.models, index.addons) == (MODELS, ["thumbnail"])
    assert (index.video_count, index.total_duration) == (2, 3.5)
    where = Where()
    where.near("duration", 1.0)
    ready = await store.indexed.ready_in(ident, where)
    assert ([row.duration for row in ready.rows], ready.total, ready.duration) == ([1.0], 2, 3.5)


async def test_two_indexes_bear_no_one_name(store: Store) -> None:
    await index_of(store)
    other = await index_of(store, "others")
    with pytest.raises(ApiError, match="exists already"):
        await index_of(store)
    with pytest.raises(ApiError, match="exists already"):
        await store.indexes.rename(other, "films")


@pytest.mark.parametrize(
    ("option", "family", "total"), [("visual", "marengo", 1), ("audio", None, 0), (None, "pegasus", 0)]
)
async def test_indexes_are_found_by_their_models(
    store: Store, option: str | None, family: str | None, total: int
) -> None:
    await index_of(store)
    where = IndexWhere()
    if option:
        where.option(option)
    if family:
        where.family(family)
    assert (await store.indexes.page(PAGING, where)).total == total


async def test_media_come_back_as_they_were_written(store: Store) -> None:
    ident = await index_of(store)
    row = Indexed.new(ident, "pending", "x.mp4", user_metadata={"a": 1, "b": "c"}, url="http://x/")
    await store.indexed.add_with_task(row, Task(new_id(), ident, row.id, "pending", None, now(), now()))
    assert await store.indexed.get(row.id) == row
    assert await store.indexed.metadata_of([row.id, "nobody"]) == {row.id: {"a": 1, "b": "c"}}
    [placed] = (await store.indexed.page_with_index(PAGING, Where())).rows
    assert placed == replace(row, index_name="films")


async def test_a_task_says_what_its_media_say(store: Store) -> None:
    ident = await index_of(store)
    row = Indexed.new(ident, "pending", None)
    task = Task(new_id(), ident, row.id, "pending", None, now(), now())
    await store.indexed.add_with_task(row, task)
    await store.indexed.set(row.id, status="ready", duration=3.0, fps=25.0)
    told = await store.tasks.get(task.id)
    assert (told.status, told.duration) == ("ready", 3.0)


async def test_an_entity_waits_for_its_images(store: Store) -> None:
    cast = await store.collections.add("cast", None)
    asset = Asset(new_id(), "url", "processing", None, "image/png", now())
    await store.assets.add(asset)
    ident = await store.entities.add(cast.id, "one", None, {"a": True}, [asset.id, asset.id])
    entity = await store.entities.get(cast.id, ident)
    assert (entity.status, entity.asset_ids, entity.metadata) == ("processing", [asset.id], {"a": True})
    await store.assets.set_ready(asset.id, "image/png")
    where = EntityWhere()
    where.shown_by(asset.id)
    assert [one.status for one in (await store.entities.page(PAGING, where)).rows] == ["ready"]
    await store.collections.delete(cast.id)
    assert not await store.entities.exists(ident)


async def test_a_search_is_kept_until_another_finds_it_too_old(store: Store) -> None:
    search = Search(new_id(), "2024-01-01T00:00:00.000Z", 5, {"items": [1]})
    await store.searches.keep(search, "2023-01-01T00:00:00.000Z")
    assert await store.searches.get(search.id) == search
    await store.searches.keep(replace(search, id=new_id()), "2024-01-01T00:00:00.000Z")
    assert await store.searches.get(search.id) is None


async def test_a_task_that_is_over_has_no_media_of_its_own(store: Store) -> None:
    incoming = store.library.incoming()
    await incoming.write(b"film")
    made = await store.analyze_tasks.add({"prompt": "x"}, incoming)
    kept = await store.analyze_tasks.get(made.id)
    assert kept.sha256 is not None
    await store.analyze_tasks.end(made.id, result={"data": "y"})
    done = await store.analyze_tasks.get(made.id)
    assert (done.status, done.asked, done.result, done.error, done.sha256) == (
        "ready",
        {"prompt": "x"},
        {"data": "y"},
        None,
        None,
    )
    again = await store.embed_tasks.add(2, {"kind": "video"})
    await store.embed_tasks.end(again.id, error={"code": "internal_error"})
    failed = await store.embed_tasks.find(again.id, 2, "2024")
    assert (failed.status, failed.result, failed.error) == ("failed", None, {"code": "internal_error"})
    with pytest.raises(ApiError, match="does not exist"):
        await store.embed_tasks.find(again.id, 1, "2024")


async def test_pieces_are_unknown_until_they_were_looked_for(store: Store) -> None:
    ident = await index_of(store)
    row = Indexed.new(ident, "ready", None)
    await store.indexed.add_with_task(row, Task(new_id(), ident, row.id, "ready", None, now(), now()))
    assert await store.streams.get(row.id) is None
    await store.streams.wish(row.id)
    wish = await store.streams.get(row.id)
    assert wish is not None
    assert wish.pieces is None
    for pieces in ([(0.0, 6.0)], []):
        await store.streams.set_pieces(row.id, pieces)
        wish = await store.streams.get(row.id)
        assert wish is not None
        assert wish.pieces == pieces
