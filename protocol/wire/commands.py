"""Messages from the client on a WebSocket (wire contract, section 4)."""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from protocol.errors import Refusal, first_fault
from protocol.json.bounds import too_much_structure
from protocol.wire.options import CHANNEL_PATTERN

MAX_COMMAND_BYTES = 64 << 10
MAX_REF_BYTES = 256
# A start with a schema has some thousand; what 64 KiB could hold would take ten times as long.
MAX_COMMAND_STRUCTURE = 10_000
View = Literal["text", "json", "patch", "captions", "raw", "end"]
VIEWS: tuple[View, ...] = ("text", "json", "patch", "captions", "raw", "end")


class _Command(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    ref: Any = None

    @field_validator("ref")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if not _is_short(value):
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


class NewTicket(_Command):
    """Go on with another ticket: the one that the socket was opened with is about to expire."""

    type: Literal["ticket"]
    ticket: str = Field(min_length=1, max_length=4096)


Command = Subscribe | Unsubscribe | Start | Cancel | Ping | NewTicket
_COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="type")])


def read_message(payload: bytes) -> Any:
    """Read one message as JSON.

    Raises:
        Refusal: ``invalid_request``.
    """
    if too_much_structure(payload, MAX_COMMAND_STRUCTURE):
        raise Refusal("invalid_request", f"a message has at most {MAX_COMMAND_STRUCTURE} brackets, commas and colons")
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as exc:
        raise Refusal("invalid_request", "the message is not JSON") from exc


def parse_command(value: Any) -> Command:
    """Return the command that a message, read as JSON, is.

    Raises:
        Refusal: ``invalid_request``.
    """
    try:
        return _COMMAND.validate_python(value)
    except ValidationError as exc:
        raise Refusal("invalid_request", first_fault(exc, "message")) from exc


def usable_ref(value: Any) -> Any:
    """The ``ref`` to echo in the error that answers a message, None where it has none."""
    ref = value.get("ref") if isinstance(value, dict) else None
    return ref if _is_short(ref) else None


def _is_short(ref: Any) -> bool:
    try:
        return len(orjson.dumps(ref)) <= MAX_REF_BYTES
    except TypeError:
        # What orjson reads may be nested deeper than it writes, and is then long as well.
        return False
