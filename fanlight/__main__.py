"""``fanlight``: serve, analyze, watch, top, streams, cancel, drain, models, keys, sample, config."""

import argparse
import asyncio
import codecs
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterable
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from fanlight.client import DEFAULT_URL, Client, ClientError, Delta, Derived, Ending, Reset, Watched
from fanlight.place import need
from protocol.ndjson import dumps

DEFAULT_PROMPT = "Summarize this video, with chapters and what is said."
# What the exit code tells; the last is what a shell says of a program whose reader has gone.
WELL, FAILED, USAGE, INVALID, INTERRUPTED, UNREAD = 0, 1, 2, 3, 130, 141


class Misuse(Exception):
    """What was asked for cannot be: the arguments are wrong."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    _prepare_output()
    try:
        try:
            return _command(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _hush()
        return UNREAD
    except OSError as exc:  # the disk is full, say
        print(f"fanlight: {exc}", file=sys.stderr)
        _hush()
        return FAILED


def _command(arguments: list[str] | None) -> int:
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Misuse as exc:
        print(f"fanlight: {exc}", file=sys.stderr)
        return USAGE
    except (ClientError, OSError, UnicodeError) as exc:
        print(f"fanlight: {exc}", file=sys.stderr)
        return FAILED


def _prepare_output() -> None:
    """Write what the terminal has no characters for as JSON does, and to nowhere what was closed."""
    codecs.register_error("fanlight", _escaped)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as the program runs
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="fanlight")


def _escaped(fault: UnicodeError) -> tuple[str, int]:
    assert isinstance(fault, UnicodeEncodeError)
    return json.dumps(fault.object[fault.start : fault.end])[1:-1], fault.end


def _hush() -> None:
    """What waits to be written has nobody to read it, and must not fail once more at the exit."""
    with open(os.devnull, "wb") as nowhere:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere.fileno(), stream.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fanlight", description="One video analysis, many viewers.")
    commands = parser.add_subparsers(required=True, metavar="command")

    serve = commands.add_parser("serve", help="run the service (settings: FANLIGHT_… in the environment)")
    serve.add_argument("--workers", type=int, help="processes on one port (FANLIGHT_WORKERS)")
    serve.set_defaults(run=_serve)

    analyze = commands.add_parser("analyze", help="upload a video and read its analysis live")
    analyze.add_argument("video", help="a file, an http(s) address, or asset:ID")
    analyze.add_argument("--prompt", default=DEFAULT_PROMPT, help="what to ask")
    analyze.add_argument("--schema", type=Path, help="a JSON Schema file: the answer is JSON, judged against it")
    analyze.set_defaults(run=lambda parsed: asyncio.run(_analyze(parsed)))

    watch = commands.add_parser("watch", help="read a stream, from its beginning to its ending")
    watch.add_argument("stream", help="the stream's id, st_…")
    watch.add_argument("--view", default="text", choices=["text", "json", "patch", "captions", "raw", "end"])
    watch.set_defaults(run=lambda parsed: asyncio.run(_watch(parsed)))
    top = commands.add_parser("top", help="what runs and who reads, for the operator; anew each second")
    top.add_argument("--once", action="store_true", help="print it and end")
    streams = commands.add_parser("streams", help="list what runs, of every tenant")
    cancel = commands.add_parser("cancel", help="end a stream, whoever started it")
    cancel.add_argument("stream", help="the stream's id, st_…")
    drain = commands.add_parser("drain", help="let the service go down, as SIGTERM does")
    for name in ("top", "streams", "cancel", "drain"):
        commands.choices[name].set_defaults(run=_operate, what=name)
    for command in (analyze, watch, top, streams, cancel, drain):
        command.add_argument("--url", default=os.environ.get("FANLIGHT_URL", DEFAULT_URL), help="the service")
        command.add_argument("--api-key", default=os.environ.get("FANLIGHT_KEY"), help="key for the service")

    models = commands.add_parser("models", help="list, fetch, check or remove the engine's weights")
    models.add_argument("what", nargs="?", default="list", choices=["list", "fetch", "check", "remove"])
    models.add_argument("name", nargs="?", help="speech, meaning or things; all of them where it is left out")
    models.set_defaults(run=_models)

    _add_keys(commands.add_parser("keys", help="make, list, revoke or rotate the keys of callers"))

    sample = commands.add_parser("sample", help="write a short clip that speaks")
    sample.add_argument("path", nargs="?", type=Path, default=Path("sample.mp4"))
    sample.set_defaults(run=_sample)

    config = commands.add_parser("config", help="print the effective settings, secrets masked")
    config.set_defaults(run=_config)
    return parser


def _add_keys(keys: argparse.ArgumentParser) -> None:
    """``fanlight keys``: of the service whose settings are in the environment."""
    what = keys.add_subparsers(required=True, metavar="what")
    create = what.add_parser("create", help="make a key; it is printed once, and kept as a digest")
    create.add_argument("name")
    create.add_argument("--tenant", help="whose streams it sees; the same as the name where it is left out")
    create.add_argument("--scopes", help="of start,read,cancel,proxy,admin; without it all but admin")
    create.add_argument("--origins", help="of pages that may use it, comma-separated")
    create.add_argument("--expires", help="a span such as 12h or 30d, or a date")
    create.add_argument("--limit", action="append", default=[], help="NAME=NUMBER, a bound of its own")
    what.add_parser("list", help="list them")
    for name, meaning in (("revoke", "end one, at once"), ("rotate", "give one another secret")):
        what.add_parser(name, help=meaning).add_argument("name")
    for name, command in what.choices.items():
        command.set_defaults(run=_keys, what=name)


def _keys(parsed: argparse.Namespace) -> int:
    from config.settings import Settings
    from service import keys

    settings = Settings()
    try:
        if parsed.what == "create":
            wanted = keys.NewKey(
                parsed.name, parsed.tenant, parsed.scopes, parsed.origins, parsed.expires, tuple(parsed.limit)
            )
            print(keys.create(settings, wanted))
        elif parsed.what == "rotate":
            print(keys.rotate(settings, parsed.name))
        elif parsed.what == "revoke":
            keys.revoke(settings, parsed.name)
        else:
            print(*keys.listed(settings), sep="\n")
    except keys.KeyFault as exc:
        print(f"fanlight: {exc}", file=sys.stderr)
        return FAILED
    return WELL


def _operate(parsed: argparse.Namespace) -> int:
    return asyncio.run(_operated(parsed))


async def _operated(parsed: argparse.Namespace) -> int:
    # Its tables take a tenth of a second to load, which no other command waits for.
    from fanlight import operator

    async with _client(parsed) as client:
        match parsed.what:
            case "top":
                await operator.top(client, once=parsed.once)
            case "streams":
                await operator.streams(client)
            case "cancel":
                await operator.cancel(client, parsed.stream)
            case _:
                await operator.drain(client)
    return WELL


def _serve(parsed: argparse.Namespace) -> int:
    from service.__main__ import main as serve

    return serve([] if parsed.workers is None else ["--workers", str(parsed.workers)])


def _config(_parsed: argparse.Namespace) -> int:
    from config.settings import Settings, faults

    try:
        settings = Settings()
    except ValueError as exc:
        print(f"fanlight: {faults(exc)}", file=sys.stderr)
        return USAGE
    print(_pretty(settings.shown()))
    return WELL


def _models(parsed: argparse.Namespace) -> int:
    from config.settings import Settings

    # The engine is a program of its own, and knows its weights.
    home = ["--home", str(Settings().weights_dir)]
    words = [sys.executable, "-m", "engine.models", *home, parsed.what, *([parsed.name] if parsed.name else [])]
    return subprocess.run(words, check=False).returncode  # noqa: S603


def _sample(parsed: argparse.Namespace) -> int:
    # The engine is a program of its own, and has the clip.
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "engine.sample", str(parsed.path)], check=False, stderr=subprocess.PIPE
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").split("\n")
        why = [line for line in said if line.strip()][-1:]
        print(f"fanlight: {parsed.path} cannot be written: {''.join(why)}", file=sys.stderr)
        return FAILED
    print(parsed.path)
    return WELL


def _client(parsed: argparse.Namespace, **settings: Any) -> Client:
    try:
        return Client(parsed.url, api_key=parsed.api_key, **settings)
    except ValueError as exc:
        raise Misuse(exc) from exc


def _schema(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as exc:
        raise Misuse(f"{path}: {exc}") from exc
    except OSError as exc:
        raise Misuse(exc) from exc


async def _analyze(parsed: argparse.Namespace) -> int:
    request: dict[str, Any] = {"prompt": parsed.prompt}
    if parsed.schema is not None:
        request["response_format"] = {"type": "json_schema", "json_schema": _schema(parsed.schema)}
    try:
        async with _client(parsed) as client:
            request["video"] = {"type": "asset_id", "asset_id": await _asset(client, parsed.video)}
            # Left early, also by Ctrl-C, the stream that was asked for costs nothing more.
            async with client.analysis(request) as analysis:
                print(f"stream {analysis.stream}", file=sys.stderr)
                live = parsed.schema is None or sys.stdout.isatty()
                return await _show(client, analysis.stream, analysis, live=live)
    except asyncio.CancelledError:
        print("\ncancelled", file=sys.stderr)
        raise


async def _asset(client: Client, video: str) -> str:
    if video.startswith("asset:"):
        return video.removeprefix("asset:")
    if video.startswith(("http://", "https://")):
        return await client.fetch(video)
    progress = _progress if sys.stderr.isatty() else lambda sent, size: None
    asset = await client.upload(video, progress=progress)
    print(f"asset {asset}", file=sys.stderr)
    return asset


def _progress(sent: int, size: int) -> None:
    width = 30
    full = width * sent // max(size, 1)
    end = "\n" if sent >= size else ""
    bar = "#" * full + "-" * (width - full)
    print(f"\rupload [{bar}] {sent >> 20}/{size >> 20} MiB", end=end, file=sys.stderr, flush=True)


async def _watch(parsed: argparse.Namespace) -> int:
    def lost(times: int) -> None:
        print(f"fanlight: no connection to {parsed.url}, trying again ({times})", file=sys.stderr)

    async with _client(parsed, lost=lost) as client, aclosing(client.watch(parsed.stream, view=parsed.view)) as told:
        if parsed.view == "text":
            return await _show(client, parsed.stream, told, live=True)
        async for message in told:
            if isinstance(message, Derived):
                print(dumps(message.members).decode(), flush=True)
            elif isinstance(message, Reset):
                _tell_reset(message)
            elif isinstance(message, Ending):
                print(dumps(message.members).decode())
                return _code(message)
    return FAILED


async def _show(client: Client, stream: str, messages: AsyncIterable[Watched], *, live: bool) -> int:
    """Print a stream's text as it grows; at its end the JSON once more, pretty, with the verdict."""
    async for message in messages:
        if isinstance(message, Delta) and live:
            print(message.text, end="", flush=True)
        elif isinstance(message, Reset):
            _tell_reset(message)
        elif isinstance(message, Ending):
            if sys.stdout.isatty():
                print(flush=True)
            if message.validation is not None:
                shown = await client.call("GET", f"/v1/streams/{quote(stream, safe='')}")
                print(_pretty(need(shown, {"value": object})["value"]))
            _tell(message)
            return _code(message)
    return FAILED


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _tell_reset(reset: Reset) -> None:
    print(f"\n-- the text restarts ({reset.reason}) --", file=sys.stderr)


def _tell(ending: Ending) -> None:
    members = ending.members
    usage = members["usage"] or {}
    print(f"{ending.status}, {members['to']} bytes, {usage.get('output_tokens')} tokens", file=sys.stderr)
    if ending.error is not None:
        print(f"{ending.error['code']}: {ending.error['message']}", file=sys.stderr)
    if ending.validation is not None:
        verdict = "valid" if ending.validation["valid"] else "not valid"
        print(f"schema: {verdict}", file=sys.stderr)
        for error in ending.validation["errors"]:
            print(f"  {error['pointer'] or '/'}: {error['message']}", file=sys.stderr)


def _code(ending: Ending) -> int:
    if ending.status not in ("completed", "length"):
        return FAILED
    return INVALID if ending.validation is not None and not ending.validation["valid"] else WELL


if __name__ == "__main__":
    sys.exit(main())
