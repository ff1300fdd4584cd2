"""Files that are turned, joined, cut off or few of picture, on every path that a client can take."""

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.engine.clips import BLUE, RED, plain, steadily, tone, turn, write
from tests.engine.conftest import RunningEngine, form
from tests.engine.measure.test_upright import TURNS, corner_colours, corners, opened

MODELS = [
    {"model_name": "marengo3.0", "model_options": ["visual", "audio"]},
    {"model_name": "pegasus1.2", "model_options": ["visual", "audio"]},
]


@pytest.fixture(scope="module")
def index(engine: RunningEngine) -> str:
    status, made = engine.call(
        "POST", "/indexes", {"index_name": "faulty files", "models": MODELS, "addons": ["thumbnail"]}
    )
    assert status == 201, made
    return str(made["_id"])


def indexed(engine: RunningEngine, index: str, path: Path) -> dict[str, Any]:
    asset = engine.upload(path)["_id"]
    assert engine.settled(asset)["status"] == "ready"
    _, row = engine.call("POST", f"/indexes/{index}/indexed-assets", {"asset_id": asset, "enable_video_stream": True})
    return engine.over(f"/indexes/{index}/indexed-assets/{row['_id']}")


def asked(engine: RunningEngine, video: str, prompt: str) -> str:
    status, told = engine.call("POST", "/analyze", {"video_id": video, "prompt": prompt, "stream": False})
    assert status == 200, told
    return str(told["data"])


def fetched(engine: RunningEngine, url: str) -> bytes:
    connection = engine.connect()
    connection.request("GET", url.partition("engine")[2])
    content = connection.getresponse().read()
    connection.close()
    return content


def png(pixels: np.ndarray) -> bytes:
    sink = io.BytesIO()
    with av.open(sink, "w", format="image2pipe") as container:
        stream = container.add_stream("png")
        stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "rgb24"  # type: ignore[attr-defined]
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))  # type: ignore[attr-defined]
        container.mux(stream.encode())  # type: ignore[attr-defined]
    return sink.getvalue()


def test_a_turned_video_is_upright_on_every_path(engine: RunningEngine, index: str, tmp_path: Path) -> None:
    matrix, turned = TURNS["quarter left"]
    path = turn(write(tmp_path / "a.mp4", steadily(5, (5.0, corners())), 5.0), matrix)
    video = indexed(engine, index, path)
    assert (video["system_metadata"]["width"], video["system_metadata"]["height"]) == (360, 640)
    assert video["hls"]["status"] == "ERROR"
    assert "360x640" in asked(engine, video["_id"], "Summarize")
    picture = turned(corners())
    body, headers = form({"index_id": index, "search_options": "visual", "query_media_type": "image"})
    part = b'--cut\r\nContent-Disposition: form-data; name="query_media_file"; filename="a;b;c.png"\r\n\r\n'
    body = part + png(picture) + b"\r\n" + body
    status, hits = engine.call("POST", "/search", body, headers)
    assert status == 200, hits
    [hit] = [one for one in hits["data"] if one["video_id"] == video["_id"]]
    thumbnail = opened(fetched(engine, hit["thumbnail_url"]))
    assert thumbnail.shape[0] > thumbnail.shape[1]
    assert corner_colours(thumbnail) == corner_colours(picture)


def test_a_file_that_was_joined_is_told_and_streamed_as_one(engine: RunningEngine, index: str, tmp_path: Path) -> None:
    once = write(tmp_path / "a.ts", steadily(10, (3.0, plain(RED)), (4.0, plain(BLUE))), 7.0, tone(7.0))
    once.write_bytes(once.read_bytes() * 2)
    video = indexed(engine, index, once)
    assert video["system_metadata"]["duration"] == pytest.approx(14.1, abs=0.2)
    assert video["hls"]["status"] == "COMPLETE"
    told = asked(engine, video["_id"], "Summarize")
    assert "[00:07] [The clock of the file begins again here; the times told go on.]" in told
    assert told.count("After a cut") == 3


def test_damage_is_told_of_what_is_measured_now_and_of_what_was_recorded(
    engine: RunningEngine, index: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.mp4", steadily(10, (10.0, plain(RED))), 10.0, tone(10.0), movflags="faststart")
    content = path.read_bytes()
    media = content.index(b"mdat")
    path.write_bytes(content[: media + (len(content) - media) // 3])
    video = indexed(engine, index, path)
    assert opened(fetched(engine, video["hls"]["thumbnail_urls"][0])).shape[:2] == (180, 320)
    asset = engine.upload(path)["_id"]
    engine.settled(asset)
    for one in (asset, video["_id"]):
        assert "The picture could be looked at up to here only" in asked(engine, one, "Summarize")
        heard = asked(engine, one, "How does it sound?")
        assert "The sound could be listened to up to here only" in heard
        assert "The picture could" not in heard


def test_a_moment_past_the_end_is_said_to_be_past_it(engine: RunningEngine, sample_asset: str) -> None:
    told = asked(engine, sample_asset, "What happens at 0:10?")
    assert told.endswith("The clip lasts only 8.0 seconds: 00:10 is past its end.\n")
