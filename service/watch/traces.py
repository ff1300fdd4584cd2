"""The contract of tracing: a step of a trace for each request and each upstream call.

Nothing of prompts, texts, keys or addresses with a query is told. Without an engine (`service.watch.otel`)
nothing is recorded, and the step that a caller named is handed on as it came.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from protocol.wire.traceparent import TraceContext

# A caller writes it: what has another form may be anything.
_MODEL = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
Attributes = Mapping[str, str | int | tuple[str, ...]]


class Span(Protocol):
    """One step while it lasts.

    Attributes:
        context: as whoever goes on from here is told; None where nobody traces.
        is_recorded: whether anything that is told here is kept.
    """

    context: TraceContext | None
    is_recorded: bool

    def end(self, fault: str = "", attributes: Attributes | None = None, links: Iterable[TraceContext] = ()) -> None:
        """It is over; a second call changes nothing.

        Args:
            fault: a code, where it did not go well.
            links: steps that it has to do with and does not come from.
        """


class Traces(Protocol):
    """Whoever records.

    Attributes:
        records: whether anything is made of what it is told.
    """

    records: bool

    def request(self, method: str, route: str, parent: TraceContext | None) -> Span:
        """A request of a caller begins."""

    def call(self, attributes: Attributes, parent: TraceContext | None) -> Span:
        """A call of the upstream begins."""


@dataclass(slots=True)
class Unrecorded:
    """A span of which nothing is kept."""

    context: TraceContext | None
    is_recorded: bool = False

    def end(self, fault: str = "", attributes: Attributes | None = None, links: Iterable[TraceContext] = ()) -> None:
        """Nobody asked."""


class NoTraces:
    """Nobody records."""

    records = False

    def request(self, method: str, route: str, parent: TraceContext | None) -> Span:
        """See `Traces.request`."""
        return Unrecorded(parent)

    def call(self, attributes: Attributes, parent: TraceContext | None) -> Span:
        """See `Traces.call`."""
        return Unrecorded(parent)


def of_call(stream: str, model: Any, attempt: int, *, is_json: bool) -> Attributes:
    """What is told of an upstream call when it begins: OpenTelemetry's conventions for generative AI."""
    named = {"gen_ai.request.model": model} if isinstance(model, str) and _MODEL.fullmatch(model) else {}
    return {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.output.type": "json" if is_json else "text",
        "fanlight.stream.id": stream,
        "fanlight.attempt": attempt,
        **named,
    }


def of_answer(status: int | None, members: Mapping[str, Any], finish_reason: str | None) -> Attributes:
    """What is told of an upstream call when it is over.

    Args:
        members: of its ``stream_end``; empty where none came.
    """
    metadata = members.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    usage = metadata.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    told: dict[str, str | int | tuple[str, ...]] = {}
    for name, value, kind in (
        ("http.response.status_code", status, int),
        ("gen_ai.response.id", metadata.get("generation_id"), str),
        ("gen_ai.usage.input_tokens", usage.get("input_tokens"), int),
        ("gen_ai.usage.output_tokens", usage.get("output_tokens"), int),
    ):
        if isinstance(value, kind):
            told[name] = value
    return {**told, "gen_ai.response.finish_reasons": (finish_reason,)} if finish_reason else told
