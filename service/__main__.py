"""``python -m service``: the same as ``fanlight serve``; and what a worker's process runs."""

import argparse
import asyncio
import resource
import sys
from functools import partial

import uvloop
from pydantic import ValidationError

from config.settings import Settings, faults
from service import logs
from service.access.book import BookBroken
from service.app import serve
from service.place import WorkerPlace
from service.store.contract import StoreRefused
from service.watch.audit import AuditRefused
from service.workers import WorkerRefused, serve_with_workers


def main(arguments: list[str] | None = None) -> int:
    """Read the settings and serve; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        place = None if parsed.place is None else WorkerPlace.model_validate_json(parsed.place)
        settings = _settings(parsed.workers) if place is None else place.settings()
    except (ValidationError, ValueError) as exc:
        print(f"fanlight: {faults(exc)}", file=sys.stderr)  # noqa: T201
        return 2
    # A dump of memory would hold keys, prompts and texts; the engine's processes inherit that there is none.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logs.configure(settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            alone = place is not None or settings.workers == 1
            read = place.settings if place is not None else partial(_settings, parsed.workers)
            runner.run(serve(settings, place, read=read) if alone else serve_with_workers(settings))
    except WorkerRefused:
        return 2
    except (StoreRefused, BookBroken, AuditRefused) as exc:
        print(f"fanlight: {exc}", file=sys.stderr)  # noqa: T201
        return 2
    except OSError as exc:
        print(f"fanlight: cannot listen on {settings.host}:{settings.port}: {exc.strerror}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m service", description="Run the service.")
    parser.add_argument("--workers", type=int, help="processes on one port (FANLIGHT_WORKERS)")
    # How a parent starts its workers.
    parser.add_argument("--place", help=argparse.SUPPRESS)
    return parser


def _settings(workers: int | None) -> Settings:
    """Read the settings; what the command line says wins over the environment."""
    return Settings() if workers is None else Settings(workers=workers)


if __name__ == "__main__":
    sys.exit(main())
