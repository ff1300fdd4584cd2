"""The service's own options beside a request (wire contract, section 7); never sent upstream."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from http_sfv.dictionary import Dictionary
from http_sfv.item import Item
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from protocol.errors import Refusal, first_fault

CHANNEL_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}"


class CaptionNames(BaseModel):
    """Where the cues are, and what their members are called."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    pointer: str | None = Field(None, max_length=1024, pattern=r"^(/.*)?$")
    start: str | None = Field(None, max_length=128)
    end: str | None = Field(None, max_length=128)
    text: str | None = Field(None, max_length=128)
    unit: Literal["s", "ms"] | None = None


class Options(BaseModel):
    """What one starter asks of the service. Times are in seconds.

    ``on_abandon`` and ``grace_s`` are None where the starter left them to the
    default of its dialect.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    join: Literal["running", "replay", "never"] = "running"
    channel: Annotated[str, Field(pattern=f"^{CHANNEL_PATTERN}$")] | None = None
    on_abandon: Literal["finish", "cancel"] | None = None
    grace_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] | None = None
    on_violation: Literal["report", "stop"] = "report"
    restart: Annotated[int, Field(ge=0, le=10)] = 0
    repair: Annotated[int, Field(ge=0, le=1)] = 0
    ttl_s: Annotated[float, Field(ge=0, le=604_800, allow_inf_nan=False)] = 3600.0
    validate_: Annotated[Literal["on", "off"], Field(alias="validate")] = "on"
    captions: CaptionNames | None = None

    @field_validator("grace_s", "ttl_s", mode="before")
    @classmethod
    def _whole_numbers_are_numbers(cls, value: Any) -> Any:
        return float(value) if type(value) is int else value

    def identity(self) -> dict[str, Any]:
        """Those options that change what the readers are told."""
        captions = self.captions.model_dump(exclude_none=True) if self.captions else None
        told = {"on_violation": self.on_violation, "restart": self.restart, "captions": captions}
        return {**told, "repair": self.repair} if self.repair else told


_DEFAULTS = Options()


def parse_options(value: Any) -> Options:
    """Read the ``fanlight`` member of a native request.

    Raises:
        Refusal: ``option_invalid``; the message names the option.
    """
    if value is None:
        return _DEFAULTS
    if not isinstance(value, dict):
        raise Refusal("option_invalid", "'fanlight' must be an object")
    try:
        return Options.model_validate(value)
    except ValidationError as exc:
        raise Refusal("option_invalid", first_fault(exc, "fanlight")) from exc


def parse_options_header(header: str | None) -> Options:
    """Read ``Fanlight-Options``, an RFC 8941 dictionary such as ``join=never, grace_s=0.5``.

    Raises:
        Refusal: ``option_invalid``.
    """
    if not header:
        return _DEFAULTS
    dictionary = Dictionary()
    try:
        dictionary.parse(header.encode("ascii"))
    except ValueError as exc:
        raise Refusal("option_invalid", "Fanlight-Options is not a dictionary of RFC 8941") from exc
    members: dict[str, Any] = {}
    for key, item in dictionary.items():
        if key == "captions":
            raise Refusal("option_invalid", "captions: only in the native form")
        members[str(key)] = _bare(str(key), item)
    return parse_options(members)


def _bare(key: str, item: Any) -> Any:
    if not isinstance(item, Item):
        raise Refusal("option_invalid", f"{key}: a list is no value of an option")
    value = item.value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)  # tokens are a kind of their own there
    raise Refusal("option_invalid", f"{key}: not a value of an option")
