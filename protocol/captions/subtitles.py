"""Exports of final cues: WebVTT, SRT and JSON, whatever stands in their texts.

WebVTT: W3C, WebVTT: The Web Video Text Tracks Format. SRT has no standard; what players take for markup
there is written with look-alikes, since they know no escapes.
"""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from protocol.captions.layout import characters, lay_out
from protocol.captions.timing import LONGEST_MS, Repairs, Subtitle, in_order, reading_ms

# Control characters, but for line ends; a byte order mark is one for some players.
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff]")
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_BLANKS = re.compile(r"[ \t\u00a0\u3000]+")


@dataclass(frozen=True, slots=True)
class Subtitles:
    """Cues ready to be written.

    Attributes:
        cues: sorted, without overlaps.
        repairs: what that took.
    """

    cues: tuple[Subtitle, ...]
    repairs: Repairs

    @classmethod
    def of(cls, cues: Iterable[dict[str, Any]], *, formatted: bool = False) -> "Subtitles":
        """Make them from the final cues of the view ``captions``; others are left out.

        Args:
            cues: as told by the view.
            formatted: lay them out for the screen: at most 2 lines of 37 columns, 1 to 7 seconds, at most
                17 characters a second. Long cues are split; a cue that cannot be read in its time is given
                more, and those after it begin later until a pause makes up for it.
        """
        finals = [cue for cue in cues if cue["state"] == "final"]
        texts = {cue["id"]: text for cue in finals if (text := cleaned(cue["text"]))}
        ordered, repairs = in_order(finals, texts)
        if formatted:
            ordered, delayed = _formatted(ordered)
            repairs = replace(repairs, delayed=delayed)
        return cls(tuple(ordered), repairs)

    def vtt(self, header: str = "") -> str:
        """Return them as WebVTT, with a line of the header where one is given."""
        blocks = [f"WEBVTT\n{header}".rstrip(), *[_vtt_block(cue) for cue in self.cues]]
        return "\n\n".join(blocks) + "\n"

    def srt(self) -> str:
        """Return them as SubRip, which has no place for the speaker."""
        blocks = [
            f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{_srt_text(cue.text)}\n"
            for number, cue in enumerate(self.cues, 1)
        ]
        return "\n".join(blocks)

    def json(self) -> dict[str, Any]:
        """Return them as a JSON object: ``{"cues": [{id, start, end, text, speaker?}], "repaired": {…}}``."""
        return {"cues": [_json_cue(cue) for cue in self.cues], "repaired": asdict(self.repairs)}


def cleaned(text: str) -> str:
    """Return a text without control characters and blank lines, each line without blanks around it."""
    lines = _LINE_ENDS.sub("\n", _CONTROLS.sub("", text)).split("\n")
    return "\n".join(line for line in (_BLANKS.sub(" ", line).strip() for line in lines) if line)


def _formatted(cues: list[Subtitle]) -> tuple[list[Subtitle], int]:
    shown: list[Subtitle] = []
    delayed = 0
    free = 0  # from here on the screen is
    for cue in cues:
        for part in _split(cue):
            start = max(part.start, free)
            delayed += start > part.start
            free = min(max(part.end, start + reading_ms(characters(part.text))), start + LONGEST_MS)
            shown.append(replace(part, start=start, end=free))
    return shown, delayed


def _split(cue: Subtitle) -> list[Subtitle]:
    """The cue in parts that fit the screen; each gets its share of the time."""
    texts = lay_out(cue.text)
    sizes = [max(1, characters(text)) for text in texts]
    whole = sum(sizes)
    parts: list[Subtitle] = []
    passed, begin = 0, cue.start
    for number, (text, size) in enumerate(zip(texts, sizes, strict=True), 1):
        passed += size
        end = cue.start + (cue.end - cue.start) * passed // whole
        name = cue.id if len(texts) == 1 else f"{cue.id}.{number}"
        parts.append(Subtitle(name, begin, end, text, cue.speaker))
        begin = end
    return parts


def _clock(milliseconds: int, mark: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{mark}{rest:03}"


def _vtt_block(cue: Subtitle) -> str:
    text = _escaped(cue.text)
    if cue.speaker and (name := _escaped(" ".join(cleaned(cue.speaker).split()))):
        text = f"<v {name}>{text}"
    return f"{cue.id}\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{text}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _srt_text(text: str) -> str:
    return text.replace("-->", "→").replace("<", "‹").replace(">", "›").replace("{\\", "(\\")


def _json_cue(cue: Subtitle) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": cue.id,
        "start": cue.start / 1000,
        "end": cue.end / 1000,
        "text": cue.text,
    }
    return shown if cue.speaker is None else {**shown, "speaker": cue.speaker}
