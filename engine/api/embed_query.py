"""What is to be embedded: requests of both generations, checked in full before anything is read.

What no model here can make is refused by name: vectors of sound, and vectors that join
several kinds in one space. Where nothing is asked for by name, what can be had is given.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationInfo, field_validator, model_validator

from engine.api.bodies import Body, check_address, fault, read_body, says, takes
from engine.api.forms import Form
from engine.api.search_query import MAX_TEXT_TOKENS
from engine.errors import ApiError, invalid, missing
from engine.work.budget import tokens_in
from engine.work.fetch import check_url
from engine.work.media_query import MediaQuery, Source

# What the API calls the model, which callers must name; answers name what was used instead.
MODEL = "marengo3.0"
INPUTS = ("text", "image", "text_image", "audio", "video", "multi_input")
SOURCES = ("base64_string", "url", "asset_id")
# What SDKs since 1.3 can ask for, of later models.
_LATER = ("auto_truncate", "embedding_uncertainty", "embedding_dimension")
# What can be given of each kind of media; ``audio``, a vector of sound, of none.
GIVEN = {"audio": ("transcription",), "video": ("visual", "transcription")}
_SCOPES = ("clip", "asset")
_CLIP_S, _SHORTEST_S = 6.0, 4.0
_NO_SOUND = (
    "The embedding option audio cannot be served: no model here makes a vector of sound."
    " transcription gives one of what was said."
)
_NO_FUSION = (
    "{} cannot be served: pictures and words have spaces of their own here, and no model that joins them."
    " Embed each by itself."
)


def check_model(name: Any) -> None:
    if name is None:
        raise missing("model_name")
    if name != MODEL:
        raise invalid(f"The model_name parameter must be {MODEL}.")


def check_text(name: str, text: str) -> None:
    if tokens_in(text) > MAX_TEXT_TOKENS:
        raise ApiError("token_limit_exceeded", f"The {name} parameter has more than {MAX_TEXT_TOKENS} tokens.")


def refuse_sound() -> ApiError:
    return invalid(_NO_SOUND)


# -- the first generation: forms ------------------------------------------------


def read_video_form(form: Form) -> MediaQuery:
    """Check the form of a task that embeds a video.

    Raises:
        ApiError: with the parameter's name.
    """
    check_model(form.text("model_name"))
    url, file = form.text("video_url"), form.file("video_file")
    if url is not None:
        check_url(url)
    elif file is None:
        raise missing("video_url or video_file")
    length = seconds(form, "video_clip_length") or _CLIP_S
    if not 2 <= length <= 10:
        raise invalid("The video_clip_length parameter must be from 2 to 10.")
    start, end = seconds(form, "video_start_offset_sec") or 0.0, seconds(form, "video_end_offset_sec")
    if end is not None and end < start + length:
        raise invalid("The video_end_offset_sec parameter must leave room for a clip.")
    scopes = tuple(dict.fromkeys(form.texts("video_embedding_scope"))) or ("clip",)
    if not set(scopes) <= {"clip", "video"}:
        raise invalid("The video_embedding_scope parameter takes clip, video.")
    scopes = tuple("asset" if scope == "video" else scope for scope in scopes)
    source = Source("url", url) if url is not None else Source("file", file.filename if file else "")
    return MediaQuery("video", source, GIVEN["video"], scopes, start, end, "fixed", length, drop_s=2.0)


def sound_query(source: Source, start: float) -> MediaQuery:
    """Return how the first generation embeds a recording of sound: clip by clip, from a time on."""
    return MediaQuery("audio", source, GIVEN["audio"], ("clip",), start, None, "fixed", _CLIP_S)


def seconds(form: Form, name: str) -> float | None:
    """Return a field that is a number of seconds.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    text = form.text(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise invalid(f"The {name} parameter must be a number from 0 on.")
    return value


# -- the second generation: JSON ------------------------------------------------


def read_kind(body: Mapping[str, Any], kinds: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """Return the input type of a request, and the member of its name.

    Raises:
        ApiError: with the member's name.
    """
    kind = body.get("input_type")
    if kind is None:
        raise missing("input_type")
    if kind not in kinds:
        raise invalid(f"The input_type parameter must be one of {', '.join(kinds)}.")
    check_model(body.get("model_name"))
    for name in _LATER:
        if body.get(name) not in (None, False):
            raise invalid(f"The {name} parameter is of a later model than {MODEL}, and is not served here.")
    value = body.get(kind)
    if value is None:
        raise missing(kind)
    if not isinstance(value, dict):
        raise invalid(f"The {kind} parameter must be an object.")
    return str(kind), value


def read_text(value: Mapping[str, Any], kind: str) -> str:
    text = value.get("input_text")
    if not isinstance(text, str) or not text.strip():
        raise missing(f"{kind}.input_text")
    check_text(f"{kind}.input_text", text)
    return text


class MediaSource(Body):
    """Where media are: exactly one member says it."""

    base64_string: Any = None
    url: Any = None
    asset_id: Any = None

    @property
    def given(self) -> list[str]:
        return [name for name in SOURCES if getattr(self, name) is not None]

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if len(self.given) != 1 or not isinstance(getattr(self, self.given[0]), str):
            raise fault(f"must name exactly one of {', '.join(SOURCES)}")
        if self.url is not None:
            check_address(self.url)
        return self

    def source(self) -> Source:
        [kind] = self.given
        return Source(kind, getattr(self, kind))


def read_source(source: Any, path: str) -> Source:
    """Return where media are.

    Raises:
        ApiError: with the path of what is wrong.
    """
    if source is None:
        raise missing(path)
    return read_body(MediaSource, source, path).source()


def read_parts(value: Mapping[str, Any]) -> str | Source:
    """Return the one part of a ``multi_input``: its text, or its image.

    Raises:
        ApiError: it has the wrong form, or several parts, which would be joined in one vector.
    """
    sources = value.get("media_sources") or []
    if not isinstance(sources, list) or len(sources) > 10:
        raise invalid("The multi_input.media_sources parameter must be a list of up to 10 sources.")
    images = [read_source(one, f"multi_input.media_sources[{at}]") for at, one in enumerate(sources)]
    text = read_text(value, "multi_input") if value.get("input_text") else None
    parts: list[str | Source] = [*images, *([text] if text else [])]
    if not parts:
        raise missing("multi_input.media_sources")
    if len(parts) > 1:
        raise no_fusion("A vector of several inputs")
    return parts[0]


def no_fusion(what: str) -> ApiError:
    return invalid(_NO_FUSION.format(what))


class Segmentation(Body):
    """Into which stretches sound is cut: ``strategy`` names the member that says how long they are."""

    lengths: ClassVar[dict[str, str]] = {"fixed": "duration_sec"}

    strategy: Any = None
    fixed: Any = None
    dynamic: Any = None

    @property
    def length(self) -> Any:
        inner = getattr(self, self.strategy)
        return inner.get(self.lengths[self.strategy]) if isinstance(inner, dict) else None

    @model_validator(mode="wrap")
    @classmethod
    def _names_one(cls, value: Any, inner: ModelWrapValidatorHandler[Self]) -> Self:
        read = inner(value if isinstance(value, dict) else {})
        if not isinstance(read.strategy, str) or read.strategy not in cls.lengths:
            raise fault(f"must be one of {', '.join(cls.lengths)}", "strategy")
        if type(read.length) is not int or not 1 <= read.length <= 4 * 3600:
            raise fault("must be a whole number from 1 on", f"{read.strategy}.{cls.lengths[read.strategy]}")
        return read


class VideoSegmentation(Segmentation):
    """Video can be cut along its shots, too."""

    lengths: ClassVar[dict[str, str]] = {"fixed": "duration_sec", "dynamic": "min_duration_sec"}


Instant = Annotated[Annotated[float, Field(ge=0, lt=1e9)], says("must be a number from 0 on")]


class SoundMember(Body):
    """The member ``audio`` of a request."""

    media_source: MediaSource
    embedding_option: Annotated[list[str], takes("audio", "transcription")] = Field(default_factory=list)
    embedding_scope: Annotated[list[str], takes(*_SCOPES)] = Field(default_factory=list)
    embedding_type: Annotated[list[str], takes("separate_embedding", "fused_embedding")] = Field(default_factory=list)
    start_sec: Instant = 0.0
    end_sec: Instant | None = None
    segmentation: Segmentation | None = None

    @field_validator("end_sec")
    @classmethod
    def _is_later(cls, end: float | None, info: ValidationInfo) -> float | None:
        if end is not None and end <= info.data.get("start_sec", 0.0):
            raise fault("must be greater than start_sec")
        return end


class VideoMember(SoundMember):
    """The member ``video`` of a request."""

    embedding_option: Annotated[list[str], takes("visual", "audio", "transcription")] = Field(default_factory=list)
    segmentation: VideoSegmentation | None = None


def read_media(value: Mapping[str, Any], kind: str) -> MediaQuery:
    """Check the member ``audio`` or ``video`` of a request.

    The reference names no default strategy, so video follows its shots.

    Raises:
        ApiError: with the member's path.
    """
    video = kind == "video"
    asked = read_body(VideoMember if video else SoundMember, value, kind)
    if "audio" in asked.embedding_option:
        raise refuse_sound()
    if "fused_embedding" in asked.embedding_type:
        raise no_fusion("The embedding type fused_embedding")
    strategy, length = ("dynamic", _SHORTEST_S) if video else ("fixed", _CLIP_S)
    if asked.segmentation is not None:
        strategy, length = asked.segmentation.strategy, float(asked.segmentation.length)
    return MediaQuery(
        kind,
        asked.media_source.source(),
        tuple(asked.embedding_option) or GIVEN[kind],
        tuple(asked.embedding_scope) or _SCOPES,
        asked.start_sec or 0.0,  # -0.0 is a number too
        asked.end_sec,
        strategy,
        length,
    )
