"""What a prompt asks for, judged by its words: which answers to give, and for which times."""

import re

from engine.facts.intent import Intent, Topic
from engine.facts.things import WORDS, kinds_for

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

# "Is there a car?", "how many people?", "when does a person appear?", "which objects can be seen?" What stands around
# the word for the thing decides: a car chase is no car, and whether the dog is happy is another question.
_NAMED = rf"(?:(?:an?|any|some|the|all|other|different)\s+){{0,3}}({WORDS})"
_IN_IT = r"(?:in|on|at)\s+(?:the|this|it|camera|screen)\b"
_SEEN = rf"(?:there|visible|seen|shown|present|{_IN_IT}|(?:to )?be (?:seen|found|visible))"
_ENDS = (
    rf"(?=\s*(?:$|[?.!,;]|(?:and|or|here)\b|{_IN_IT}|appears?\b|visible\b"
    rf"|(?:is|are|was|were|can)\s+(?:{_SEEN}|you see|we see)|(?:do|can|does)\s+(?:you|we|it)\b))"
)
_THINGS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:is|are|was|were)\s+there\s+{_NAMED}{_ENDS}",
        rf"\b(?:see|shows?|find|spot|count|contains?|includes?|list|name|detect|identify)\s+{_NAMED}{_ENDS}",
        rf"\b(?:how many|which|what)\s+{_NAMED}{_ENDS}",
        rf"\b(?:do|does|did)\s+{_NAMED}\s+appear",
        rf"\b(?:when|where|how (?:long|often))\s+(?:is|are|was|were)\s+(?:there\s+)?{_NAMED}\s*(?:$|\?|{_SEEN})",
        rf"\b(?:when|where|how (?:long|often))\s+can\s+(?:we|you|i)\s+see\s+{_NAMED}",
    )
)
_ANOTHER = re.compile(rf"\s*(?:,|and\b|or\b)\s*{_NAMED}\b", re.IGNORECASE)
# Where one of these is asked for, the thing only says of whom or of what.
_NEVER_THINGS: tuple[Topic, ...] = ("transcript", "text", "chapters", "sound")

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
# The clip itself, or a place in it, is not a subject: it narrows nothing.
_NO_SUBJECT = re.compile(
    r"(?:(?:in|at|during|on|by|to|with)\b.*|(?:it|that|this|them|anything|something|what|there)"
    r"|(?:the|this) (?:video|clip|film|recording))?",
    re.IGNORECASE,
)
_TAIL = re.compile(r"\s+(?:in|during|throughout) (?:the|this) (?:video|clip|film|recording|audio).*$", re.IGNORECASE)
_LONGEST_SUBJECT = 200
_LONGEST_QUESTION = 400
_EDGES = " .,;:?!\"'()"


def read_intent(prompt: str) -> Intent:
    """Judge a prompt by the words it uses."""
    span = _span(prompt)
    if span is not None:
        return Intent(("moment",), span)
    if subject := _subject(prompt):
        return Intent(("transcript",), about=subject)
    if words := _things(prompt):
        return Intent(("things",), things=kinds_for(words))
    found: dict[Topic, int] = {}
    for topic, pattern in _PATTERNS.items():
        if match := pattern.search(prompt):
            found[topic] = match.start()
    if found:
        return Intent(tuple(sorted(found, key=lambda topic: found[topic])))
    return Intent(("summary",), beyond=bool(_ASKS.search(prompt)), unsure=True)


def _subject(prompt: str) -> str:
    """Return the subject that must have been spoken of; empty where nothing narrows it."""
    # One space at a time: with runs of them the patterns would try every way to share them out.
    plain = " ".join(prompt.split())
    for pattern in _SUBJECTS:
        if match := pattern.search(plain):
            subject = _TAIL.sub("", match[1][:_LONGEST_SUBJECT]).strip(_EDGES)
            return "" if _NO_SUBJECT.fullmatch(subject) else subject
    return ""


def _things(prompt: str) -> list[str]:
    """Return the words for things that are asked for; none where the prompt asks for something else."""
    plain = " ".join(prompt[:_LONGEST_QUESTION].split())
    if any(_PATTERNS[topic].search(plain) for topic in _NEVER_THINGS):
        return []
    words = []
    for match in (match for pattern in _THINGS for match in pattern.finditer(plain)):
        words.append(match[1])
        end = match.end()
        while another := _ANOTHER.match(plain, end):
            words.append(another[1])
            end = another.end()
    return words


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
