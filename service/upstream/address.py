"""Where an upstream is: ``http(s)://host/v1.3``, or ``http+unix:`` and the path of a socket."""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Address:
    """An upstream's address.

    Attributes:
        base: URL without a slash at its end; what follows ``/v1.3`` is appended.
        socket: path of a Unix socket, or None for TCP.
    """

    base: str
    socket: str | None = None


def parse_address(text: str) -> Address:
    """Read an address as a setting gives it.

    ``http+unix:///run/engine.sock`` and ``http+unix://%2Frun%2Fengine.sock/v1.3`` both
    name a socket; without a path of its own the base is ``/v1.3``.

    Raises:
        ValueError: not an address of that kind.
    """
    parts = urlsplit(text)
    if parts.scheme == "http+unix":
        if parts.netloc:
            socket, path = unquote(parts.netloc), parts.path or "/v1.3"
        else:
            socket, path = unquote(parts.path).removesuffix("/v1.3"), "/v1.3"
        if not socket.startswith("/"):
            raise ValueError(f"{text}: the path of the socket is not absolute")
        return Address(base=f"http://localhost{path.rstrip('/')}", socket=socket)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{text}: an upstream is http://, https:// or http+unix:")
    if parts.query or parts.fragment or parts.username is not None or parts.password is not None:
        raise ValueError("an upstream's address has no query, fragment or user")
    return Address(base=text.rstrip("/"))
