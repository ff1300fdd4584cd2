"""What the log lines of a request say besides: which request it is, and which trace it belongs to.

One variable holds all of it, so that a request costs one assignment; structlog's own variables, one for each
name, are looked for and emptied one by one.
"""

from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

# Whether each request is worth a line: asked before one is made, which costs more than the answer.
tells_requests = True
_besides: ContextVar[Mapping[str, str]] = ContextVar("besides")


def say_besides(fields: Mapping[str, str]) -> None:
    """From now on the lines of this task, and of those that it begins, say this and nothing else besides."""
    _besides.set(fields)


def said_besides(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The processor that adds it."""
    for name, value in _besides.get({}).items():
        event.setdefault(name, value)
    return event
