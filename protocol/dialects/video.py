"""How a video is named in whatever field a client can fill: one grammar for all dialects."""

import re
from collections.abc import Mapping
from typing import Any

from protocol.errors import Refusal

# Bytes of media in base64, decoded.
MAX_MEDIA_BYTES = 30 << 20
_LINK = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)
_ASSET = re.compile(r"asset:([A-Za-z0-9_-]{1,128})")
_DATA = re.compile(r"data:video(?:/[A-Za-z0-9.+-]+)?(?:;[A-Za-z0-9=.+-]+)*;base64,", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
MAX_LINK_CHARS = 8192
# Where a word of what a user wrote begins and ends, and a word that is a link to a video, or an asset.
# Word by word: searched for in one go, a text of nothing but `https://` would take the square of its length.
_BETWEEN = re.compile(r"[\s<>\"'()\[\]]+")
_NAMED = re.compile(r"asset:[A-Za-z0-9_-]{1,128}|https?://\S+?\.(?:mp4|mov|m4v|webm|mkv|avi)(?:\?\S*)?", re.IGNORECASE)


def video_of(value: object) -> dict[str, Any]:
    """The ``video`` of an analyze request that a value names.

    Args:
        value: ``http(s)://…``, ``data:video/…;base64,…``, ``asset:ID``, or such an object itself.

    Raises:
        Refusal: ``video_invalid``.
    """
    if isinstance(value, Mapping):
        if isinstance(value.get("type"), str):
            return dict(value)
    elif isinstance(value, str):
        if (asset := _ASSET.fullmatch(value)) is not None:
            return {"type": "asset_id", "asset_id": asset[1]}
        if (data := _DATA.match(value)) is not None:
            return {"type": "base64_string", "base64_string": _media(value[data.end() :])}
        if len(value) <= MAX_LINK_CHARS and _LINK.fullmatch(value) is not None:
            return {"type": "url", "url": value}
    raise Refusal("video_invalid", "a video is named by http(s)://…, data:video/…;base64,…, asset:ID, or an object")


def _media(text: str) -> str:
    """Media in base64, of a size that is taken.

    Raises:
        Refusal: ``video_invalid``.
    """
    if len(text) * 3 // 4 > MAX_MEDIA_BYTES + 2:
        raise Refusal(
            "video_invalid", f"a video in a data URL has at most {MAX_MEDIA_BYTES >> 20} MB; upload it instead"
        )
    # The whole of it is decoded by who sends it on; what is no base64 at all is said here.
    if _BASE64.fullmatch(text[:4096]) is None:
        raise Refusal("video_invalid", "the data URL is not base64")
    return text


def named_in(text: str) -> str | None:
    """The last video that a text names: an asset, or a link that ends as videos do."""
    words = (word.rstrip(".,;:!?") for word in reversed(_BETWEEN.split(text)))
    return next((word for word in words if _NAMED.fullmatch(word)), None)


def link_of(video: Mapping[str, Any]) -> str | None:
    """The address of a video that has one."""
    link = video.get("url")
    return link if isinstance(link, str) and _LINK.fullmatch(link) else None
