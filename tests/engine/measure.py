"""Measure the engine on the shared clips: ``python -m tests.engine.measure``.

Prints one row a clip: time to the first fragment and to the end, over HTTP on a warm
engine; cuts and words against what is known of the clip; the peak of memory. The figures
in docs/engine.md come from here.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.engine.conftest import SHARED, RunningEngine, start_engine
from tests.engine.test_quality import JFK, TOLERANCE_S, WEBB, errors

CLIPS: dict[str, tuple[list[float], str, float]] = {  # cuts, words said, up to this time
    "reel.mp4": ([3.0, 14.04, 20.04], JFK, 13.9),
    "bunny.mp4": ([11.88, 15.75, 23.04], "", 99.0),
    "webb.mp4": ([5.4, 8.008], WEBB, 99.0),
    "flower.mp4": ([], "", 99.0),
    "flower.webm": ([], "", 99.0),
}
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
        for kind in ("engine.worker", "engine.listener"):
            if kind in command:
                peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
                found[kind] = max(found.get(kind, 0), peak)
    return found


def matched(expected: list[float], found: list[float]) -> int:
    return sum(any(abs(one - other) <= TOLERANCE_S for other in found) for one in expected)


def report(engine: RunningEngine, name: str) -> None:
    cuts, said, until = CLIPS[name]
    asset = engine.upload(SHARED / name)["_id"]
    engine.settled(asset)
    time.sleep(3)  # a spare worker is warm by then, as it is for whoever comes now and then
    _, first, total, peaks = analyse(engine, {"video_id": asset, "prompt": "Summarize"})
    time.sleep(3)
    asked = {"type": "json_schema", "json_schema": SCHEMA}
    text, first_json, _, _ = analyse(engine, {"video_id": asset, "prompt": "x", "response_format": asked})
    facts = json.loads(text)
    found = [one["start"] for one in facts["scenes"][1:]]
    hits = matched(cuts, found)
    words = [one for one in facts["words"] if one["start"] < until]
    sure = sum(one["confidence"] for one in words) / len(words) if words else 0.0
    seconds = float(facts["title"].split(" in ")[1].split(" ")[0])
    wrong = errors(said, " ".join(one["word"] for one in words))
    print(  # noqa: T201
        f"{name:12} {seconds:5.1f} s  first {first:.2f} s (schema {first_json:.2f})  total {total:5.1f} s"
        f" = {seconds / total:4.1f}x  cuts {hits}/{len(cuts)} false {len(found) - hits}"
        f"  words wrong {wrong}/{len(said.split())} given {len(words)} confidence {sure:.2f}"
        f"  MiB {peaks}"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        where = ["--socket", f"{home}/s", "--data-dir", f"{home}/data", "--log-level", "info"]
        began = time.perf_counter()
        process = start_engine(*where)
        print(  # noqa: T201
            f"start {time.perf_counter() - began:.2f} s, load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"
        )
        engine = RunningEngine(process, Path(home) / "s", Path(home) / "data")
        try:
            for name in sys.argv[1:] or CLIPS:
                report(engine, name)
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
