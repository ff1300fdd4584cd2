"""What the engine tells a worker of a prompt beyond its words. Plain values: it crosses the worker's pipe."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.tell.intent import Intent, Topic

if TYPE_CHECKING:
    from engine.tell.retrieval import Encode


@dataclass(frozen=True, slots=True)
class Hints:
    """What a prompt was found to be like.

    Attributes:
        topics: what it asks for, should its own words not settle it.
        weights: the directory of the sentence model; None for words only.
    """

    topics: tuple[Topic, ...] = ()
    weights: Path | None = None

    def settle(self, intent: Intent) -> Intent:
        """Return the intent of a prompt; what its words settled stays as it is."""
        if not intent.unsure or not self.topics:
            return intent
        return replace(intent, topics=self.topics, beyond=False, unsure=False)

    def encode(self, intent: Intent) -> "Encode | None":
        """Return what makes vectors, where an answer needs one and there are weights."""
        if self.weights is None or not intent.about:
            return None
        from engine.sentences.encoder import Encoder

        return Encoder.load(self.weights).encode

    def to_wire(self) -> dict[str, Any]:
        return {"topics": list(self.topics), "weights": None if self.weights is None else str(self.weights)}

    @classmethod
    def from_wire(cls, wire: dict[str, Any] | None) -> "Hints":
        """Rebuild what ``to_wire`` made; nothing is no hints."""
        if wire is None:
            return cls()
        return cls(tuple(wire["topics"]), Path(wire["weights"]) if wire["weights"] else None)


NO_HINTS = Hints()
