"""What is said: the near end of the pipe to ``engine.listener``.

Ears are made only where the speech packages are installed (``engine.packages``).
"""

import json
import queue
import subprocess
import sys
import threading
from typing import Any

from engine.errors import ApiError
from engine.facts import Heard, Utterance, Word
from engine.sound import Samples

# Samples that may wait for the listener, in blocks: about two minutes of sound. Beyond
# that the decoder waits, since memory must not grow with the clip.
_WAITING_BLOCKS = 128
_BLOCK_BYTES = 32_000


class Ears:
    """A listener process, warming up from the moment it is made; good for one sound track."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "engine.listener"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._todo: queue.Queue[bytes] = queue.Queue(_WAITING_BLOCKS)
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._block = bytearray()
        self._start = 0.0
        self.done = False
        threading.Thread(target=self._write, daemon=True).start()
        threading.Thread(target=self._read, daemon=True).start()

    def begin(self, start: float) -> None:
        """Say at which time of the clip the first sample stands."""
        self._start = start

    def hear(self, samples: Samples) -> None:
        """Hand over samples; waits while too many are unheard."""
        self._block += samples.tobytes()
        if len(self._block) >= _BLOCK_BYTES:
            self._send()

    def finish(self) -> None:
        """No more samples will come."""
        if self._block:
            self._send()
        self._todo.put(b"")

    def read(self, wait: bool = False) -> list[Utterance | Heard]:
        """Return what has been heard since the last call; with ``wait``, at least one fact or the end.

        Raises:
            ApiError: the listener died.
        """
        facts: list[Utterance | Heard] = []
        while not self.done:
            try:
                message = self._messages.get(block=wait and not facts)
            except queue.Empty:
                break
            if message is None:
                raise ApiError("internal_error", "The speech recogniser ended unexpectedly.", 500)
            if "done" in message:
                self.done = True
            else:
                facts.append(self._fact(message))
        return facts

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _fact(self, message: dict[str, Any]) -> Utterance | Heard:
        if "heard" in message:
            return Heard(self._start + message["heard"])
        start, end, words = message["utterance"]
        return Utterance(
            start=self._start + start,
            end=self._start + end,
            words=None
            if words is None
            else tuple(Word(text, self._start + at, self._start + to, sure) for text, at, to, sure in words),
        )

    def _send(self) -> None:
        self._todo.put(bytes(self._block))
        self._block.clear()

    def _write(self) -> None:
        assert self._process.stdin is not None
        try:
            while True:
                block = self._todo.get()
                self._process.stdin.write(len(block).to_bytes(8, "little") + block)
                self._process.stdin.flush()
        except OSError:
            while True:  # it died, which the reading side tells: do not let the decoder wait for it
                self._todo.get()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._messages.put(json.loads(line))
        self._messages.put(None)
