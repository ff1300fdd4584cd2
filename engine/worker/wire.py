"""What a worker says: lines of JSON, in the order in which they are sent."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

_TEXT_PIECE = 8192  # code points a message
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
