"""``fanlight top``, ``streams``, ``cancel`` and ``drain``: what runs at a service, for its operator."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fanlight.client import Client
from fanlight.errors import Inexact, Unreachable
from fanlight.place import need

LOOK_S = 1.0
MANY = 20_000  # lines, where no screen bounds them
Told = Mapping[str, Any]


async def streams(client: Client) -> None:
    """Print what runs, a line each."""
    answer = need(await client.call("GET", "/v1/admin/streams", params={"limit": "10000"}), {"streams": list})
    with _exact():
        for one in answer["streams"]:
            print(one["id"], one["tenant"], one["status"], _age(one["age_s"]), f"{one['readers']} readers", sep="  ")


async def cancel(client: Client, stream: str) -> None:
    """End a stream, whoever started it."""
    await client.call("DELETE", f"/v1/admin/streams/{quote(stream, safe='')}")


async def drain(client: Client) -> None:
    """Let the service go down."""
    await client.call("POST", "/v1/admin/drain")


async def top(client: Client, *, once: bool = False) -> None:
    """Show nodes, streams and readers, anew each second, until Ctrl-C; ``once``: print them."""
    console = Console(markup=False, emoji=False, highlight=False)
    once = once or not console.is_terminal
    first = await _screen(client, MANY if once else console.height)
    if once:
        console.print(first)
        return
    with Live(first, console=console, screen=True, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                live.update(await _screen(client, console.height), refresh=True)
            except Unreachable as exc:
                live.update(Text(str(exc), style="bold red"), refresh=True)


@contextmanager
def _exact() -> Iterator[None]:
    """What is not there as it should be is one kind of fault.

    Raises:
        Inexact: it is so.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise Inexact("what came is no answer of this service") from exc


async def _screen(client: Client, lines: int) -> RenderableType:
    room = max(3, (lines - 12) // 2)
    limit = {"limit": str(min(room, 10_000))}
    nodes = need(await client.call("GET", "/v1/admin/nodes"), {"nodes": list})
    running = need(await client.call("GET", "/v1/admin/streams", params=limit), {"streams": list, "in_all": int})
    reading = need(await client.call("GET", "/v1/admin/readers", params=limit), {"readers": list, "in_all": int})
    with _exact():
        return Group(
            _nodes(nodes["nodes"]),
            Text(),
            _streams(running["streams"], running["in_all"]),
            Text(),
            _readers(reading["readers"], reading["in_all"]),
        )


def _table(title: str, *columns: str) -> Table:
    """A table; columns of numbers, whose names begin with ``>``, stand to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, expand=True)
    for column in columns:
        name = column.removeprefix(">")
        table.add_column(name, justify="right" if name != column else "left", no_wrap=True, overflow="ellipsis")
    return table


def _row(table: Table, *cells: object, style: str = "") -> None:
    table.add_row(*(cell if isinstance(cell, Text) else str(cell) for cell in cells), style=style)


def _nodes(nodes: Sequence[Told]) -> Table:
    table = _table("Fanlight", "node", ">streams", ">readers", ">memory", "store", "breaker", "other nodes")
    for one in nodes:
        memory = f"{_bytes(one['memory_bytes'])} of {_bytes(one['most_memory_bytes'])}"
        style = "yellow" if one["draining"] else ""
        name = f"{one['node']} (draining)" if one["draining"] else one["node"]
        state = (_state(one["store"], "up"), _state(one["breaker"], "closed"))
        others = ", ".join(map(str, one["others"])) or "none"
        _row(table, name, one["streams"], one["readers"], memory, *state, others, style=style)
    return table


def _streams(streams: Sequence[Told], in_all: int) -> Table:
    table = _table(f"{in_all} streams", "stream", "tenant", "key", "status", ">age", ">first", ">bytes", ">readers")
    for one in streams:
        first = "" if one["first_event_ms"] is None else f"{one['first_event_ms']:.0f} ms"
        about = (one["id"], one["tenant"], one["key"] or "", one["status"], _age(one["age_s"]), first)
        _row(table, *about, _bytes(one["bytes"]), one["readers"])
    return table


def _readers(readers: Sequence[Told], in_all: int) -> Table:
    table = _table(f"{in_all} readers", "reader", "tenant", "by", "reads", "from", ">age", ">behind", ">unsent")
    for one in readers:
        reads = ", ".join(f"{read['stream']} {read['view']}" for read in one["reads"][:2])
        about = (one["id"], one["tenant"] or "", one["transport"], reads, one["address"] or "", _age(one["age_s"]))
        style = "yellow" if one["behind_bytes"] else ""
        _row(table, *about, _bytes(one["behind_bytes"]), _bytes(one["waiting_bytes"]), style=style)
    return table


def _state(state: str, good: str) -> Text:
    return Text(str(state), style="" if state == good else "bold red")


def _bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _age(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
