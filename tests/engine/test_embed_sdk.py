"""The official SDK drives the calls that embed, on an engine with weights: tiny random ones, so their shapes count."""

import asyncio
import base64
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from aiohttp import web
from twelvelabs import TwelveLabs
from twelvelabs.types import (
    AudioInputRequest,
    ImageInputRequest,
    MediaSource,
    MultiInputMediaSource,
    MultiInputRequest,
    TextImageInputRequest,
    TextInputRequest,
    VideoInputRequest,
    VideoSegmentation_Dynamic,
    VideoSegmentation_Fixed,
    VideoSegmentationDynamicDynamic,
    VideoSegmentationFixedFixed,
)

from config.settings import default_data_dir
from engine import sample
from engine.app import Settings, create_app
from engine.facts import sketches
from engine.senses import Senses
from engine.sentences.weights import MODEL
from tests.engine.conftest import hearing, shared_clip, speech_model, until
from tests.engine.test_sdk import UNKNOWN, png, refused
from tests.engine.tiny import DIMENSIONS, write_model

MARENGO = "marengo3.0"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An engine on a thread of its own; the command line would refuse these weights for their hashes."""
    home = tmp_path_factory.mktemp("embed")
    senses = Senses(1, default_data_dir() / "speech" if hearing() else None)
    settings = Settings(home / "data", 2, senses=senses, meaning=write_model(home / "weights"))
    ports: list[int] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(create_app(settings), access_log=None, shutdown_timeout=0.4)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ports.append(runner.addresses[0][1])
        ready.set()
        await stop.wait()
        await runner.cleanup()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(30)
    yield f"http://127.0.0.1:{ports[0]}/v1.3"
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)


@pytest.fixture(scope="module")
def client(base: str) -> Iterator[TwelveLabs]:
    with httpx.Client(timeout=60) as http:
        yield TwelveLabs(api_key="any", base_url=base, httpx_client=http)


def made_asset(client: TwelveLabs, name: str, content: bytes, kind: str) -> str:
    made = client.assets.create(method="direct", file=(name, content, kind))
    until(lambda: client.assets.retrieve(made.id), lambda one: one.status == "ready")
    return str(made.id)


@pytest.fixture(scope="module")
def asset(client: TwelveLabs, sample_clip: Path) -> str:
    return made_asset(client, "sample.mp4", sample_clip.read_bytes(), "video/mp4")


@pytest.fixture(scope="module")
def spoken(client: TwelveLabs) -> str:
    speech_model()
    return made_asset(client, "jfk.flac", shared_clip("jfk.flac").read_bytes(), "audio/flac")


def by_asset(ident: str) -> MediaSource:
    return MediaSource(asset_id=ident)


def test_a_text_has_a_vector_of_length_one_that_names_its_model(client: TwelveLabs) -> None:
    [row] = client.embed.v_2.create(
        input_type="text", model_name=MARENGO, text=TextInputRequest(input_text="a green ball")
    ).data
    assert len(row.embedding) == DIMENSIONS
    assert np.linalg.norm(row.embedding) == pytest.approx(1, abs=1e-5)
    assert (row.embedding_option, row.embedding_scope, row.start_sec) == (None, None, None)
    assert row.model_name == MODEL  # type: ignore[attr-defined]
    first = client.embed.create(model_name=MARENGO, text="a green ball")
    assert first.model_name == MODEL
    assert first.text_embedding.segments[0].float_ == row.embedding  # type: ignore[union-attr,index]


def test_a_text_longer_than_the_model_reads_is_refused_not_cut(client: TwelveLabs) -> None:
    long = TextInputRequest(input_text="a " * 300)
    with refused(400, "token_limit_exceeded", nested=True):
        client.embed.v_2.create(input_type="text", model_name=MARENGO, text=long)
    with refused(400, "token_limit_exceeded"):
        client.embed.create(model_name=MARENGO, text="word " * 500)


def test_an_image_has_a_vector_in_the_space_of_pictures(client: TwelveLabs) -> None:
    content = base64.b64encode(png(3.0)).decode()
    answer = client.embed.v_2.create(
        input_type="image",
        model_name=MARENGO,
        image=ImageInputRequest(media_source=MediaSource(base_64_string=content)),
    )
    [row] = answer.data
    assert len(row.embedding) == sketches.SIZE
    assert row.model_name == sketches.MODEL  # type: ignore[attr-defined]
    assert answer.metadata.input_type == "image"  # type: ignore[union-attr]
    first = client.embed.create(model_name=MARENGO, image_file=("ball.png", png(3.0), "image/png"))
    assert first.model_name == sketches.MODEL
    assert first.image_embedding.segments[0].float_ == row.embedding  # type: ignore[union-attr,index]
    assert first.image_embedding.metadata.input_filename == "ball.png"  # type: ignore[union-attr]


def test_an_asset_that_is_no_image_or_no_media_of_the_kind_is_refused(client: TwelveLabs, asset: str) -> None:
    with refused(400, "parameter_invalid", nested=True):
        client.embed.v_2.create(
            input_type="image", model_name=MARENGO, image=ImageInputRequest(media_source=by_asset(asset))
        )
    picture = made_asset(client, "ball.png", png(1.0), "image/png")
    with refused(400, "parameter_invalid", nested=True):
        client.embed.v_2.create(
            input_type="video", model_name=MARENGO, video=VideoInputRequest(media_source=by_asset(picture))
        )


def test_a_video_has_vectors_of_its_pictures_along_the_shots(client: TwelveLabs, asset: str) -> None:
    cut = VideoSegmentation_Dynamic(dynamic=VideoSegmentationDynamicDynamic(min_duration_sec=2))
    video = VideoInputRequest(media_source=by_asset(asset), segmentation=cut)
    answer = client.embed.v_2.create(input_type="video", model_name=MARENGO, video=video)
    rows = [(row.embedding_option, row.embedding_scope, row.start_sec, row.end_sec) for row in answer.data]
    # Nobody speaks, so there is no vector of what was said; the last shot alone would be too short.
    first, second = (pytest.approx(one, abs=0.1) for one in (2.0, 4.4))
    assert rows == [
        ("visual", "clip", 0.0, first),
        ("visual", "clip", first, second),
        ("visual", "clip", second, 8.0),
        ("visual", "asset", 0.0, 8.0),
    ]
    assert {len(row.embedding) for row in answer.data} == {sketches.SIZE}
    metadata = answer.metadata
    assert (metadata.input_type, metadata.duration) == ("video", 8.0)  # type: ignore[union-attr]
    assert metadata.embedding_options == ["visual", "transcription"]  # type: ignore[union-attr]


def test_fixed_stretches_of_a_part_are_looked_at(client: TwelveLabs, asset: str) -> None:
    video = VideoInputRequest(
        media_source=by_asset(asset),
        start_sec=1,
        end_sec=6,
        segmentation=VideoSegmentation_Fixed(fixed=VideoSegmentationFixedFixed(duration_sec=2)),
        embedding_option=["visual"],
        embedding_scope=["clip"],
    )
    answer = client.embed.v_2.create(input_type="video", model_name=MARENGO, video=video)
    assert [(row.start_sec, row.end_sec) for row in answer.data] == [(1, 3), (3, 5), (5, 6)]
    assert answer.metadata.clip_length == 2  # type: ignore[union-attr]


def test_a_picture_is_nearest_to_the_stretch_it_was_taken_from(client: TwelveLabs, asset: str) -> None:
    video = VideoInputRequest(
        media_source=by_asset(asset),
        segmentation=VideoSegmentation_Fixed(fixed=VideoSegmentationFixedFixed(duration_sec=2)),
        embedding_option=["visual"],
        embedding_scope=["clip"],
    )
    rows = client.embed.v_2.create(input_type="video", model_name=MARENGO, video=video).data
    for scene in sample.SCENES:
        picture = client.embed.create(model_name=MARENGO, image_file=("q.png", png(scene.start + 1.0), "image/png"))
        wanted = np.array(picture.image_embedding.segments[0].float_)  # type: ignore[union-attr,index]
        near = [float(sketches.distances(wanted, np.array([row.embedding]))[0]) for row in rows]
        start = rows[int(np.argmin(near))].start_sec
        assert start is not None
        assert start <= scene.start + 1.0 < start + 2.4


def test_what_was_said_has_vectors_where_it_was_said(client: TwelveLabs, spoken: str) -> None:
    audio = AudioInputRequest(media_source=by_asset(spoken))
    answer = client.embed.v_2.create(input_type="audio", model_name=MARENGO, audio=audio)
    places = [(row.embedding_option, row.embedding_scope, row.start_sec, row.end_sec) for row in answer.data]
    assert places == [
        ("transcription", "clip", 0, 6),
        ("transcription", "clip", 6, 11),
        ("transcription", "asset", 0, 11),
    ]
    assert {len(row.embedding) for row in answer.data} == {DIMENSIONS}
    first = client.embed.create(model_name=MARENGO, audio_file=("jfk.flac", shared_clip("jfk.flac").read_bytes()))
    segments = first.audio_embedding.segments or []  # type: ignore[union-attr]
    assert [one.float_ for one in segments] == [
        pytest.approx(row.embedding) for row in answer.data if row.embedding_scope == "clip"
    ]


def test_what_no_model_here_makes_is_refused_by_name(client: TwelveLabs, base: str, asset: str) -> None:
    video = {"media_source": {"asset_id": asset}}
    for member in ({"embedding_option": ["audio"]}, {"embedding_type": ["fused_embedding"]}):
        with refused(400, "parameter_invalid", nested=True):
            client.embed.v_2.create(
                input_type="video",
                model_name=MARENGO,
                video=VideoInputRequest(**video, **member),  # type: ignore[arg-type]
            )
    with refused(400, "parameter_invalid", nested=True):
        client.embed.v_2.create(
            input_type="text_image",
            model_name=MARENGO,
            text_image=TextImageInputRequest(media_source=by_asset(asset), input_text="a ball"),
        )
    body = {"input_type": "video", "model_name": MARENGO, "video": {**video, "embedding_option": ["audio"]}}
    assert "sound" in httpx.post(f"{base}/embed-v2", json=body).json()["error"]["message"]


def test_several_inputs_are_one_vector_only_when_they_are_one(client: TwelveLabs) -> None:
    content = base64.b64encode(png(3.0)).decode()
    image = MultiInputMediaSource(media_type="image", base_64_string=content)
    one = client.embed.v_2.create(
        input_type="multi_input", model_name=MARENGO, multi_input=MultiInputRequest(media_sources=[image])
    )
    assert [len(row.embedding) for row in one.data] == [sketches.SIZE]
    for parts in (
        MultiInputRequest(media_sources=[image, image]),
        MultiInputRequest(media_sources=[image], input_text="ball"),
    ):
        with refused(400, "parameter_invalid", nested=True):
            client.embed.v_2.create(input_type="multi_input", model_name=MARENGO, multi_input=parts)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"input_type": "smell"}, {"input_type": "text"}, {"input_type": "text", "model_name": "other"},
        {"input_type": "text", "model_name": MARENGO, "text": "x"},
        {"input_type": "text", "model_name": MARENGO, "text": {"input_text": " "}},
        {"input_type": "video", "model_name": MARENGO, "video": {}},
        {"input_type": "video", "model_name": MARENGO, "video": {"media_source": {"asset_id": "a", "url": "b"}}},
        {"input_type": "multi_input", "model_name": MARENGO, "multi_input": {}},
        *(
            {"input_type": kind, "model_name": MARENGO, kind: {"media_source": {"asset_id": UNKNOWN}, **more}}
            for kind, more in (
                ("video", {"start_sec": -1}), ("video", {"start_sec": 5, "end_sec": 5}), ("audio", {"end_sec": "x"}),
                ("video", {"embedding_scope": ["video"]}), ("audio", {"embedding_option": ["visual"]}),
                ("video", {"segmentation": {"strategy": "other"}}), ("video", {"segmentation": 3}),
                ("video", {"segmentation": {"strategy": ["fixed"]}}), ("video", {"start_sec": 10**400}),
                ("audio", {"segmentation": {"strategy": "dynamic", "dynamic": {"min_duration_sec": 4}}}),
                ("video", {"segmentation": {"strategy": "fixed", "fixed": {"duration_sec": 0}}}),
                ("video", {"segmentation": {"strategy": "fixed", "fixed": {"duration_sec": True}}}),
            )
        ),
    ],
)  # fmt: skip
def test_requests_of_the_wrong_form_are_refused(base: str, body: dict[str, object]) -> None:
    for path in ("embed-v2", "embed-v2/tasks"):
        answer = httpx.post(f"{base}/{path}", json=body)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["code"] in ("parameter_invalid", "parameter_not_provided")


def test_an_asset_that_is_not_there_is_unknown(client: TwelveLabs) -> None:
    video = VideoInputRequest(media_source=by_asset(UNKNOWN))
    with refused(404, "resource_not_exist", nested=True):
        client.embed.v_2.create(input_type="video", model_name=MARENGO, video=video)
    with refused(404, "resource_not_exist", nested=True):
        client.embed.v_2.tasks.create(input_type="video", model_name=MARENGO, video=video)


def test_a_task_of_the_first_generation_from_a_file_to_its_segments(client: TwelveLabs, sample_clip: Path) -> None:
    tasks = client.embed.tasks
    made = tasks.create(
        model_name=MARENGO,
        video_file=("sample.mp4", sample_clip.read_bytes(), "video/mp4"),
        video_clip_length=3,
        video_embedding_scope=["clip", "video"],
    )
    ident = str(made.id)
    done = until(lambda: tasks.status(ident), lambda one: one.status != "processing")
    assert (done.status, done.model_name) == ("ready", sketches.MODEL)
    assert done.video_embedding.metadata.duration == 8.0
    task = tasks.retrieve(ident, embedding_option=["visual"])
    segments = task.video_embedding.segments or []  # type: ignore[union-attr]
    assert [(one.start_offset_sec, one.end_offset_sec, one.embedding_scope) for one in segments] == [
        (0, 3, "clip"), (3, 6, "clip"), (6, 8, "clip"), (0, 8, "video"),
    ]  # fmt: skip
    assert {len(one.float_ or []) for one in segments} == {sketches.SIZE}
    assert not tasks.retrieve(ident, embedding_option=["transcription"]).video_embedding.segments  # type: ignore[union-attr]
    with refused(400, "parameter_invalid"):
        tasks.retrieve(ident, embedding_option=["audio"])
    [listed] = [one for one in tasks.list(status="ready") if one.id == ident]
    assert listed.video_embedding.metadata.video_clip_length == 3  # type: ignore[union-attr]
    assert listed.video_embedding.metadata.input_filename == "sample.mp4"  # type: ignore[union-attr]


def test_a_task_of_the_second_generation_from_an_asset_to_its_data(client: TwelveLabs, base: str, asset: str) -> None:
    tasks = client.embed.v_2.tasks
    made = tasks.create(input_type="video", model_name=MARENGO, video=VideoInputRequest(media_source=by_asset(asset)))
    assert (made.status, made.data) == ("processing", None)
    done = until(lambda: tasks.retrieve(made.id), lambda one: one.status != "processing")
    assert done.status == "ready"
    assert [row.embedding_scope for row in done.data] == ["clip", "asset"]
    assert done.metadata.embedding_scopes == ["clip", "asset"]
    assert made.id in {one.id for one in tasks.list(status="ready", started_at="2020-01-01T00:00:00Z")}
    assert made.id not in {one.id for one in tasks.list(ended_at="2020-01-01T00:00:00Z")}
    assert httpx.get(f"{base}/embed-v2/tasks?page=99").json()["data"] == []
    with refused(404, "resource_not_exist"):
        client.embed.tasks.retrieve(made.id)  # of the other generation


def test_a_task_that_cannot_be_served_fails_with_the_reason(client: TwelveLabs) -> None:
    made = client.embed.tasks.create(model_name=MARENGO, video_url="http://127.0.0.1:9/x.mp4")
    done = until(lambda: client.embed.tasks.retrieve(str(made.id)), lambda one: one.status != "processing")
    assert done.status == "failed"
    assert done.error["code"] == "parameter_invalid"  # type: ignore[attr-defined]
    content = base64.b64encode(b"no media").decode()
    audio = AudioInputRequest(media_source=MediaSource(base_64_string=content))
    second = client.embed.v_2.tasks.create(input_type="audio", model_name=MARENGO, audio=audio)
    over = until(lambda: client.embed.v_2.tasks.retrieve(second.id), lambda one: one.status != "processing")
    assert (over.status, over.data, over.error["code"]) == ("failed", None, "video_file_broken")


def test_an_indexed_asset_tells_the_vectors_that_are_kept_of_it(client: TwelveLabs, asset: str) -> None:
    models = [{"model_name": MARENGO, "model_options": ["visual", "audio"]}]
    index = str(client.indexes.create(index_name="vectors", models=models).id)  # type: ignore[arg-type]
    rows = client.indexes.indexed_assets
    ident = str(rows.create(index, asset_id=asset).id)
    until(lambda: rows.retrieve(index, ident), lambda one: one.status in ("ready", "failed"))
    row = rows.retrieve(index, ident, embedding_option=["visual", "transcription"])
    segments = row.embedding.video_embedding.segments or []  # type: ignore[union-attr]
    assert [(one.embedding_option, one.embedding_scope) for one in segments] == [("visual", "clip")] * len(
        sample.SCENES
    )
    assert {len(one.float_ or []) for one in segments} == {sketches.SIZE}
    assert row.embedding.model_name == sketches.MODEL  # type: ignore[union-attr]
    video = client.indexes.videos.retrieve(index, ident, embedding_option=["visual"])
    assert video.embedding.video_embedding.segments == segments  # type: ignore[union-attr]
    assert rows.retrieve(index, ident).embedding is None
    with refused(400, "parameter_invalid"):
        rows.retrieve(index, ident, embedding_option=["audio"])
    # Its words may be searched by meaning alone, now that there are weights.
    hits = client.search.create(
        index_id=index, search_options=["transcription"], query_text="ball", transcription_options=["semantic"]
    )
    assert hits.data == []
