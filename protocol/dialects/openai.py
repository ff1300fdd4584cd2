"""OpenAI's chat completions: what their clients send, and what those clients read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.dialects.lines import one_line
from protocol.dialects.prompt import Said
from protocol.dialects.video import named_in
from protocol.errors import Refusal, first_fault

MODEL = "fanlight"
MAX_MODEL_CHARS = 1000
# Text in which a video is looked for, the newest: a body may hold a thousand times as much.
SEARCHED_CHARS = 1 << 16
# Names of models that the upstream knows by itself.
ENGINE_MODELS = frozenset({"pegasus1.2", "pegasus1.5"})
# How programs begin what they ask for their own ends.
HOUSEKEEPING = (
    "Analyze this conversation and provide:",
    "Provide a concise, 5-word-or-less title",
    "### Task:\nSummarize the conversation history that will be compacted",
    "Your task is to reflect the speaker's likely facial expression",
)


class _Turn(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None


class _Options(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    include_usage: bool | None = None


class Completion(BaseModel):
    """The body of a call, as far as it is looked at."""

    model_config = ConfigDict(extra="ignore", strict=True)

    model: str = Field(MODEL, max_length=MAX_MODEL_CHARS)
    messages: list[_Turn]
    stream: bool | None = None
    stream_options: _Options | None = None
    response_format: dict[str, Any] | None = None
    max_tokens: float | None = None
    max_completion_tokens: float | None = None
    temperature: float | None = None
    n: int | None = None
    tool_choice: Any = None
    metadata: dict[str, Any] | None = None
    video: Any = None
    fanlight: Any = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a call asks.

    Attributes:
        video: what names the video, as `protocol.dialects.video.video_of` reads it.
        video_id: of an indexed video, where that was named instead.
        asset_model: the video is the one that the model names.
    """

    said: Sequence[Said]
    video: object | None
    video_id: str | None
    asset_model: bool


def completion(body: Mapping[str, Any]) -> Completion:
    """Read a body.

    Raises:
        Refusal: ``invalid_request``, naming the member; ``unsupported``.
    """
    try:
        told = Completion.model_validate(body)
    except ValidationError as exc:
        raise Refusal("invalid_request", first_fault(exc, "body")) from exc
    if (told.n or 1) > 1:
        raise Refusal("unsupported", "n: there is one answer")
    if told.tool_choice not in (None, "none", "auto"):
        raise Refusal("unsupported", "tool_choice: no tools are called")
    return told


def asked(told: Completion) -> Question:
    """The conversation and the video of a call.

    Raises:
        Refusal: ``invalid_request``, ``part_unsupported``, ``too_many_videos``, ``video_required``.
    """
    users = [turn for turn in told.messages if turn.role == "user"]
    if not users or told.messages[-1].role != "user":
        raise Refusal("invalid_request", "messages: the last one is to be the user's")
    said = [Said(_role(turn.role), _text(turn)) for turn in told.messages if turn.role not in ("tool", "function")]
    question = said[-1].text
    if not question.strip():
        raise Refusal("invalid_request", "messages: the last one has no text")
    if _attaches_video(question):
        raise Refusal("part_unsupported", "messages: an attached video stays with the program; name one, or choose it")
    video, video_id = _named(told, users)
    if video is None and video_id is None and not _is_housekeeping(question):
        if told.model.startswith("asset:"):
            return Question(said, told.model, None, asset_model=True)
        videos = [one for turn in users[:-1] for one in _videos(turn, is_last=False)]
        video = videos[-1] if videos else _written(users)
    if video is None and video_id is None:
        raise Refusal(
            "video_required",
            "no video is named: choose one in the menu of models, write a link to one, or send it as a part",
        )
    return Question(said, video, video_id, asset_model=False)


def _written(users: Sequence[_Turn]) -> str | None:
    """What the text of the newest messages names last."""
    left = SEARCHED_CHARS
    for turn in reversed(users):
        text = _text(turn)[-left:]
        if (named := named_in(text)) is not None:
            return named
        left -= len(text)
        if left <= 0:
            break
    return None


def _named(told: Completion, users: Sequence[_Turn]) -> tuple[object | None, str | None]:
    """What names a video beyond doubt: the last message, or a member of the body."""
    last = _videos(users[-1], is_last=True)
    if last:
        return last[0], None
    if told.video is not None:
        return told.video, None
    metadata = told.metadata or {}
    if isinstance(metadata.get("video"), str):
        return metadata["video"], None
    if isinstance(metadata.get("asset_id"), str):
        return f"asset:{metadata['asset_id']}", None
    video_id = metadata.get("video_id")
    return None, video_id if isinstance(video_id, str) and video_id else None


def _is_housekeeping(question: str) -> bool:
    """Whether a program asks for a title, tags or follow-ups: that must not cost an analysis."""
    return (question.startswith("### Task:") and "<chat_history>" in question) or question.startswith(HOUSEKEEPING)


def _attaches_video(question: str) -> bool:
    """Whether a program attached a video as its own file, of which only its name and kind come along."""
    return (
        question.startswith("<attached_files>") and 'content_type="video/' in question.partition("</attached_files>")[0]
    )


def _role(role: str) -> Literal["system", "user", "assistant"]:
    return "system" if role in ("system", "developer") else "assistant" if role == "assistant" else "user"


def _text(turn: _Turn) -> str:
    if not isinstance(turn.content, list):
        return turn.content or ""
    texts = [part.get("text") for part in turn.content if part.get("type") in ("text", "input_text")]
    return "\n".join(text for text in texts if isinstance(text, str))


def _videos(turn: _Turn, *, is_last: bool) -> list[object]:
    """What the parts of a message name; in the last one other parts are refused, not dropped."""
    found: list[object] = []
    for part in turn.content if isinstance(turn.content, list) else ():
        kind = part.get("type")
        if kind in ("video_url", "input_video"):
            found.append(_address(part.get(kind)))
        elif kind == "file":
            named = _file(part.get("file"))
            if not _is_other_media(named):
                found.append(named)
            elif is_last:
                raise _unsupported()
        elif is_last and kind not in ("text", "input_text"):
            raise _unsupported()
    if is_last and len(found) > 1:
        raise Refusal("too_many_videos", "one message is about one video")
    return found


def _unsupported() -> Refusal:
    return Refusal("part_unsupported", "only videos can be looked at, no other parts")


def _is_other_media(value: object) -> bool:
    return isinstance(value, str) and value.startswith("data:") and not value.startswith("data:video")


def _address(value: object) -> object:
    """What a part names; an empty text where it names nothing, which is then no video."""
    if isinstance(value, Mapping):
        data, form = value.get("data"), value.get("format", "mp4")
        if isinstance(data, str) and not data.startswith(("http", "data:")):
            return f"data:video/{form};base64,{data}"
        return value.get("url", data) or ""
    return value or ""


def _file(value: object) -> object:
    if not isinstance(value, Mapping):
        return value or ""
    if isinstance(value.get("file_id"), str):
        return f"asset:{str(value['file_id']).removeprefix('asset:')}"
    return value.get("file_data") or ""


# -- answers


def completion_id(stream: str) -> str:
    """The id of an answer."""
    return "chatcmpl-" + stream.removeprefix("st_")


@dataclass(frozen=True, slots=True)
class Chunks:
    """Makes the chunks of one answer.

    Args:
        usage: the usage is told at the end, and is null before.
    """

    stream: str
    created: int
    model: str
    usage: bool

    def chunk(self, delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
        """One chunk."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return one_line(self._envelope([choice]) | ({"usage": None} if self.usage else {}) | more)

    def last(self, usage: Mapping[str, Any] | None) -> bytes:
        """The chunk that tells the usage."""
        return one_line(self._envelope([]) | {"usage": usage_of(usage)})

    def _envelope(self, choices: list[Any]) -> dict[str, Any]:
        return {
            "id": completion_id(self.stream),
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }


def whole(chunks: Chunks, text: str, finish: str, usage: Mapping[str, Any] | None, told: Mapping[str, Any]) -> bytes:
    """An answer that was not streamed."""
    message = {"role": "assistant", "content": text, "refusal": None}
    return one_line(
        {
            "id": completion_id(chunks.stream),
            "object": "chat.completion",
            "created": chunks.created,
            "model": chunks.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "usage": usage_of(usage),
            "fanlight": told,
        }
    )


def usage_of(usage: Mapping[str, Any] | None) -> dict[str, int]:
    """The upstream's figures under these names; what is unknown counts as 0."""
    known = usage or {}
    asked_, answered = (known.get(name) or 0 for name in ("input_tokens", "output_tokens"))
    return {"prompt_tokens": asked_, "completion_tokens": answered, "total_tokens": asked_ + answered}


def error(message: str, kind: str, code: str, param: str | None = None) -> bytes:
    """An error, as a body or as a line of a stream."""
    return one_line({"error": {"message": message, "type": kind, "param": param, "code": code}})
