"""What a prompt asks for, judged by its words: which answers to give, and for which times."""

import re

from engine.facts.intent import Intent, Topic

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


# "What was said about X?", "does anybody mention X?", "where is X talked about?"
_SUBJECTS = (
    re.compile(
        r"\b(?:said|say|says|saying|speak|speaks|speaking|spoken|talk|talks|talking|talked|discuss(?:es|ed)?)"
        r"(?:\s+(?:anything|something|exactly))?\s+(?:about|of|on|regarding|concerning)\s+(.+)",
        re.IGNORECASE,
    ),
    re.compile(r"\bmention(?:s|ing)?(?:\s+of)?\s+(.+)", re.IGNORECASE),
    re.compile(
        r"\b(?:is|are|was|were)\s+(.{1,200}?)\s+(?:being\s+)?(?:mentioned|discussed|talked about)", re.IGNORECASE
    ),
)
# The clip itself, or where in it, is no subject that narrows anything.
_NO_SUBJECT = re.compile(
    r"(?:(?:in|at|during|on|by|to|with)\b.*|(?:it|that|this|them|anything|something|what|there)"
    r"|(?:the|this) (?:video|clip|film|recording))?",
    re.IGNORECASE,
)
_TAIL = re.compile(r"\s+(?:in|during|throughout) (?:the|this) (?:video|clip|film|recording|audio).*$", re.IGNORECASE)
_LONGEST_SUBJECT = 200
_EDGES = " .,;:?!\"'()"


def read_intent(prompt: str) -> Intent:
    """Judge a prompt by the words it uses."""
    span = _span(prompt)
    if span is not None:
        return Intent(("moment",), span)
    if subject := _subject(prompt):
        return Intent(("transcript",), about=subject)
    found: dict[Topic, int] = {}
    for topic, pattern in _PATTERNS.items():
        if match := pattern.search(prompt):
            found[topic] = match.start()
    if found:
        return Intent(tuple(sorted(found, key=lambda topic: found[topic])))
    return Intent(("summary",), beyond=bool(_ASKS.search(prompt)), unsure=True)


def _subject(prompt: str) -> str:
    """Return what somebody is asked to have spoken of; empty where nothing narrows it."""
    # One space at a time: with runs of them the patterns would try every way to share them out.
    plain = " ".join(prompt.split())
    for pattern in _SUBJECTS:
        if match := pattern.search(plain):
            subject = _TAIL.sub("", match[1][:_LONGEST_SUBJECT]).strip(_EDGES)
            return "" if _NO_SUBJECT.fullmatch(subject) else subject
    return ""


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
