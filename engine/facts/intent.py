"""What is to be told, as a value: read from a prompt by the server, and sent along to the worker that answers."""

from dataclasses import dataclass
from typing import Any, Literal

Topic = Literal["summary", "chapters", "transcript", "moment", "look", "sound", "text", "things"]


@dataclass(frozen=True, slots=True)
class Intent:
    """What to answer.

    Attributes:
        topics: in the order in which the prompt names them; never empty.
        span: seconds the question is about; None for the whole clip.
        beyond: the prompt asks for something that is not measured here.
        unsure: no word of the prompt settled it.
        things: the kinds of things that are asked for; empty for all. Only with the topic ``things``.
        about: the subject that must have been spoken of; empty for any. Only with the topic ``transcript``.
    """

    topics: tuple[Topic, ...]
    span: tuple[float, float] | None = None
    beyond: bool = False
    unsure: bool = False
    about: str = ""
    things: tuple[str, ...] = ()

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> "Intent":
        """Rebuild what crossed a worker's pipe; JSON has lists only."""
        span = wire["span"]
        tuples = {"topics": tuple(wire["topics"]), "things": tuple(wire["things"])}
        return cls(**{**wire, **tuples, "span": None if span is None else (span[0], span[1])})
