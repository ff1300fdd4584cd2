"""The JSON inside an answer that wraps it: prose before, a code fence around, text after.

Models asked for JSON sometimes say "Here it is:" first. One rule serves the growing text (``jsonpush``)
and the whole one (here), so that views and verdict speak of the same document:

- A text that begins with ``{``, or with ``[`` and a first element, is the document, right or wrong.
- Otherwise the first ``{`` or ``[`` that goes on as JSON begins it; a fence directly before it belongs to it.
  After prose an array begins with a container, a string or ``]``: ``[1]`` and ``[00:12]`` are prose there.
- A fence whose content does not begin with JSON is prose up to the fence that closes it, whatever JSON stands
  within. It opens with three or more backticks, anywhere, and what they call it up to the end of the line; it ends
  where as many open the next one, or stand alone on the rest of a line. Given up: JSON behind words in a fence, and
  all that follows a fence that nothing ends (a growing text cannot keep it for later); fences of ``~~~``, which are
  prose like any other. Of two fences that begin with JSON the first is the document: views have shown it.
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
# Of a longer run of backticks the last ones count. What a fence is called is ASCII: characters are bytes there.
_TICKS = r"(?P<ticks>`{3,16})(?!`)"
_LABEL = r"[A-Za-z0-9_+-]{0,32}"
_CALLED = r"[A-Za-z0-9_+{-][\t\x20-\x5f\x61-\x7e]{0,95}+"
_LINE = rf"(?:{_CALLED}|[ \t]{{0,64}})\r?\n"
_BEFORE_CONTENT = rf"(?:{_LABEL}|{_LINE}){_SPACE}"
_FENCED_ARRAY = rf'\[(?={_SPACE}(["{{\[\]0-9tfn-]|\Z))'
_MAY_BEGIN = rf"(?:[{{\[]{_SPACE})?\Z"
_FENCE = rf"{_TICKS}(?:{_BEFORE_CONTENT}(?P<fenced>{_OBJECT}|{_FENCED_ARRAY})|{_LINE}(?!{_SPACE}{_MAY_BEGIN}))"
_BARE = rf"{_OBJECT}|{_ARRAY}"
_ROOT_ARRAY = rf'\[(?=[ \t\r\n]*(["{{\[\]]|{_SCALAR}|\Z))'


def _sure(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace(r"|\Z", ""))


# What counts outside of a fence of other things, and within.
Marks = tuple[re.Pattern[str], re.Pattern[str]]
MARKS: Marks = _sure(rf"{_FENCE}|{_BARE}"), _sure(_FENCE)
MARKS_AT_END: Marks = re.compile(rf"{_FENCE}|{_BARE}"), re.compile(_FENCE)
# What could still become one of them when more comes; shorter than LOOK_AHEAD.
UNDECIDED = re.compile(
    rf"`{{1,16}}\Z|{_TICKS}(?:{_BEFORE_CONTENT}{_MAY_BEGIN}|(?:{_CALLED}|[ \t]{{0,64}})\r?\Z)|[{{\[]{_SPACE}\Z"
)
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
        return _ended(text, first, fence=0, around=thought)
    quoted = _QUOTED.match(mapped, first) if not thought else None
    found, fence = next_document(mapped, quoted.end() if quoted else first, MARKS_AT_END, 0, len(mapped))
    if found is None:
        return None
    around = (PROSE_BEFORE,) if found.start() > first else thought
    return _ended(text, found.start("fenced" if fence else 0), fence=fence, around=around)


def next_document(text: str, at: int, marks: Marks, fence: int, last: int) -> tuple[re.Match[str] | None, int]:
    """Return what begins the document, if anything up to ``last`` does, and the fence that is then open.

    Args:
        text: to be searched from ``at``.
        fence: how many backticks opened the fence that ``at`` stands in; 0 for none. So in what is returned, where
            it is the document's own fence if there is a document.
    """
    while (found := marks[fence > 0].search(text, at)) and found.start() <= last:
        if found["ticks"] is None:
            return found, 0
        ticks, at = len(found["ticks"]), found.end("ticks")
        if ticks < fence:
            continue
        if fence and text[at] in " \t\r\n":
            fence = 0
        elif found["fenced"]:
            return found, ticks
        else:
            fence = ticks
    return None, fence


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


def _ended(text: bytes, start: int, *, fence: int, around: tuple[str, ...]) -> Wrapped:
    end = end_of_value(text, start)
    if fence:
        around = (*around, CODE_FENCE)
    if end is not None and _has_text_after(text, end, b"`" * fence):
        around = (*around, TEXT_AFTER)
    return Wrapped(start, end, around)


def _has_text_after(text: bytes, end: int, fence: bytes) -> bool:
    return bool(text[end:].lstrip(b" \t\r\n").removeprefix(fence).lstrip(b" \t\r\n"))
