"""Rows and files that outlive the engine."""

import hashlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.errors import ApiError
from engine.store.assets import Asset, Assets
from engine.store.library import Library
from engine.store.paging import Paging
from engine.store.rows import new_id, now


@pytest.fixture
async def library(tmp_path: Path) -> AsyncIterator[Library]:
    kept = Library(tmp_path)
    await kept.open()
    yield kept
    await kept.close()


async def store(library: Library, content: bytes = b"clip", file_type: str = "video/mp4") -> Asset:
    incoming = library.incoming()
    await incoming.write(content)
    asset = Asset(new_id(), "direct", "processing", "clip.mp4", file_type, now())
    return await Assets(library).add_with_content(asset, incoming)


async def test_bytes_are_kept_under_their_hash(library: Library) -> None:
    asset = await store(library)
    assert asset.sha256 is not None
    assert library.path_of(asset.sha256).read_bytes() == b"clip"
    assert await Assets(library).get(asset.id) == asset


async def test_equal_bytes_are_kept_once_and_go_with_the_last_asset(library: Library) -> None:
    one, other = await store(library), await store(library)
    assert one.sha256 == other.sha256
    path = library.path_of(str(one.sha256))
    await Assets(library).delete(one.id)
    assert path.exists()
    await Assets(library).delete(other.id)
    assert not path.exists()


@pytest.mark.parametrize("asset_id", ["0" * 24, "", "x", "../../etc/passwd", "\ud800" * 24])
async def test_an_unknown_asset_is_said_to_be_unknown(library: Library, asset_id: str) -> None:
    assets = Assets(library)
    for call in (assets.get, assets.delete):
        with pytest.raises(ApiError) as caught:
            await call(asset_id)
        assert (caught.value.status, caught.value.code) == (404, "resource_not_exist")


async def test_pages_are_newest_first_and_filtered(library: Library) -> None:
    videos = [await store(library, bytes([n])) for n in range(3)]
    sound = await store(library, b"s", "audio/mpeg")
    assets = Assets(library)
    page = await assets.page(Paging(1, 2))
    assert ([one.id for one in page.rows], page.total) == ([sound.id, videos[2].id], 4)
    page = await assets.page(Paging(2, 2))
    assert [one.id for one in page.rows] == [videos[1].id, videos[0].id]
    page = await assets.page(Paging(9, 2))
    assert (page.rows, page.total) == ([], 4)
    page = await assets.page(Paging(1, 10), kinds=["audio", "image"])
    assert ([one.id for one in page.rows], page.total) == ([sound.id], 1)
    page = await assets.page(Paging(1, 10), ids=[videos[0].id, "nothing"])
    assert ([one.id for one in page.rows], page.total) == ([videos[0].id], 1)


async def test_another_engine_finds_what_the_last_one_kept(tmp_path: Path) -> None:
    first = Library(tmp_path)
    await first.open()
    asset = await store(first)
    await Assets(first).set_ready(asset.id, "video/mp4")
    waiting = await store(first, b"other")
    await first.close()
    second = Library(tmp_path)
    await second.open()
    assert (await Assets(second).get(asset.id)).status == "ready"
    assert [one.id for one in await Assets(second).processing()] == [waiting.id]
    await second.close()


async def test_what_a_killed_engine_left_without_a_row_is_swept(tmp_path: Path) -> None:
    first = Library(tmp_path)
    await first.open()
    asset = await store(first)
    await first.close()
    half = tmp_path / "incoming" / "half"
    orphan = tmp_path / "media" / "ab" / ("ab" * 32)
    orphan.parent.mkdir()
    for path in (half, orphan):
        path.write_bytes(b"x")
    second = Library(tmp_path)
    await second.open()
    assert not half.exists()
    assert not orphan.exists()
    assert second.path_of(str(asset.sha256)).exists()
    await second.close()


async def test_a_file_past_the_limit_is_refused(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.store.library.MAX_ASSET_BYTES", 10)
    incoming = library.incoming()
    await incoming.write(b"x" * 10)
    with pytest.raises(ApiError) as caught:
        await incoming.write(b"x")
    assert caught.value.code == "video_filesize_too_large"
    incoming.discard()
    assert not incoming.path.exists()


async def test_a_full_disk_is_told_before_it_is_full(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.store.storage.RESERVE_BYTES", 1 << 60)
    incoming = library.incoming()
    with pytest.raises(ApiError, match="disk is full") as caught:
        await incoming.write(b"x")
    assert (caught.value.status, caught.value.code) == (507, "usage_limit_exceeded")
    incoming.discard()


async def test_a_library_that_is_full_takes_no_more_until_something_goes(tmp_path: Path) -> None:
    library = Library(tmp_path, max_bytes=1000)
    await library.open()
    first = library.incoming()
    await first.write(b"x" * 900)
    asset = await Assets(library).add_with_content(Asset(new_id(), "direct", "ready", "a", "video/mp4", now()), first)
    second = library.incoming()
    with pytest.raises(ApiError, match="used up: delete assets") as caught:
        await second.write(b"y" * 200)
    assert (caught.value.status, caught.value.code) == (507, "usage_limit_exceeded")
    second.discard()
    with pytest.raises(ApiError):
        await library.need(200)
    await Assets(library).delete(asset.id)
    await library.need(1000)
    third = library.incoming()
    await third.write(b"y" * 200)
    third.discard()
    await library.close()


async def test_a_long_file_is_stopped_on_its_way_when_the_library_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.store.library.ASK_AGAIN_BYTES", 1 << 16)
    library = Library(tmp_path, max_bytes=1 << 20)
    await library.open()
    incoming = library.incoming()
    with pytest.raises(ApiError, match="used up"):
        for _ in range(100):
            await incoming.write(b"x" * (1 << 15))
    assert incoming.size <= (1 << 20) + (1 << 17)
    incoming.discard()
    await library.close()


async def test_bytes_for_a_row_that_was_deleted_meanwhile_are_not_kept(library: Library) -> None:
    asset = Asset(new_id(), "url", "processing", "clip.mp4", "video/mp4", now())
    await Assets(library).add(asset)
    incoming = library.incoming()
    await incoming.write(b"late")
    await Assets(library).delete(asset.id)
    await Assets(library).set_content(asset.id, incoming)
    assert not library.path_of(hashlib.sha256(b"late").hexdigest()).exists()


async def test_rows_that_belong_together_are_all_written_or_none(library: Library) -> None:
    secret = {"name": "x", "secret": b"x"}
    with pytest.raises(sqlite3.IntegrityError):
        await library.insert_all([("secrets", secret), ("secrets", secret)])
    assert await library.rows("SELECT * FROM secrets") == []
