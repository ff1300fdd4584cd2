"""What a reader is told.

Each message has a ``cursor``: what to hand in, to `Client.watch` in the same view, so that
the reading goes on right behind it. It says the generation as well. Of elements and captions
the cursor may lie before the message, since several can belong to one place of the text and
only a later place shows that all have come: some are then told again, with the same pointer
or id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Delta:
    """More text: append it. ``start`` and ``stop`` are its offsets in bytes."""

    text: str
    start: int
    stop: int
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """Drop everything shown: what follows begins anew."""

    gen: int
    reason: str
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Derived:
    """A message of another view (``event``, ``element``, ``patch``, ``caption``, ``violation``) as it came.

    For what stood there on attaching, ``kind`` is ``state``. In view ``patch``, ``tree`` is the whole
    document after it, changed in place from one message to the next.
    """

    kind: str
    members: Mapping[str, Any]
    tree: Any = None
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """The ending: the stream is over, and nothing more is yielded."""

    status: str
    members: Mapping[str, Any]
    cursor: str | None = None

    @property
    def error(self) -> Mapping[str, Any] | None:
        """``code``, ``message`` and ``retryable``, or None when all went well."""
        return self.members["error"]  # type: ignore[no-any-return]

    @property
    def validation(self) -> Mapping[str, Any] | None:
        """The verdict, None without a schema."""
        return self.members["validation"]  # type: ignore[no-any-return]


Watched = Delta | Reset | Derived | Ending
