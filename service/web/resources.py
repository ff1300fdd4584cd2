"""A stream as the native API shows it."""

from datetime import UTC, datetime
from typing import Any

from service.hub.streams import Stream


def row(stream: Stream) -> dict[str, Any]:
    """A stream in a list: without ``request``, ``text`` and ``value``."""
    ending = stream.run.ending
    return {
        "id": stream.id,
        "tenant": stream.tenant,
        "channel": stream.run.options.channel,
        "gen": stream.run.gen,
        "offset": stream.run.log.size,
        "status": str(stream.run.status),
        "created_at": _iso(stream.run.times.created),
        "ended_at": _iso(stream.run.times.ended),
        "finish_reason": ending.finish_reason if ending else None,
        "usage": ending.usage if ending else None,
        "validation": ending.validation if ending else None,
        "sha256": ending.sha256 if ending else None,
        "error": ending.error if ending else None,
        "subscribers": stream.presence(),
        "links": links(stream.id),
    }


def resource(stream: Stream) -> dict[str, Any]:
    """The whole resource."""
    found = row(stream)
    return {
        **{key: found[key] for key in ("id", "tenant", "channel", "gen", "offset", "status")},
        "created_at": found["created_at"],
        "ended_at": found["ended_at"],
        "request": stream.request,
        "text": stream.run.log.slice(0, stream.run.log.size),
        "value": stream.run.ending.value if stream.run.ending else None,
        **found,
    }


def links(stream_id: str) -> dict[str, str]:
    """Where a stream can be seen, as paths."""
    here = f"/v1/streams/{stream_id}"
    names = ("ws", "events", "ndjson", "text")
    captions = {f"captions_{kind}": f"{here}/captions.{kind}" for kind in ("vtt", "srt", "json")}
    return {"self": here, **{name: f"{here}/{name}" for name in names}, **captions}


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
