"""When two requests are the same: the canonical form that single-flight and idempotency compare.

Key order, number forms (``1`` and ``1.0``) and stated defaults make no difference; a
schema counts by its value. ``stream`` says how to answer, not what to ask, and is no
part of it. Members that the service does not know count too.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

# Defaults that the API states (public API description of April 2026).
_DEFAULTS: dict[str, Any] = {"temperature": 0.2}


def identity(request: Mapping[str, Any], options: Mapping[str, Any]) -> bytes:
    """A digest that is equal exactly for requests that mean the same.

    Args:
        request: the analyze request.
        options: those options that change what readers are told.
    """
    asked = {key: _plain(value) for key, value in request.items() if key != "stream"}
    for key, default in _DEFAULTS.items():
        asked.setdefault(key, default)
    body = orjson.dumps([asked, _plain(dict(options))], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(body).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
