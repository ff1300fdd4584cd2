"""Every shape that is sent or taken, as JSON Schema.

What callers send is read off the models that validate it; what the service says is written down
here, once, and the tests hold each answer and message to it.
"""

from typing import Any, get_args

from pydantic import BaseModel

from protocol.dialects.ai_sdk import Posted
from protocol.dialects.openai import Completion
from protocol.errors import ANSWERS
from protocol.upstream.request import AnalyzeRequest
from protocol.wire.commands import VIEWS, Command
from protocol.wire.endings import CODES, Status
from protocol.wire.options import CHANNEL_PATTERN, Options
from service.web.tickets import TicketRequest

Schema = dict[str, Any]
COMPONENTS = "#/components/schemas/"


def ref(name: str) -> Schema:
    """A reference to one of `components`."""
    return {"$ref": COMPONENTS + name}


def array(items: Schema) -> Schema:
    """A list of such."""
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> Schema:
    """Such, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def record(description: str = "", /, optional: Schema | None = None, **members: Schema) -> Schema:
    """An object with these members and no others; a trailing underscore of a name is none of it."""
    required = {name.removesuffix("_"): schema for name, schema in members.items()}
    found: Schema = {"type": "object", "properties": required | (optional or {}), "required": list(required)}
    return {**({"description": description} if description else {}), **found, "additionalProperties": False}


TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
ANYTHING: Schema = {}
COUNT: Schema = {"type": "integer", "minimum": 0}
MOMENT: Schema = {"type": "string", "format": "date-time"}
STREAM_ID: Schema = {"type": "string", "maxLength": 128, "examples": ["st_Zr8kQ2mVx0TnB4cYw6LpJh1s"]}
CHANNEL: Schema = {"type": "string", "pattern": f"^{CHANNEL_PATTERN}$"}
CURSOR: Schema = {"type": "string", "pattern": r"^[0-9]{1,10}\.[0-9]{1,18}r?(\.end)?$"}
VIEW: Schema = {"enum": list(VIEWS)}
STATUS: Schema = {"enum": [str(status) for status in Status]}
OBJECT: Schema = {"type": "object"}
BY_STREAM: Schema = {"type": "object", "additionalProperties": CURSOR}
BY_VIEW: Schema = {"type": "object", "additionalProperties": COUNT}


def components() -> dict[str, Schema]:
    """All of them, by name."""
    return {**_taken(), **_resources(), **_messages(), **_admin()}


# -- what callers send


def _taken() -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for model in (AnalyzeRequest, Options, TicketRequest, Completion, Posted, *get_args(Command)):
        found |= _of_model(model)
    posted, analyze = found["Posted"], found["AnalyzeRequest"]
    posted["properties"]["schema"] = posted["properties"].pop("schema_")
    once = {name: shape for name, shape in posted["properties"].items() if name in _ONCE}
    found["UpstreamRequest"] = OBJECT | {"description": "An AnalyzeRequest; the upstream alone is its judge."}
    found["NativeRequest"] = {**analyze, "properties": {**analyze["properties"], "fanlight": ref("Options")}}
    found["Prompted"] = {
        "type": "object",
        "properties": once | {"prompt": {"type": "string", "pattern": r"\S"}, "video": ANYTHING},
        "required": ["prompt", "video"],
    }
    return found


_ONCE = frozenset({"schema", "response_format", "system", "fanlight"})


def _of_model(model: type[BaseModel]) -> dict[str, Schema]:
    """A model's schema, and those of the models within it; each under its own name."""
    whole = model.model_json_schema(ref_template=COMPONENTS + "{model}")
    return {**whole.pop("$defs", {}), model.__name__: whole}


# -- what it says


def _resources() -> dict[str, Schema]:
    error = record(
        "Why it ended so; null when all went well.",
        code={"enum": sorted(CODES)},
        message=TEXT,
        retryable=FLAG,
        optional={"upstream_status": nullable(COUNT)},
    )
    fault = record(pointer=TEXT, schema_pointer=TEXT, keyword=TEXT, message=TEXT, at=nullable(COUNT))
    ending = {
        "finish_reason": nullable(TEXT),
        "usage": nullable(OBJECT),
        "validation": nullable(ref("Verdict")),
        "sha256": nullable({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
        "error": nullable(ref("EndingError")),
    }
    row = {
        "id": STREAM_ID,
        "tenant": TEXT,
        "channel": nullable(CHANNEL),
        "gen": COUNT,
        "offset": COUNT,
        "status": STATUS,
        "created_at": MOMENT,
        "ended_at": nullable(MOMENT),
        **ending,
        "subscribers": BY_VIEW,
        "node": TEXT,
        "durable": FLAG,
        "links": {"type": "object", "additionalProperties": TEXT},
    }
    return {
        "Error": record(
            "What is said where a call is refused.",
            code={"enum": sorted(ANSWERS)},
            message=TEXT,
            retryable=FLAG,
        ),
        "UpstreamError": {"type": "object", "properties": {"code": TEXT, "message": TEXT}},
        "OpenAiError": record(error=OBJECT),
        "EndingError": error,
        "Fault": fault,
        "Verdict": record(
            "Whether the output fits its schema.",
            valid=FLAG,
            errors=array(ref("Fault")),
            error_count=COUNT,
            truncated=FLAG,
            repaired=array(TEXT),
            repaired_valid=nullable(FLAG),
        ),
        "StreamRow": record("A stream in a list.", **row),
        "Stream": record(
            "A stream, whole.",
            optional={"partial": ANYTHING},
            **row,
            request=OBJECT,
            text=nullable(TEXT),
            value=ANYTHING,
        ),
        "Streams": record(streams=array(ref("StreamRow")), next=nullable(STREAM_ID)),
        "Ticket": record(ticket=TEXT, jti=TEXT, expires_at=MOMENT),
        "Cues": record(cues=array(OBJECT), repaired=OBJECT),
    }


def _told(kind: str, optional: Schema | None = None, /, **members: Schema) -> Schema:
    return record(optional=optional, type={"const": kind}, **members)


REF: Schema = {"ref": ANYTHING}


def _messages() -> dict[str, Schema]:
    """Messages of the server (docs/wire.md, section 3); `Message` is any of them."""
    stream = STREAM_ID
    found = {
        "Attached": _told(
            "attached",
            REF | {"state": ANYTHING, "channel": CHANNEL},
            stream=nullable(stream),
            gen=COUNT,
            mode={"enum": ["snapshot", "suffix", "live"]},
            from_=COUNT,
            to=COUNT,
            text=TEXT,
            status=STATUS,
            view=VIEW,
        ),
        "Delta": _told("delta", stream=stream, from_=COUNT, to=COUNT, text=TEXT),
        "Reset": _told("reset", stream=stream, gen=COUNT, reason={"enum": ["restarted", "repaired", "taken_over"]}),
        "End": _told(
            "end",
            stream=stream,
            gen=COUNT,
            to=COUNT,
            status=STATUS,
            finish_reason=nullable(TEXT),
            usage=nullable(OBJECT),
            validation=nullable(ref("Verdict")),
            sha256=TEXT,
            error=nullable(ref("EndingError")),
        ),
        "Element": _told("element", stream=stream, at=COUNT, pointer=TEXT, value=ANYTHING, valid=nullable(FLAG)),
        "Patch": _told("patch", stream=stream, at=COUNT, ops=array(ref("Operation"))),
        "Caption": _told(
            "caption",
            {"speaker": TEXT, "pointer": TEXT},
            stream=stream,
            at=COUNT,
            id=TEXT,
            rev=COUNT,
            state={"enum": ["partial", "final", "retracted"]},
            start=nullable(NUMBER),
            end=nullable(NUMBER),
            text=TEXT,
        ),
        "Violation": _told(
            "violation",
            stream=stream,
            at=COUNT,
            pointer=TEXT,
            schema_pointer=TEXT,
            keyword=TEXT,
            message=TEXT,
        ),
        "Event": _told("event", stream=stream, at=COUNT, n=COUNT, event=OBJECT),
        "Presence": _told("presence", stream=stream, counts=BY_VIEW),
        "Refused": _told("error", REF | {"stream": stream}, code=TEXT, message=TEXT, retryable=FLAG),
        "Pong": _told("pong", REF),
        "Draining": _told(
            "draining",
            {
                "stream": stream,
                "cursor": nullable(CURSOR),
                "cursors": {"type": "object", "additionalProperties": CURSOR},
            },
            retry_after_ms=COUNT,
        ),
        "Expiring": _told("expiring", in_s=NUMBER),
    }
    operation = record(op={"enum": ["add", "append"]}, path=TEXT, value=ANYTHING)
    return {**found, "Operation": operation, "Message": {"oneOf": [ref(name) for name in found]}}


def _admin() -> dict[str, Schema]:
    reading = record(stream=STREAM_ID, view=TEXT, cursor=TEXT, behind_bytes=COUNT)
    node = record(
        node=TEXT,
        pid=COUNT,
        draining=FLAG,
        streams=COUNT,
        readers=COUNT,
        memory_bytes=COUNT,
        most_memory_bytes=COUNT,
        breaker=TEXT,
        store={"enum": ["up", "away"]},
        others=array(TEXT),
    )
    running = {
        "id": STREAM_ID,
        "node": TEXT,
        "tenant": TEXT,
        "key": nullable(TEXT),
        "status": STATUS,
        "gen": COUNT,
        "age_s": NUMBER,
        "first_event_ms": nullable(NUMBER),
        "events": COUNT,
        "bytes": COUNT,
        "readers": COUNT,
        "views": BY_VIEW,
        "channels": array(CHANNEL),
    }
    reader = record(
        id=TEXT,
        node=TEXT,
        tenant=nullable(TEXT),
        key=nullable(TEXT),
        ticket=nullable(TEXT),
        transport=TEXT,
        address=nullable(TEXT),
        age_s=NUMBER,
        behind_bytes=COUNT,
        waiting_bytes=COUNT,
        reads=array(reading),
    )
    return {
        "Nodes": record(nodes=array(node)),
        "Reader": reader,
        "Readers": record(readers=array(ref("Reader")), in_all=COUNT),
        "Running": record(**running),
        "RunningStreams": record(streams=array(ref("Running")), in_all=COUNT),
        "RunningStream": record(**running, who_reads=array(ref("Reader"))),
        "SentAway": record(sent_away=COUNT),
        "Reloaded": {"type": "object"},
    }
