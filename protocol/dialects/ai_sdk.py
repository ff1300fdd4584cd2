"""The AI SDK's UI message stream: what its clients send, and the chunks that all of v6 and v7 accept.

v6.0.0 refuses unknown keys and types, so a chunk has the keys of its row in that table and no other.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.captions.media_times import seconds as seconds_of
from protocol.dialects.lines import one_line
from protocol.dialects.prompt import Said
from protocol.errors import Refusal, first_fault

DONE = b"[DONE]"
MAX_ID_CHARS = 1000  # of chats and messages: what names them is kept
_CITED = re.compile(r"(?<![\d:.])(?:\d{1,2}:)?\d{1,2}:\d{2}(?![\d:])")


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    id: str = Field("", max_length=MAX_ID_CHARS)
    role: Literal["system", "user", "assistant"]
    parts: list[dict[str, Any]] = []
    content: str | None = None  # of older clients


class Posted(BaseModel):
    """The body of a chat's POST, as far as it is looked at."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: str = Field("", max_length=MAX_ID_CHARS)
    messages: list[_Message] | None = None
    message: _Message | None = None
    trigger: str = "submit-message"
    messageId: str | None = None  # noqa: N815
    video: Any = None
    schema_: Any = None
    response_format: dict[str, Any] | None = None
    system: str | None = None
    fanlight: Any = None


@dataclass(frozen=True, slots=True)
class Chat:
    """What a chat asks.

    Attributes:
        said: the turns that came, the question last.
        whole: whether they are all there are; else earlier ones are remembered.
        asked: id and text of the last user message.
        video: what the newest file part of a user message names; None where none does.
    """

    said: Sequence[Said]
    whole: bool
    asked: tuple[str, str]
    video: object | None


def posted(body: Mapping[str, Any]) -> Posted:
    """Read a body.

    Raises:
        Refusal: ``invalid_request``, naming the member.
    """
    told = dict(body)
    if "schema" in told:
        told["schema_"] = told.pop("schema")
    try:
        return Posted.model_validate(told)
    except ValidationError as exc:
        raise Refusal("invalid_request", first_fault(exc, "body").replace("schema_", "schema")) from exc


def chat(told: Posted) -> Chat:
    """The conversation in a body.

    Raises:
        Refusal: ``invalid_request``, ``part_unsupported``, ``too_many_videos``.
    """
    messages = told.messages if told.messages is not None else [told.message] if told.message is not None else []
    if not messages or messages[-1].role != "user":
        raise Refusal("invalid_request", "messages: the last one is to be the user's")
    last = messages[-1]
    videos = [video for message in messages if message.role == "user" for video in _videos(message, message is last)]
    said = [Said(message.role, _text(message)) for message in messages]
    if not said[-1].text.strip():
        raise Refusal("invalid_request", "messages: the last one has no text")
    if told.system:
        said.insert(0, Said("system", told.system))
    return Chat(said, told.messages is not None, (last.id, said[-1].text), videos[-1] if videos else None)


def _text(message: _Message) -> str:
    texts = [part["text"] for part in message.parts if part.get("type") == "text" and isinstance(part.get("text"), str)]
    return "".join(texts) if texts else message.content or ""


def _videos(message: _Message, is_last: bool) -> list[object]:
    """What the file parts of a user message name; in the last one other files are refused, not dropped."""
    found: list[object] = []
    for part in message.parts:
        kind = part.get("type")
        if kind == "file":
            media, url = part.get("mediaType"), part.get("url")
            if _is_video(media, url):
                found.append(url)
            elif is_last:
                raise Refusal("part_unsupported", "only videos can be looked at, no other files")
        elif is_last and kind not in ("text", "step-start") and not str(kind).startswith("data-"):
            raise Refusal("part_unsupported", "this part of a message cannot be looked at")
    if is_last and len(found) > 1:
        raise Refusal("too_many_videos", "one message is about one video")
    return found


def _is_video(media: object, url: object) -> bool:
    if not isinstance(url, str):
        return False
    if isinstance(media, str) and media:
        return media == "video" or media.startswith("video/")
    return not url.startswith("data:") or url.startswith("data:video")  # a browser may not know the type


# -- chunks


def chunk(kind: str, **keys: Any) -> bytes:
    """One chunk; what is None is left out, and no line separator stands in it."""
    return one_line({"type": kind, **{key: value for key, value in keys.items() if value is not None}})


def joined(chunks: Iterable[bytes]) -> bytes:
    """Several chunks as the payload of one event that becomes several."""
    return b"\n\ndata: ".join(chunks)


def caption(cue: Mapping[str, Any], *, transient: bool) -> bytes:
    """``data-caption``, replaced in place by its id."""
    names = ("rev", "state", "start", "end", "text", "speaker")
    data = {name: cue[name] for name in names if name in cue}
    return chunk("data-caption", id=f"c:{cue['id']}", data=data, transient=transient or None)


def element(told: Mapping[str, Any], *, transient: bool) -> bytes:
    """``data-element``: one value of the document, and whether it is valid."""
    data = {"pointer": told["pointer"], "value": told["value"], "valid": told.get("valid")}
    return chunk("data-element", id=told["pointer"] or "/", data=data, transient=transient or None)


def validation(data: Mapping[str, Any], *, transient: bool) -> bytes:
    """``data-validation``: the verdict, or what is proved before the end."""
    return chunk("data-validation", id="validation", data=data, transient=transient or None)


def sources(text: str, link: str) -> list[bytes]:
    """``source-url`` once for each second that a text cites."""
    found: dict[int, bytes] = {}
    for match in _CITED.finditer(text):
        seconds = seconds_of(match[0])
        if seconds is not None and int(seconds) not in found:
            at = int(seconds)
            found[at] = chunk("source-url", sourceId=f"t:{at}", url=f"{link}#t={at}", title=match[0])
    return list(found.values())
