"""Messages from the client on a WebSocket (wire contract, section 4)."""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from protocol.errors import Refusal
from protocol.options import CHANNEL_PATTERN

MAX_COMMAND_BYTES = 64 << 10
MAX_REF_BYTES = 256
View = Literal["text", "json", "patch", "captions", "raw", "end"]
VIEWS: tuple[View, ...] = ("text", "json", "patch", "captions", "raw", "end")


class _Command(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    ref: Any = None

    @field_validator("ref")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if len(orjson.dumps(value)) > MAX_REF_BYTES:
            raise ValueError(f"ref is longer than {MAX_REF_BYTES} bytes")
        return value


class Subscribe(_Command):
    """Attach to a stream, or to a channel before its stream exists."""

    type: Literal["subscribe"]
    stream: str | None = Field(None, max_length=128)
    channel: str | None = Field(None, pattern=f"^{CHANNEL_PATTERN}$")
    cursor: str | None = None
    view: View = "text"
    presence: bool = False


class Unsubscribe(_Command):
    """Leave a stream (or a channel)."""

    type: Literal["unsubscribe"]
    stream: str | None = Field(None, max_length=128)
    channel: str | None = Field(None, pattern=f"^{CHANNEL_PATTERN}$")


class Start(_Command):
    """Start a stream and subscribe to it."""

    type: Literal["start"]
    request: dict[str, Any]
    view: View = "text"
    presence: bool = False
    idempotency_key: str | None = Field(None, min_length=1, max_length=255)


class Cancel(_Command):
    """Cancel a stream; the ending is the answer."""

    type: Literal["cancel"]
    stream: str | None = Field(None, max_length=128)
    force: bool = False


class Ping(_Command):
    """Ask for a pong."""

    type: Literal["ping"]


Command = Subscribe | Unsubscribe | Start | Cancel | Ping
_COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="type")])


def parse_command(payload: bytes) -> Command:
    """Read one message.

    Raises:
        Refusal: ``invalid_request``; where the message had a usable ``ref`` it is in ``ref``.
    """
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError as exc:
        raise Refusal("invalid_request", "the message is not JSON") from exc
    try:
        return _COMMAND.validate_python(value)
    except ValidationError as exc:
        refusal = Refusal("invalid_request", _first_fault(exc))
        raise refusal from exc


def usable_ref(payload: bytes) -> Any:
    """The ``ref`` to echo in the error that answers a message, None where it has none."""
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    ref = value.get("ref") if isinstance(value, dict) else None
    return ref if len(orjson.dumps(ref)) <= MAX_REF_BYTES else None


def _first_fault(exc: ValidationError) -> str:
    fault = exc.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or "message"
    return f"{where[:100]}: {fault['msg'][:200]}"
