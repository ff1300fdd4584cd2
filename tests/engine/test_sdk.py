"""The official SDK drives every method of the API against a real engine, and gets what was measured.

Two methods answer for nearly all that others do here: ``analyze`` waits for a video that
is being indexed, so nothing sleeps.
"""

import io
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from av.video.frame import VideoFrame
from twelvelabs import TwelveLabs
from twelvelabs.core.api_error import ApiError
from twelvelabs.types import (
    CompletedChunk,
    MediaSource,
    ResponseFormat,
    TextInputRequest,
    VideoContext_AssetId,
    VideoInputRequest,
)

from engine import sample
from tests.engine.conftest import running_engine, until

UNKNOWN = "0" * 24


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with running_engine(tmp_path_factory.mktemp("sdk"), "--host", "127.0.0.1", "--port", str(port)):
        yield f"http://127.0.0.1:{port}/v1.3"


@pytest.fixture(scope="module")
def client(base: str) -> Iterator[TwelveLabs]:
    with httpx.Client(timeout=60) as http:
        yield TwelveLabs(api_key="any", base_url=base, httpx_client=http)


@contextmanager
def refused(status: int, code: str, nested: bool = False) -> Iterator[None]:
    with pytest.raises(ApiError) as caught:
        yield
    body = caught.value.body
    body = body if isinstance(body, dict) else body.model_dump()  # type: ignore[union-attr]
    body = body["error"] if nested else body
    assert (caught.value.status_code, body["code"]) == (status, code)
    assert body["message"]


def png(time: float) -> bytes:
    """A picture of the sample clip, as a file."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="image2pipe") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = sample.WIDTH, sample.HEIGHT, "rgb24"
        container.mux(stream.encode(VideoFrame.from_ndarray(sample.picture(time), format="rgb24")))
        container.mux(stream.encode())
    return sink.getvalue()


@pytest.fixture(scope="module")
def asset(client: TwelveLabs, sample_clip: Path) -> str:
    made = client.assets.create(method="direct", file=("sample.mp4", sample_clip.read_bytes(), "video/mp4"))
    until(lambda: client.assets.retrieve(made.id), lambda one: one.status == "ready")
    return str(made.id)


@pytest.fixture(scope="module")
def image(client: TwelveLabs) -> str:
    made = client.assets.create(method="direct", file=("ball.png", png(3.0), "image/png"))
    until(lambda: client.assets.retrieve(made.id), lambda one: one.status == "ready")
    return str(made.id)


@pytest.fixture(scope="module")
def index(client: TwelveLabs) -> str:
    both = ["visual", "audio"]
    models = [{"model_name": name, "model_options": both} for name in ("marengo3.0", "pegasus1.2")]
    return str(client.indexes.create(index_name="films", models=models, addons=["thumbnail"]).id)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def indexed(client: TwelveLabs, index: str, asset: str) -> str:
    ident = str(client.indexes.indexed_assets.create(index, asset_id=asset).id)
    until(lambda: client.indexes.indexed_assets.retrieve(index, ident), lambda one: one.status in ("ready", "failed"))
    client.indexes.indexed_assets.update(index, ident, user_metadata={"kind": "sample", "year": 2024, "loud": True})
    return ident


# -- assets and uploads --------------------------------------------------------


def test_assets_are_made_listed_looked_at_and_deleted(client: TwelveLabs, asset: str, image: str) -> None:
    assert {one.id for one in client.assets.list(asset_types=["image"])} == {image}
    assert [one.id for one in client.assets.list(asset_ids=[asset])] == [asset]
    made = client.assets.create(method="url", url="http://127.0.0.1:9/clip.mp4")
    failed = until(lambda: client.assets.retrieve(made.id), lambda one: one.status != "processing")
    assert failed.status == "failed"  # a private address is never fetched
    client.assets.delete(made.id)
    with refused(404, "resource_not_exist"):
        client.assets.retrieve(made.id)


def test_an_upload_in_chunks_becomes_the_same_bytes(client: TwelveLabs, sample_clip: Path) -> None:
    content = sample_clip.read_bytes()
    made = client.multipart_upload.create(filename="parts.mp4", type="video", total_size=len(content))
    assert made.total_chunks == len(made.upload_urls or []) == 1
    listed = {one.upload_id: one for one in client.multipart_upload.list_incomplete_uploads()}
    assert listed[str(made.upload_id)].status == "active"
    more = client.multipart_upload.get_additional_presigned_urls(made.upload_id, start=1, count=1)
    address = more.upload_urls[0].url  # type: ignore[index]
    for _ in range(2):  # a chunk may come again
        put = httpx.put(str(address), content=content, headers={"Content-Type": "application/octet-stream"})
        assert put.status_code == 200
    rows = list(client.multipart_upload.get_status(str(made.upload_id)))
    assert [(row.index, row.status) for row in rows] == [(1, "pending")]
    chunk = CompletedChunk(
        chunk_index=1, proof=put.headers["ETag"].strip('"'), proof_type="etag", chunk_size=len(content)
    )
    with refused(400, "parameter_invalid"):
        wrong = chunk.model_copy(update={"proof": "0" * 32})
        client.multipart_upload.report_chunk_batch(made.upload_id, completed_chunks=[wrong])
    done = client.multipart_upload.report_chunk_batch(made.upload_id, completed_chunks=[chunk])
    assert (done.processed_chunks, done.total_completed) == (1, 1)
    assert str(done.url).endswith(f"/assets/{made.asset_id}")
    again = client.multipart_upload.report_chunk_batch(made.upload_id, completed_chunks=[chunk])
    assert (again.processed_chunks, again.duplicate_chunks) == (0, 1)
    assert made.upload_id not in {one.upload_id for one in client.multipart_upload.list_incomplete_uploads()}
    ready = until(lambda: client.assets.retrieve(made.asset_id), lambda one: one.status != "processing")
    assert (ready.status, ready.file_type) == ("ready", "video/mp4")


# -- indexes ---------------------------------------------------------------------


def test_an_index_has_a_name_of_its_own_and_can_be_renamed(client: TwelveLabs, index: str) -> None:
    models = [{"model_name": "marengo3.0", "model_options": ["visual"]}]
    with refused(400, "index_name_already_exists"):
        client.indexes.create(index_name="films", models=models)  # type: ignore[arg-type]
    other = client.indexes.create(index_name="other", models=models)  # type: ignore[arg-type]
    client.indexes.update(other.id, index_name="renamed")
    assert client.indexes.retrieve(other.id).index_name == "renamed"
    assert [one.id for one in client.indexes.list(index_name="renamed")] == [other.id]
    assert {one.id for one in client.indexes.list(model_family="pegasus")} == {index}
    assert [one.id for one in client.indexes.list(sort_option="asc", page_limit=1)][:2] == [index, other.id]
    client.indexes.delete(other.id)
    with refused(404, "resource_not_exist"):
        client.indexes.retrieve(other.id)


def test_an_indexed_asset_tells_what_was_measured(client: TwelveLabs, index: str, indexed: str) -> None:
    row = client.indexes.indexed_assets.retrieve(index, indexed, transcription=True)
    assert row.status == "ready"
    assert row.system_metadata is not None
    assert (row.system_metadata.duration, row.system_metadata.width, row.system_metadata.fps) == (8.0, 640, 25.0)
    assert row.transcription == []  # nobody speaks
    assert row.user_metadata == {"kind": "sample", "year": 2024, "loud": True}
    summary = client.indexes.retrieve(index)
    assert (summary.video_count, summary.total_duration) == (1, 8.0)
    with refused(400, "parameter_invalid"):
        client.indexes.indexed_assets.retrieve(index, indexed, embedding_option=["visual"])


def test_indexed_assets_are_found_by_metadata_and_ranges(
    client: TwelveLabs, base: str, index: str, indexed: str
) -> None:
    rows = client.indexes.indexed_assets
    for wanted in ({"kind": "sample"}, {"year": 2024}, {"loud": True}):
        assert [one.id for one in rows.list(index, user_metadata=wanted)] == [indexed]  # type: ignore[arg-type]
    assert list(rows.list(index, user_metadata={"kind": "other"})) == []
    assert [one.id for one in rows.list(index, duration=8.0, status=["ready"], filename="sample.mp4")] == [indexed]
    assert list(rows.list(index, width=10)) == []
    for query, count in (("duration[gte]=7&duration[lte]=9", 1), ("height[gte]=361", 0), ("kind=sample", 1)):
        page = httpx.get(f"{base}/indexes/{index}/indexed-assets?{query}").json()
        assert page["page_info"]["total_results"] == count
    assert httpx.get(f"{base}/indexes/{index}/indexed-assets?page=9").json()["data"] == []


def test_metadata_is_merged_and_null_deletes(client: TwelveLabs, index: str, asset: str) -> None:
    ident = str(client.indexes.indexed_assets.create(index, asset_id=asset).id)
    client.indexes.indexed_assets.update(index, ident, user_metadata={"a": 1, "b": "x"})
    client.indexes.indexed_assets.update(index, ident, user_metadata={"a": None, "c": False})
    assert client.indexes.indexed_assets.retrieve(index, ident).user_metadata == {"b": "x", "c": False}
    client.indexes.indexed_assets.delete(index, ident)
    with refused(404, "resource_not_exist"):
        client.indexes.indexed_assets.retrieve(index, ident)


def test_a_video_is_streamed_where_that_was_asked_for(
    client: TwelveLabs, base: str, index: str, asset: str, indexed: str, sample_clip: Path
) -> None:
    assert client.indexes.indexed_assets.retrieve(index, indexed).hls is None
    ident = str(client.indexes.indexed_assets.create(index, asset_id=asset, enable_video_stream=True).id)
    first = client.indexes.indexed_assets.retrieve(index, ident)
    assert first.hls is not None
    assert first.hls.status == ("COMPLETE" if first.status == "ready" else "PROCESSING")
    ready = until(lambda: client.indexes.indexed_assets.retrieve(index, ident), lambda one: one.status == "ready")
    assert ready.hls.status == "COMPLETE"
    assert ready.hls.video_url.startswith(base.removesuffix("/v1.3"))
    playlist = httpx.get(ready.hls.video_url)
    assert playlist.headers["Content-Type"].startswith("application/vnd.apple.mpegurl")
    names = [line for line in playlist.text.splitlines() if not line.startswith("#")]
    told = [float(line[8:-1]) for line in playlist.text.splitlines() if line.startswith("#EXTINF:")]
    folder = ready.hls.video_url.rsplit("/", 1)[0]
    pieces = [httpx.get(f"{folder}/{name}") for name in names]
    assert {(one.status_code, one.headers["Content-Type"]) for one in pieces} == {(200, "video/mp2t")}
    with av.open(io.BytesIO(b"".join(one.content for one in pieces))) as streamed, av.open(str(sample_clip)) as whole:
        assert sum(1 for _ in streamed.decode(video=0)) == sum(1 for _ in whole.decode(video=0))
        assert sum(told) == pytest.approx(whole.duration / av.time_base, abs=0.1)  # type: ignore[operator]
    (picture,) = ready.hls.thumbnail_urls
    assert httpx.get(picture).content.startswith(b"\xff\xd8\xff")
    assert httpx.get(f"{folder}/{len(names)}.ts").status_code == 404
    assert httpx.get(ready.hls.video_url.replace("/hls/", "/hls/x")).status_code == 404
    client.indexes.indexed_assets.delete(index, ident)
    assert httpx.get(ready.hls.video_url).status_code == 404


def test_a_task_brings_a_video_in_and_goes_after_it(
    client: TwelveLabs, base: str, index: str, sample_clip: Path
) -> None:
    file = ("task.mp4", sample_clip.read_bytes(), "video/mp4")
    task = client.tasks.create(index_id=index, video_file=file, user_metadata=json.dumps({"by": "task"}))
    with refused(400, "task_cannot_be_deleted"):
        client.tasks.delete(str(task.id))
    done = until(lambda: client.tasks.retrieve(str(task.id)), lambda one: one.status in ("ready", "failed"))
    assert (done.status, done.video_id) == ("ready", task.video_id)
    assert done.system_metadata is not None
    assert (done.system_metadata.duration, done.system_metadata.filename) == (8.0, "task.mp4")
    assert [one.id for one in client.tasks.list(filename="task.mp4", status=["ready"])] == [task.id]
    videos = client.indexes.videos
    assert [one.id for one in videos.list(index, user_metadata={"by": "task"})] == [task.video_id]
    videos.update(index, str(task.video_id), user_metadata={"by": None})
    assert videos.retrieve(index, str(task.video_id), transcription=True).user_metadata == {}
    with refused(400, "task_cannot_be_deleted"):
        client.tasks.delete(str(task.id))
    videos.delete(index, str(task.video_id))
    client.tasks.delete(str(task.id))
    with refused(404, "resource_not_exist"):
        client.tasks.retrieve(str(task.id))
    assert httpx.get(f"{base}/indexes/{index}/videos").headers["Deprecation"] == "true"
    assert "Deprecation" not in httpx.get(f"{base}/indexes/{index}/indexed-assets").headers


def test_a_task_that_cannot_be_fetched_fails_with_the_reason(client: TwelveLabs, index: str) -> None:
    task = client.tasks.create(index_id=index, video_url="http://127.0.0.1:9/x.mp4")
    failed = until(lambda: client.tasks.retrieve(str(task.id)), lambda one: one.status in ("ready", "failed"))
    assert failed.status == "failed"
    assert failed.error["code"] == "parameter_invalid"  # type: ignore[attr-defined]
    client.tasks.delete(str(task.id))


def test_no_integration_exists_to_import_from(client: TwelveLabs) -> None:
    transfers = client.tasks.transfers
    for call in (transfers.create, transfers.get_status, transfers.get_logs):
        with refused(404, "resource_not_exist"):
            call(UNKNOWN)


# -- analyses --------------------------------------------------------------------


def test_an_indexed_video_is_analysed_whole_and_streamed(client: TwelveLabs, asset: str, indexed: str) -> None:
    whole = client.analyze(video_id=indexed, prompt="Summarise the video")
    assert "440 Hz" in str(whole.data)
    events = list(client.analyze_stream(video=VideoContext_AssetId(asset_id=asset), prompt="Summarise the video"))
    text = "".join(event.text for event in events if event.event_type == "text_generation")
    assert text == whole.data  # the record tells the same as the measurement did
    assert events[-1].finish_reason == "stop"  # type: ignore[union-attr]


def test_an_analysis_behind_the_answer(client: TwelveLabs, asset: str) -> None:
    schema = {
        "type": "object",
        "properties": {"cuts": {"type": "array", "items": {"type": "number"}}},
        "required": ["cuts"],
    }
    video = VideoContext_AssetId(asset_id=asset)
    tasks = client.analyze_async.tasks
    made = tasks.create(
        video=video, prompt="cuts", response_format=ResponseFormat(type="json_schema", json_schema=schema)
    )
    done = until(lambda: tasks.retrieve(made.task_id), lambda one: one.status in ("ready", "failed"))
    assert done.status == "ready"
    assert done.completed_at is not None
    cuts = json.loads(done.result.data)["cuts"]
    assert cuts == pytest.approx([2.0, 4.4, 6.4], abs=0.1)
    assert made.task_id in {one.task_id for one in tasks.list(status="ready").data or []}
    tasks.delete(made.task_id)
    with refused(404, "resource_not_exist", nested=True):
        tasks.retrieve(made.task_id)
    with refused(404, "resource_not_exist", nested=True):
        tasks.create(video=VideoContext_AssetId(asset_id=UNKNOWN), prompt="x")


# -- search ----------------------------------------------------------------------


def found(client: TwelveLabs, index: str, **query: Any) -> list[tuple[float, float]]:
    query.setdefault("search_options", ["visual"])
    return [(one.start, one.end) for one in client.search.create(index_id=index, **query).data or []]  # type: ignore[misc]


@pytest.mark.usefixtures("indexed")
def test_words_find_the_stretch_that_was_measured_so(client: TwelveLabs, index: str) -> None:
    assert found(client, index, query_text="a green picture")[0] == (2.0, 4.4)
    assert found(client, index, query_text="tone of 660 hertz", search_options=["audio"])[0][0] == pytest.approx(
        4.4, abs=0.1
    )
    assert found(client, index, query_text="elephants") == []
    assert found(client, index, query_text="dark blue", search_options=["transcription"]) == []


@pytest.mark.usefixtures("indexed")
def test_a_picture_finds_the_shot_it_was_taken_from(client: TwelveLabs, index: str) -> None:
    for scene in sample.SCENES:
        hits = found(
            client, index, query_media_type="image", query_media_file=("q.png", png(scene.start + 1.0), "image/png")
        )
        assert hits[0] == pytest.approx((scene.start, scene.end), abs=0.1)


@pytest.mark.usefixtures("indexed")
def test_a_hit_shows_its_picture(client: TwelveLabs, index: str) -> None:
    hits = client.search.create(index_id=index, search_options=["visual"], query_text="green").data or []
    image = httpx.get(str(hits[0].thumbnail_url))
    assert image.headers["Content-Type"] == "image/jpeg"
    with av.open(io.BytesIO(image.content)) as container:
        pixels = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert pixels.shape == (180, 320, 3)
    assert pixels[10, 10] == pytest.approx(sample.SCENES[1].paper, abs=12)
    assert httpx.get(f"{hits[0].thumbnail_url}x").status_code == 404


@pytest.mark.usefixtures("indexed")
def test_and_keeps_what_all_options_share(client: TwelveLabs, index: str) -> None:
    both = {"query_text": "green 440", "search_options": ["visual", "audio"]}
    # With the extra ocr what is written there is found, too.
    assert len(found(client, index, **both, operator="or")) in (2, 3)
    [(start, end)] = found(client, index, **both, operator="and")
    assert (start, end) == pytest.approx((2.05, 4.35), abs=0.05)


def test_searches_are_filtered_and_grouped(client: TwelveLabs, index: str, indexed: str) -> None:
    def count(wanted: dict[str, Any]) -> int:
        return len(found(client, index, query_text="still", filter=json.dumps(wanted)))

    assert count({"year": 2024, "duration": {"gte": 8, "lte": 8}}) == count({"id": [indexed]}) > 0
    assert count({"year": 2025}) == count({"width": {"gte": 641}}) == 0
    with refused(400, "search_filter_invalid"):
        count({"duration": {"gt": 1}})
    grouped = client.search.create(
        index_id=index, search_options=["visual"], query_text="still", group_by="video", include_user_metadata=True
    )
    [video] = grouped.data or []
    assert (video.id, video.user_metadata["kind"]) == (indexed, "sample")  # type: ignore[index]
    assert len(video.clips or []) == grouped.page_info.total_inner_matches  # type: ignore[union-attr]


@pytest.mark.usefixtures("indexed")
def test_pages_of_a_search_follow_each_other(client: TwelveLabs, index: str) -> None:
    whole = found(client, index, query_text="still cut opening")
    page = client.search.create(index_id=index, search_options=["visual"], query_text="still cut opening", page_limit=2)
    ranks = [one.rank for one in page.data or []]
    while page.page_info and page.page_info.next_page_token:
        page = client.search.retrieve(page.page_info.next_page_token)  # type: ignore[assignment]
        ranks += [one.rank for one in page.data or []]
    assert ranks == list(range(1, len(whole) + 1))
    assert len(whole) > 2
    assert page.page_info.prev_page_token  # type: ignore[union-attr]
    with refused(400, "parameter_invalid"):
        client.search.retrieve("no-token")
    assert len(
        list(
            client.search.query(index_id=index, search_options=["visual"], query_text="still cut opening", page_limit=2)
        )
    ) == len(whole)


def test_searches_that_cannot_be_served_are_refused_by_name(client: TwelveLabs, index: str) -> None:
    with refused(400, "search_option_not_supported"):
        found(client, index, query_text="x", search_options=["transcription"], transcription_options=["semantic"])
    with refused(400, "search_option_not_supported"):
        found(client, index, query_text="x", search_options=["smell"])
    with refused(400, "search_option_combination_not_supported"):
        found(client, index, search_options=["audio"], query_media_type="image", query_media_file=("q.png", png(1.0)))
    with refused(404, "resource_not_exist"):
        found(client, UNKNOWN, query_text="x")
    silent = client.indexes.create(
        index_name="silent", models=[{"model_name": "marengo3.0", "model_options": ["visual"]}]
    )  # type: ignore[list-item]
    with refused(400, "search_option_not_supported"):
        found(client, str(silent.id), query_text="x", search_options=["audio"])
    teller = client.indexes.create(index_name="teller", models=[{"model_name": "pegasus1.2"}])  # type: ignore[list-item]
    with refused(400, "index_not_supported_for_search"):
        found(client, str(teller.id), query_text="x")
    for one in (silent, teller):
        client.indexes.delete(one.id)


# -- embeddings, refused -----------------------------------------------------------


def test_embeddings_are_refused_since_there_are_no_weights(client: TwelveLabs, base: str, asset: str) -> None:
    with refused(400, "parameter_invalid"):
        client.embed.create(model_name="marengo3.0", text="a green ball")
    with refused(400, "parameter_invalid"):
        client.embed.tasks.create(model_name="marengo3.0", video_url="http://example.com/x.mp4")
    assert list(client.embed.tasks.list(status="ready")) == []
    with refused(404, "resource_not_exist"):
        client.embed.tasks.retrieve(UNKNOWN)
    with refused(404, "resource_not_exist"):
        client.embed.tasks.status(UNKNOWN)
    with refused(400, "parameter_invalid", nested=True):
        client.embed.v_2.create(input_type="text", model_name="marengo3.0", text=TextInputRequest(input_text="ball"))
    video = VideoInputRequest(media_source=MediaSource(asset_id=asset))
    with refused(400, "parameter_invalid", nested=True):
        client.embed.v_2.tasks.create(input_type="video", model_name="marengo3.0", video=video)
    assert list(client.embed.v_2.tasks.list()) == []
    with refused(404, "resource_not_exist", nested=True):
        client.embed.v_2.tasks.retrieve(UNKNOWN)
    body = {"input_type": "text", "model_name": "marengo3.0", "text": {"input_text": "ball"}}
    assert "weights" in httpx.post(f"{base}/embed-v2", json=body).json()["error"]["message"]


# -- entities ------------------------------------------------------------------------


def test_collections_are_kept_and_changed(client: TwelveLabs) -> None:
    cast = client.entity_collections
    made = cast.create(name="cast", description="who is in it")
    assert cast.retrieve(str(made.id)).description == "who is in it"
    assert cast.update(str(made.id), name="crew").name == "crew"
    assert [one.id for one in cast.list(name="crew", sort_by="name")] == [made.id]
    cast.delete(str(made.id))
    with refused(404, "resource_not_exist"):
        cast.retrieve(str(made.id))


def test_entities_are_kept_with_their_images(client: TwelveLabs, index: str, asset: str, image: str) -> None:
    collection = str(client.entity_collections.create(name="things").id)
    entities = client.entity_collections.entities
    ball = entities.create(collection, name="ball", asset_ids=[image], metadata={"round": True})
    assert (ball.status, ball.metadata, ball.asset_ids) == ("ready", {"round": True}, [image])
    with refused(400, "parameter_invalid"):
        entities.create(collection, name="film", asset_ids=[asset])  # no image
    bulk = entities.create_bulk(
        collection, entities=[{"name": "bar", "asset_ids": [image]}, {"name": "none", "asset_ids": [UNKNOWN]}]
    )  # type: ignore[list-item]
    assert (bulk.success_count, bulk.failed_count) == (1, 1)
    assert bulk.errors[0].entity_index == 1  # type: ignore[index]
    assert {one.name for one in entities.list(collection, status="ready")} == {"ball", "bar"}
    assert entities.update(collection, str(ball.id), metadata={"size": 3}).metadata == {"size": 3}
    second = client.assets.create(method="direct", file=("bar.png", png(5.0), "image/png"))
    until(lambda: client.assets.retrieve(second.id), lambda one: one.status == "ready")
    assert entities.create_assets(collection, str(ball.id), asset_ids=[str(second.id)]).asset_ids == [image, second.id]
    assert entities.delete_assets(collection, str(ball.id), asset_ids=[image]).asset_ids == [second.id]
    with refused(400, "parameter_invalid"):
        entities.delete_assets(collection, str(ball.id), asset_ids=[str(second.id)])
    with refused(400, "search_option_not_supported"):
        found(client, index, query_text=f"<@{ball.id}> rolls")
    assert entities.retrieve(collection, str(ball.id)).name == "ball"
    entities.delete(collection, str(ball.id))
    with refused(404, "resource_not_exist"):
        entities.retrieve(collection, str(ball.id))
