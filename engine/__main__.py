"""The engine's command line: ``python -m engine (--socket PATH | --host H --port P) --data-dir DIR``."""

import argparse
import asyncio
import fcntl
import os
import signal
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from engine.app import Settings, create_app
from engine.senses import Senses, missing_listener
from engine.store.library import MAX_BYTES
from engine.weights import MEANING, TAGS, THINGS, Weights, WrongWeights
from engine.work.model import ModelSettings

log = structlog.get_logger()

# When the engine is told to end, a request in progress gets this long to finish, and the
# same again to notice that it was cancelled.
SHUTDOWN_S = 0.4
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Unusable(Exception):
    """The engine cannot start here; the message says why. Exit code 2."""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    _log_to_stderr(LEVELS[options.log_level])
    # One thread for numpy: beside decoders, several threads wait for each other. Read when numpy is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        check_whisper(options.whisper)
        check_weights("--meaning", MEANING, options.meaning)
        check_weights("--things", THINGS, options.things)
        if options.things and TAGS.lie_in(options.things):
            check_weights("--things", TAGS, options.things)
        model = model_of(options)
        lock = lock_directory(options.data_dir)
        listener = listen(options.socket, options.host, options.port)
    except Unusable as exc:
        sys.stderr.write(f"engine: {exc}\n")
        return 2
    try:
        settings = Settings(
            options.data_dir,
            options.workers,
            options.allow_private_urls,
            Senses(options.threads, options.whisper, options.things),
            options.meaning,
            options.max_bytes,
            model,
        )
        asyncio.run(serve(settings, listener, options.parent_pipe))
    finally:
        listener.close()
        if options.socket:
            options.socket.unlink(missing_ok=True)
        os.close(lock)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine",
        description="Serve the TwelveLabs v1.3 API from this machine.",
        epilog="Exit code 2: the data directory or the address is taken, or one of them or the weights cannot be used.",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=Path, help="listen on this Unix socket")
    where.add_argument("--host", help="listen on this address")
    parser.add_argument("--port", type=int, default=8765, help="with --host; 0 picks one")
    parser.add_argument("--data-dir", type=Path, required=True, help="directory that keeps everything")
    parser.add_argument("--parent-pipe", action="store_true", help="end when standard input ends")
    parser.add_argument("--allow-private-urls", action="store_true", help="fetch from private addresses too")
    parser.add_argument("--workers", type=_at_least_one, default=os.cpu_count() or 1, help="analyses that run at once")
    parser.add_argument("--threads", type=_at_least_one, default=1, help="cores that one analysis reads speech with")
    parser.add_argument("--whisper", type=Path, help="directory of a CTranslate2 Whisper model; without it: no speech")
    parser.add_argument("--meaning", type=Path, help="directory of the weights for meaning; without it: words only")
    parser.add_argument("--things", type=Path, help="directory of the weights that name things; without it: none named")
    parser.add_argument("--max-bytes", type=_at_least_one, default=MAX_BYTES, help="bytes of media and uploads in all")
    parser.add_argument("--vlm-url", help="base address of an OpenAI-compatible server whose model answers analyses")
    parser.add_argument("--vlm-model", help="its model")
    parser.add_argument("--vlm-key-piped", action="store_true", help="its key is the first line of standard input")
    parser.add_argument("--vlm-frames", type=_at_least_one, default=16, help="pictures that it is shown")
    parser.add_argument("--vlm-video", choices=["frames", "url"], default="frames", help="what it is shown")
    parser.add_argument("--vlm-parallel", type=_at_least_one, default=2, help="calls at once")
    parser.add_argument("--vlm-part-s", type=_at_least_one, default=600, help="a longer video is told in parts")
    parser.add_argument("--vlm-fallback", choices=["none", "facts"], default="none", help="what answers in its place")
    parser.add_argument("--log-level", choices=LEVELS, default="info")
    return parser


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _log_to_stderr(level: int) -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),  # a line is one write, also where nothing is buffered
    )


def model_of(options: argparse.Namespace) -> ModelSettings | None:
    """The model that is to answer, where one is named.

    Raises:
        Unusable: an address without a model, or one that is none.
    """
    key = _first_line() if options.vlm_key_piped else None
    if not options.vlm_url:
        return None
    parts = urlsplit(options.vlm_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unusable(f"--vlm-url: {options.vlm_url} is no http or https address")
    if not options.vlm_model:
        raise Unusable("--vlm-url needs --vlm-model")
    return ModelSettings(
        options.vlm_url,
        options.vlm_model,
        key,
        options.vlm_frames,
        options.vlm_video == "url",
        options.vlm_parallel,
        options.vlm_part_s,
        options.vlm_fallback == "facts",
    )


def _first_line() -> str:
    """A secret: an argument would be for everybody to read. Byte by byte, for what follows belongs to others."""
    line = b""
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return line.decode()


def check_whisper(directory: Path | None) -> None:
    """Check that the Whisper model, where one is named, can be used.

    Raises:
        Unusable: a package is not installed, or files are not there.
    """
    if directory is None:
        return
    # Imported here: it loads numpy, which the server itself does not need.
    from engine.recognise.whisper import lack_of

    if package := missing_listener():
        raise Unusable(f"--whisper needs the package {package}, which is not installed")
    if lack := lack_of(directory):
        raise Unusable(f"--whisper: {lack}")


def check_weights(option: str, weights: Weights, directory: Path | None) -> None:
    """Check that the weights, where some are named, are the expected ones.

    Raises:
        Unusable: they are not, or they are missing.
    """
    if directory is None:
        return
    try:
        weights.check(directory)
    except WrongWeights as exc:
        raise Unusable(f"{option}: {exc}") from exc


def lock_directory(data_dir: Path) -> int:
    """Make the data directory and lock it for this process; the lock ends with the process.

    Raises:
        Unusable: another engine holds it, or it cannot be written.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise Unusable(f"the data directory {data_dir} cannot be used: {exc.strerror}") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(lock)
        raise Unusable(f"the data directory {data_dir} is in use by another engine") from exc
    return lock


def listen(path: Path | None, host: str | None, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        Unusable: another server listens there already, or the address cannot be bound.
    """
    try:
        return _listen_unix(path) if path else _listen_tcp(host or "127.0.0.1", port)
    except OSError as exc:
        where = path or f"{host}:{port}"
        raise Unusable(f"cannot listen on {where}: {exc.strerror or exc}") from exc


def _listen_tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)


def _listen_unix(path: Path) -> socket.socket:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)  # no other user may connect, not even for the moment before a chmod
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket on which no server answers; leave a live one, or another kind of file, alone."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Unusable(f"{path} exists and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as knock:
        knock.settimeout(1.0)
        try:
            knock.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise Unusable(f"another server listens on {path}")


async def serve(settings: Settings, listener: socket.socket, parent_pipe: bool) -> None:
    """Serve until a signal comes, or until the parent closes its end of standard input."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if parent_pipe:
        await _watch_parent(stop)
    runner = web.AppRunner(
        create_app(settings),
        access_log=None,
        handle_signals=False,
        handler_cancellation=True,  # when a caller disconnects, its worker ends
        auto_decompress=False,  # encoded bodies are refused without being inflated
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        log.info("engine_listening", address=_address(listener), workers=settings.workers, pid=os.getpid())
        await stop.wait()
        log.info("engine_stopping")
    finally:
        await runner.cleanup()


async def _watch_parent(stop: asyncio.Event) -> None:
    class Pipe(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            stop.set()

    with suppress(ValueError):  # standard input is a plain file: it cannot close
        await asyncio.get_running_loop().connect_read_pipe(Pipe, sys.stdin)
        return
    stop.set()


def _address(listener: socket.socket) -> str:
    name = listener.getsockname()
    return name if isinstance(name, str) else f"http://{name[0]}:{name[1]}"


if __name__ == "__main__":
    sys.exit(main())
