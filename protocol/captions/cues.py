"""Captions as a viewer has them: each with an id, a revision, and a text that only grows until it is final."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["partial", "final", "retracted"]

# A partial is told again when it has grown by this part of its length: then telling a text of n characters
# costs O(n) in total, however long a single cue becomes.
_GROWTH = 100

# Of one text: those who come late are given the latest of each in one message. A film has some two thousand.
MAX_CUES = 100_000

# A revision is told by what the cue shows, not by how often it was told: so it rises with each
# telling, and every reading of a whole text, however it was cut, comes to the same one.
_STEPS: dict[State, int] = {"partial": 0, "final": 1, "retracted": 2}


@dataclass(slots=True)
class Cue:
    """A caption in the making.

    Attributes:
        start, end: seconds of media time; None while unknown.
        text: as shown so far.
        at: offset where it begins, in bytes; no two begin at the same place.
        pointer: of the object that it comes from, None in plain text.
    """

    at: int
    start: float | None = None
    end: float | None = None
    text: str = ""
    speaker: str | None = None
    pointer: str | None = None
    parts: list[str] = field(default_factory=list)  # text not joined yet
    waiting: int = 0  # characters in them

    @property
    def id(self) -> str:
        """Named by its place, so that every reading of the text, however it is cut, gives it the same name."""
        return f"c{self.at}"

    def add(self, text: str) -> None:
        """Let the text grow."""
        self.parts.append(text)
        self.waiting += len(text)


class CueBoard:
    """All cues of a text, and the messages that tell of them."""

    def __init__(self) -> None:
        self._latest: dict[str, dict[str, Any]] = {}
        self._cues: dict[str, Cue] = {}  # the told ones, by id
        self._below: dict[str, list[Cue]] = {}  # the told cues, by each pointer above theirs
        self._told: list[dict[str, Any]] = []
        self._last: set[str] = set()  # told by the end of the text, which has no byte of its own
        self._is_over = False

    def over(self) -> None:
        """The text is over: what is told from now on is told at its last byte, after that was told."""
        self._is_over = True

    def taken(self) -> list[dict[str, Any]]:
        """Return what was told since the last call."""
        told, self._told = self._told, []
        return told

    def grown(self, cue: Cue, at: int) -> None:
        """Tell a cue that is open, when its start is known and there is something new to show."""
        # A name may be long, too, and goes along each time.
        told = max(1, len(cue.text), len(cue.speaker or ""), len(cue.pointer or ""))
        if cue.start is not None and cue.waiting * _GROWTH >= told:
            self._tell(cue, "partial", at)

    def final(self, cue: Cue, at: int) -> None:
        """Tell a cue that is complete; without a start or a text it is none."""
        if cue.start is not None and (cue.waiting or cue.text):
            self._tell(cue, "final", at)

    def retract(self, cue: Cue, at: int) -> None:
        """Take back a cue that was told."""
        if cue.id in self._latest and self._latest[cue.id]["state"] != "retracted":
            self._tell(cue, "retracted", at)

    def retract_below(self, pointer: str, at: int) -> None:
        """Take back the told cues that come from below ``pointer``."""
        # Each is looked at once: what is taken back stays so.
        for cue in self._below.pop(pointer, ()):
            self.retract(cue, at)

    def state(self, start: int) -> list[dict[str, Any]]:
        """Return the latest of each cue that changed after offset ``start``.

        Cues taken back are only for readers who may have seen them.
        """
        return [
            message
            for message in self._in_place()
            if (message["at"] > start or message["id"] in self._last) and (start or message["state"] != "retracted")
        ]

    def finals(self) -> list[dict[str, Any]]:
        """Return the cues that are final, in the order in which they begin in the text."""
        return [message for message in self._in_place() if message["state"] == "final"]

    def _in_place(self) -> list[dict[str, Any]]:
        """The latest of each cue, in an order that does not hang on how the text was cut."""
        cues = self._cues
        return sorted(self._latest.values(), key=lambda message: cues[message["id"]].at)

    def _tell(self, cue: Cue, state: State, at: int) -> None:
        if cue.id not in self._cues:
            if len(self._cues) >= MAX_CUES:
                return
            self._cues[cue.id] = cue
            for above in _above(cue.pointer or ""):
                self._below.setdefault(above, []).append(cue)
        if cue.parts:
            cue.text += "".join(cue.parts)
            cue.parts.clear()
            cue.waiting = 0
        message: dict[str, Any] = {
            "at": at,
            "id": cue.id,
            "rev": len(cue.text) + _STEPS[state],
            "state": state,
            "start": cue.start,
            "end": cue.end,
            "text": cue.text,
        }
        if cue.speaker is not None:
            message["speaker"] = cue.speaker
        if cue.pointer is not None:
            message["pointer"] = cue.pointer
        self._latest[cue.id] = message
        if self._is_over:
            self._last.add(cue.id)
        self._told.append(message)


def _above(pointer: str) -> Iterator[str]:
    """The pointers above this one, but for the root's."""
    end = pointer.rfind("/")
    while end > 0:
        yield pointer[:end]
        end = pointer.rfind("/", 0, end)
