"""How far a reader has come, and what each frame means to it. Bytes in, messages out.

This is the whole contract of a resuming client (docs/wire.md, section 5.3): what is told
joins up, or is an error.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from fanlight.errors import Inexact
from fanlight.messages import Delta, Derived, Ending, Reset, Watched
from fanlight.tree import apply_op
from protocol.ndjson import loads
from protocol.wire.cursors import parse_cursor

# A service that goes down may ask for any pause; longer than this it would not be gone.
LONGEST_ASKED_PAUSE_S = 60.0
# Numbers from here on are no exact ones in every language.
_TOO_LARGE = 1 << 53
_MISSING = object()

# What a message must have; whatever else it has is passed on as it came.
Needs = Mapping[str, Any]
_NEEDS: Mapping[str, Needs] = {
    "attached": {"gen": int, "mode": str, "from": int, "to": int, "text": str},
    "delta": {"from": int, "to": int, "text": str},
    "reset": {"gen": int, "reason": str},
    "end": {
        "gen": int, "to": int, "status": str, "finish_reason": str | None, "usage": dict | None,
        "validation": dict | None, "sha256": str, "error": dict | None,
    },
    "element": {"at": int, "pointer": str, "value": object},
    "patch": {"at": int, "ops": list},
    "caption": {"at": int, "id": str, "state": str, "text": str},
    "event": {"n": int, "event": dict},
    "violation": {"at": int, "pointer": str, "keyword": str, "message": str},
    "presence": {"counts": dict},
    "draining": {"retry_after_ms": int},
    "expiring": {"in_s": float | int},
}  # fmt: skip
# The view in which it is told.
_VIEWS = {"delta": "text", "element": "json", "patch": "patch", "caption": "captions", "event": "raw"}
# What a list of what stands there holds.
_STATES = {"json": _NEEDS["element"], "captions": _NEEDS["caption"]}
_ERROR: Needs = {"code": str, "message": str}
_VERDICT: Needs = {"valid": bool, "errors": list}
_FAULT: Needs = {"pointer": str, "message": str}


def need(members: Any, needs: Needs) -> Any:
    """Return what came, where it is an object with the members that it must have.

    Raises:
        Inexact: it is none, one is missing, or one is not of its type.
    """
    if not isinstance(members, dict):
        raise Inexact("what came is no message of this service")
    for name, kind in needs.items():
        value = members.get(name, _MISSING)
        if kind is int:
            good = type(value) is int and 0 <= value < _TOO_LARGE
        else:
            good = value is not _MISSING and isinstance(value, kind)
        if not good:
            raise Inexact(f"what came is no message of this service: {name} is missing, or wrong")
    return members


class Place:
    """How far a reader of one stream has come.

    Args:
        cursor: of a user who holds what lies before it.

    Attributes:
        cursor: where to attach next; None for the beginning.
        pause_s: what the service asked for before one comes back; None where it did not.
        ended: whether the ending was told.
        expiring: whether another ticket is wanted soon; whoever brings it takes this back.
    """

    def __init__(self, view: str, cursor: str | None = None) -> None:
        self.view, self.cursor = view, cursor
        self.pause_s: float | None = None
        self.ended = False
        self.expiring = False
        self._attached = False
        # Whether the user holds something that a snapshot would replace.
        self._shown = cursor is not None
        # Whether the text was told from its beginning, so that its digest can be checked.
        self._whole = cursor is None
        self._digest = hashlib.sha256()
        parsed = parse_cursor(cursor)
        self._gen, self._at = (parsed.gen, parsed.position) if parsed else (0, 0)
        self._tree: Any = None

    def __repr__(self) -> str:
        return f"<Place {self.view} {self.cursor}{' ended' if self.ended else ''}>"

    def connect(self) -> None:
        """A connection was made: it attaches before it tells anything."""
        self._attached = False

    def take(self, frame: bytes) -> list[Watched]:
        """What a frame means to the reader; moves the place.

        Raises:
            Inexact: it is no message of the contract, or does not join up.
        """
        try:
            message = loads(frame)
        except orjson.JSONDecodeError as exc:
            raise Inexact("what came is no JSON") from exc
        kind = need(message, {"type": str})["type"]
        if kind not in _NEEDS:
            return []  # clients ignore what they do not know
        need(message, _NEEDS[kind])
        if kind not in ("attached", "draining", "expiring", "presence") and not self._attached:
            raise Inexact(f"{kind} came before attached")
        if _VIEWS.get(kind, self.view) != self.view:
            raise Inexact(f"{kind} is no message of view {self.view}")
        return self._told(kind, message)

    def _told(self, kind: str, message: dict[str, Any]) -> list[Watched]:
        match kind:
            case "attached":
                return self._attach(message)
            case "delta":
                return [self._delta(message)]
            case "reset":
                return [self._restart(message["gen"], message["reason"])]
            case "end":
                return [self._end(message)]
            case "draining":
                self.pause_s = min(message["retry_after_ms"] / 1000, LONGEST_ASKED_PAUSE_S)
                return []
            case "expiring":
                self.expiring = True
                return []
            case "event":
                return [self._event(message)]
            case "element" | "caption":
                return [self._part(kind, message)]
            case "patch":
                return [self._patch(message)]
            case _:
                return [Derived(kind, message, cursor=self.cursor)]

    def _attach(self, message: dict[str, Any]) -> list[Watched]:
        gen, start, stop = message["gen"], message["from"], message["to"]
        told: list[Watched] = []
        if message["mode"] == "snapshot" and start == 0:
            shown, reset = self._shown, self._restart(gen, "snapshot")
            told += [reset] if shown else []
        elif message["mode"] not in ("suffix", "live") or (gen, start) != self._wanted():
            raise Inexact(f"attached as {message['mode']} at {gen}.{start}, and asked for {self.cursor}")
        if stop < start:
            raise Inexact(f"attached from {start} to {stop}")
        self._attached = True
        self._gen, self._at = gen, start
        if self.view == "text":
            self.cursor = self._cursor(start)
            return told + ([self._delta(message)] if message["text"] or stop > start else [])
        self._at, self.cursor = stop, self._cursor(stop)
        return told + self._state(message)

    def _wanted(self) -> tuple[int, int] | None:
        parsed = parse_cursor(self.cursor)
        return None if parsed is None else (parsed.gen, parsed.position)

    def _state(self, message: dict[str, Any]) -> list[Watched]:
        if "state" not in message or self.view not in ("json", "captions", "patch"):
            return []
        state = message["state"]
        if self.view == "patch":
            self._tree = state
        elif not isinstance(state, list):
            raise Inexact("what stands there is no list")
        else:
            for part in state:
                need(part, _STATES[self.view])
        self._shown = True
        return [Derived("state", message, self._tree, self.cursor)]

    def _delta(self, message: dict[str, Any]) -> Delta:
        start, stop, text = message["from"], message["to"], message["text"].encode()
        if start != self._at:
            raise Inexact(f"a delta begins at {start}, the text ends at {self._at}")
        if start + len(text) != stop:
            raise Inexact(f"a delta of {len(text)} bytes from {start} cannot end at {stop}")
        self._digest.update(text)
        self._at, self._shown, self.cursor = stop, True, self._cursor(stop)
        return Delta(message["text"], start, stop, self.cursor)

    def _restart(self, gen: int, reason: str) -> Reset:
        self._gen, self._at, self._shown, self._whole = gen, 0, False, True
        self._digest, self._tree = hashlib.sha256(), None
        self.cursor = self._cursor(0)
        return Reset(gen, reason, self.cursor)

    def _event(self, message: dict[str, Any]) -> Derived:
        if message["n"] != self._at:
            raise Inexact(f"event {message['n']} came, and {self._at} was next")
        self._at, self._shown = message["n"] + 1, True
        self.cursor = self._cursor(self._at)
        return Derived("event", message, cursor=self.cursor)

    def _part(self, kind: str, message: dict[str, Any]) -> Derived:
        before = self._at
        self._move(message["at"])
        if self._at > before:
            # Messages of one place belong together, and only a later place shows that all have come.
            self.cursor = self._cursor(before)
        return Derived(kind, message, cursor=self.cursor)

    def _patch(self, message: dict[str, Any]) -> Derived:
        self._move(message["at"])
        for op in message["ops"]:
            self._tree = apply_op(self._tree, op)
        self.cursor = self._cursor(self._at)
        return Derived("patch", message, self._tree, self.cursor)

    def _move(self, at: int) -> None:
        if at < self._at:
            raise Inexact(f"a message of {at} came behind one of {self._at}")
        self._at, self._shown = at, True

    def _end(self, message: dict[str, Any]) -> Ending:
        if message["error"] is not None:
            need(message["error"], _ERROR)
        if message["validation"] is not None:
            for fault in need(message["validation"], _VERDICT)["errors"]:
                need(fault, _FAULT)
        self._check(message)
        self.ended = True
        if self.view != "raw":
            self.cursor = self._cursor(message["to"])  # all messages of the last place have come
        return Ending(message["status"], message, self.cursor)

    def _check(self, message: dict[str, Any]) -> None:
        if message["gen"] != self._gen:
            raise Inexact(f"the ending is of generation {message['gen']}, and what came of {self._gen}")
        if self.view == "text":
            wrong = message["to"] != self._at or (self._whole and message["sha256"] != self._digest.hexdigest())
            if wrong:
                raise Inexact("the text that came is not the text of the ending")

    def _cursor(self, position: int) -> str:
        return f"{self._gen}.{position}{'r' if self.view == 'raw' else ''}"
