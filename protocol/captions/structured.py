"""Captions from structured segments: an object with a start and a text is a cue while it still grows."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from protocol.captions.cues import Cue, CueBoard
from protocol.captions.media_times import seconds, seconds_of_millis, seconds_range
from protocol.json.push import JsonPush, Kind
from protocol.views.projections import MAX_NAMES

Role = Literal["start", "end", "text", "speaker"]

# Member names, without case, `_` and `-`. The first of a role that an object has counts.
_SYNONYMS: dict[str, Role] = {
    **dict.fromkeys(
        ["start", "starttime", "starts", "startsec", "startseconds", "from", "begin", "begintime"], "start"
    ),
    **dict.fromkeys(["timestamp", "time", "timecode", "offset"], "start"),
    **dict.fromkeys(["end", "endtime", "ends", "endsec", "endseconds", "to", "stop", "until", "finish"], "end"),
    **dict.fromkeys(["text", "caption", "transcript", "transcription", "content", "subtitle"], "text"),
    **dict.fromkeys(["sentence", "utterance", "line", "dialogue", "speech", "description"], "text"),
    **dict.fromkeys(["speaker", "speakername", "speakerid", "speakerlabel"], "speaker"),
}
_TIMES = {name: role for name, role in _SYNONYMS.items() if role in ("start", "end")}
_MILLIS = re.compile(r"(?:ms|msec|millis|milliseconds)\Z")
_INDEX = re.compile(r"/[0-9]+(?=/|\Z)")


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


@dataclass(frozen=True, slots=True)
class CueNames:
    """Where the request says that captions stand; what it leaves out goes by synonyms.

    Attributes:
        pointer: of the array whose elements are cues; None for the first place that has any.
        start, end, text, speaker: member names.
        unit: of numbers that are times; None for seconds, but for milliseconds where the member's name says so.
    """

    pointer: str | None = None
    start: str | None = None
    end: str | None = None
    text: str | None = None
    speaker: str | None = None
    unit: Literal["s", "ms"] | None = None

    def is_in_millis(self, name: str) -> bool:
        """Whether a member's numbers are milliseconds."""
        return self.unit == "ms" or (self.unit is None and _MILLIS.search(_plain(name)) is not None)

    def role(self, name: str) -> Role | None:
        """Return what a member called ``name`` tells of a cue."""
        given: dict[Role, str | None] = {
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "speaker": self.speaker,
        }
        for role, wanted in given.items():
            if wanted == name:
                return role
        plain = _plain(name)
        synonym = _SYNONYMS.get(plain) or _TIMES.get(_MILLIS.sub("", plain))
        return synonym if synonym is not None and given[synonym] is None else None


class StructuredCues:
    """A listener that puts the cues of a JSON document on a board.

    Args:
        board: theirs.
        names: where they stand.
    """

    def __init__(self, board: CueBoard, names: CueNames) -> None:
        self._board = board
        self._names = names
        self.parser = JsonPush(self, max_names=MAX_NAMES)
        self.parser.tells_growth = False
        self._cues: list[Cue | None] = []  # for each open container
        self._roles: list[dict[Role, str]] = []  # by which member each cue has what
        self._role: Role | None = None  # of the member in progress
        self._place: str | None = None  # the only place whose objects are cues, once one was told
        if names.pointer is not None:
            self._place = f"{_INDEX.sub('/*', names.pointer)}/*"

    def began(self, kind: Kind, at: int) -> None:
        if kind in ("object", "array"):
            self._role = None
            is_cue = kind == "object" and self._may_be_cue()
            self._cues.append(Cue(at, pointer=self.parser.pointer()) if is_cue else None)
            self._roles.append({})
        elif kind == "string" and self._role == "text":
            self.parser.tells_growth = True

    def named(self, name: str, at: int) -> None:
        cue = self._cues[-1]
        role = self._names.role(name) if cue is not None else None
        self._role = role if role is not None and self._roles[-1].setdefault(role, name) == name else None
        if name in self.parser.innermost:
            self._is_said_again(at)

    def grew(self, text: str, at: int) -> None:
        cue = self._cues[-1]
        if cue is not None:
            cue.add(text)
            self._tell(cue, at)

    def more(self, at: int) -> None:
        """Nothing."""

    def closed(self, value: Any, at: int) -> None:
        self.parser.tells_growth = False
        if isinstance(value, dict | list):
            self._roles.pop()
            if (cue := self._cues.pop()) is not None:
                self._close(cue, at)
        elif self._role is not None and (cue := self._cues[-1]) is not None:
            self._learn(cue, self._role, value, at)
        self._role = None

    def withdrawn(self, at: int) -> None:
        """Nothing: a root string is no cue."""

    def _may_be_cue(self) -> bool:
        """Whether the object that begins stands where cues do, and not inside of one."""
        if self._place is not None:
            return _INDEX.sub("/*", self.parser.pointer()) == self._place
        return not any(cue is not None and cue.start is not None for cue in self._cues)

    def _learn(self, cue: Cue, role: Role, value: Any, at: int) -> None:
        if role in ("start", "end") and self._names.is_in_millis(self._roles[-1][role]):
            time = seconds_of_millis(value)
            if role == "end":
                cue.end = time
                return
            cue.start = time
            self._tell(cue, at)
        elif role == "start":
            cue.start, end = seconds_range(value)
            cue.end = end if cue.end is None else cue.end
            self._tell(cue, at)  # the text may have come first
        elif role == "end":
            cue.end = seconds(value)
        elif role == "speaker":
            cue.speaker = value if isinstance(value, str) else None if value is None else str(value)

    def _tell(self, cue: Cue, at: int) -> None:
        if cue.start is not None and cue.waiting and self._is_place_of(cue):
            self._board.grown(cue, at)

    def _is_place_of(self, cue: Cue) -> bool:
        """Whether cues come from where this one stands; the first one decides."""
        place = _INDEX.sub("/*", cue.pointer or "")
        if self._place is None:
            self._place = place
        return self._place == place

    def _close(self, cue: Cue, at: int) -> None:
        if cue.start is not None and (cue.text or cue.waiting) and self._is_place_of(cue):
            self._board.final(cue, at)

    def _is_said_again(self, at: int) -> None:
        """A member comes a second time, and the last one counts: what the first one showed is withdrawn."""
        self._board.retract_below(self.parser.pointer(), at)
        if (cue := self._cues[-1]) is not None and self._role is not None:
            self._board.retract(cue, at)
            again = Cue(at, cue.start, cue.end, speaker=cue.speaker, pointer=cue.pointer)
            if self._role != "text":
                again.add(cue.text + "".join(cue.parts))
            self._cues[-1] = again
