"""The state of one upstream stream: every transition stands in one table.

A pair that is absent is illegal, and the test walks all pairs. The end of the
bytes is an event too, so a cut stream is never mistaken for a finished one.
"""

from enum import Enum

from protocol.upstream.events import (
    EndOfBytes,
    ErrorObject,
    Event,
    Fragment,
    StreamEnd,
    StreamStart,
    UnknownEvent,
)


class State(Enum):
    """Where an upstream stream stands."""

    IDLE = "idle"  # nothing has come yet
    STREAMING = "streaming"
    ENDED = "ended"  # stream_end was seen; whatever follows does not count
    TRUNCATED = "truncated"  # the bytes ended before stream_end
    FAILED = "failed"  # the upstream told an error


NEXT: dict[tuple[State, type[object]], State] = {
    (State.IDLE, StreamStart): State.STREAMING,
    (State.IDLE, str): State.STREAMING,  # a missing start is tolerated
    (State.IDLE, Fragment): State.STREAMING,
    (State.IDLE, UnknownEvent): State.STREAMING,
    (State.IDLE, StreamEnd): State.ENDED,  # an empty text
    (State.IDLE, ErrorObject): State.FAILED,
    (State.IDLE, EndOfBytes): State.TRUNCATED,
    (State.STREAMING, StreamStart): State.STREAMING,  # a second start is tolerated
    (State.STREAMING, str): State.STREAMING,
    (State.STREAMING, Fragment): State.STREAMING,
    (State.STREAMING, UnknownEvent): State.STREAMING,
    (State.STREAMING, StreamEnd): State.ENDED,
    (State.STREAMING, ErrorObject): State.FAILED,
    (State.STREAMING, EndOfBytes): State.TRUNCATED,
    (State.ENDED, StreamStart): State.ENDED,
    (State.ENDED, str): State.ENDED,
    (State.ENDED, Fragment): State.ENDED,
    (State.ENDED, UnknownEvent): State.ENDED,
    (State.ENDED, StreamEnd): State.ENDED,
    (State.ENDED, ErrorObject): State.ENDED,
    (State.ENDED, EndOfBytes): State.ENDED,
}


class IllegalTransition(Exception):
    """An event came to a state that is final: our own fault, never the peer's."""


def advance(state: State, event: Event) -> State:
    """Return the state after ``event``.

    Raises:
        IllegalTransition: the stream had already been given its ending.
    """
    try:
        return NEXT[state, type(event)]
    except KeyError:
        raise IllegalTransition(f"{type(event).__name__} while {state.name}") from None
