"""Cursors: ``<gen>.<offset>`` in the text, ``<gen>.<n>r`` among the upstream's events.

A cursor does not name its stream: one from elsewhere that fits is honoured, and the
ending's digest tells. One that does not fit is a snapshot, never an error.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

# ASCII digits only, and few enough that no one makes us compute a huge number.
_CURSOR = re.compile(r"([0-9]{1,10})\.([0-9]{1,18})(r|\.end)?", re.ASCII)


class Mode(StrEnum):
    """How a subscriber is attached; there is no fourth, silent case."""

    SNAPSHOT = "snapshot"
    SUFFIX = "suffix"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a stream: a generation, and a byte offset or (``raw``) an event's ordinal."""

    gen: int
    position: int
    raw: bool = False
    after_end: bool = False  # the reader has also seen the ending

    def __str__(self) -> str:
        return f"{self.gen}.{self.position}{'r' if self.raw else ''}{'.end' if self.after_end else ''}"


def parse_cursor(text: str | None) -> Cursor | None:
    """Return the cursor that ``text`` spells, or None where it spells none."""
    match = _CURSOR.fullmatch(text) if text else None
    if match is None:
        return None
    gen, position, suffix = match.groups()
    return Cursor(int(gen), int(position), raw=suffix == "r", after_end=suffix == ".end")
