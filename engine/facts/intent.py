"""What is to be told, as a value: read from a prompt by the server, and sent along to the worker that answers."""

from dataclasses import dataclass
from typing import Any, Literal

Topic = Literal["summary", "chapters", "transcript", "moment", "look", "sound", "text"]


@dataclass(frozen=True, slots=True)
class Intent:
    """What to answer.

    Attributes:
        topics: in the order in which the prompt names them; never empty.
        span: seconds the question is about; None for the whole clip.
        beyond: the prompt asks something, but nothing that is measured here.
        unsure: no word of the prompt settled it.
        about: what must have been spoken of; empty for everything. Only with the topic ``transcript``.
    """

    topics: tuple[Topic, ...]
    span: tuple[float, float] | None = None
    beyond: bool = False
    unsure: bool = False
    about: str = ""

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> "Intent":
        """Rebuild what crossed a worker's pipe; JSON has lists only."""
        span = wire["span"]
        return cls(**{**wire, "topics": tuple(wire["topics"]), "span": None if span is None else (span[0], span[1])})
