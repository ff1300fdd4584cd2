"""What a regular expression may cost, estimated from its spelling.

The linear engine cannot backtrack, yet it can still be made to work: ``\\p{L}{1,20}`` takes 7 ms to
compile, and a pattern of 20,000 states takes seconds on a text of 100 kB. Both follow from the number of
states that repetition asks for, which a scan of the pattern gives.
"""

import re

from protocol.pointers import child
from protocol.schema.bounds import SchemaInvalid, SchemaMap

# Of the 50 ms within which a hostile schema must be answered.
MAX_COMPILE_US = 25_000
# Per pattern; 4,000 pass the engine's own size limit anyway.
MAX_STATES = 3_000
# All patterns together; scanning them takes about a microsecond a character.
MAX_CHARACTERS = 10_000

# Compile time in microseconds for one state of each kind, as measured with jsonschema-rs 0.60.
_PLAIN_US, _WIDE_US, _UNICODE_US = 1, 6, 400
_PATTERN_US = 40

# Names are looked for as far as any goes: where they do not end, each would be looked for to the end.
_PIECE = re.compile(
    r"""(?P<open>\((?:\?(?:<[^=!>]{0,99}>|[a-zA-Z-]*:|[=!]|<[=!])?)?) | (?P<close>\))
    | (?P<repeat>\{(?P<least>\d{0,9})(?P<range>,(?P<most>\d{0,9}))?\}|[*+?])
    | (?P<class>\[\^?\]?(?:\\[pP]\{[^}]{0,99}\}|\\.|[^\]\\])*\]?)
    | (?P<unicode>\\[pP](?:\{[^}]{0,99}\}|.)) | (?P<wide>\\[SWD]|\.) | (?P<plain>\\u\{?[0-9a-fA-F]+\}?|\\.|.)""",
    re.VERBOSE | re.DOTALL,
)


def check_patterns(schemas: SchemaMap) -> None:
    """Refuse patterns that are too dear to compile, or to run on a long text.

    Raises:
        SchemaInvalid: with the pointer of the pattern that passes the bound.
    """
    spent = length = 0
    for pointer, schema in schemas.subschemas.items():
        if isinstance(schema, dict):
            for where, pattern in _patterns(pointer, schema):
                length += len(pattern)
                states, microseconds = cost(pattern) if length <= MAX_CHARACTERS else (0, MAX_COMPILE_US + 1)
                spent += microseconds
                if states > MAX_STATES or spent > MAX_COMPILE_US:
                    raise SchemaInvalid(where, "the schema's patterns are too large")


def _patterns(pointer: str, schema: dict[str, object]) -> list[tuple[str, str]]:
    found = []
    pattern, named = schema.get("pattern"), schema.get("patternProperties")
    if isinstance(pattern, str):
        found.append((child(pointer, "pattern"), pattern))
    if isinstance(named, dict):
        base = child(pointer, "patternProperties")
        found.extend((child(base, name), name) for name in named)
    return found


def cost(pattern: str) -> tuple[int, int]:
    """Return the states that ``pattern`` unfolds to and the microseconds it takes to compile; estimates.

    An unbalanced pattern gets some estimate too; the engine refuses it later.
    """
    groups: list[list[tuple[int, int]]] = [[]]
    for piece in _PIECE.finditer(pattern):
        kind = piece.lastgroup
        if kind == "open":
            groups.append([])
        elif kind == "close" and len(groups) > 1:
            inner = groups.pop()
            groups[-1].append(_sum(inner))
        elif kind == "repeat" and groups[-1]:
            times = _times(piece)
            states, spent = groups[-1][-1]
            groups[-1][-1] = min(states * times, 10**9), min(spent * times, 10**9)
        elif kind != "repeat":
            groups[-1].append(_atom(kind, piece[0]))
    states, spent = _sum([_sum(group) for group in groups])
    return states, spent + _PATTERN_US


def _sum(parts: list[tuple[int, int]]) -> tuple[int, int]:
    return sum(part[0] for part in parts), sum(part[1] for part in parts)


def _times(piece: re.Match[str]) -> int:
    least, most = piece["least"], piece["most"]
    return max(1, int(least or 0) + 1 if most == "" else int(most or least or 1))


def _atom(kind: str | None, text: str) -> tuple[int, int]:
    if kind == "unicode":
        return 1, _UNICODE_US
    if kind == "class":
        dear = text.count("\\p") + text.count("\\P")
        return 1, _WIDE_US + _UNICODE_US * dear + len(text) // 8
    return 1, _WIDE_US if kind == "wide" else _PLAIN_US
