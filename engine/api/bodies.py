"""Bodies as the API takes them: pydantic checks their form, and refusals speak as the API does.

A member that is null is as good as absent; one that is not known is not ours to judge. Of
several faults the first is told, in the order in which a model declares its members.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from engine.api.filters import check_metadata
from engine.errors import ApiError, invalid, missing
from engine.work.fetch import check_url

_SENTENCE, _MISSING = "sentence", "missing"
_LONGEST_KEY = 64  # of a caller's own, in a message


class Body(BaseModel):
    """An object of a request; nothing in it is taken for what it is not (``"5"`` is no number)."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        return {name: one for name, one in value.items() if one is not None} if isinstance(value, dict) else value


B = TypeVar("B", bound=Body)


def read_body(kind: type[B], body: Any, path: str = "") -> B:
    """Return a body as a model.

    Args:
        path: of the object in the request, for messages.

    Raises:
        ApiError: with the code, and the path of the member that is at fault.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as exc:
        raise _refusal(exc, path) from exc


# -- what validators say ---------------------------------------------------------


def fault(why: str, at: str = "") -> PydanticCustomError:
    """Return what a validator raises: ``why`` goes on from "The ... parameter".

    Args:
        at: a member of the value that is at fault.
    """
    return PydanticCustomError("fault", "{why}", {"why": why, "at": at})


def sentence(why: str, code: str = "parameter_invalid") -> PydanticCustomError:
    """Return what a validator raises where the message is no sentence about one parameter."""
    return PydanticCustomError(_SENTENCE, "{why}", {"why": why, "code": code})


def absent(at: str = "") -> PydanticCustomError:
    """Return what a validator raises where a member, or ``at`` in it, is needed and not there."""
    return PydanticCustomError(_MISSING, "missing", {"at": at})


def check_address(url: str) -> None:
    """Refuse what cannot be fetched, by its form alone."""
    try:
        check_url(url)
    except ApiError as exc:
        raise sentence(exc.message, exc.code) from exc


def says(why: str) -> WrapValidator:
    """Have whatever is wrong with a value, at whatever depth, told in the same words."""

    def check(value: Any, inner: ValidatorFunctionWrapHandler) -> Any:
        try:
            return inner(value)
        except ValidationError as exc:
            raise fault(why) from exc

    return WrapValidator(check)


def that(holds: Callable[[Any], bool], why: str) -> AfterValidator:
    """Require something of a value that has the right type."""

    def check(value: Any) -> Any:
        if not holds(value):
            raise fault(why)
        return value

    return AfterValidator(check)


def takes(*allowed: str) -> WrapValidator:
    """Require a list of some words; one that is named twice counts once."""

    def check(value: Any, inner: ValidatorFunctionWrapHandler) -> Any:
        try:
            words = inner(value)
        except ValidationError as exc:
            raise fault(f"takes {', '.join(allowed)}") from exc
        if not set(words) <= set(allowed):
            raise fault(f"takes {', '.join(allowed)}")
        return list(dict.fromkeys(words))

    return WrapValidator(check)


def object_or(why: str) -> WrapValidator:
    """Have a value that is no object told in other words; what is wrong inside of one keeps its own."""

    def check(value: Any, inner: ValidatorFunctionWrapHandler) -> Any:
        if not isinstance(value, dict):
            raise fault(why)
        return inner(value)

    return WrapValidator(check)


def list_or(why: str) -> WrapValidator:
    """As ``object_or``, of a list with at least one item."""

    def check(value: Any, inner: ValidatorFunctionWrapHandler) -> Any:
        if not isinstance(value, list) or not value:
            raise fault(why)
        return inner(value)

    return WrapValidator(check)


def metadata_or_fault(nulls: bool) -> BeforeValidator:
    """Require a flat object of strings, numbers and booleans; with ``nulls`` also null."""

    def check(value: Any, info: ValidationInfo) -> Any:
        name = info.field_name or ""
        try:
            return check_metadata(value, name, nulls)
        except ApiError as exc:
            raise sentence(exc.message, exc.code) from exc

    return BeforeValidator(check)


Metadata = Annotated[dict[Any, Any], metadata_or_fault(nulls=False)]
Text = Annotated[str, says("must be a string")]
Flag = Annotated[bool, says("must be true or false")]


def _refusal(exc: ValidationError, path: str) -> ApiError:
    error = exc.errors(include_url=False, include_input=False)[0]
    about = error.get("ctx", {})
    if error["type"] == _SENTENCE:
        return ApiError(about["code"], about["why"])
    where = _path(path, (*error["loc"], *([about["at"]] if about.get("at") else [])))
    if error["type"] == _MISSING:
        return missing(where)
    why = "must be an object" if error["type"] == "model_type" else about.get("why", "is invalid")
    return invalid(f"The {where} parameter {why}.")


def _path(path: str, steps: tuple[int | str, ...]) -> str:
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step[:_LONGEST_KEY]}" if path else step
    return path
