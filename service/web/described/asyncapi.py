"""The messages over WebSockets, as AsyncAPI 3; seen from the service, which receives commands and sends messages."""

from typing import Any, get_args

from protocol.wire.commands import Command, NewTicket, Ping
from service.web.described.schemas import CHANNEL, CURSOR, FLAG, STREAM_ID, TEXT, VIEW, Schema, components, ref

COMMANDS = tuple(command.__name__ for command in get_args(Command))
# On the socket of one stream, or of a channel, nothing else is to be said.
FEW = (Ping.__name__, NewTicket.__name__, "Cancel")


def document(version: str, host: str, *, secure: bool) -> dict[str, Any]:
    """The whole description."""
    shapes = components()
    said = [one["$ref"].rpartition("/")[2] for one in shapes["Message"]["oneOf"]]
    named = [*COMMANDS, *said]
    query = {"cursor": CURSOR, "view": VIEW, "presence": FLAG, "ticket": TEXT}
    stream = {"id": {"description": "of the stream", "examples": STREAM_ID["examples"]}}
    channel = {"name": {"description": f"of the channel: {CHANNEL['pattern']}"}}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Fanlight", "version": version, "description": "Sockets; calls over HTTP: /openapi.json."},
        "defaultContentType": "application/json",
        "servers": {"here": {"host": host, "protocol": "wss" if secure else "ws"}},
        "channels": {
            "many": _channel("/v1/ws", "Many streams over one socket", COMMANDS, said, {"ticket": TEXT}),
            "one": _channel("/v1/streams/{id}/ws", "One stream, until its ending", FEW, said, query, stream),
            "channel": _channel("/v1/channels/{name}/ws", "What is started under a name", FEW, said, query, channel),
        },
        "operations": {
            f"{name}_{action}": {"action": action, "channel": {"$ref": f"#/channels/{name}"}, "messages": messages}
            for name, commands in (("many", COMMANDS), ("one", FEW), ("channel", FEW))
            for action, messages in (("receive", _of(name, commands)), ("send", _of(name, said)))
        },
        "components": {
            "messages": {name: {"name": _type_of(shapes[name]), "payload": ref(name)} for name in named},
            "schemas": shapes,
        },
    }


def _type_of(shape: Schema) -> str:
    return str(shape["properties"]["type"]["const"])


def _channel(
    address: str,
    about: str,
    commands: tuple[str, ...],
    said: list[str],
    query: dict[str, Schema],
    parameters: dict[str, Any] | None = None,
) -> dict[str, Any]:
    told = {
        "address": address,
        "summary": about,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in (*commands, *said)},
        "bindings": {"ws": {"query": {"type": "object", "properties": query}, "bindingVersion": "0.1.0"}},
    }
    return told | ({"parameters": parameters} if parameters else {})


def _of(channel: str, names: tuple[str, ...] | list[str]) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]
