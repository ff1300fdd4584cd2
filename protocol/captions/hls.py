"""Captions over HTTP Live Streaming (RFC 8216): subtitles beside a video's own playlist, in segments that grow.

A segment closes when a final cue begins at its end or later: then the text, which goes through the video in
order, has passed it. What it holds is settled by the cues that were there when it closed, so that whoever comes
later gets the same. A cue out of its order comes too late for its segment: it is in the next one that closes, and
players show it by its own time. The last segment closes with the stream.

The first segment is a millisecond without cues: players take a playlist without a segment for a broken one, and
a model may think for a while.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, inf
from typing import Any

from protocol.captions.subtitles import Subtitles
from protocol.captions.timing import Repairs

SEGMENT_S = 6
_FIRST_S = 0.001
_GROUP = "captions"
# Of a video whose size is not told.
_BANDWIDTH = 2_000_000
_PACKET = 188
_URI = re.compile(r'(?<=[:,]URI=")[^"]*(?=")')
_SUBTITLES = re.compile(r',SUBTITLES="[^"]*"|(?<=:)SUBTITLES="[^"]*",?')
_SECONDS = re.compile(r"#EXTINF:([0-9]{1,9}(?:\.[0-9]{1,9})?)")


class CaptionSegments:
    """The captions of a video so far, cut into segments of a fixed duration.

    Args:
        cues: the final ones as the view ``captions`` tells them, in the order of the text.
        duration: of the video, in seconds; all segments together are as long.
        over: whether no more cues will come.
    """

    def __init__(self, cues: Sequence[dict[str, Any]], duration: float, *, over: bool) -> None:
        self._cues = cues
        self._over = over
        inner = [float(edge) for edge in range(SEGMENT_S, ceil(duration), SEGMENT_S)]
        self._edges = [0.0, _FIRST_S, *inner, max(duration, 2 * _FIRST_S)]
        last = len(self._edges) - 2
        # For each closed segment the number of cues that were there then.
        self._known = [0]
        for count, cue in enumerate(cues, 1):
            # A cue that would begin behind the video proves nothing.
            while len(self._known) < last and self._edges[len(self._known) + 1] <= cue["start"] < duration:
                self._known.append(count)
        if over:
            self._known += [len(cues)] * (last + 1 - len(self._known))

    def __len__(self) -> int:
        """How many segments are closed."""
        return len(self._known)

    def playlist(self, uri: Callable[[int], str]) -> str:
        """Return the media playlist; ``uri`` gives the address of a segment by its number."""
        kind = "VOD" if self._over else "EVENT"
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{SEGMENT_S}", f"#EXT-X-PLAYLIST-TYPE:{kind}"]
        for number, (begin, end) in zip(range(len(self)), pairwise(self._edges), strict=False):
            lines += [f"#EXTINF:{end - begin:.3f},", uri(number)]
        return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if self._over else []), ""])

    def segment(self, number: int, zero: int) -> str:
        """Return a closed segment as WebVTT.

        Args:
            zero: the video's own clock where its time begins, in ticks of 90 kHz.
        """
        begin, end = self._edges[number] * 1000, self._edges[number + 1] * 1000
        new = self._cues[self._known[number - 1] : self._known[number]] if number else []
        late = {cue["id"] for cue in new}
        shown = [cue for cue in Subtitles.of([*self._around(number), *new]).cues if cue.start < end]
        held = [cue for cue in shown if cue.end > begin or cue.id in late]
        head = f"X-TIMESTAMP-MAP=MPEGTS:{zero},LOCAL:00:00:00.000"
        # With a blank line behind it: there are players (FFmpeg) that read the segments as one text.
        return Subtitles(tuple(held), Repairs()).vtt(head) + "\n"

    def _around(self, number: int) -> list[dict[str, Any]]:
        """The cues that a segment's own and their ends are made of: with the last before it and the next behind."""
        known = self._cues[: self._known[number]]
        begin, end = self._edges[number : number + 2]
        before = max((cue["start"] for cue in known if cue["start"] <= begin), default=0.0)
        behind = min((cue["start"] for cue in known if cue["start"] >= end), default=inf)
        late = range(self._known[number - 1] if number else 0, self._known[number])
        return [cue for place, cue in enumerate(known) if before <= cue["start"] <= behind and place not in late]


@dataclass(frozen=True, slots=True)
class Video:
    """What an index tells of a video: bytes, seconds and pixels, each 0 where it does not."""

    size: float = 0
    duration: float = 0
    width: float = 0
    height: float = 0

    def variant(self) -> str:
        """Return the tag of a variant that has this video alone."""
        bandwidth = ceil(self.size * 8 / self.duration) if self.size and self.duration else _BANDWIDTH
        picture = f",RESOLUTION={self.width:.0f}x{self.height:.0f}" if self.width and self.height else ""
        return f"#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}{picture}"


def master(playlist: str, address: Callable[[str], str], captions: str) -> str:
    """Return a master playlist with the captions as subtitles of every variant, on by default.

    Args:
        playlist: the video's master playlist; what it has of subtitles is left out.
        address: where a player finds what the playlist names by a URI.
        captions: where it finds the captions' playlist.
    """
    group = f'TYPE=SUBTITLES,GROUP-ID="{_GROUP}",NAME="Captions",DEFAULT=YES,AUTOSELECT=YES,URI="{captions}"'
    lines = ["#EXTM3U", f"#EXT-X-MEDIA:{group}"]
    for line in _lines(playlist)[1:]:
        if line.startswith("#EXT-X-STREAM-INF:"):
            lines.append(f'{_SUBTITLES.sub("", line)},SUBTITLES="{_GROUP}"')
        elif not line.startswith("#"):
            lines.append(address(line))
        elif not line.startswith("#EXT-X-MEDIA:") or "TYPE=SUBTITLES" not in line:
            lines.append(_URI.sub(lambda uri: address(uri[0]), line))
    return "\n".join([*lines, ""])


def _lines(playlist: str) -> list[str]:
    return [line.strip() for line in playlist.split("\n") if line.strip()]


def is_playlist(text: str) -> bool:
    """Whether a text is a playlist at all."""
    return text.startswith("#EXTM3U")


def is_master(playlist: str) -> bool:
    """Whether a playlist names variants, and no segments."""
    return "\n#EXT-X-STREAM-INF:" in playlist


def first_uri(playlist: str) -> str | None:
    """Return the first variant of a master playlist, or the first segment of a media playlist."""
    return next((line for line in _lines(playlist) if not line.startswith("#")), None)


def duration_of(playlist: str) -> float:
    """Return how long the segments of a media playlist are together, in seconds."""
    return sum(float(seconds) for seconds in _SECONDS.findall(playlist))


def first_time(ts: bytes) -> int | None:
    """Return when the first picture of an MPEG-TS segment is due, in ticks of 90 kHz.

    Without a picture it is the first sound's time; None without either, and for what is no MPEG-TS. H.222.0,
    sections 2.4.3.2 and 2.4.3.6.
    """
    sound: int | None = None
    for at in range(0, len(ts) - _PACKET + 1, _PACKET):
        packet = ts[at : at + _PACKET]
        if packet[0] != 0x47:
            break
        begins, adapted, has_payload = packet[1] & 0x40, packet[3] & 0x20, packet[3] & 0x10
        if not (begins and has_payload):
            continue
        header = packet[5 + packet[4] if adapted else 4 :][:14]
        if len(header) < 14 or header[:3] != b"\0\0\1" or not header[7] & 0x80:
            continue
        time = (
            (header[9] & 0x0E) << 29 | header[10] << 22 | (header[11] & 0xFE) << 14 | header[12] << 7 | header[13] >> 1
        )
        if 0xE0 <= header[3] <= 0xEF:
            return time
        if 0xC0 <= header[3] <= 0xDF and sound is None:
            sound = time
    return sound
