"""A stream as the native API shows it."""

from datetime import UTC, datetime
from typing import Any

import orjson

from service.hub.hub import Hub
from service.hub.keeping import ending_from
from service.hub.streams import Stream
from service.store.contract import Kept


def row(stream: Stream, hub: Hub) -> dict[str, Any]:
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
        "node": stream.node,
        "durable": hub.journal.is_kept(stream.id),
        "links": links(stream.id),
    }


def kept_row(kept: Kept) -> dict[str, Any]:
    """The same of a stream that only the store has."""
    assert kept.ending is not None
    meta, ending = orjson.loads(kept.meta), ending_from(kept.ending)
    return {
        "id": kept.stream,
        "tenant": kept.tenant,
        "channel": meta["options"].get("channel"),
        "gen": kept.gen,
        "offset": ending.to,
        "status": str(ending.status),
        "created_at": _iso(kept.created),
        "ended_at": _iso(kept.at),
        "finish_reason": ending.finish_reason,
        "usage": ending.usage,
        "validation": ending.validation,
        "sha256": ending.sha256,
        "error": ending.error,
        "subscribers": {},
        "node": meta["node"],
        "durable": True,
        "links": links(kept.stream),
    }


def resource(stream: Stream, hub: Hub, *, live_only: bool = False) -> dict[str, Any]:
    """The whole resource; with ``live_only`` without what was told."""
    found, ending = row(stream, hub), stream.run.ending
    return {
        **{key: found[key] for key in ("id", "tenant", "channel", "gen", "offset", "status")},
        "created_at": found["created_at"],
        "ended_at": found["ended_at"],
        "request": stream.request,
        "text": None if live_only else stream.run.log.slice(0, stream.run.log.size),
        "value": ending.value if ending and not live_only else None,
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
