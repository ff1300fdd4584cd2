"""What the application and its requests carry, by typed key."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from protocol.errors import Refusal
from service.access.keyring import Keyring
from service.access.limiter import Limiter
from service.hub.hub import Hub
from service.upstream.http import HttpUpstream
from service.web.connection import Connections
from service.web.figures import Figures
from service.web.memory import MemoryWatch
from service.web.server import Runner
from service.web.siblings import Siblings
from service.web.trail import Watching


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the upstream can be asked, where that is known without asking it.

    Attributes:
        kind: ``embedded``, ``cloud`` (where each analysis costs money) or ``other``.
    """

    ready: Callable[[], bool]
    kind: str


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """Under which users reach the service, where that differs from what ``Host`` says."""

    scheme: str
    host: str


@dataclass(frozen=True, slots=True)
class Switch:
    """What an operator may do to the whole service.

    Attributes:
        drain: begin to go down.
        reload: read the settings anew; which have changed, by whether they count now.
    """

    drain: Callable[[], None]
    reload: Callable[[], dict[str, Any]]


HUB = web.AppKey("hub", Hub)
UPSTREAM = web.AppKey("upstream", HttpUpstream)

SWITCH = web.AppKey("switch", Switch)
CONNECTIONS = web.AppKey("connections", Connections)
STORE = web.AppKey("store", str)  # how streams are kept, in words
MAX_BODY_BYTES = web.AppKey("max_body_bytes", int)
READY = web.AppKey("ready", Readiness)
MEMORY = web.AppKey("memory", MemoryWatch)
FIGURES = web.AppKey("figures", Figures)
WATCHING = web.AppKey("watching", Watching)
LIMITER = web.AppKey("limiter", Limiter)
KEYRING = web.AppKey("keyring", Keyring)
RUNNER = web.AppKey("runner", Runner)
ENGINE = web.AppKey("engine", Path)  # the socket of the engine, where it has figures of its own
SIBLINGS = web.AppKey("siblings", Siblings)  # where this process is one of several
PUBLIC = web.AppKey("public", PublicAddress)
TELL_TENANT = web.AppKey("tell_tenant", bool)
FORWARD_KEYS = web.AppKey("forward_keys", bool)
BODY_TIMEOUT_S = web.AppKey("body_timeout_s", float)

PROMPT_CHARS = web.AppKey("prompt_chars", int)
CHAT_BODY_BYTES = web.AppKey("chat_body_bytes", int)
CHAT_RESUME_S = web.AppKey("chat_resume_s", float)
FORMS = web.AppKey("forms", dict[str, Callable[[Refusal], web.Response]])  # of refusals, by the path's beginning

CORS = web.RequestKey("cors", dict[str, str])  # headers that every answer to this request carries
