"""The JSON inside an answer that wraps it: prose before, a code fence around, text after.

Models asked for JSON sometimes say "Here it is:" first. One rule serves the growing text (``jsonpush``)
and the whole one (here), so that views and verdict speak of the same document:

- A text that begins with ``{``, or with ``[`` and a first element, is the document, right or wrong.
- Otherwise the first ``{`` or ``[`` that goes on as JSON begins it; a fence directly before it belongs to it.
  After prose an array begins with a container, a string or ``]``: ``[1]`` and ``[00:12]`` are prose there.
- A string, number or literal is a document only when nothing else stands in the text.
- Behind `<think>` or `<thinking>` at its beginning a text is read from behind the tag that closes it: what a
  model thought is prose, whatever JSON it tried there. Given up: a text that begins with such a tag and means it.
"""

import re
from dataclasses import dataclass

from protocol.json.span import end_of_value

PROSE_BEFORE = "prose_before"
CODE_FENCE = "code_fence"
TEXT_AFTER = "text_after"

# How far a decision may look, in characters; a growing text waits no longer for one.
LOOK_AHEAD = 256
_SPACE = r"[ \t\r\n]{0,64}"
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_SCALAR = rf"(?:{_NUMBER}|true|false|null)(?:[ \t\r\n,\]])"
# `\Z` stands where what has come so far does not contradict. Groups end just past what decides.
_OBJECT = rf'\{{(?={_SPACE}(["}}]|\Z))'
_ARRAY = rf'\[(?={_SPACE}(["{{\[\]]|\Z))'
_FENCE = rf"```[A-Za-z0-9_+-]{{0,32}}{_SPACE}"
_FENCED_ARRAY = rf'\[(?={_SPACE}(["{{\[\]0-9tfn-]|\Z))'
_CANDIDATE = rf"(?P<fence>{_FENCE})(?P<fenced>{_OBJECT}|{_FENCED_ARRAY})|{_OBJECT}|{_ARRAY}"
_ROOT_ARRAY = rf'\[(?=[ \t\r\n]*(["{{\[\]]|{_SCALAR}|\Z))'


def _sure(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace(r"|\Z", ""))


CANDIDATE = _sure(_CANDIDATE)
CANDIDATE_AT_END = re.compile(_CANDIDATE)
# What could still become a candidate when more comes.
UNDECIDED = re.compile(rf"`{{1,2}}\Z|{_FENCE}(?:\Z|{_OBJECT}|{_FENCED_ARRAY})|{_OBJECT}|{_ARRAY}")
ROOT = re.compile(r"(\{)|" + _sure(_ROOT_ARRAY).pattern)
ROOT_AT_END = re.compile(
    rf"(\{{)|{_ROOT_ARRAY}|\[[ \t\r\n]*(?:-\Z|{_NUMBER}\Z|-?(?:0|[1-9][0-9]*)(?:\.|(?:\.[0-9]+)?[eE][+-]?)\Z"
    r"|t(?:r(?:ue?)?)?\Z|f(?:a(?:l(?:se?)?)?)?\Z|n(?:u(?:ll?)?)?\Z)"
)
# A string as far as it is one; half of a surrogate pair ends it.
_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = rf'\\["\\/bfnrt]|{_HIGH}{_LOW}|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{{4}}'
_QUOTED = re.compile(rf'"(?:[^"\\\x00-\x1f]++|{_ESCAPE})*+"?')
THOUGHT = re.compile(r"<think(?:ing)?>")
THOUGHT_OVER = re.compile(r"</think(?:ing)?>")
THOUGHTS = ("<think>", "<thinking>")
_BLANK = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Wrapped:
    """Where the document stands in the text, in bytes, and what stands around it.

    Attributes:
        start: of the document.
        end: past it; None when the text ends inside it.
        around: of ``prose_before``, ``code_fence``, ``text_after``, in this order.
    """

    start: int
    end: int | None
    around: tuple[str, ...]


def find_document(text: bytes) -> Wrapped | None:
    """Return where the JSON document of a whole text stands; None when it has none.

    Scalars are not looked for: one that is not the whole text is prose.
    """
    # Latin-1 maps bytes to characters one for one, so that positions are offsets in bytes.
    mapped = text.decode("latin-1")
    begin = past_blank(mapped)
    first = thought_end(mapped, begin)
    if first is None:
        return None
    thought = (PROSE_BEFORE,) if first > begin else ()
    first += past_blank(mapped[first:])
    if is_root(mapped[first : first + LOOK_AHEAD]):
        return _ended(text, first, fenced=False, around=thought)
    quoted = _QUOTED.match(mapped, first) if not thought else None
    found = CANDIDATE_AT_END.search(mapped, quoted.end() if quoted else first)
    if found is None:
        return None
    fenced = found["fence"] is not None
    around = (PROSE_BEFORE,) if found.start() > first else thought
    return _ended(text, found.start("fenced") if fenced else found.start(), fenced=fenced, around=around)


def thought_end(text: str, start: int) -> int | None:
    """Where a thought that begins at ``start`` ends; ``start`` where none does, None where it does not end."""
    begun = THOUGHT.match(text, start)
    if begun is None:
        return start
    over = THOUGHT_OVER.search(text, begun.end())
    return over.end() if over else None


def is_root(beginning: str) -> bool:
    """Whether a text that begins so, cut at LOOK_AHEAD or at its end, is a container from the start."""
    return ROOT_AT_END.match(beginning) is not None


def proof_end(found: re.Match[str]) -> int:
    """Return the position just past the character that decided for a candidate."""
    return max(found.end(group) for group in range(found.re.groups + 1))


def past_blank(text: str) -> int:
    """Return the position of the first character that is no white space."""
    blank = _BLANK.match(text)
    return blank.end() if blank else 0


def _ended(text: bytes, start: int, *, fenced: bool, around: tuple[str, ...]) -> Wrapped:
    end = end_of_value(text, start)
    if fenced:
        around = (*around, CODE_FENCE)
    if end is not None and _has_text_after(text, end, fenced=fenced):
        around = (*around, TEXT_AFTER)
    return Wrapped(start, end, around)


def _has_text_after(text: bytes, end: int, *, fenced: bool) -> bool:
    rest = text[end:].lstrip(b" \t\r\n")
    if fenced and rest.startswith(b"```"):
        rest = rest[3:].lstrip(b" \t\r\n")
    return bool(rest)
