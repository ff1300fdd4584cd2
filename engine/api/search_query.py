"""What is searched for, and how lists of hits become one: plain functions over values."""

import json
import re
from dataclasses import dataclass
from typing import Any

from engine.api.analyze import tokens_in
from engine.api.filters import Where, filter_invalid
from engine.api.forms import Form
from engine.errors import ApiError, invalid

OPTIONS = ("visual", "audio", "transcription")
WAYS = ("lexical", "semantic")
MAX_TEXT_TOKENS = 500
MAX_IMAGES = 10
_ENTITY = re.compile(r"<@([^<>]*)>")
# The usual constant of reciprocal rank fusion: how little the very first ranks count more.
_RRF = 60


@dataclass(frozen=True, slots=True)
class Query:
    """A search that has the right form.

    Attributes:
        ways: how words are searched among what was said: ``lexical`` by form, ``semantic`` by meaning.
    """

    options: tuple[str, ...]
    ways: tuple[str, ...]
    text: str
    entities: tuple[str, ...]
    image_urls: tuple[str, ...]
    group_by: str
    operator: str
    page_limit: int
    filter: dict[str, Any]
    include_user_metadata: bool


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


def read_query(form: Form) -> Query:
    """Check a search's parameters.

    Raises:
        ApiError: with the code and the parameter's name.
    """
    form.needed("index_id")
    options = tuple(dict.fromkeys(form.texts("search_options")))
    if not options:
        form.needed("search_options")
    for option in options:
        if option not in OPTIONS:
            raise ApiError("search_option_not_supported", f"The search_options parameter takes {', '.join(OPTIONS)}.")
    text = form.text("query_text") or ""
    urls, files = tuple(form.texts("query_media_url")), form.files.get("query_media_file", [])
    if not text.strip() and not urls and not files:
        raise ApiError("parameter_not_provided", "One of query_text, query_media_url and query_media_file is required.")
    if tokens_in(text) > MAX_TEXT_TOKENS:
        raise ApiError("token_limit_exceeded", f"The query_text parameter has more than {MAX_TEXT_TOKENS} tokens.")
    if urls or files:
        if _choice(form, "query_media_type", ("image",), "") != "image":
            form.needed("query_media_type")
        if len(urls) + len(files) > MAX_IMAGES:
            raise invalid(f"At most {MAX_IMAGES} images can be searched for.")
        if not all(one.incoming.size for one in files):
            raise invalid("The query_media_file parameter is empty.")
        if "visual" not in options:
            raise ApiError("search_option_combination_not_supported", "Images are searched with the visual option.")
    return Query(
        options,
        _ways(form, options),
        _ENTITY.sub(" ", text).strip(),
        tuple(match.strip() for match in _ENTITY.findall(text)),
        urls,
        _choice(form, "group_by", ("clip", "video"), "clip"),
        _choice(form, "operator", ("or", "and"), "or"),
        _page_limit(form),
        _filter(form),
        form.flag("include_user_metadata", False),
    )


def _choice(form: Form, name: str, allowed: tuple[str, ...], default: str) -> str:
    value = form.text(name) or default
    if value and value not in allowed:
        raise invalid(f"The {name} parameter must be one of {', '.join(allowed)}.")
    return value


def _ways(form: Form, options: tuple[str, ...]) -> tuple[str, ...]:
    ways = tuple(dict.fromkeys(form.texts("transcription_options")))
    if any(way not in WAYS for way in ways):
        raise invalid(f"The transcription_options parameter takes {', '.join(WAYS)}.")
    if ways and "transcription" not in options:
        raise ApiError(
            "search_option_combination_not_supported", "transcription_options needs the search option transcription."
        )
    return ways or WAYS


def _page_limit(form: Form) -> int:
    text = form.text("page_limit") or "10"
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= 50:
        raise invalid("The page_limit parameter must be a whole number from 1 to 50.")
    return number


def _filter(form: Form) -> dict[str, Any]:
    text = form.text("filter")
    if text is None:
        return {}
    try:
        wanted = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise filter_invalid("it must be a JSON object") from exc
    if not isinstance(wanted, dict):
        raise filter_invalid("it must be a JSON object")
    Where().search(wanted)  # before anything is fetched or looked at
    return wanted


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
