"""What a prompt asks for, judged by its words: which answers to give, and for which times."""

import re
from dataclasses import dataclass
from typing import Literal

Topic = Literal["summary", "chapters", "transcript", "moment", "look", "sound", "text"]

# In order of decision: a word of an earlier row also settles what a later one would take.
_WORDS: dict[Topic, str] = {
    "transcript": (
        r"transcri\w*|subtitle\w*|caption\w*|verbatim|spoken|speech|dialogue?s?|narrat\w*|quotes?"
        r"|(?:say|says|said|saying|speak|speaks|speaking|talk|talks|talking)"
    ),
    "text": (
        r"on[- ]?screen[- ]texts?|on[- ](?:the )?screen|ocr|title cards?|lettering|(?:is|are|was) written"
        r"|(?:visible|displayed|overlaid|burned[- ]in|written|shown) (?:texts?|words|titles?)"
        r"|(?:texts?|words|titles?) (?:that )?(?:(?:is|are) )?(?:visible|displayed|shown|in the picture)"
    ),
    "chapters": (
        r"chapter\w*|section\w*|segment\w*|outline|table of contents|scenes?|shots?|cuts?|timestamps?"
        r"|time ?line|break ?down|parts"
    ),
    "look": (
        r"look|looks|colou?rs?|palette|bright\w*|dark\w*|light\w*|visual\w*|(?<!on )(?<!on-)(?<!on the )screen"
        r"|appear\w*|aesthetics?|style|motion|moves?|moving|movement"
    ),
    "sound": r"sounds?|audio|loud\w*|quiet\w*|silen\w*|noises?|volume|music|tones?|hear\w*",
    "summary": r"summar\w*|overview|describe\w*|description|gist|synopsis|about|tl;?dr|recap|what happens",
}
_PATTERNS = {topic: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for topic, words in _WORDS.items()}

_CLOCK = re.compile(r"\b(?:(\d{1,2}):)?(\d{1,3}):([0-5]\d)\b")
_SECONDS = re.compile(
    r"\b(?:at|around|after|near|second|minute)\s+(\d+(?:\.\d+)?)\s*(s|sec|secs|seconds?|m|min|mins|minutes?)?\b"
    r"|\b(\d+(?:\.\d+)?)(?:st|nd|rd|th)?[\s-]+(second|minute)s?\s+(?:mark|in)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(r"\?|^\s*(?:how many|who|which|where|is|are|does|do|did|can|name|identify|find|count)\b", re.I)


@dataclass(frozen=True, slots=True)
class Intent:
    """What to answer.

    Attributes:
        topics: in the order in which the prompt names them; never empty.
        span: seconds the question is about; None for the whole clip.
        beyond: the prompt asks something, but nothing that is measured here.
    """

    topics: tuple[Topic, ...]
    span: tuple[float, float] | None = None
    beyond: bool = False


def read_intent(prompt: str) -> Intent:
    """Judge a prompt by the words it uses."""
    span = _span(prompt)
    if span is not None:
        return Intent(("moment",), span)
    found: dict[Topic, int] = {}
    for topic, pattern in _PATTERNS.items():
        if match := pattern.search(prompt):
            found[topic] = match.start()
    if found:
        return Intent(tuple(sorted(found, key=lambda topic: found[topic])))
    return Intent(("summary",), beyond=bool(_ASKS.search(prompt)))


def _span(prompt: str) -> tuple[float, float] | None:
    times = [_clock(match) for match in _CLOCK.finditer(prompt)]
    if not times and (match := _SECONDS.search(prompt)):
        number, unit = (match[1], match[2] or "s") if match[1] else (match[3], match[4])
        times = [float(number) * (60 if unit.lower().startswith("m") else 1)]
    if not times:
        return None
    if len(times) > 1 and times[1] > times[0]:
        return times[0], times[1]
    return times[0], times[0]


def _clock(match: re.Match[str]) -> float:
    return int(match[1] or 0) * 3600.0 + int(match[2]) * 60 + int(match[3])
