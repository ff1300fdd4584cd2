"""Clients as the cases see them: what each tells its user, as lines; and the playing of a case with one."""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from fanlight.client import Client as Library
from fanlight.client import ClientError, Delta, Derived, Ending, Inexact, Refused, Reset
from tests.conformance.cases import ASKED, Case, Script, all_cases, expanded
from tests.conformance.scripted import STREAM, ScriptedService
from tests.fakes.browser import Browser
from tests.fakes.service import Service, open_service

PATIENCE_S = 30.0
ATTEMPTS = 5  # in vain in a row, where a case does not say
LIMITS = ("view", "cursor", "silence ms", "attempts")
Report = Callable[[dict[str, Any]], None]
CASES = [case for case in all_cases() if "client" in case.members]


@dataclass
class Seen:
    """What the user of a client has seen, folded from what the client reported."""

    text: str = ""
    resets: int = 0
    elements: dict[str, Any] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)
    tree: Any = None
    events: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    status: str | None = None
    code: str | None = None
    error: str | None = None

    def take(self, line: dict[str, Any]) -> None:
        """One line of the client."""
        match line["kind"]:
            case "delta":
                self.text += line["text"]
            case "reset":
                self.resets += 1
                self.text, self.elements, self.captions, self.tree, self.events = "", {}, {}, None, []
            case "element":
                self.elements[line["pointer"]] = line["value"]
            case "caption":
                self.captions[line["id"]] = line["text"]
                if line["state"] == "retracted":
                    del self.captions[line["id"]]
            case "patch":
                self.tree = line["tree"]
            case "event":
                self.events.append(line["event"]["event_type"])
            case "violation":
                self.violations.append(line["keyword"])
            case "end":
                self.status, self.code = line["status"], line["code"]
            case "error":
                self.error = line["code"]


class Client(Protocol):
    """One client; ``name`` is what cases call it, ``way`` its way of reading where a case names some alone."""

    name: str
    way: str

    async def watch(self, url: str, stream: str, asked: dict[str, Any], report: Report) -> None:
        """Watch a stream to its ending, or to an error, and report everything.

        Args:
            asked: ``view``, ``cursor``, ``silence ms`` and ``attempts``, as far as the case names them.
        """


async def play(case: Case, client: Client) -> None:
    """Play one case with one client.

    Raises:
        AssertionError: the user has not seen what the case says.
    """
    asked = case.members["client"]
    seen = Seen()
    async with asyncio.timeout(PATIENCE_S):
        if "service" in case.members:
            async with ScriptedService(case.members["service"], case.members.get("pieces", 0)) as scripted:
                await client.watch(scripted.url, STREAM, asked, seen.take)
            assert not scripted.faults, scripted.faults
            assert not scripted.left, f"{scripted.left} connections were not asked for"
        else:
            script = case.script()
            async with open_service(*script.plays, **case.settings) as service:
                await _play_upstream(service, script, asked, client, seen)
    for name, value in {"error": None, **asked["sees"]}.items():
        wanted = expanded(value)
        assert getattr(seen, name) == wanted, f"{name}: {getattr(seen, name)!r}, not {wanted!r}"


async def _play_upstream(service: Service, script: Script, asked: dict[str, Any], client: Client, seen: Seen) -> None:
    stream = await service.start(**{**ASKED, **asked.get("start", {})})
    view = asked.get("view", "text")
    if asked.get("after the end"):
        while (await service.show(stream, "?wait=1"))["ended_at"] is None:
            pass
    watching = asyncio.create_task(client.watch(service.url, stream, asked, seen.take))
    try:
        for name, gate in script.gates.items():
            # Until the client is there, and has told what there was.
            while not watching.done() and not (
                (await service.show(stream))["subscribers"] and (view != "text" or seen.text == script.before[name])
            ):
                await asyncio.sleep(0.01)
            gate.open()
        await watching
    finally:
        watching.cancel()
        for gate in script.gates.values():
            gate.open()
        with suppress(asyncio.CancelledError):
            await watching


async def result(case: Case, client: Client) -> str | None:
    """Why a case failed with a client, where it should not have; None otherwise."""
    if client.way and client.way not in case.members.get("only", [client.way]):
        return None
    expected = case.members["client"].get("expected to fail", {}).get(client.name)
    try:
        await play(case, client)
    except (AssertionError, TimeoutError) as exc:
        return None if expected else str(exc) or type(exc).__name__
    return f"passes, though it was expected to fail: {expected}" if expected else None


# -- the clients


class PythonClient:
    """`fanlight.client`."""

    name = "fanlight.client"
    way = "ws"

    async def watch(self, url: str, stream: str, asked: dict[str, Any], report: Report) -> None:
        view = asked.get("view", "text")
        limits = {"silence_s": asked["silence ms"] / 1000} if "silence ms" in asked else {}
        async with Library(url, attempts=asked.get("attempts", ATTEMPTS), **limits) as library:
            try:
                async for message in library.watch(stream, view=view, cursor=asked.get("cursor")):
                    for line in self._lines(message, view):
                        report(line)
            except Refused as exc:
                report({"kind": "error", "code": exc.code})
            except Inexact:
                report({"kind": "error", "code": "inexact"})
            except ClientError as exc:
                report({"kind": "error", "code": type(exc).__name__.lower()})

    @staticmethod
    def _lines(message: Any, view: str) -> list[dict[str, Any]]:
        match message:
            case Delta(text=text):
                return [{"kind": "delta", "text": text}]
            case Reset():
                return [{"kind": "reset"}]
            case Ending(status=status, error=error):
                return [{"kind": "end", "status": status, "code": error and error["code"]}]
            case Derived(kind="state", members=members, tree=tree):
                if view == "patch":
                    return [{"kind": "patch", "tree": tree}]
                kind = {"json": "element", "captions": "caption"}[view]
                return [{"kind": kind, **item} for item in members["state"]]
            case Derived(kind="patch", tree=tree):
                return [{"kind": "patch", "tree": tree}]
            case Derived(kind=kind, members=members):
                return [{"kind": kind, **members}]
        raise AssertionError(message)


WATCH = """
globalThis.lines = []; globalThis.over = false;
(async () => {
  try {
    const { watch } = await import("/static/fanlight.js");
    for await (const m of watch(%s, %s)) {
      if (m.kind === "end") lines.push({ kind: "end", status: m.status, code: m.error?.code ?? null });
      else lines.push(JSON.parse(JSON.stringify(m)));
    }
  } catch (error) {
    lines.push({ kind: "error", code: error.code ?? String(error) });
  }
  over = true;
})(); 0
"""


class BrowserClient:
    """``fanlight.js`` in a page."""

    def __init__(self, browser: Browser, transport: str) -> None:
        self._browser = browser
        self._transport = transport
        self.way = "ws" if transport == "websocket" else "events"
        self.name = f"fanlight.js over {'sockets' if transport == 'websocket' else 'events'}"

    async def watch(self, url: str, stream: str, asked: dict[str, Any], report: Report) -> None:
        options = {
            "transport": self._transport,
            "attempts": ATTEMPTS,
            **{name.removesuffix(" ms"): asked[name] for name in LIMITS if name in asked},
        }
        await self._browser.go(url + "/static/fanlight.js")  # a page of that origin
        await self._browser.run(WATCH % (orjson.dumps(stream).decode(), orjson.dumps(options).decode()))
        over = False
        while not over:
            over, lines = await self._browser.run("[globalThis.over, globalThis.lines.splice(0)]")
            for line in lines:
                report(line)
            await asyncio.sleep(0.01)


class CommandClient:
    """Any program: called with URL, stream, view and cursor; prints lines of JSON."""

    def __init__(self, command: Sequence[str], name: str | None = None, way: str = "", **env: str) -> None:
        self.command = command
        self._env = env
        self.way = way
        self.name = name or command[0]

    async def watch(self, url: str, stream: str, asked: dict[str, Any], report: Report) -> None:
        limits = {
            name.upper().replace(" ", "_"): str(asked[name]) for name in ("silence ms", "attempts") if name in asked
        }
        process = await asyncio.create_subprocess_exec(
            *self.command,
            url,
            stream,
            asked.get("view", "text"),
            asked.get("cursor") or "",
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
            env={
                **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
                **self._env,
                "ATTEMPTS": str(ATTEMPTS),
                **limits,
            },
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                report(orjson.loads(line))
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
