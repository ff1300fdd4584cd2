"""``python -m service``: the same as ``fanlight serve``."""

import asyncio
import sys

import uvloop
from pydantic import ValidationError

from config.settings import Settings
from service import logs
from service.app import serve
from service.store.contract import StoreRefused


def main() -> int:
    """Read the settings and serve; returns the exit code."""
    try:
        settings = Settings()
    except (ValidationError, ValueError) as exc:
        print(f"fanlight: {faults(exc)}", file=sys.stderr)  # noqa: T201
        return 2
    logs.configure(settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except StoreRefused as exc:
        print(f"fanlight: {exc}", file=sys.stderr)  # noqa: T201
        return 2
    except OSError as exc:
        print(f"fanlight: cannot listen on {settings.host}:{settings.port}: {exc.strerror}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def faults(exc: ValueError) -> str:
    """What is wrong with the settings, without quoting their values."""
    if not isinstance(exc, ValidationError):
        return str(exc)
    return "; ".join(
        f"{'FANLIGHT_' + '.'.join(map(str, fault['loc'])).upper() + ': ' if fault['loc'] else ''}{fault['msg']}"
        for fault in exc.errors(include_input=False, include_url=False)
    )


if __name__ == "__main__":
    sys.exit(main())
