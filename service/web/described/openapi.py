"""The calls over HTTP, as OpenAPI 3.1."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from protocol.errors import ANSWERS
from protocol.wire.endings import Status
from service.access.caller import Scope
from service.web.admin import MAX_LIMIT as MAX_ADMIN_LIMIT
from service.web.described.schemas import (
    ANYTHING,
    CHANNEL,
    NUMBER,
    OBJECT,
    STREAM_ID,
    TEXT,
    VIEW,
    Schema,
    components,
    ref,
)
from service.web.streams import MAX_LIMIT, MAX_WAIT_S

JSON, NDJSON, SSE, PLAIN = "application/json", "application/x-ndjson", "text/event-stream", "text/plain"
PLAYLIST = "application/vnd.apple.mpegurl"
TAGS = {
    "streams": "Start an analysis, look at it, end it.",
    "reading": "Read a stream or a channel as it grows, from wherever you stand.",
    "files": "Captions as files, and for players.",
    "tickets": "Short-lived credentials for browsers.",
    "upstream": "The TwelveLabs v1.3 API; whatever stands under /v1.3/ and is not listed here is passed on.",
    "AI SDK": "Front ends on the AI SDK.",
    "OpenAI": "Clients of OpenAI's chat completions.",
    "admin": "For operators.",
    "operations": "For probes and scrapers; they need no key.",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a call."""

    name: str
    where: str
    schema: Schema
    about: str = ""

    def told(self) -> dict[str, Any]:
        """As the document has it."""
        about = {"description": self.about} if self.about else {}
        required = {"required": True} if self.where == "path" else {}
        return {"name": self.name, "in": self.where, **required, **about, "schema": self.schema}


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        scopes: that a key or ticket must have; None where neither is needed.
        answers: shapes by content type of each good status; None: no body.
        refusals: codes that it may be refused with, besides those of every call.
        body: component of what is sent.
        error: component of what a refusal looks like; None: a sentence as text.
    """

    method: str
    path: str
    summary: str
    tag: str
    scopes: tuple[Scope, ...] | None
    answers: dict[int, dict[str, Schema] | None]
    parameters: Sequence[Parameter] = ()
    refusals: tuple[str, ...] = ()
    body: str | None = None
    error: str | None = "Error"
    statuses: tuple[int, ...] = field(default=())  # further ones that are no success

    def told(self) -> dict[str, Any]:
        """As the document has it."""
        answers: dict[str, Any] = {str(status): _answer(status, bodies) for status, bodies in self.answers.items()}
        for status in sorted({ANSWERS[code].status for code in self._codes()} | set(self.statuses)):
            answers[str(status)] = self._refusal(status)
        told: dict[str, Any] = {"summary": self.summary, "tags": [self.tag], "operationId": self._id()}
        if self.parameters:
            told["parameters"] = [parameter.told() for parameter in self.parameters]
        if self.body is not None:
            told["requestBody"] = {"required": True, "content": {JSON: {"schema": ref(self.body)}}}
        told["responses"] = answers
        if self.scopes is None:
            told["security"] = []
        elif self.scopes:
            told["description"] = f"Needs the scope {' and '.join(self.scopes)}."
        return told

    def _codes(self) -> set[str]:
        always = {"invalid_request", "forbidden", "internal"} if self.path not in BARE else set[str]()
        guarded = {"unauthenticated", "limit_reached", "overloaded"} if self.scopes is not None else set[str]()
        posted = {"too_large"} if self.body is not None else set[str]()
        return always | guarded | posted | set(self.refusals)

    def _refusal(self, status: int) -> dict[str, Any]:
        codes = sorted(code for code in self._codes() if ANSWERS[code].status == status)
        shape = (JSON, ref(self.error)) if self.error is not None else (PLAIN, TEXT)
        return {
            "description": ", ".join(codes) or "as the upstream said it",
            "content": {shape[0]: {"schema": shape[1]}},
        }

    def _id(self) -> str:
        words = self.path.replace("{", "by_").replace("}", "").replace(".", "_").replace("-", "_").split("/")
        return "_".join([self.method, *(word for word in words if word)])


def _answer(status: int, bodies: dict[str, Schema] | None) -> dict[str, Any]:
    words = {200: "here it is", 201: "made", 202: "taken", 204: "done", 304: "unchanged"}
    if bodies is None:
        return {"description": words[status]}
    return {"description": words[status], "content": {kind: {"schema": shape} for kind, shape in bodies.items()}}


AT: Schema = {"type": "string", "examples": ["1.42"]}
YES: Schema = {"type": "string", "examples": ["1"]}  # or true; whatever else is a no
BARE = frozenset({"/livez", "/readyz", "/metrics"})
STREAM = Parameter("id", "path", STREAM_ID, "of the stream")
IN_CHANNEL = Parameter("name", "path", CHANNEL, "of the channel")
FROM = (
    Parameter("cursor", "query", AT, "where you stand; without it, or with what is none, everything is told"),
    Parameter("Last-Event-ID", "header", AT, "the same, as an EventSource says it"),
)
SHOWN = Parameter("view", "query", VIEW, "what of it is told")
PACE = Parameter("pace", "query", TEXT, "`original`, or a factor from 0.01 to 1000: a replay of an ended stream")
FORMATTED = Parameter("formatted", "query", YES, "laid out in lines for the screen")
OPTIONS = Parameter("Fanlight-Options", "header", TEXT, "options, as a dictionary of RFC 8941")
MESSAGE = ref("Message")
GONE = ("not_found",)
ASKED = ("option_invalid", "schema_invalid", "idempotency_conflict", "draining")
OF_CHAT = ("video_required", "not_found", "idempotency_conflict", "too_large", "draining")


def _limit(most: int) -> Parameter:
    return Parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": most})


def _file(path: str, summary: str, kind: str, *more: Parameter, shape: Schema = TEXT, status: int = 200) -> Call:
    answers: dict[int, dict[str, Schema] | None] = {status: {kind: shape}}
    if path.endswith(("vtt", "srt", "json")) and "{number}" not in path:
        answers[304] = None
    return Call("get", path, summary, "files", ("read",), answers, (STREAM, *more), GONE)


CALLS = (
    Call(
        "post",
        "/v1/streams",
        "Start an analysis, or come to the one that runs already",
        "streams",
        ("start",),
        {201: {JSON: ref("Stream")}, 200: {JSON: ref("Stream")}},
        (Parameter("Idempotency-Key", "header", {"type": "string", "minLength": 1, "maxLength": 255}),),
        ASKED,
        "NativeRequest",
    ),
    Call(
        "get",
        "/v1/streams",
        "Your streams, the newest first",
        "streams",
        ("read",),
        {200: {JSON: ref("Streams")}},
        (
            Parameter("status", "query", {"enum": [str(status) for status in Status]}),
            Parameter("after", "query", STREAM_ID, "`next` of the page before"),
            _limit(MAX_LIMIT),
        ),
    ),
    Call(
        "get",
        "/v1/streams/{id}",
        "A stream as it stands, or, with wait, as it ends",
        "streams",
        ("read",),
        {200: {JSON: ref("Stream")}},
        (
            STREAM,
            Parameter("wait", "query", NUMBER | {"minimum": 0, "maximum": MAX_WAIT_S}, "seconds, at most"),
            Parameter("partial", "query", YES, "with the JSON tree so far"),
        ),
        GONE,
    ),
    Call(
        "delete",
        "/v1/streams/{id}",
        "End a stream",
        "streams",
        ("cancel",),
        {202: {JSON: ref("StreamRow")}, 200: {JSON: ref("StreamRow")}},
        (STREAM, Parameter("force", "query", YES, "also where others started it, too")),
        (*GONE, "shared"),
    ),
    Call(
        "get",
        "/v1/streams/{id}/events",
        "Read as Server-Sent Events; `data` of each is a message",
        "reading",
        ("read",),
        {200: {SSE: ANYTHING}, 204: None},
        (STREAM, SHOWN, PACE, *FROM),
        GONE,
    ),
    Call(
        "get",
        "/v1/streams/{id}/ndjson",
        "Read as lines of JSON, each a message",
        "reading",
        ("read",),
        {200: {NDJSON: MESSAGE}},
        (STREAM, SHOWN, PACE, *FROM),
        GONE,
    ),
    Call(
        "get",
        "/v1/streams/{id}/text",
        "Read the bare text; a body that ends cleanly is whole",
        "reading",
        ("read",),
        {200: {PLAIN: TEXT}},
        (STREAM, PACE, *FROM),
        GONE,
    ),
    Call(
        "get",
        "/v1/channels/{name}/events",
        "Read whatever is started under a name, as Server-Sent Events",
        "reading",
        ("read",),
        {200: {SSE: ANYTHING}},
        (IN_CHANNEL, SHOWN, *FROM),
    ),
    Call(
        "get",
        "/v1/channels/{name}/ndjson",
        "Read whatever is started under a name, as lines of JSON",
        "reading",
        ("read",),
        {200: {NDJSON: MESSAGE}},
        (IN_CHANNEL, SHOWN, *FROM),
    ),
    _file("/v1/streams/{id}/captions.vtt", "Captions as WebVTT", "text/vtt", FORMATTED),
    _file("/v1/streams/{id}/captions.srt", "Captions as SRT", "application/x-subrip", FORMATTED),
    _file("/v1/streams/{id}/captions.json", "Captions as JSON", JSON, FORMATTED, shape=ref("Cues")),
    _file("/v1/streams/{id}/master.m3u8", "The video over HLS, with its captions as subtitles", PLAYLIST),
    _file("/v1/streams/{id}/captions.m3u8", "The subtitles' playlist", PLAYLIST),
    _file(
        "/v1/streams/{id}/captions/{number}.vtt",
        "A segment of the subtitles",
        "text/vtt",
        Parameter("number", "path", {"type": "string", "pattern": "^[0-9]{1,5}$"}),
    ),
    Call(
        "post",
        "/v1/tickets",
        "Make a ticket",
        "tickets",
        ("start",),
        {201: {JSON: ref("Ticket")}},
        refusals=GONE,
        body="TicketRequest",
    ),
    Call(
        "delete",
        "/v1/tickets/{jti}",
        "Revoke a ticket",
        "tickets",
        ("start",),
        {204: None},
        (Parameter("jti", "path", TEXT),),
    ),
    Call(
        "post",
        "/v1.3/analyze",
        "Analyse a video; joins what runs already",
        "upstream",
        ("start",),
        {200: {NDJSON: OBJECT, JSON: OBJECT}},
        (OPTIONS,),
        ("option_invalid", "schema_invalid", "draining", "not_found"),
        "UpstreamRequest",
        "UpstreamError",
        (502, 504),
    ),
    Call(
        "post",
        "/ai-sdk/chat",
        "Ask in a chat: a UI message stream",
        "AI SDK",
        ("start", "read"),
        {200: {SSE: ANYTHING, PLAIN: TEXT}},
        (Parameter("protocol", "query", TEXT), OPTIONS),
        OF_CHAT,
        "Posted",
        None,
    ),
    Call(
        "get",
        "/ai-sdk/chat/{id}/stream",
        "Take a chat's answer up again, from its beginning",
        "AI SDK",
        ("start", "read"),
        {200: {SSE: ANYTHING}, 204: None},
        (Parameter("id", "path", TEXT, "of the chat"),),
        error=None,
    ),
    Call(
        "post",
        "/ai-sdk/chat/{id}/stop",
        "Stop a chat's answer",
        "AI SDK",
        ("start", "read", "cancel"),
        {200: {JSON: OBJECT}},
        (Parameter("id", "path", TEXT, "of the chat"),),
        ("too_large",),
        error=None,
    ),
    *(
        Call(
            "post",
            f"/ai-sdk/{name}",
            summary,
            "AI SDK",
            ("start", "read"),
            {200: kinds},
            (OPTIONS,),
            OF_CHAT,
            "Prompted",
            None,
        )
        for name, summary, kinds in (
            ("completion", "Ask once: a UI message stream", {SSE: ANYTHING, PLAIN: TEXT}),
            ("object", "Ask once for JSON: its text as it grows", {PLAIN: TEXT}),
        )
    ),
    Call(
        "post",
        "/openai/v1/chat/completions",
        "A chat completion, whole or as it grows",
        "OpenAI",
        ("start", "read"),
        {200: {JSON: OBJECT, SSE: ANYTHING}},
        (OPTIONS,),
        OF_CHAT,
        "Completion",
        "OpenAiError",
        (502, 504),
    ),
    Call("get", "/openai/v1/models", "Videos, by the names of models", "OpenAI", ("start", "read"),
         {200: {JSON: OBJECT}}, error="OpenAiError"),
    Call("get", "/openai/v1/models/{id}", "One of them", "OpenAI", ("start", "read"),
         {200: {JSON: OBJECT}}, (Parameter("id", "path", TEXT),), ("model_not_found",), error="OpenAiError"),
    Call("get", "/v1/admin/nodes", "This node, and who else there is", "admin", ("admin",),
         {200: {JSON: ref("Nodes")}}),
    Call("get", "/v1/admin/streams", "What runs, of every tenant", "admin", ("admin",),
         {200: {JSON: ref("RunningStreams")}}, (_limit(MAX_ADMIN_LIMIT),)),
    Call("get", "/v1/admin/streams/{id}", "One that runs, and who reads it", "admin", ("admin",),
         {200: {JSON: ref("RunningStream")}}, (STREAM,), GONE),
    Call("delete", "/v1/admin/streams/{id}", "End a stream, whoever started it", "admin", ("admin",),
         {202: {JSON: OBJECT}}, (STREAM,), GONE),
    Call("get", "/v1/admin/readers", "Who reads, those that are behind the furthest first", "admin", ("admin",),
         {200: {JSON: ref("Readers")}}, (_limit(MAX_ADMIN_LIMIT),)),
    Call("delete", "/v1/admin/readers", "Send a tenant's or a key's readers away", "admin", ("admin",),
         {200: {JSON: ref("SentAway")}}, (Parameter("tenant", "query", TEXT), Parameter("key", "query", TEXT))),
    Call("delete", "/v1/admin/readers/{id}", "Send one reader away", "admin", ("admin",),
         {200: {JSON: ref("SentAway")}}, (Parameter("id", "path", TEXT),), GONE),
    Call("post", "/v1/admin/drain", "Go down, as on SIGTERM", "admin", ("admin",), {202: {JSON: OBJECT}}),
    Call("post", "/v1/admin/reload", "Read the settings anew", "admin", ("admin",), {200: {JSON: ref("Reloaded")}}),
    Call("get", "/livez", "Whether the process answers", "operations", None, {200: {JSON: OBJECT}}),
    Call("get", "/readyz", "Whether calls can be served", "operations", None, {200: {JSON: OBJECT}},
         statuses=(503,), error="Readiness"),
    Call("get", "/metrics", "Figures for Prometheus", "operations", None, {200: {PLAIN: TEXT}}),
    Call("get", "/openapi.json", "This description", "operations", None, {200: {JSON: OBJECT}}),
    Call("get", "/asyncapi.json", "The messages of sockets", "operations", None, {200: {JSON: OBJECT}}),
)  # fmt: skip


def document(version: str) -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, Any] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method] = call.told()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fanlight",
            "version": version,
            "description": "One video analysis, many viewers. Over sockets: /asyncapi.json.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "security": [{"key": []}, {"bearer": []}, {"ticket": []}],
        "paths": paths,
        "components": {
            "schemas": components() | {"Readiness": OBJECT},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer", "description": "a key or a ticket"},
                "ticket": {"type": "apiKey", "in": "query", "name": "ticket"},
            },
        },
    }
