"""A process that does one job on one media file: ``python -m engine.worker [--senses ...]``.

The job comes as one line of JSON on standard input, the answers go as lines of JSON to
standard output:

    {"kind": "probe", "path"}                       -> {"clip", "format"}
    {"kind": "facts", "path"}                       -> {"head"}, {"fact"}..., {"sketch"}..., {"end"}
    {"kind": "sketch", "path"}                      -> {"sketch"}
    {"kind": "thumbnail", "path", "at"}             -> {"image"}
    {"kind": "pieces", "path"}                      -> {"pieces"}
    {"kind": "piece", "path", "begin", "end"}       -> {"size", "bytes"}..., {"end"}
    {"kind": "analyze", "path", "prompt", "schema", "record", "longest_s"}
                                                    -> {"accepted"}, {"text"}..., {"end"}

or ``{"error": {"status", "code", "message"}}`` at any point. When standard input ends the
engine is gone, and so is the worker.
"""

import argparse
import json
import math
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from engine import confine
from engine.errors import ApiError
from engine.recognise.sight import Eyes
from engine.recognise.speech import Ears
from engine.senses import Senses, missing_package, missing_reader

# Kernel limits on CPU time: to open a file, and for each second of a clip.
_OPEN_CPU_S = 60
_CPU_PER_SECOND = 8
_MAX_CPU_S = 8 * 3600
_TEXT_PIECE = 8192  # code points a message
_BYTES_PIECE = 1 << 18  # bytes a message
_JOIN_S = 0.01  # fragments this close together become one message


class Wire:
    """Standard output as a row of messages; text that comes together leaves together.

    Writing a schema takes a fragment for every bracket: each as a message of its own
    would cost its readers more than the text is worth.
    """

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._waiting: list[str] = []
        self._lock = threading.Lock()
        self._woken = threading.Event()
        threading.Thread(target=self._flush_soon, daemon=True).start()

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, after the text that came before it."""
        with self._lock:
            self._send_text()
            self._write(message)

    def text(self, fragments: Iterator[str]) -> None:
        """Send text as it comes, at most a few milliseconds later."""
        for fragment in fragments:
            if fragment:
                with self._lock:
                    self._waiting.append(fragment)
                self._woken.set()

    def _flush_soon(self) -> None:
        while self._woken.wait():
            self._woken.clear()
            time.sleep(_JOIN_S)
            with self._lock:
                self._send_text()

    def _send_text(self) -> None:
        text = "".join(self._waiting)
        self._waiting.clear()
        for at in range(0, len(text), _TEXT_PIECE):
            self._write({"text": text[at : at + _TEXT_PIECE]})

    def _write(self, message: dict[str, Any]) -> None:
        self._sink.write(json.dumps(message).encode() + b"\n")
        self._sink.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="engine.worker")
    parser.add_argument("--senses", action="store_true", help="warm the recognisers up")
    parser.add_argument("--recognisers", type=int, default=1, help="utterances read at once")
    parser.add_argument("--whisper", type=Path, help="directory of a CTranslate2 Whisper model")
    options = parser.parse_args()
    senses = Senses(options.recognisers, options.whisper)
    confine.be_nice()
    wire = Wire(_own_stdout())
    ears = Ears(senses.arguments()) if options.senses and not missing_package() else None
    eyes = Eyes() if options.senses and not missing_reader() else None
    _warm_up()
    line = sys.stdin.buffer.readline()
    if not line:
        _leave()
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    confine.limit(memory_bytes=confine.WORKER_MEMORY, cpu_s=None)
    _allow_cpu(_OPEN_CPU_S)
    try:
        _do(json.loads(line), wire, ears, eyes)
    except ApiError as exc:
        wire.send({"error": exc.to_wire()})
    except MemoryError:
        wire.send({"error": ApiError("internal_error", "The media took more memory than it may.", 500).to_wire()})
    except Exception as exc:
        error = ApiError("internal_error", "The engine failed.", 500)
        wire.send({"error": error.to_wire(), "trace": _trace(exc)})
    # Threads may be deep in a read: nothing here needs an orderly end.
    os._exit(0)


def _own_stdout() -> BinaryIO:
    """Keep standard output for messages; whatever a library prints goes to standard error."""
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return own


def _warm_up() -> None:
    """Import what costs time, before there is a job."""
    import engine.worker.answer  # noqa: F401


def _trace(exc: BaseException) -> list[str]:
    """Say where it broke, without the message: that may hold a prompt or what was said."""
    frames = traceback.extract_tb(exc.__traceback__)
    return [type(exc).__name__, *(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in frames)]


def _leave_with_parent() -> None:
    sys.stdin.buffer.read()
    _leave()


def _leave() -> NoReturn:
    """End with all that was started here: a recogniser would read on to the end of its utterance."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _allow_cpu(seconds: float) -> None:
    limit = int(min(_MAX_CPU_S, math.ceil(seconds)))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def _do(job: dict[str, Any], wire: Wire, ears: Ears | None, eyes: Eyes | None) -> None:
    from engine.measure.media import MAX_DURATION_S, probe

    if job["kind"] == "probe":
        clip, container = probe(Path(job["path"]))
        wire.send({"clip": asdict(clip), "format": container})
        return
    if job["kind"] == "sketch":
        from engine.measure.media import still_sketch

        wire.send({"sketch": still_sketch(Path(job["path"])).hex()})
        return
    if job["kind"] == "thumbnail":
        from engine.measure.media import thumbnail

        wire.send({"image": thumbnail(Path(job["path"]), job["at"]).hex()})
        return
    if job["kind"] == "pieces":
        from engine.measure.remux import plan

        wire.send({"pieces": plan(Path(job["path"]))})
        return
    if job["kind"] == "piece":
        from engine.measure.remux import piece

        whole = piece(Path(job["path"]), job["begin"], job["end"])
        for at in range(0, len(whole), _BYTES_PIECE):
            wire.send({"size": len(whole), "bytes": whole[at : at + _BYTES_PIECE].hex()})
        wire.send({"end": {}})
        return
    if job["kind"] == "facts":
        from engine.worker.record import record

        for message in record(Path(job["path"]), ears, eyes):
            if "head" in message:
                _allow_cpu(_OPEN_CPU_S + _CPU_PER_SECOND * message["head"]["clip"]["duration"])
            wire.send(message)
        return
    from engine.tell.hints import Hints
    from engine.worker.answer import answer

    media = (Path(job["path"]), job["prompt"], job["schema"], ears, eyes)
    hints = Hints.from_wire(job.get("hints"))
    with answer(*media, job.get("record"), job.get("longest_s", MAX_DURATION_S), hints) as reply:
        _allow_cpu(_OPEN_CPU_S + _CPU_PER_SECOND * reply.clip.duration)
        wire.send({"accepted": reply.told()})
        wire.text(reply.fragments)
        wire.send({"end": {"damaged_packets": reply.damage.packets} if reply.damage.packets else {}})


if __name__ == "__main__":
    main()
