"""Uploads in chunks, with chunks small enough to be many."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from engine.api.multipart import MultipartRoutes
from engine.api.web import add_headers, errors_as_json
from engine.errors import ApiError
from engine.store.library import Library
from engine.store.paging import Paging
from engine.store.store import Store
from engine.work.fetch import Fetcher
from engine.work.intake import Intake
from engine.work.pool import Pool
from engine.work.uploads import UploadSessions

CONTENT = bytes(range(250))


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Uploads:
    """A server of uploads alone; what it joins is never judged."""

    def __init__(self, home: Path) -> None:
        self.library = Library(home)
        self.store = Store(self.library)
        self.joined: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self.clock = Clock()
        self.intake = Intake(self.store, Pool(1), Fetcher())
        self.intake.from_parts = self._joined  # type: ignore[method-assign]
        self.sessions = UploadSessions(self.store, self.intake, self.clock)
        self.routes = MultipartRoutes(self.library, self.store.uploads, self.sessions)

    async def _joined(self, asset_id: str, incoming: Any) -> None:
        await self.store.assets.set_content(asset_id, incoming)
        asset = await self.store.assets.get(asset_id)
        self.joined.put_nowait((asset_id, self.library.path_of(str(asset.sha256)).read_bytes()))

    async def open(self) -> None:
        await self.library.open()
        await self.sessions.open()

    async def close(self) -> None:
        await self.sessions.close()
        await self.library.close()

    async def client(self) -> TestClient[Any, Any]:
        app = web.Application(middlewares=[errors_as_json])
        app.on_response_prepare.append(add_headers)
        app.add_routes(self.routes.routes())
        self.http = TestClient(TestServer(app))
        await self.http.start_server()
        return self.http

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        async with self.http.request(
            method, f"/v1.3/assets/multipart-uploads{path}", json=body, headers=headers
        ) as got:
            return got.status, await got.json()

    async def put(self, url: str, content: bytes) -> tuple[int, str]:
        path = url.partition("/v1.3/")[2]
        async with self.http.put(f"/v1.3/{path}", data=content) as got:
            return got.status, got.headers.get("ETag", "").strip('"')


@pytest.fixture
async def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Uploads]:
    monkeypatch.setattr("engine.work.uploads.CHUNK_BYTES", 100)
    server = Uploads(tmp_path)
    await server.open()
    await server.client()
    yield server
    await server.http.close()
    await server.close()


async def begin(uploads: Uploads, **headers: str) -> dict[str, Any]:
    body = {"filename": "x.mp4", "type": "video", "total_size": len(CONTENT)}
    status, made = await uploads.call("POST", "", body, **headers)
    assert status == 201
    return dict(made)


def chunk(index: int, etag: str, size: int = 100) -> dict[str, Any]:
    return {"chunk_index": index, "proof": etag, "proof_type": "etag", "chunk_size": size}


def part(index: int) -> bytes:
    return CONTENT[(index - 1) * 100 : index * 100]


async def test_chunks_in_any_order_are_joined_in_theirs(uploads: Uploads) -> None:
    made = await begin(uploads)
    assert [one["chunk_index"] for one in made["upload_urls"]] == [1, 2, 3]
    etags = {}
    for one in reversed(made["upload_urls"]):
        status, etags[one["chunk_index"]] = await uploads.put(one["url"], part(one["chunk_index"]))
        assert status == 200
    path = f"/{made['upload_id']}"
    status, half = await uploads.call("POST", path, {"completed_chunks": [chunk(3, etags[3], 50), chunk(1, etags[1])]})
    assert (status, half["total_completed"], "url" in half) == (200, 2, False)
    rows = (await uploads.call("GET", path))[1]
    assert [row["status"] for row in rows["uploaded_chunks"]] == ["completed", "pending", "completed"]
    assert (rows["uploaded_size"], rows["chunks_pending"]) == (150, 1)
    status, whole = await uploads.call("POST", path, {"completed_chunks": [chunk(2, etags[2]), chunk(1, etags[1])]})
    assert (whole["processed_chunks"], whole["duplicate_chunks"], whole["total_completed"]) == (1, 1, 3)
    assert await uploads.joined.get() == (made["asset_id"], CONTENT)
    assert (await uploads.call("GET", path))[1]["status"] == "completed"


async def test_addresses_lead_back_through_the_gateway(uploads: Uploads) -> None:
    made = await begin(uploads, **{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "films.example:8443"})
    assert made["upload_urls"][0]["url"].startswith("https://films.example:8443/v1.3/")
    plain = await begin(uploads)
    assert plain["upload_urls"][0]["url"].startswith("http://127.0.0.1:")


async def test_a_chunk_must_have_its_size(uploads: Uploads) -> None:
    url = (await begin(uploads))["upload_urls"][0]["url"]
    assert (await uploads.put(url, b"x" * 99))[0] == 400
    assert (await uploads.put(url, b"x" * 101))[0] == 413
    assert (await uploads.put(url, b"x" * 100))[0] == 200
    assert (await uploads.put(f"{url[:-1]}!", b"x" * 100))[0] == 404


async def test_a_proof_of_other_bytes_is_refused(uploads: Uploads) -> None:
    made = await begin(uploads)
    url, path = made["upload_urls"][0]["url"], f"/{made['upload_id']}"
    _, first = await uploads.put(url, b"x" * 100)
    await uploads.put(url, b"y" * 100)
    for body in (chunk(1, first), chunk(2, first), chunk(9, first), chunk(10**30, first), chunk(1, "no etag")):
        status, error = await uploads.call("POST", path, {"completed_chunks": [body]})
        assert (status, error["code"]) == (400, "parameter_invalid")
    assert (await uploads.call("GET", path))[1]["chunks_completed"] == 0


async def test_addresses_live_an_hour_and_can_be_renewed(uploads: Uploads) -> None:
    made = await begin(uploads)
    uploads.clock.now += 3601
    assert (await uploads.put(made["upload_urls"][0]["url"], part(1)))[0] == 403
    path = f"/{made['upload_id']}/presigned-urls"
    status, more = await uploads.call("POST", path, {"start": 2, "count": 50})
    assert (status, more["count"], [one["chunk_index"] for one in more["upload_urls"]]) == (200, 2, [2, 3])
    assert (await uploads.put(more["upload_urls"][0]["url"], part(2)))[0] == 200
    for body in ({"start": 4, "count": 1}, {"start": 1, "count": 51}, {"start": 0, "count": 1}, {"start": 1}):
        assert (await uploads.call("POST", path, body))[0] == 400


async def test_a_session_that_is_over_says_so_and_fails_its_asset(uploads: Uploads) -> None:
    made = await begin(uploads)
    uploads.clock.now += 24 * 3600 + 1
    page = (await uploads.call("GET", ""))[1]
    assert [(one["upload_id"], one["status"]) for one in page["data"]] == [(made["upload_id"], "expired")]
    assert (await uploads.store.assets.get(made["asset_id"])).status == "failed"
    assert (await uploads.call("POST", f"/{made['upload_id']}/presigned-urls", {"start": 1, "count": 1}))[0] == 400


async def test_what_was_complete_when_the_engine_ended_is_joined_by_the_next(tmp_path: Path, uploads: Uploads) -> None:
    made = await begin(uploads)
    etags = [(await uploads.put(one["url"], part(place)))[1] for place, one in enumerate(made["upload_urls"], 1)]
    assert len(set(etags)) == 3
    sql = "UPDATE uploads SET status = 'completed'"  # as reported, and killed before a byte was joined
    await uploads.library.write(sql)
    again = Uploads(tmp_path)
    await again.open()
    assert await again.joined.get() == (made["asset_id"], CONTENT)
    await again.close()


async def test_a_chunk_is_what_its_proof_says_though_a_kill_hit_other_bytes_on_their_way(uploads: Uploads) -> None:
    made = await begin(uploads)
    etags = [(await uploads.put(one["url"], part(place)))[1] for place, one in enumerate(made["upload_urls"], 1)]
    # As if the engine had been killed once other bytes for the first chunk were here, and before its row was.
    await uploads.library.write("CREATE TRIGGER killed BEFORE UPDATE ON chunks BEGIN SELECT raise(ABORT, 'x'); END")
    assert (await uploads.put(made["upload_urls"][0]["url"], b"?" * 100))[0] == 500
    await uploads.library.write("DROP TRIGGER killed")
    chunks = [chunk(1, etags[0]), chunk(2, etags[1]), chunk(3, etags[2], 50)]
    status, told = await uploads.call("POST", f"/{made['upload_id']}", {"completed_chunks": chunks})
    assert (status, told["total_completed"]) == (200, 3)
    assert (await uploads.joined.get())[1] == CONTENT


async def test_bytes_that_were_written_over_are_removed(uploads: Uploads) -> None:
    made = await begin(uploads)
    for content in (b"x" * 100, b"y" * 100, b"y" * 100):
        await uploads.put(made["upload_urls"][0]["url"], content)
    [kept] = (uploads.library.uploads / made["upload_id"]).iterdir()
    assert kept.read_bytes() == b"y" * 100


async def test_chunks_that_were_joined_before_a_kill_go_at_the_next_start(tmp_path: Path, uploads: Uploads) -> None:
    made = await begin(uploads)
    etags = [(await uploads.put(one["url"], part(place)))[1] for place, one in enumerate(made["upload_urls"], 1)]
    assert len(etags) == 3
    incoming = uploads.library.incoming()
    await incoming.write(CONTENT)
    await uploads.store.assets.set_content(made["asset_id"], incoming)  # and killed before the chunks were removed
    await uploads.library.write("UPDATE uploads SET status = 'completed'")
    again = Uploads(tmp_path)
    await again.open()
    await again.close()
    assert list(uploads.library.uploads.iterdir()) == []


async def test_a_reason_stays_when_the_engine_starts_again(tmp_path: Path, uploads: Uploads) -> None:
    made = await begin(uploads)
    await uploads.library.write("UPDATE uploads SET status = 'completed'")
    await uploads.store.assets.set_failed(made["asset_id"], ApiError("usage_limit_exceeded", "No room."))
    again = Uploads(tmp_path)
    await again.open()
    await again.close()
    assert (await uploads.store.assets.get(made["asset_id"])).error_code == "usage_limit_exceeded"


async def test_a_session_and_its_asset_are_made_together(uploads: Uploads) -> None:
    await uploads.library.write("DROP TABLE chunks")
    await uploads.library.write("DROP TABLE uploads")
    body = {"filename": "x.mp4", "type": "video", "total_size": len(CONTENT)}
    assert (await uploads.call("POST", "", body))[0] == 500
    assert (await uploads.store.assets.page(Paging(1, 10))).total == 0
