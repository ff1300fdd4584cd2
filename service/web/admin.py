"""``/v1/admin/``: what runs and who reads, of every tenant, and an operator's hand on it (scope ``admin``).

A process tells of itself; workers on one port tell together. Other nodes of the store are named,
and each answers at its own address. Nothing here shows a prompt or a text.
"""

import os
import time
from typing import Any

from aiohttp import web

from protocol.errors import Refusal
from protocol.ndjson import loads
from service.hub.hub import Hub
from service.hub.streams import Stream
from service.hub.subscribers import Subscriber
from service.store.contract import StoreFailed
from service.web.access import caller_of
from service.web.connection import Connection, Connections
from service.web.errors import json_response
from service.web.keys import CONNECTIONS, HUB, MEMORY, SIBLINGS, SWITCH
from service.web.streams import number

Told = dict[str, Any]
USUAL_LIMIT, MAX_LIMIT = 200, 10_000


# -- what this process tells


def node_here(app: web.Application) -> Told:
    """This process."""
    hub, connections, memory = app[HUB], app[CONNECTIONS], app[MEMORY]
    return {
        "node": hub.node,
        "pid": os.getpid(),
        "draining": hub.draining,
        "streams": len(hub.streams_here()),
        "readers": len(connections),
        "memory_bytes": memory.taken_bytes,
        "most_memory_bytes": memory.most_bytes,
        "breaker": hub.breaker.state,
        "store": "up" if hub.journal.up else "away",
        "others": sorted(hub.peers.others()) if hub.peers is not None else [],
    }


def streams_here(app: web.Application) -> list[Told]:
    """The streams that this process runs, those with the most readers first."""
    now = time.time()
    found = [_stream(stream, now) for stream in app[HUB].streams_here()]
    return sorted(found, key=lambda told: (-told["readers"], told["id"]))


def _stream(stream: Stream, now: float) -> Told:
    run = stream.run
    first = run.times.first_event
    return {
        "id": stream.id,
        "node": stream.node,
        "tenant": stream.tenant,
        "key": stream.payer or None,
        "status": str(run.status),
        "gen": run.gen,
        "age_s": round(now - run.times.created, 1),
        "first_event_ms": None if first is None else round((first - run.times.began) * 1000, 1),
        "events": run.log.count,
        "bytes": run.log.size,
        "readers": sum(stream.presence().values()),
        "views": stream.presence(),
        "channels": sorted(stream.channels),
    }


def readers_here(app: web.Application) -> list[Told]:
    """Who reads at this process, those that are behind the furthest first."""
    hub, connections = app[HUB], app[CONNECTIONS]
    found = [_reader(hub, connections, connection) for connection in connections.open() if not connection.is_leaving]
    return sorted(found, key=lambda told: (-told["behind_bytes"], -told["waiting_bytes"], told["id"]))


def _reader(hub: Hub, connections: Connections, connection: Connection) -> Told:
    caller = connection.caller
    reads = [_reading(subscriber) for subscriber in connection.subscribers.values()]
    return {
        "id": _id_of(hub, connection),
        "node": hub.node,
        "tenant": caller.tenant if caller is not None else None,
        "key": caller.key or None if caller is not None else None,
        "ticket": caller.grant.jti if caller is not None and caller.grant is not None else None,
        "transport": connection.transport_name,
        "address": connection.address,
        "age_s": round(connections.age_s(connection), 1),
        "behind_bytes": sum(read["behind_bytes"] for read in reads),
        "waiting_bytes": connection.waiting_bytes,
        "reads": reads,
    }


def _reading(subscriber: Subscriber) -> Told:
    audience = subscriber.audience
    assert audience is not None
    told = {"stream": subscriber.stream_id, "view": audience.view.name, "cursor": str(subscriber.cursor)}
    return told | {"behind_bytes": audience.behind(*audience.place_of(subscriber))}


def _id_of(hub: Hub, connection: Connection) -> str:
    return f"{hub.node}:{connection.slot}"


def send_away_here(app: web.Application, *, reader: str = "", tenant: str = "", key: str = "") -> int:
    """End connections: one reader's, or those of a tenant or of one of its keys; how many it were."""
    hub, away = app[HUB], 0
    for connection in [one for one in app[CONNECTIONS].open() if not one.is_leaving]:
        caller = connection.caller
        whose = (caller.tenant, caller.key) if caller is not None else ("", "")
        if reader and reader != _id_of(hub, connection):
            continue
        if not reader and (whose[0] != tenant or (key and whose[1] != key)):
            continue
        connection.expel(Refusal("forbidden", "an operator has ended this connection"))
        away += 1
    return away


# -- handlers


async def nodes(request: web.Request) -> web.Response:
    """``GET /v1/admin/nodes``: this node, or each of its workers, and the names of the others."""
    caller_of(request, "admin")
    told = [node_here(request.app), *await _of_siblings(request, "node")]
    return json_response({"nodes": sorted(told, key=lambda one: str(one["node"]))})


async def streams(request: web.Request) -> web.Response:
    """``GET /v1/admin/streams``: what runs."""
    caller_of(request, "admin")
    limit = _limit(request)
    told = [*streams_here(request.app), *await _of_siblings(request, "streams")]
    told.sort(key=lambda one: (-one["readers"], one["id"]))
    return json_response({"streams": told[:limit], "in_all": len(told)})


async def stream(request: web.Request) -> web.Response:
    """``GET /v1/admin/streams/{id}``: one that runs, and who reads it."""
    caller_of(request, "admin")
    wanted = request.match_info["id"]
    running = [*streams_here(request.app), *await _of_siblings(request, "streams")]
    found = next((one for one in running if one["id"] == wanted), None)
    if found is None:
        raise Refusal("not_found", "no such stream runs at this node")
    reading = [*readers_here(request.app), *await _of_siblings(request, "readers")]
    own = [one for one in reading if any(read["stream"] == wanted for read in one["reads"])]
    return json_response({**found, "who_reads": own[:MAX_LIMIT]})


async def readers(request: web.Request) -> web.Response:
    """``GET /v1/admin/readers``: who reads, those that are behind the furthest first."""
    caller_of(request, "admin")
    limit = _limit(request)
    told = [*readers_here(request.app), *await _of_siblings(request, "readers")]
    told.sort(key=lambda one: (-one["behind_bytes"], -one["waiting_bytes"], one["id"]))
    return json_response({"readers": told[:limit], "in_all": len(told)})


async def cancel(request: web.Request) -> web.Response:
    """``DELETE /v1/admin/streams/{id}``: end a stream, whoever started it, at whatever node it runs."""
    caller_of(request, "admin")
    hub, wanted = request.app[HUB], request.match_info["id"]
    running = hub.runs_here(wanted)
    if running is None:
        try:
            kept = await hub.journal.store.find(wanted)
        except StoreFailed as exc:
            raise Refusal("overloaded", "streams cannot be looked up now", retry_after_s=1) from exc
        if kept is None:
            raise Refusal("not_found", "there is no such stream")
        running = await hub.fetch(kept.tenant, wanted)
    await hub.cancel_anywhere(running, force=True)
    return json_response({"id": wanted}, 202)


async def disconnect(request: web.Request) -> web.Response:
    """``DELETE /v1/admin/readers/{id}``: end one connection."""
    caller_of(request, "admin")
    return await _sent_away(request, reader=request.match_info["id"])


async def disconnect_all(request: web.Request) -> web.Response:
    """``DELETE /v1/admin/readers?tenant=…&key=…``: end all connections of a tenant, or of one of its keys."""
    caller_of(request, "admin")
    tenant, key = request.query.get("tenant", ""), request.query.get("key", "")
    if not tenant or request.query.keys() - {"tenant", "key"}:
        raise Refusal("invalid_request", "tenant, and key where only its connections are meant")
    return await _sent_away(request, tenant=tenant, key=key)


async def drain(request: web.Request) -> web.Response:
    """``POST /v1/admin/drain``: go down as on SIGTERM."""
    caller_of(request, "admin")
    request.app[SWITCH].drain()
    return json_response({"draining": True}, 202)


async def reload(request: web.Request) -> web.Response:
    """``POST /v1/admin/reload``: read settings and keys anew, as on SIGHUP."""
    caller_of(request, "admin")
    try:
        return json_response(request.app[SWITCH].reload())
    except ValueError as exc:
        raise Refusal("invalid_request", str(exc)) from exc


async def _sent_away(request: web.Request, **whom: str) -> web.Response:
    away = send_away_here(request.app, **whom)
    if SIBLINGS in request.app:
        away += sum(await request.app[SIBLINGS].ask("DELETE", "admin/readers", whom))
    if "reader" in whom and not away:
        raise Refusal("not_found", "there is no such reader")
    return json_response({"sent_away": away})


async def _of_siblings(request: web.Request, what: str) -> list[Told]:
    if SIBLINGS not in request.app:
        return []
    answers = await request.app[SIBLINGS].ask("GET", f"admin/{what}", {})
    return [one for answer in answers for one in answer]


def _limit(request: web.Request) -> int:
    return number(request, "limit", USUAL_LIMIT, 1, MAX_LIMIT)


# -- the private door, where siblings ask


def add_private_routes(private: web.Application, app: web.Application) -> None:
    """Let siblings ask what this process has."""

    async def told_node(_request: web.Request) -> web.Response:
        return json_response([node_here(app)])

    async def told_streams(_request: web.Request) -> web.Response:
        return json_response(streams_here(app))

    async def told_readers(_request: web.Request) -> web.Response:
        return json_response(readers_here(app))

    async def sent_away(request: web.Request) -> web.Response:
        return json_response(send_away_here(app, **loads(await request.read())))

    private.router.add_get("/admin/node", told_node)
    private.router.add_get("/admin/streams", told_streams)
    private.router.add_get("/admin/readers", told_readers)
    private.router.add_delete("/admin/readers", sent_away)
