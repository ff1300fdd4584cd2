"""Settings read anew while the service runs; what cannot count at once is named, and a fault changes nothing."""

from collections.abc import Callable
from typing import Any

import structlog

from config.settings import KEY_LIMITS, Settings, faults

log = structlog.get_logger()
# What counts from the moment on; everything else takes a new start.
LIVE = KEY_LIMITS | {
    "api_keys",
    "log_level",
    "max_connection_age_s",
    "max_streams",
    "memory_bytes",
    "messages_per_minute",
    "ticket_keys",
    "upstream_key",
}


class ReloadFault(ValueError):
    """The settings are wrong; the message says which, and quotes no value."""


class Reload:
    """Compare what was read with what counts.

    Args:
        read: reads the settings.
        take: lets those that may change count.
    """

    def __init__(self, settings: Settings, read: Callable[[], Settings], take: Callable[[Settings], None]) -> None:
        self._settings = settings
        self._read = read
        self._take = take

    def __call__(self) -> dict[str, Any]:
        """Read them; return which have changed, by whether they count now.

        Raises:
            ReloadFault: nothing has changed.
        """
        try:
            fresh = self._read()
            self._take(fresh)
        except ValueError as exc:
            log.error("reload_refused", fault=faults(exc))
            raise ReloadFault(faults(exc)) from exc
        changed = [name for name in Settings.model_fields if getattr(fresh, name) != getattr(self._settings, name)]
        told = {
            "changed": [name for name in changed if name in LIVE],
            "need_a_start": [name for name in changed if name not in LIVE],
        }
        self._settings = self._settings.model_copy(update={name: getattr(fresh, name) for name in told["changed"]})
        log.info("reloaded", **told)
        return told
