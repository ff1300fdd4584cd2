"""What a search found, and how lists of it become one: plain functions over values."""

from dataclasses import dataclass
from typing import Any

# The usual constant of reciprocal rank fusion: how little the very first ranks count more.
_RRF = 60


@dataclass(frozen=True, slots=True)
class Hit:
    """A stretch of a video that was found."""

    video_id: str
    start: float
    end: float
    transcription: str | None = None
    rank: int = 0

    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "video_id": self.video_id,
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "rank": self.rank,
        }
        if self.transcription:
            told["transcription"] = self.transcription
        return told

    def meets(self, other: "Hit") -> bool:
        return self.video_id == other.video_id and self.start < other.end and other.start < self.end


def joined(lists: dict[str, list[list[Hit]]], operator: str) -> list[Hit]:
    """Join ranked lists into one, best first.

    Args:
        lists: for each search option its lists: by words, by looks, or both.
        operator: with ``and`` a hit must meet one of every option, and is cut to what they share.
    """
    if operator == "and" and len(lists) > 1:
        pools = [[hit for one in option for hit in one] for option in lists.values()]
        return _ranked([_shared(option, pools) for one in lists.values() for option in one])
    # Words and a picture in one query: what fits both comes first, by the sum of its ranks.
    return _ranked([one for option in lists.values() for one in option])


def _shared(hits: list[Hit], pools: list[list[Hit]]) -> list[Hit]:
    """Return hits cut to what they have in common with a hit of every pool."""
    shared: list[Hit] = []
    for hit in hits:
        parts = [hit]
        for pool in pools:
            parts = [
                Hit(
                    part.video_id,
                    max(part.start, other.start),
                    min(part.end, other.end),
                    part.transcription or other.transcription,
                )
                for part in parts
                for other in pool
                if part.meets(other)
            ]
        shared += parts
    return list({(one.video_id, one.start, one.end): one for one in shared}.values())


def _ranked(lists: list[list[Hit]]) -> list[Hit]:
    scores: dict[tuple[str, float, float], float] = {}
    hits: dict[tuple[str, float, float], Hit] = {}
    for ranked in lists:
        for rank, hit in enumerate(ranked, 1):
            key = (hit.video_id, hit.start, hit.end)
            scores[key] = scores.get(key, 0.0) + 1 / (_RRF + rank)
            if key not in hits or hit.transcription:
                hits[key] = hit
    order = sorted(hits, key=lambda key: (-scores[key], key))
    return [
        Hit(one.video_id, one.start, one.end, one.transcription, rank)
        for rank, one in enumerate((hits[key] for key in order), 1)
    ]


def grouped(hits: list[Hit]) -> list[dict[str, Any]]:
    """Return hits by video: the video with the best hit first, its hits as clips."""
    clips: dict[str, list[dict[str, Any]]] = {}
    for hit in hits:
        clips.setdefault(hit.video_id, []).append(hit.told())
    return [{"id": ident, "clips": mine} for ident, mine in clips.items()]
