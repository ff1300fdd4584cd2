"""How deep a parsed value is nested, without recursion and without a look at each scalar's kind twice."""

from typing import Any

from protocol.pointers import child

# Containers inside containers; the root is the first.
MAX_DEPTH = 64


def too_deep(value: Any) -> str | None:
    """Return the pointer of a container nested deeper than 64, or None."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            part
            for holder in level
            for part in (holder.values() if type(holder) is dict else holder)
            if type(part) is dict or type(part) is list
        ]
        if not level:
            return None
    return _path_to_depth(value)


def _path_to_depth(value: Any) -> str | None:
    waiting = [(value, "", 1)]
    while waiting:
        holder, pointer, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return pointer
        pairs = holder.items() if isinstance(holder, dict) else enumerate(holder)
        below = [(part, child(pointer, name), depth + 1) for name, part in pairs if isinstance(part, dict | list)]
        waiting.extend(reversed(below))
    return None
