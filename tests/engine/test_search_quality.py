"""What comes first when real clips are searched; which clip and, to half a second, which stretch should."""

import io
from pathlib import Path
from typing import Any

import av
import pytest

from tests.engine.conftest import RunningEngine, shared_clip
from tests.engine.test_resume import until_over

CLIPS = ("reel.mp4", "bunny.mp4", "webb.mp4", "flower.mp4", "jfk.flac")
WORDS = [
    ("ask not what your country can do", "transcription", {"jfk.flac", "reel.mp4"}, None),
    ("fellow Americans", "transcription", {"jfk.flac", "reel.mp4"}, None),
    ("country", "transcription", {"jfk.flac", "reel.mp4"}, None),
    ("space telescope", "transcription", {"webb.mp4"}, None),
    ("largest in the world", "transcription", {"webb.mp4"}, None),
    ("Greenbelt Maryland flight center", "transcription", {"webb.mp4"}, None),
    ("optical science segment", "transcription", {"webb.mp4"}, None),
    ("steady tone 440 Hz", "audio", {"reel.mp4"}, 20.04),
    ("dark blue", "visual", {"reel.mp4"}, 0.0),
    ("black very dark still", "visual", {"reel.mp4"}, 20.04),  # the dark film scene comes before it
    ("dissolve", "visual", {"webb.mp4"}, 5.4),
    ("fade in", "visual", {"bunny.mp4"}, 0.0),
    ("red", "visual", {"flower.mp4"}, 0.0),
    ("pink", "visual", {"bunny.mp4"}, 0.0),
]
PICTURES = [
    ("reel.mp4", 1.0, 0.0), ("reel.mp4", 8.0, 3.0), ("reel.mp4", 17.0, 14.04), ("reel.mp4", 21.5, 20.04),
    ("bunny.mp4", 8.0, 0.0), ("bunny.mp4", 13.5, 11.88), ("bunny.mp4", 19.0, 15.75), ("bunny.mp4", 27.0, 23.04),
    ("webb.mp4", 2.0, 0.0), ("webb.mp4", 6.8, 5.4), ("webb.mp4", 10.0, 8.01), ("flower.mp4", 2.5, 0.0),
]  # fmt: skip


def picture(path: Path, at: float) -> bytes:
    """Return the picture of a clip at a time, as PNG."""
    sink = io.BytesIO()
    with av.open(str(path)) as clip, av.open(sink, "w", format="image2pipe") as image:
        frame = next(one for one in clip.decode(video=0) if (one.time or 0.0) >= at)
        stream = image.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "rgb24"
        still = frame.reformat(format="rgb24")
        still.pts = 0
        image.mux(stream.encode(still))
        image.mux(stream.encode())
    return sink.getvalue()


def multipart(fields: list[tuple[str, str]], file: tuple[str, bytes] | None) -> tuple[bytes, dict[str, str]]:
    parts = [f'--cut\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields]
    if file is not None:
        head = f'--cut\r\nContent-Disposition: form-data; name="{file[0]}"; filename="x"\r\n\r\n'
        parts.append(head.encode() + file[1] + b"\r\n")
    return b"".join([*parts, b"--cut--\r\n"]), {"Content-Type": "multipart/form-data; boundary=cut"}


@pytest.mark.slow
def test_what_should_come_first_nearly_always_does(engine: RunningEngine) -> None:
    models = [{"model_name": "marengo3.0"}]
    index = engine.call("POST", "/indexes", {"index_name": "quality", "models": models})[1]["_id"]
    tasks, names = [], {}
    for name in CLIPS:
        body, headers = multipart([("index_id", index)], ("video_file", shared_clip(name).read_bytes()))
        task = engine.call("POST", "/tasks", body, headers)[1]
        tasks.append(task["_id"])
        names[task["video_id"]] = name
    assert [until_over(engine, f"/tasks/{task}")["status"] for task in tasks] == ["ready"] * len(CLIPS)

    def first(fields: list[tuple[str, str]], file: tuple[str, bytes] | None = None) -> tuple[str, float] | None:
        status, page = engine.call("POST", "/search", *multipart([("index_id", index), *fields], file))
        assert status == 200, page
        hit: dict[str, Any] | None = page["data"][0] if page["data"] else None
        return (names[hit["video_id"]], hit["start"]) if hit else None

    right, wrong = 0, []
    for text, option, clips, start in WORDS:
        hit = first([("search_options", option), ("query_text", text)])
        good = hit is not None and hit[0] in clips and (start is None or abs(hit[1] - start) < 0.5)
        right, wrong = right + good, wrong if good else [*wrong, (text, hit)]
    for name, at, start in PICTURES:
        fields = [("search_options", "visual"), ("query_media_type", "image")]
        hit = first(fields, ("query_media_file", picture(shared_clip(name), at)))
        good = hit is not None and hit[0] == name and abs(hit[1] - start) < 0.5
        right, wrong = right + good, wrong if good else [*wrong, (name, at, hit)]
    assert right >= len(WORDS) + len(PICTURES) - 1, wrong
