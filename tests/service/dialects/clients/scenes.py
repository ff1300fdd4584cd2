"""What happens to each client: the upstream's script, and what became of the analyses behind its back."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from tests.fakes.service import Service, open_service
from tests.fakes.upstream import Cut, Gate, Hang, Play, Step, end, start, text

SEEN = '{"kind": "dog", "n": 2}'
DONE = (start(), text("a "), text("dog"), end())
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Scene:
    """One column of the table. A client that says `open` opens the gate."""

    name: str
    title: str
    gate: Gate
    play: Play


def scenes() -> Sequence[Scene]:
    """All of them, new."""
    return (
        _scene("success", "success", *DONE),
        _scene("structured", "structured", start(), text(SEEN[:9]), text(SEEN[9:]), end()),
        _scene("cut", "cut upstream", start(), text("a "), Gate(), Cut()),
        Scene("early", "error before the first event", Gate(), Play([b"{}"], status=500)),
        _scene("stop", "stop", start(), text("a "), Hang()),
        _scene("resume", "resume in a second client", start(), text("a "), Gate(), text("dog"), end()),
        _scene("tabs", "two tabs", start(), text("a "), Gate(), text("dog"), end()),
        _scene("follow", "follow-up", *DONE),
        _scene("usage", "usage", *DONE),
        _scene("novideo", "no video", *DONE),
    )


def _scene(name: str, title: str, *steps: Step) -> Scene:
    gate = next((step for step in steps if isinstance(step, Gate)), Gate())
    return Scene(name, title, gate, Play(steps))


@dataclass(frozen=True, slots=True)
class Cell:
    """What the user of a client saw, and what happened behind.

    Attributes:
        calls: analyses that were asked for upstream.
        prompt: of the last one.
        endings: how the streams ended.
    """

    saw: str
    calls: int
    prompt: str
    endings: tuple[str, ...]

    def __str__(self) -> str:
        calls = "" if self.calls == 1 else f" ({self.calls or 'no'} call{'s' * (self.calls > 1)})"
        return self.saw + calls


async def play(command: Sequence[str], scene: Scene) -> Cell:
    """Run a client through a scene."""
    async with open_service(scene.play) as service:
        saw = await _driven([*command, service.url, scene.name], scene.gate)
        prompts = [orjson.loads(seen.body)["prompt"] for seen in service.upstream.seen]
        return Cell(saw, len(prompts), prompts[-1] if prompts else "", await _endings(service))


async def _endings(service: Service) -> tuple[str, ...]:
    async with asyncio.timeout(TIMEOUT_S):
        endings = [await stream.run.ended() for stream in service.hub.list("local")]
    return tuple(ending.code or str(ending.status) for ending in endings)


async def _driven(command: Sequence[str], gate: Gate) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    last = ""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while line := (await process.stdout.readline()).decode().strip():
                if line == "open":
                    gate.open()
                else:
                    last = line
            failed = (await process.stderr.read()).decode()
            await process.wait()
        return str(json.loads(last)) if last else f"the client fell over: {failed.strip()[-300:]}"
    except TimeoutError:
        process.kill()
        await process.wait()
        return "nothing, for a minute"
