"""Cursors in every view: what is handed in again is honoured, or a reset; nothing is missed, nothing doubled."""

import copy

import orjson
import pytest

from fanlight import Client, Delta, Derived, Ending, Reset, Watched
from tests.fakes.fault_proxy import FaultProxy
from tests.fakes.service import Serving
from tests.fakes.upstream import Cut, Gate, Play, end, start, text


async def at_once(_seconds: float) -> None:
    """Pauses between attempts take no time in tests."""


SCHEMA = {"type": "json_schema", "json_schema": {"properties": {"shots": {"items": {"type": "object"}}}}}
DOCUMENT = '{"shots": [{"t": [0, 1]}, {"t": [2], "say": "naïve 🎬"}, 7], "n": 12, "empty": [[]], "last": "x"}'
CUES = "[00:01] A red car.\n[00:04] It turns – left.\n[00:09] Gone 🎬\n"
STORIES = {"text": CUES, "json": DOCUMENT, "patch": DOCUMENT, "captions": CUES, "raw": CUES, "end": CUES}


class Seen:
    """What a user holds after some messages, and the ending."""

    def __init__(self) -> None:
        self.held: object = None
        self.ending: Ending | None = None

    def take(self, view: str, message: Watched) -> None:
        match message:
            case Delta(text=text):
                self.held = (self.held or "") + text
            case Reset():
                self.held = None
            case Derived(kind="violation"):
                pass  # the ending's verdict has it, too
            case Derived(kind="event", members=members):
                self.held = [*(self.held or []), members["event"]]
            case Derived(tree=tree) if view == "patch":
                self.held = orjson.dumps(tree)
            case Derived(kind=kind, members=members):
                for part in members["state"] if kind == "state" else [members]:
                    self._put(part)
            case Ending():
                self.ending = message

    def _put(self, part: dict) -> None:
        held = self.held = dict(self.held or {})
        told = {name: value for name, value in part.items() if name not in ("type", "stream")}
        held[part.get("id", part["pointer"]) if "pointer" in part else part["id"]] = told
        if part.get("state") == "retracted":
            del held[part["id"]]


def pieces(whole: str, size: int) -> list[bytes]:
    return [text(whole[n : n + size]) for n in range(0, len(whole), size)]


async def seen(client: Client, stream: str, view: str, kept: Seen, cursor: str | None) -> Seen:
    async for message in client.watch(stream, view=view, cursor=cursor):
        kept.take(view, message)
    return kept


@pytest.mark.parametrize("view", STORIES)
@pytest.mark.parametrize("size", [3, 20])
async def test_a_program_that_resumes_behind_any_message_misses_nothing_and_doubles_nothing(
    serving: Serving, view: str, size: int
):
    schema = {"response_format": SCHEMA} if STORIES[view] == DOCUMENT else {}
    parts = pieces(STORIES[view], size)
    # Deltas that wait for a reader are merged: each piece of text waits for the one before to be read.
    gates = [Gate() for _ in parts] if view == "text" else []
    steps = [step for pair in zip(parts, gates, strict=True) for step in pair] if gates else parts
    async with serving(Play([start(), *steps, end()])) as service, Client(service.url) as client:
        stream = await client.start({"prompt": "p", **schema})
        heard = []
        async for message in client.watch(stream, view=view):
            heard.append(copy.deepcopy(message))  # trees are changed in place
            if gates:
                gates.pop(0).open()
        whole, sofar = Seen(), Seen()
        for message in heard:
            whole.take(view, message)
        assert len(heard) > 3 or view == "end"
        for message in heard:
            sofar.take(view, message)
            again = Seen()
            again.held = sofar.held
            await seen(client, stream, view, again, message.cursor)
            assert again.held == whole.held, message
            assert again.ending.members == whole.ending.members


@pytest.mark.parametrize("view", STORIES)
async def test_a_cursor_of_a_generation_that_is_gone_is_a_reset_first(serving: Serving, view: str):
    first = Play([start(), *pieces(STORIES[view], 9)[:-1], Cut()])
    other = STORIES[view].replace("red", "blue").replace("0", "1")
    async with serving(first, Play([start(), *pieces(other, 9), end()])) as service, Client(service.url) as client:
        stream = await client.start({"prompt": "p"}, {"restart": 1})
        whole = await seen(client, stream, view, Seen(), None)
        assert whole.ending.members["gen"] == 2
        old = "1.5r" if view == "raw" else "1.5"
        heard = [message async for message in client.watch(stream, view=view, cursor=old)]
        assert heard[0] == Reset(2, "snapshot", "2.0r" if view == "raw" else "2.0")
        again = Seen()
        for message in heard:
            again.take(view, message)
        assert again.held == whole.held


@pytest.mark.parametrize("view", STORIES)
async def test_every_view_is_exact_through_a_faulty_network(serving: Serving, view: str):
    async with serving(Play([start(), *pieces(STORIES[view], 4), end()])) as service:
        async with Client(service.url) as client:
            for seed in range(8):
                stream = await client.start({"prompt": str(seed)}, {"join": "never"})
                async with FaultProxy(int(service.url.rsplit(":", 1)[1]), seed) as proxy:
                    async with Client(proxy.url, sleep=at_once, attempts=50) as far:
                        through = await seen(far, stream, view, Seen(), None)
                direct = await seen(client, stream, view, Seen(), None)
                assert through.held == direct.held
                assert through.ending.members == direct.ending.members


@pytest.mark.parametrize("view", ["json", "patch"])
@pytest.mark.parametrize("late", [False, True])
async def test_a_document_of_many_megabytes_arrives(serving: Serving, view: str, late: bool):
    document = {"rows": ["0123456789" * 1000] * 540}  # 5.4 MB
    whole = orjson.dumps(document).decode()
    async with serving(Play([start(), *pieces(whole, 1 << 16), end()])) as service, Client(service.url) as client:
        stream = await client.start({"prompt": "p"})
        if late:
            await service.show(stream, "?wait=30")
        kept = await seen(client, stream, view, Seen(), None)
        assert kept.ending.status == "completed"
        if view == "patch":
            assert orjson.loads(kept.held) == document
        else:
            assert kept.held["/rows"]["value"] == document["rows"]
