"""What a caller is told when the engine declines: an HTTP status, a code of the API, a sentence.

The same object crosses the pipe from a worker, so it holds plain values only.
"""

from typing import Any


class ApiError(Exception):
    """A request that is answered with ``{"code", "message"}``.

    Args:
        code: one of the API's error codes.
        message: a sentence for a person; names the path of what is wrong.
        status: the HTTP status, when nothing has been written yet.
        retry_after: what the caller is told to wait, as the header says it.
    """

    def __init__(self, code: str, message: str, status: int = 400, retry_after: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.code = code
        self.message = message
        self.status = status

    def body(self) -> dict[str, str]:
        """Return the API's flat error object."""
        return {"code": self.code, "message": self.message}

    def to_wire(self) -> dict[str, Any]:
        """Return the form that crosses a worker's pipe."""
        return {"status": self.status, "code": self.code, "message": self.message}

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> "ApiError":
        """Rebuild what ``to_wire`` made."""
        return cls(wire["code"], wire["message"], wire["status"])


def invalid(message: str) -> ApiError:
    """A parameter holds what the API does not take: 400."""
    return ApiError("parameter_invalid", message)


def missing(name: str) -> ApiError:
    """A parameter that must be there is not: 400."""
    return ApiError("parameter_not_provided", f"The {name} parameter is required but was not provided.")


def unknown(kind: str, ident: str) -> ApiError:
    """Nothing has this id: 404."""
    return ApiError("resource_not_exist", f"The {kind} {ident[:64]!r} does not exist.", 404)
