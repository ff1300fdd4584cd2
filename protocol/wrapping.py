"""The JSON inside an answer that wraps it: prose before, a code fence around, text after.

Models asked for JSON sometimes say "Here it is:" first. One rule serves the growing text and the whole
one, so that views and verdict speak of the same document:

- A text that begins with ``{`` or ``[`` and goes on as JSON must, is the document, right or wrong.
- Otherwise the first ``{`` or ``[`` that goes on so begins it; a fence directly before it belongs to it.
  After prose an array begins with a container, a string or ``]``: ``[1]`` and ``[00:12]`` are prose there.
- A string, number or literal is a document only when nothing else stands in the text.
"""

import re
from dataclasses import dataclass

from protocol.json_span import end_of_value

# White space and digits are bounded, so that a decision never waits for long.
_SPACE = rb"[ \t\r\n]{0,64}"
_OBJECT = rb"\{(?=" + _SPACE + rb'["}])'
_ARRAY = rb"\[(?=" + _SPACE + rb'["{\[\]])'
_NUMBER_END = rb"(?=[ \t\r\n,\].eE])"
_ARRAY_OF_SCALARS = rb"\[(?=" + _SPACE + rb"(?:-?(?:0|[1-9][0-9]{0,19})" + _NUMBER_END + rb"|(?:true|false|null)\b))"
_FENCE = rb"```[A-Za-z0-9_+-]{0,32}" + _SPACE
_DIRECT = re.compile(_OBJECT + rb"|" + _ARRAY + rb"|" + _ARRAY_OF_SCALARS)
_WRAPPED = re.compile(rb"(?P<fence>" + _FENCE + rb")(?P<fenced>" + _DIRECT.pattern + rb")|" + _OBJECT + rb"|" + _ARRAY)
_QUOTED = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\.)*"?')
_BLANK = re.compile(rb"[ \t\r\n]*")

PROSE_BEFORE = "prose_before"
CODE_FENCE = "code_fence"
TEXT_AFTER = "text_after"


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
    """Return where the JSON document of a whole text stands; None when it has none."""
    first = _past_blank(text, 0)
    if _DIRECT.match(text, first):
        return _ended(text, first, fenced=False, around=())
    quoted = _QUOTED.match(text, first)
    found = _WRAPPED.search(text, quoted.end() if quoted else first)
    if found is None:
        return None
    start = found.start() if found["fence"] is None else found.start("fenced")
    around = (PROSE_BEFORE,) if found.start() > first else ()
    return _ended(text, start, fenced=found["fence"] is not None, around=around)


def _ended(text: bytes, start: int, *, fenced: bool, around: tuple[str, ...]) -> Wrapped:
    end = end_of_value(text, start)
    if fenced:
        around = (*around, CODE_FENCE)
    if end is not None and has_text_after(text, end, fenced=fenced):
        around = (*around, TEXT_AFTER)
    return Wrapped(start, end, around)


def has_text_after(text: bytes, end: int, *, fenced: bool) -> bool:
    """Whether anything but white space, and the end of the fence, follows the document."""
    place = _past_blank(text, end)
    if fenced and text.startswith(b"```", place):
        place = _past_blank(text, place + 3)
    return place < len(text)


def _past_blank(text: bytes, start: int) -> int:
    blank = _BLANK.match(text, start)
    return blank.end() if blank else start
