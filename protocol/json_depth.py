"""How deep a parsed value is nested, without recursion and without a look at each scalar's kind twice."""

from typing import Any

# Containers inside containers; the root is the first.
MAX_DEPTH = 64


def too_deep(value: Any) -> bool:
    """Whether a container is nested deeper than 64."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            part
            for holder in level
            for part in (holder.values() if type(holder) is dict else holder)
            if type(part) is dict or type(part) is list
        ]
        if not level:
            return False
    return True
