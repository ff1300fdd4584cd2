"""Cut a record into the stretches that are embedded, and say what each holds: its words, its pictures.

Plain functions over what was measured; no vector is made here.
"""

import base64
from collections.abc import Iterable, Sequence
from typing import Any

from engine.facts.facts import Shot, Utterance
from engine.facts.kept import facts_of

Span = tuple[float, float]


def fixed(start: float, end: float, length: float, shortest: float = 0.0) -> list[Span]:
    """Cut a span into stretches of one length; a last one that is shorter than ``shortest`` is left out."""
    count = int((end - start) // length) + 1
    spans = [(start + at * length, min(end, start + (at + 1) * length)) for at in range(count)]
    return [span for span in spans if span[1] - span[0] > 1e-6 and span[1] - span[0] >= shortest]


def by_shots(kept: dict[str, Any], start: float, end: float, shortest: float) -> list[Span]:
    """Cut a span where shots change, so that no stretch is shorter than ``shortest`` unless the span is."""
    cuts = [fact.start for fact in facts_of(kept) if isinstance(fact, Shot) and fact.opening != "continues"]
    edges = [start]
    for cut in sorted(cuts):
        if cut - edges[-1] >= shortest and end - cut >= shortest:
            edges.append(cut)
    return list(zip(edges, [*edges[1:], end], strict=True))


def words_in(kept: dict[str, Any], spans: Sequence[Span]) -> list[list[str]]:
    """Return, for each span, the words that were understood; a word belongs to where its middle is."""
    utterances = [fact for fact in facts_of(kept) if isinstance(fact, Utterance) and fact.understood]
    words = [(word.start + (word.end - word.start) / 2, word.text) for one in utterances for word in one.words or ()]
    return [[text for middle, text in words if start <= middle < end] for start, end in spans]


def sketches_in(kept: dict[str, Any], spans: Sequence[Span]) -> list[bytes]:
    """Return, for each span, its sketches in a row; a span between two sketches has the one before it."""
    taken = [(at, base64.b64decode(text)) for at, text in kept["sketches"]]
    return [_within(taken, *span) for span in spans]


def _within(taken: Iterable[tuple[float, bytes]], start: float, end: float) -> bytes:
    before, inside = b"", []
    for at, sketch in taken:
        if at < start:
            before = sketch
        elif at < end:
            inside.append(sketch)
    return b"".join(inside) or before
