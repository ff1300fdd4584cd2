"""Media that are to be embedded, as values: the request's form is behind, the work is before."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """Where media are: ``kind`` is ``asset_id``, ``url``, ``base64_string``, or ``file`` for a file of a form."""

    kind: str
    value: str

    def told(self) -> dict[str, str]:
        """Return what an answer says of it."""
        if self.kind == "url":
            return {"input_url": self.value}
        return {"input_filename": self.value} if self.kind == "file" and self.value else {}


@dataclass(frozen=True, slots=True)
class MediaQuery:
    """Media that are to be embedded, and how.

    Attributes:
        kind: ``audio`` or ``video``.
        strategy, length_s: ``fixed`` stretches of a length, or ``dynamic``, along the shots,
            none shorter than it.
        drop_s: a last stretch shorter than this is left out.
    """

    kind: str
    source: Source
    options: tuple[str, ...]
    scopes: tuple[str, ...]
    start: float
    end: float | None
    strategy: str
    length_s: float
    drop_s: float = 0.0
