"""Measure the engine on the shared clips: ``python -m tests.engine.measure``.

Prints one row a clip: time to the first fragment and to the end, over HTTP on a warm
engine; cuts, words and on-screen text against what is known of the clip; the peak of
memory. The last row is the first analysis after a start. The figures in docs/engine.md
come from here.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.engine.conftest import SHARED, RunningEngine, running_engine
from tests.engine.test_quality import JFK, TEXTS, TOLERANCE_S, WEBB, errors

CLIPS: dict[str, tuple[list[float], str, float]] = {  # cuts, words said, up to this time
    "reel.mp4": ([3.0, 14.04, 20.04], JFK, 13.9),
    "bunny.mp4": ([11.88, 15.75, 23.04], "", 99.0),
    "webb.mp4": ([5.4, 8.008], WEBB, 99.0),
    "flower.mp4": ([], "", 99.0),
    "flower.webm": ([], "", 99.0),
}
KINDS = ("engine.worker", "engine.recognise.listener", "engine.recognise.reader")
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


def analyse(engine: RunningEngine, body: dict[str, Any]) -> tuple[str, float, float, dict[str, int]]:
    """Return the text, seconds to the first fragment and to the end, and memory peaks in MiB."""
    connection = engine.connect()
    began = time.perf_counter()
    connection.request("POST", "/v1.3/analyze", json.dumps(body), {"Content-Type": "application/json"})
    text, first, peaks = "", 0.0, dict[str, int]()
    with connection.getresponse() as response:
        assert response.status == 200, response.read()
        for line in response:
            event = json.loads(line) if line.strip() else {}
            if fragment := event.get("text"):
                first = first or time.perf_counter() - began
                text += fragment
            peaks = {name: max(peaks.get(name, 0), size) for name, size in memory().items()} or peaks
    connection.close()
    return text, first, time.perf_counter() - began, peaks


def memory() -> dict[str, int]:
    """Return the peak of each kind of process of the engine, in MiB."""
    found: dict[str, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_text().split("\0")
            status = (entry / "status").read_text()
        except OSError:
            continue
        for kind in KINDS:
            if kind in command and "VmHWM:" in status:
                peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
                found[kind] = max(found.get(kind, 0), peak)
    return found


def warm() -> None:
    """Return when the spare worker and its recognisers have warmed up: when they stand still."""
    before = -1
    while (now := ticks()) != before:
        before = now
        time.sleep(0.5)


def ticks() -> int:
    """Return the processor time that the engine's workers have taken, in ticks."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if set(KINDS) & set((entry / "cmdline").read_text().split("\0")):
                total += sum(int(one) for one in (entry / "stat").read_text().rpartition(")")[2].split()[11:13])
        except OSError:
            continue
    return total


def matched(expected: list[float], found: list[float]) -> int:
    return sum(any(abs(one - other) <= TOLERANCE_S for other in found) for one in expected)


def report(engine: RunningEngine, name: str) -> None:
    cuts, said, until = CLIPS[name]
    asset = engine.upload(SHARED / name)["_id"]
    engine.settled(asset)
    warm()  # as it is for whoever comes now and then
    _, first, total, peaks = analyse(engine, {"video_id": asset, "prompt": "Summarize"})
    warm()
    asked = {"type": "json_schema", "json_schema": SCHEMA}
    text, first_json, _, _ = analyse(engine, {"video_id": asset, "prompt": "x", "response_format": asked})
    facts = json.loads(text)
    found = [one["start"] for one in facts["scenes"][1:]]
    hits = matched(cuts, found)
    words = [one for one in facts["words"] if one["start"] < until]
    sure = sum(one["confidence"] for one in words) / len(words) if words else 0.0
    seconds = float(facts["title"].split(" in ")[1].split(" ")[0])
    texts, shown = facts.get("on_screen_text", []), TEXTS.get(name, [])
    wrong = errors(said, " ".join(one["word"] for one in words))
    print(  # noqa: T201
        f"{name:12} {seconds:5.1f} s  first {first:.2f} s (schema {first_json:.2f})  total {total:5.1f} s"
        f" = {seconds / total:4.1f}x  cuts {hits}/{len(cuts)} false {len(found) - hits}"
        f"  texts {len(set(texts) & set(shown))}/{len(shown)} wrong {len(set(texts) - set(shown))}"
        f"  words wrong {wrong}/{len(said.split())} given {len(words)} confidence {sure:.2f}"
        f"  MiB {peaks}"
    )


def cold(home: Path, asset: str) -> None:
    """Start the engine on what it kept, and ask at once."""
    with running(home) as engine:
        _, first, total, _ = analyse(engine, {"video_id": asset, "prompt": "Summarize"})
    print(f"cold: first {first:.2f} s, total {total:.1f} s after listening")  # noqa: T201


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
        with running(home) as engine:
            for clip in sys.argv[1:] or CLIPS:
                report(engine, clip)
            asset = engine.upload(SHARED / "reel.mp4")["_id"]
            engine.settled(asset)
        cold(home, asset)


if __name__ == "__main__":
    main()
