"""A process that does one job on one media file: ``python -m engine.worker [--senses ...]``.

The job comes as one line of JSON on standard input (``engine.facts.job``), the answers go
as lines of JSON to standard output (``engine.worker.jobs``), or
``{"error": {"status", "code", "message"}}`` at any point. When standard input ends the
engine is gone, and the worker ends too.
"""

import argparse
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import BinaryIO, NoReturn

from engine import confine
from engine.errors import ApiError
from engine.facts.job import from_line
from engine.recognise.sight import Eyes
from engine.recognise.speech import Ears
from engine.recognise.spotting import Spotter
from engine.senses import Senses, missing_reader, sense_with, speech_lack, things_lack
from engine.worker.wire import Wire


def main() -> None:
    parser = argparse.ArgumentParser(prog="engine.worker")
    parser.add_argument("--senses", action="store_true", help="warm the recognisers up")
    parser.add_argument("--threads", type=int, default=1, help="cores that one model reads with")
    parser.add_argument("--whisper", type=Path, help="directory of a CTranslate2 Whisper model")
    parser.add_argument("--things", type=Path, help="directory of the weights that name things")
    options = parser.parse_args()
    senses = Senses(options.threads, options.whisper, options.things)
    sense_with(senses)
    confine.be_nice()
    wire = Wire(_own_stdout())
    ears = Ears(senses.hearing()) if options.senses and not speech_lack() else None
    eyes = Eyes() if options.senses and not missing_reader() else None
    spotter = Spotter(senses.things) if options.senses and senses.things and not things_lack() else None
    # Slow imports: before there is a job, and after the companions were started, which warm up meanwhile.
    from engine.worker.answer import Recognisers
    from engine.worker.jobs import OPEN_CPU_S, Means, do

    line = sys.stdin.buffer.readline()
    if not line:
        _leave()
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    confine.limit(memory_bytes=confine.WORKER_MEMORY, cpu_s=None)
    confine.allow_cpu(OPEN_CPU_S)
    try:
        do(from_line(line), Means(wire, Recognisers(ears, eyes, spotter)))
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


def _trace(exc: BaseException) -> list[str]:
    """Say where it broke, without the message: that may hold a prompt or what was said."""
    frames = traceback.extract_tb(exc.__traceback__)
    return [type(exc).__name__, *(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in frames)]


def _leave_with_parent() -> None:
    sys.stdin.buffer.read()
    _leave()


def _leave() -> NoReturn:
    """End, with all processes started here: a recogniser would read on to the end of its utterance."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
