"""The audit log: one line of JSON for each call that changes something, or opens a stream to somebody, or was refused.

It is a file, and each line is written at once and whole, so that several processes may share one. Whoever
moves the file away need tell nobody: the next line begins a new one.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import orjson
import structlog

log = structlog.get_logger()
# Not in others' eyes: it says who watches what.
MODE = 0o600


class AuditRefused(Exception):
    """The file cannot be written; the message is for the operator."""


class AuditLog:
    """See the module's text.

    Attributes:
        lines: written so far.
        failures: lines that could not be; the calls go on.
    """

    def __init__(self, path: Path, *, wall: Callable[[], float] = time.time) -> None:
        self._path = path
        self._wall = wall
        self._file = -1
        self._is_known: tuple[int, int] | None = None  # device and number of the file
        self.lines = self.failures = 0
        try:
            self._open()
        except OSError as exc:
            raise AuditRefused(f"FANLIGHT_AUDIT_LOG names {path}, which cannot be written: {exc.strerror}") from exc

    def write(self, members: dict[str, object]) -> None:
        """Write a line; ``at`` is added."""
        at = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = orjson.dumps({"at": at, **members}) + b"\n"
        try:
            if self._file < 0 or self._is_known != self._there():
                self._open()
            if os.write(self._file, line) != len(line):
                raise OSError("written in part")
        except OSError as exc:
            if not self.failures:
                log.error("audit_failed", fault=exc.strerror or str(exc))
            self.failures += 1
            return
        self.lines += 1

    def close(self) -> None:
        """Write no more."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._is_known = -1, None

    def _open(self) -> None:
        self.close()
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
        self._is_known = self._there()

    def _there(self) -> tuple[int, int] | None:
        with suppress(FileNotFoundError):
            found = os.stat(self._path)
            return found.st_dev, found.st_ino
        return None
