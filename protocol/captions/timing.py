"""Final cues put in order for a player: sorted, each ending after it starts and before the next one does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

# On screen, and read: the bounds of subtitling guides, in milliseconds and characters a second.
SHORTEST_MS = 1000
LONGEST_MS = 7000
CHARACTERS_A_SECOND = 17
_LAST_S = 359_999.0  # 99:59:59; beyond it players differ


@dataclass(frozen=True, slots=True)
class Subtitle:
    """One cue to be written.

    Attributes:
        start, end: milliseconds of media time.
        text: lines separated by newlines, none of them blank.
    """

    id: str
    start: int
    end: int
    text: str
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Repairs:
    """What had to be done, in cues.

    Attributes:
        overlaps: ended later than the next one began.
        reversed: ended before, or when, they began.
        open_ends: had no end.
        delayed: begin later than said, since the one before takes its time to read.
    """

    overlaps: int = 0
    reversed: int = 0
    open_ends: int = 0
    delayed: int = 0


def in_order(cues: Iterable[dict[str, Any]], texts: dict[str, str]) -> tuple[list[Subtitle], Repairs]:
    """Return the cues sorted and without overlaps, and what that took.

    Args:
        cues: final ones, as the view ``captions`` tells them.
        texts: what to write for each id; cues that are not in it are left out.
    """
    known = sorted((cue for cue in cues if cue["id"] in texts), key=lambda cue: _ms(cue["start"]))
    repairs = Repairs()
    ordered: list[Subtitle] = []
    groups = [(start, list(group)) for start, group in groupby(known, key=lambda cue: _ms(cue["start"]))]
    for place, (start, group) in enumerate(groups):
        following = groups[place + 1][0] if place + 1 < len(groups) else None
        ends = [_end(cue, start, texts[cue["id"]], following) for cue in group]
        open_ends = sum(cue["end"] is None for cue in group)
        wrong = sum(cue["end"] is not None and _ms(cue["end"]) <= start for cue in group)
        end = max(ends)
        is_late = following is not None and end > following
        repairs = replace(
            repairs,
            open_ends=repairs.open_ends + open_ends,
            reversed=repairs.reversed + wrong,
            overlaps=repairs.overlaps + len(group) - 1 + is_late,
        )
        ordered += _shared(group, texts, start, min(end, following) if following is not None else end)
    return ordered, repairs


def reading_ms(characters: int) -> int:
    """Return the time that a text must stay: 17 characters a second, and one second at least."""
    return max(SHORTEST_MS, -(-characters * 1000 // CHARACTERS_A_SECOND))


def _ms(seconds: float) -> int:
    return round(min(max(0.0, seconds), _LAST_S) * 1000)


def _end(cue: dict[str, Any], start: int, text: str, following: int | None) -> int:
    """The end as said; where none is, or none that can be, as long as reading takes."""
    if cue["end"] is not None and _ms(cue["end"]) > start:
        return _ms(cue["end"])
    fallback = start + min(reading_ms(len(text)), LONGEST_MS)
    return min(fallback, following) if following is not None else fallback


def _shared(group: Sequence[dict[str, Any]], texts: dict[str, str], start: int, end: int) -> list[Subtitle]:
    """Share the time among cues that begin together, by the length of their texts."""
    if len(group) > end - start:
        # Not a millisecond for each: they are shown together.
        text = "\n".join(texts[cue["id"]] for cue in group)
        return [Subtitle(group[0]["id"], start, end, text, group[0].get("speaker"))]
    whole = sum(len(texts[cue["id"]]) for cue in group)
    shown: list[Subtitle] = []
    passed, begin = 0, start
    for place, cue in enumerate(group):
        passed += len(texts[cue["id"]])
        left = len(group) - place - 1
        until = start + (end - start) * passed // whole if left else end
        until = min(max(until, begin + 1), end - left)
        shown.append(Subtitle(cue["id"], begin, until, texts[cue["id"]], cue.get("speaker")))
        begin = until
    return shown
