"""Measure the engine on the shared clips: ``python -m tests.engine.measure [CLIP... | hour]``.

Prints a row of the table in docs/engine.md for each clip: time to the first fragment, to the first
words and to the end, over HTTP on a warm engine; cuts, words and on-screen text against what is
known of the clip; the peak of memory. The last line is the first analysis after a start. ``hour``
has the engine, on one core, index an hour in which somebody speaks almost without a pause.
"""

import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from engine.facts.samples import RATE
from tests.engine.conftest import SHARED, RunningEngine, running_engine
from tests.engine.recognise.test_listener import sound_of
from tests.engine.test_quality import FRIDAY, JFK, TEXTS, TOLERANCE_S, WEBB, errors


class Known(NamedTuple):
    """What is known of a clip: its cuts, and what is said in it from one time to another."""

    cuts: tuple[float, ...] = ()
    said: tuple[tuple[float, float, str], ...] = ()


CLIPS = {
    "reel.mp4": Known((3.0, 14.04, 20.04), ((0.0, 13.9, JFK), (13.9, 99.0, FRIDAY))),
    "bunny.mp4": Known((11.88, 15.75, 23.04)),
    "webb.mp4": Known((5.4, 8.008), ((0.0, 99.0, WEBB),)),
    "flower.mp4": Known(),
    "flower.webm": Known(),
    "jfk.flac": Known((), ((0.0, 99.0, JFK),)),
}
KINDS = {"engine.worker": "worker", "engine.recognise.listener": "listener", "engine.recognise.reader": "reader"}
HOUR_S = 3600
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "scenes": {"type": "array", "items": {"type": "object", "properties": {"start": {"type": "number"}}}},
        "words": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "number"} for name in ("start", "confidence")}
                | {"word": {"type": "string"}},
            },
        },
        "on_screen_text": {"type": "array", "items": {"type": "string"}},
        "utterances": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "number"} for name in ("start", "confidence")}
                | {"text": {"type": "string"}},
            },
        },
    },
    "required": ["title"],
}


class Answer(NamedTuple):
    """An answer, the seconds to its first fragment, to its first caption and to its end, and memory peaks in MiB."""

    text: str
    first: float
    first_words: float
    total: float
    peaks: dict[str, int]


def analyse(engine: RunningEngine, body: dict[str, Any]) -> Answer:
    connection = engine.connect()
    began = time.perf_counter()
    connection.request("POST", "/v1.3/analyze", json.dumps(body), {"Content-Type": "application/json"})
    text, first, words, peaks = "", 0.0, 0.0, dict[str, int]()
    with connection.getresponse() as response:
        assert response.status == 200, response.read()
        for line in response:
            event = json.loads(line) if line.strip() else {}
            if fragment := event.get("text"):
                now = time.perf_counter() - began
                text += fragment
                first, words = first or now, words or (now if "\n[" in text else 0.0)
            peaks = {name: max(peaks.get(name, 0), size) for name, size in memory(engine).items()} or peaks
    connection.close()
    return Answer(text, first, words, time.perf_counter() - began, peaks)


def family(engine: RunningEngine) -> Iterator[tuple[str, Path]]:
    """Yield the engine's workers and what they started, each with its kind: others may run engines too."""
    parents = {engine.process.pid}
    # A parent was there before its child, so one pass in the order of their numbers finds them all.
    for entry in sorted(Path("/proc").glob("[0-9]*"), key=lambda one: int(one.name)):
        try:
            parent = int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_text(errors="replace").split("\0")
        except OSError:
            continue
        if parent in parents:
            parents.add(int(entry.name))
            yield from ((called, entry) for kind, called in KINDS.items() if kind in command)


def memory(engine: RunningEngine) -> dict[str, int]:
    """Return the peak of each kind of process of the engine, in MiB."""
    found: dict[str, int] = {}
    for called, entry in family(engine):
        try:
            status = (entry / "status").read_text()
        except OSError:
            continue
        if "VmHWM:" in status:
            found[called] = max(found.get(called, 0), int(status.partition("VmHWM:")[2].split()[0]) // 1024)
    return found


def warm(engine: RunningEngine) -> None:
    """Return when the spare worker and its recognisers have warmed up: when they stand still."""
    before = -1
    while (now := ticks(engine)) != before:
        before = now
        time.sleep(0.5)


def ticks(engine: RunningEngine) -> int:
    """Return the processor time that the engine's workers have taken, in ticks."""
    total = 0
    for _, entry in family(engine):
        try:
            total += sum(int(one) for one in (entry / "stat").read_text().rpartition(")")[2].split()[11:13])
        except OSError:
            continue
    return total


def matched(expected: tuple[float, ...], found: list[float]) -> int:
    return sum(any(abs(one - other) <= TOLERANCE_S for other in found) for one in expected)


def report(engine: RunningEngine, name: str) -> None:
    known = CLIPS[name]
    asset = engine.upload(SHARED / name)["_id"]
    engine.settled(asset)
    warm(engine)  # as it is for whoever comes now and then
    summary = analyse(engine, {"video_id": asset, "prompt": "Summarize"})
    warm(engine)
    transcript = analyse(engine, {"video_id": asset, "prompt": "Transcribe"})
    warm(engine)
    asked = {"type": "json_schema", "json_schema": SCHEMA}
    filled = analyse(engine, {"video_id": asset, "prompt": "x", "response_format": asked})
    facts = json.loads(filled.text)
    seconds = float(facts["title"].split(" in ")[1].split(" ")[0])
    found = [one["start"] for one in facts.get("scenes", [])[1:]]
    hits = matched(known.cuts, found)
    texts, shown = set(facts.get("on_screen_text", [])), set(TEXTS.get(name, []))
    words = facts.get("words", [])
    sure = f"{sum(one['confidence'] for one in words) / len(words):.2f}" if words else "-"
    row = (
        name,
        f"{seconds:.1f}",
        f"{summary.first:.2f}, {filled.first:.2f}",
        f"{transcript.first_words:.2f}" if words else "-",
        f"{summary.total:.1f}",
        f"{seconds / summary.total:.1f}x",
        f"{hits}, {len(known.cuts) - hits}, {len(found) - hits}",
        f"{len(texts & shown)} of {len(shown)}, {len(texts - shown)}",
        "; ".join(wrong(words, *span) for span in known.said) or f"{len(words)} given",
        sure,
        ", ".join(str(summary.peaks.get(called, "-")) for called in KINDS.values()),
    )
    print(f"| {' | '.join(row)} | load {os.getloadavg()[0]:.1f}", flush=True)  # noqa: T201


def wrong(words: list[dict[str, Any]], start: float, end: float, said: str) -> str:
    """Say how many of the words that are said in a span were not read rightly."""
    heard = " ".join(one["word"] for one in words if start <= one["start"] < end)
    return f"{errors(said, heard)} of {len(said.split())}"


def hour(home: Path) -> None:
    """Index an hour of webb.mp4 and jfk.flac in turn, with the whole engine on one core."""
    path = home / "hour.flac"
    speech = np.concatenate([sound_of(SHARED / name) for name in ("webb.mp4", "jfk.flac")])
    with av.open(str(path), "w") as container:
        track = container.add_stream("flac", rate=RATE, layout="mono")
        for second, samples in enumerate(itertools.islice(_seconds(speech), HOUR_S - 1)):
            frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
            frame.sample_rate, frame.pts = RATE, second * RATE
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # which the engine inherits
    with running(home) as engine:
        asset = engine.upload(path)["_id"]
        engine.settled(asset)
        warm(engine)
        began = time.perf_counter()
        captions, burnt, peaks = indexed(engine, asset)
        total = time.perf_counter() - began
    print(  # noqa: T201
        f"{HOUR_S - 1} s: {total:.1f} s = {(HOUR_S - 1) / total:.1f}x, of processor time {burnt:.1f} s = "
        f"{(HOUR_S - 1) / burnt:.1f}x, {captions} captions, MiB {peaks}, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def indexed(engine: RunningEngine, asset: str) -> tuple[int, float, dict[str, int]]:
    """Index an asset: how many captions it has, more than an answer may hold; processor seconds, memory peaks in MiB."""
    models = [{"model_name": "marengo3.0", "model_options": ["visual", "audio"]}]
    index = engine.call("POST", "/indexes", {"index_name": "hour", "models": models})[1]["_id"]
    one = engine.call("POST", f"/indexes/{index}/indexed-assets", {"asset_id": asset})[1]
    path, burnt, peaks = f"/indexes/{index}/indexed-assets/{one['_id']}", 0, dict[str, int]()
    while (told := engine.call("GET", f"{path}?transcription=true")[1])["status"] not in ("ready", "failed"):
        peaks = {name: max(peaks.get(name, 0), size) for name, size in memory(engine).items()} or peaks
        burnt = max(burnt, ticks(engine))
        time.sleep(0.2)
    return len(told["transcription"]), burnt / os.sysconf("SC_CLK_TCK"), peaks


def _seconds(speech: Any) -> Iterator[Any]:
    """Yield speech over and over, a second at a time."""
    at = 0
    while True:
        yield np.take(speech, range(at, at + RATE), mode="wrap")
        at = (at + RATE) % len(speech)


def cold(home: Path, asset: str) -> None:
    """Start the engine on what it kept, and ask at once."""
    with running(home) as engine:
        answer = analyse(engine, {"video_id": asset, "prompt": "Summarize"})
    print(f"cold: first {answer.first:.2f} s, total {answer.total:.1f} s after listening")  # noqa: T201


@contextmanager
def running(home: Path) -> Iterator[RunningEngine]:
    began = time.perf_counter()
    with running_engine(home) as engine:
        print(  # noqa: T201
            f"start {time.perf_counter() - began:.2f} s, load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"
        )
        yield engine


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        if sys.argv[1:] == ["hour"]:
            hour(home)
            return
        with running(home) as engine:
            for clip in sys.argv[1:] or CLIPS:
                report(engine, clip)
            asset = engine.upload(SHARED / "reel.mp4")["_id"]
            engine.settled(asset)
        cold(home, asset)


if __name__ == "__main__":
    main()
