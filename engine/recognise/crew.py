"""Recognisers side by side: utterances are shared out, and answered in the order in which they came."""

import json
import os
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np

from engine.facts.samples import Samples
from engine.recognise.companion import read_block
from engine.recognise.sphinx import Words
from engine.recognise.voice import Voice

Reader = Callable[[Samples], Words]
# Utterances that may wait for a recogniser: of 15 s at most, so 15 MB.
_WAITING = 32


class RecogniserDied(Exception):
    """A forked recogniser is gone."""


class Forked:
    """A reader in a process of its own, forked from this one.

    The model is loaded once and its memory shared. To be made before any thread is
    started: a fork takes only the thread that called it.
    """

    def __init__(self, read: Reader) -> None:
        its_source, todo = os.pipe()
        done, its_sink = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _serve(read, its_source, its_sink)
        os.close(its_source)
        os.close(its_sink)
        self._todo = os.fdopen(todo, "wb")
        self._done = os.fdopen(done, "rb")

    def __call__(self, samples: Samples) -> Words:
        """Return the words of an utterance.

        Raises:
            RecogniserDied: the process is gone.
        """
        block = samples.tobytes()
        try:
            self._todo.write(len(block).to_bytes(8, "little") + block)
            self._todo.flush()
        except OSError as exc:
            raise RecogniserDied from exc
        line = self._done.readline()
        if not line.endswith(b"\n"):
            raise RecogniserDied
        return [(word, start, end, sure) for word, start, end, sure in json.loads(line)]

    def close(self) -> None:
        """Close the pipes, at whose end the process ends."""
        with suppress(BrokenPipeError):  # what it did not take is still in the buffer
            self._todo.close()
        self._done.close()


def _serve(read: Reader, source: int, sink: int) -> None:
    """Be the forked process: answer until the other end closes."""
    try:
        # No other pipe may stay open here: each would hide the death of whoever held it.
        os.dup2(source, 0)
        os.dup2(sink, 1)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        with os.fdopen(0, "rb") as todo, os.fdopen(1, "wb") as done:
            while block := read_block(todo):
                done.write(json.dumps(read(np.frombuffer(block, dtype=np.int16))).encode() + b"\n")
                done.flush()
    finally:
        os._exit(0)


class Crew:
    """Share utterances out to readers; tell what they read in the order of the utterances.

    Args:
        readers: each reads one utterance at a time.
        tell: called with messages, in order, from one thread.
    """

    def __init__(self, readers: Sequence[Reader], tell: Callable[[dict[str, Any]], None]) -> None:
        self._free: queue.SimpleQueue[Reader] = queue.SimpleQueue()
        for reader in readers:
            self._free.put(reader)
        self._tell = tell
        self._room = threading.Semaphore(_WAITING)
        self._row: queue.SimpleQueue[dict[str, Any] | tuple[Voice, Future[Words]]] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(len(readers))
        self._teller = threading.Thread(target=self._tell_in_order, daemon=True)
        self._teller.start()

    def read(self, voice: Voice) -> None:
        """Have an utterance read; waits while too many are unread."""
        self._room.acquire()
        future = self._threads.submit(self._read, voice.samples)
        # Also where it fails: whoever waits for room must come to see its own end.
        future.add_done_callback(lambda _: self._room.release())
        self._row.put((voice, future))

    def say(self, message: dict[str, Any]) -> None:
        """Tell something after all that was asked for before it."""
        self._row.put(message)

    def finish(self) -> None:
        """Return when all is told."""
        self._row.put({"done": True})
        self._teller.join()
        self._threads.shutdown()

    def _read(self, samples: Samples) -> Words:
        reader = self._free.get()
        try:
            return reader(samples)
        finally:
            self._free.put(reader)

    def _tell_in_order(self) -> None:
        message: dict[str, Any] = {}
        while "done" not in message and "failed" not in message:
            item = self._row.get()
            message = item if isinstance(item, dict) else _answered(*item)
            self._tell(message)


def _answered(voice: Voice, future: "Future[Words]") -> dict[str, Any]:
    try:
        words = future.result()
    except Exception as exc:
        return {"failed": type(exc).__name__}
    told = [
        [word, round(voice.offset + start, 2), round(voice.offset + end, 2), round(sure, 4)]
        for word, start, end, sure in words
    ]
    return {"utterance": [round(voice.start, 3), round(voice.end, 3), told]}
