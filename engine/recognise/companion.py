"""A process beside the worker: blocks of bytes go to it, lines of JSON come back.

What recognises takes longer than what decodes, and holds the interpreter lock while it
does; so each kind of recogniser is a process of its own, in the worker's process group.
A block is its length in eight bytes and then so many bytes; length 0 ends the row.
"""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any, BinaryIO

from engine.errors import ApiError


class Companion:
    """The near end of the pipes; the process warms up from the moment this is made.

    Args:
        module: what is run as ``python -m``.
        called: its name in the error that tells of its death.
        waiting: blocks that may wait for it; beyond that ``give`` waits, since memory
            must not grow with the clip.
    """

    def __init__(self, module: str, arguments: Sequence[str], called: str, waiting: int) -> None:
        self._called = called
        self._process = subprocess.Popen(  # noqa: S603 -- a module of our own
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._todo: queue.Queue[bytes] = queue.Queue(waiting)
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._write, daemon=True).start()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def give(self, block: bytes) -> None:
        """Hand a block over; an empty one ends the row."""
        self._todo.put(block)

    def take(self, wait: bool) -> dict[str, Any] | None:
        """Return the next message; None when there is none yet, unless it is to be waited for.

        Raises:
            ApiError: the process is gone, or said that it failed.
        """
        try:
            message = self._messages.get(block=wait)
        except queue.Empty:
            return None
        if message is None or "failed" in message:
            self._messages.put(None)  # whoever asks again learns the same
            raise ApiError("internal_error", f"The {self._called} ended unexpectedly.", 500)
        return message

    def close(self) -> None:
        """End the process; those that it forked end with their pipes."""
        self._process.kill()
        self._process.wait()

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
            if line.endswith(b"\n"):  # else it was killed while it wrote
                self._messages.put(json.loads(line))
        self._messages.put(None)


def read_block(source: BinaryIO) -> bytes | None:
    """Read a block at the far end; empty at the end of the row, None when the near end is gone."""
    head = source.read(8)
    if len(head) < 8:
        return None
    size = int.from_bytes(head, "little")
    block = source.read(size)
    return block if len(block) == size else None


def send(sink: BinaryIO, message: dict[str, Any]) -> None:
    """Send a message from the far end."""
    sink.write(json.dumps(message).encode() + b"\n")
    sink.flush()
