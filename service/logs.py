"""Logs: one JSON object a line on standard error; events with fields, never prompts, texts, keys or queries."""

import logging
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any

import orjson
import structlog

from service.watch import lines
from service.watch.lines import said_besides

# asyncio puts callbacks with their arguments, and exceptions, into what it says.
_WORDS = re.compile(r"[\w .,:;%-]{0,200}")
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(level: str) -> None:
    """Set the logs up for the whole process; libraries' own logs come along as lines of the same kind."""
    structlog.configure(
        processors=[
            said_besides,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _faults,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=_one_for_all(structlog.BytesLogger(sys.stderr.buffer)),
        # A logger that were kept would keep its level, which may change.
        cache_logger_on_first_use=False,
    )
    lines.tells_requests = level == "debug"
    logging.basicConfig(level=logging.WARNING, handlers=[_Bridge()], force=True)


def _one_for_all(logger: Any) -> Callable[..., Any]:
    """A factory that makes nothing: a line needs no writer of its own."""
    return lambda *_: logger


def _faults(_logger: Any, _method: str, event: Any) -> Any:
    """What failed and where, without the exception's own words: they may quote a request, a key or a text."""
    info = event.pop("exc_info", None)
    if info:
        exc = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
        event["faults"] = [type(fault).__name__ for fault in _chain(exc)]
        event["stack"] = [line for fault in _chain(exc) for line in _places(fault)]
    return event


def _chain(exc: BaseException | None) -> list[BaseException]:
    """An exception and what led to it, the latest first."""
    chain: list[BaseException] = []
    while exc is not None and exc not in chain:
        chain.append(exc)
        exc = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    return chain


def _places(exc: BaseException) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(exc.__traceback__)]


def _dumps(event: Any, **_: Any) -> bytes:
    return orjson.dumps(event, default=str)


class _Bridge(logging.Handler):
    """What libraries log, as far as it is plain words: an argument or a value may quote a request."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        words = _WORDS.match(str(record.msg))
        log.warning("library", logger=record.name, message=words and words[0], exc_info=record.exc_info)
