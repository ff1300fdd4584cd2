"""A JSON value scanned as it comes, cut anywhere: the tree so far, and what each piece adds to it.

Every character is looked at once, and a fragment inside a string costs the same whatever came before:
pointers are made only when asked for, and the string that is growing is joined only when somebody looks.
Grammar and values are orjson's, which the final verdict uses: 64-bit integers, larger ones as floats,
``NaN`` and overflow refused, lone surrogates refused, control characters refused; of duplicate keys the
last one counts. Nesting is capped.

Offsets are in UTF-8 bytes, just past the byte that proved what is told: a number is proved by the byte
after it, everything else by its own last one.
"""

import re
from collections.abc import Callable
from typing import Any, Literal, Protocol

import orjson

from protocol.ndjson import integer
from protocol.pointers import token

# As the first character tells it.
Kind = Literal["object", "array", "string", "number", "true", "false", "null"]


class JsonRefused(ValueError):
    """The text cannot be, or did not become, the JSON that was asked for.

    Attributes:
        keyword: ``syntax``, ``depth``, ``surrogate``, ``number`` (overflow), ``size``, ``incomplete``.
        pointer: RFC 6901, the value that was being read.
        at: offset just past the byte that proved it.
        message: for a person; quotes nothing of the text.
    """

    def __init__(self, keyword: str, pointer: str, at: int, message: str) -> None:
        super().__init__(f"{message} ({keyword} at {at})")
        self.keyword = keyword
        self.pointer = pointer
        self.at = at
        self.message = message


class JsonListener(Protocol):
    """What a reader of the events offers. ``pointer()`` of the parser names the value told of.

    Nothing told is taken back, but for a root string that turns out to begin prose (``withdrawn``).
    """

    def began(self, kind: Kind, at: int) -> None:
        """A value's first byte has come. A container or string stands in the tree from now on."""

    def named(self, name: str, at: int) -> None:
        """A member's name is complete; ``pointer()`` is the member's."""

    def grew(self, text: str, at: int) -> None:
        """The open string has got more text."""

    def more(self, at: int) -> None:
        """A comma: another element of the innermost array must come."""

    def closed(self, value: Any, at: int) -> None:
        """A value is complete and stands in the tree."""

    def withdrawn(self, at: int) -> None:
        """The root string told so far is no document."""


# What the next character belongs to; a step of the scanner for each.
(
    _VALUE,
    _VALUE_OR_END,
    _NAME,
    _NAME_OR_END,
    _COLON,
    _AFTER,
    _STRING,
    _NUMBER,
    _WORD,
    _ESCAPE,
    _HEX,
    _PAIR,
    _PAIR_U,
    _COMPLETE,
    _REFUSED,
) = range(15)

_SHORT = 256
_STOP = re.compile(r'["\\\x00-\x1f]')
_SPACE = frozenset(" \t\r\n")
# A member's name that has come whole, with its colon and what is blank around that.
_WHOLE_NAME = re.compile(r'"([^"\\\x00-\x1f]*)"[ \t\r\n]*:[ \t\r\n]*')
_SHORTEST_NAME = 5  # what remains of a shorter piece holds none; then it is not looked for
_NUMBER_RUN = re.compile(r"[0-9+\-.eE]*")
_NUMBER_STARTS = frozenset("-0123456789")
_NUMBER_FORM = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_WORDS: dict[str, tuple[str, Kind, bool | None]] = {
    "t": ("true", "true", True),
    "f": ("false", "false", False),
    "n": ("null", "null", None),
}
_CONTAINER_STATES = {"{": _NAME_OR_END, "[": _VALUE_OR_END}
_STRING_STATES = frozenset({_STRING, _ESCAPE, _HEX, _PAIR, _PAIR_U})

# Where a step has come to, and what the character there belongs to.
Step = tuple[int, int]


class JsonScanner:
    """One value in progress. Its owner gives it pieces of text, and skips what is around the value.

    A step reads as much as belongs together and has come: a whole name with its colon, a string to its
    end. So there are few steps, and each may be a method of its own.

    Args:
        listener: told each event, or None.
        max_depth: containers inside containers; the root is the first.
        max_names: characters of all member names on the way to a value.

    Attributes:
        tells_growth: whether the listener is told of growing strings; it may switch that off and on.
        offset: bytes of the text that are behind.
        floor: nothing is told of as proved before this offset.
        stopped: the character of the piece that proved a refusal.
    """

    def __init__(self, listener: JsonListener | None, max_depth: int, max_names: int) -> None:
        self._listener = listener
        self.tells_growth = listener is not None
        self._max_depth = max_depth
        self._max_names = max_names
        self.offset = 0
        self.floor = 0
        self.stopped = 0
        self._base = 0  # in an ASCII piece an offset is a sum with this; else -1, and bytes are counted
        self._mark, self._mark_at = 0, 0  # then: a character of the piece, and its offset
        self._steps: tuple[Callable[[str, int], Step], ...] = (
            self._value,
            self._value_or_end,
            self._name,
            self._name_or_end,
            self._colon,
            self._after,
            self._string,
            self._number,
            self._literal,
            self._escape,
            self._hex_digit,
            self._pair,
            self._pair_u,
        )
        self.restart()

    def restart(self) -> None:
        """Forget the value so far: another one begins."""
        self._state = _VALUE
        # The root stands in an array of its own, so that no step has to ask whether it is the root.
        self._containers: list[Any] = [[]]
        self._holder: Any = self._containers[0]  # the innermost
        self._in_object = False
        self._keys: list[Any] = [0]  # of each container, the member name or index in progress
        self._pointers: list[str | None] = [None]  # of each container, made when asked for
        self._names = [0]  # characters of the names on the way to each container
        self._parts: list[str] = []  # of the string in progress
        self._told = 0  # how many of them the listener knows
        self._grown = 0  # past the last character of the piece that the open string has got
        self._in_name = False  # the string in progress is a member's name
        self._pieces: list[str] = []  # of the number in progress
        self._word = _WORDS["n"]
        self._matched = 0  # characters of it
        self._hex = ""
        self._high = 0  # the first half of a surrogate pair

    # What there is

    @property
    def depth(self) -> int:
        """Containers open now."""
        return len(self._containers) - 1

    @property
    def complete(self) -> bool:
        """Whether the root has closed."""
        return self._state == _COMPLETE

    @property
    def root(self) -> list[Any]:
        """The value so far, alone in a list; an empty one while there is none. A growing string is empty there."""
        root: list[Any] = self._containers[0]
        return root

    @property
    def tree(self) -> Any:
        """The value so far, growing strings included; None while there is none. Live: not to be changed.

        Not to be asked for by a listener. Joins the open string: cheap now and then, not for every
        fragment of a long one.
        """
        if self._state in _STRING_STATES and not self._in_name:
            self._parts[:] = [self._join_open_string()]
            self._told = 1
        return self.root[0] if self.root else None

    @property
    def innermost(self) -> Any:
        """The innermost open container; an array that holds the root, when none is open."""
        return self._holder

    def _join_open_string(self) -> str:
        """Put the open string as it has grown into the tree."""
        joined = "".join(self._parts)
        self._holder[self._keys[-1] if self._in_object else -1] = joined
        return joined

    def pointer(self) -> str:
        """Return the pointer of the value in progress or just told."""
        depth = len(self._containers) - 1
        return f"{self._pointer_of(depth)}/{token(self._keys[-1])}" if depth else ""

    def _pointer_of(self, level: int) -> str:
        """The pointer of the open container at ``level``, the root's being 1; each is made once."""
        known = level
        while known > 1 and self._pointers[known] is None:
            known -= 1
        for place in range(known + 1, level + 1):
            above = self._pointers[place - 1] or ""
            self._pointers[place] = f"{above}/{token(self._keys[place - 1])}"
        return self._pointers[level] or ""

    def enclosing(self) -> str:
        """The pointer of the innermost open container."""
        return self._pointer_of(len(self._containers) - 1)

    def unfinished(self) -> str:
        """The pointer of the value in progress, else of the innermost open container."""
        inside = self._state in _STRING_STATES or self._state in (_NUMBER, _WORD)
        return self.pointer() if inside and not self._in_name else self.enclosing()

    # Pieces of text

    def scan(self, text: str) -> int:
        """Take a piece of text; return the position past the root's end, or past the piece.

        Raises:
            JsonRefused: what was told before it stands; `offset` is where the piece began.
        """
        size, state = len(text), self._state
        if state == _STRING and '"' not in text and "\\" not in text and text.isprintable():
            # By far the most pieces: more of the open string and nothing else.
            self._parts.append(text)
            self.offset += size if text.isascii() else len(text.encode())
            if not self._in_name:
                self._told += 1
                if self.tells_growth and text:
                    self._listener.grew(text, self.offset)  # type: ignore[union-attr]
            return size
        if text.isascii():
            self._base = self.offset
        else:
            self._base, self._mark, self._mark_at = -1, 0, self.offset
        steps, index = self._steps, 0
        while index < size and state < _COMPLETE:
            index, state = steps[state](text, index)
        if self._told < len(self._parts) and not self._in_name:
            self._tell_growth(self._at(text, self._grown))
        self._state = state
        self.offset = self._base + index if self._base >= 0 else self._at(text, index)
        return index

    def end(self) -> bool:
        """The text is over; whether that completes a number that is the root.

        Raises:
            JsonRefused: it is none.
        """
        if self.depth or self._state != _NUMBER:
            return False
        self._base = self.offset
        self._state = self._put(self._number_value("", 0), "", 0)
        return True

    # Offsets, growth and refusals

    def _at(self, text: str, index: int) -> int:
        """The offset before character ``index``; asked in nearly rising order: each byte is counted once."""
        if self._base >= 0:
            return self._base + index
        if index < self._mark:  # the byte that proved a number is looked at again
            return self._mark_at - len(text[index : self._mark].encode())
        self._mark_at += len(text[self._mark : index].encode())
        self._mark = index
        return self._mark_at

    def _tell_growth(self, at: int) -> None:
        """Tell what the open string has got and the listener does not know yet."""
        if self._listener is not None and not self._in_name:
            told, self._told = self._told, len(self._parts)
            if self.tells_growth and told < self._told:
                self._listener.grew("".join(self._parts[told:]), at)

    def _refuse(
        self,
        text: str,
        index: int,
        keyword: str = "syntax",
        message: str = "the text is no JSON here",
        *,
        between: bool = False,
    ) -> JsonRefused:
        """The refusal that the character at ``index`` proves; ``between``: outside of any value."""
        if self._parts and not self._in_name:
            self._tell_growth(self._at(text, index))
            self._join_open_string()
        self.stopped = index
        self._state = _REFUSED
        pointer = self.enclosing() if between or self._in_name else self.pointer()
        return JsonRefused(keyword, pointer, self._at(text, index + 1), message)

    # The steps: each is given a piece and a place in it, where there is at least one character

    def _value_or_end(self, text: str, index: int) -> Step:
        char = text[index]
        if char == "]":
            return self._leave(text, index + 1)
        return (index + 1, _VALUE_OR_END) if char in _SPACE else self._value(text, index)

    def _value(self, text: str, index: int) -> Step:
        char = text[index]
        while char in _SPACE:
            index += 1
            if index == len(text):
                return index, _VALUE
            char = text[index]
        if not self._in_object:
            self._keys[-1] = len(self._holder)
        if char == '"':
            return self._begin_string(text, index + 1)
        if char in _CONTAINER_STATES:
            return self._enter(text, index + 1, char)
        if char in _NUMBER_STARTS:
            self._pieces.clear()
            if self._listener is not None:
                self._listener.began("number", max(self.floor, self._at(text, index + 1)))
            return self._number(text, index)
        if char not in _WORDS:
            raise self._refuse(text, index)
        self._word, self._matched = _WORDS[char], 0
        if self._listener is not None:
            self._listener.began(self._word[1], max(self.floor, self._at(text, index + 1)))
        return self._literal(text, index)

    def _name_or_end(self, text: str, index: int) -> Step:
        char = text[index]
        if char == "}":
            return self._leave(text, index + 1)
        return (index + 1, _NAME_OR_END) if char in _SPACE else self._name(text, index)

    def _name(self, text: str, index: int) -> Step:
        while text[index] in _SPACE:
            index += 1
            if index == len(text):
                return index, _NAME
        if len(text) - index > _SHORTEST_NAME and (whole := _WHOLE_NAME.match(text, index)):
            self._named(text, whole.end(1), whole[1])
            return whole.end(), _VALUE
        if text[index] != '"':
            raise self._refuse(text, index, between=True)
        self._in_name = True
        return index + 1, _STRING

    def _named(self, text: str, quote: int, name: str) -> None:
        """A name is complete, as the quote shows."""
        self._keys[-1] = name
        if len(name) + self._names[-1] > self._max_names:
            raise self._refuse(text, quote, "size", "the names on the way here are too long", between=True)
        if self._listener is not None:
            self._listener.named(name, self._at(text, quote + 1))

    def _colon(self, text: str, index: int) -> Step:
        if text[index] == ":":
            return index + 1, _VALUE
        if text[index] not in _SPACE:
            raise self._refuse(text, index)
        return index + 1, _COLON

    def _after(self, text: str, index: int) -> Step:
        char = text[index]
        while char in _SPACE:
            index += 1
            if index == len(text):
                return index, _AFTER
            char = text[index]
        index += 1
        if char == ",":
            if self._in_object:
                return self._name(text, index) if index < len(text) else (index, _NAME)
            if self._listener is not None:
                self._listener.more(self._at(text, index))
            return index, _VALUE
        if char != ("}" if self._in_object else "]"):
            raise self._refuse(text, index - 1, between=True)
        return self._leave(text, index)

    def _enter(self, text: str, index: int, char: str) -> Step:
        """The bracket before ``index`` opens a container."""
        if len(self._containers) > self._max_depth:
            raise self._refuse(text, index - 1, "depth", f"nested deeper than {self._max_depth}")
        name = self._keys[-1]
        names = self._names[-1] + (len(name) if type(name) is str else 0)
        in_object = char == "{"
        value: Any = {} if in_object else []
        self._hold(value)
        if self._listener is not None:
            self._listener.began("object" if in_object else "array", max(self.floor, self._at(text, index)))
        self._containers.append(value)
        self._holder, self._in_object = value, in_object
        self._keys.append(None)
        self._pointers.append(None)
        self._names.append(names)
        return index, _CONTAINER_STATES[char]

    def _leave(self, text: str, index: int) -> Step:
        """The bracket before ``index`` closes the innermost container."""
        value = self._containers.pop()
        self._keys.pop()
        self._pointers.pop()
        self._names.pop()
        self._holder = self._containers[-1]
        self._in_object = type(self._holder) is dict
        if self._listener is not None:
            self._listener.closed(value, self._at(text, index))
        return index, self._next

    @property
    def _next(self) -> int:
        """What comes behind a value that is complete."""
        return _AFTER if len(self._containers) > 1 else _COMPLETE

    def _hold(self, value: Any) -> None:
        """Put a value where it belongs."""
        if self._in_object:
            self._holder[self._keys[-1]] = value
        else:
            self._holder.append(value)

    def _put(self, value: Any, text: str, index: int) -> int:
        """A scalar is complete, as the character before ``index`` proves."""
        self._hold(value)
        if self._listener is not None:
            self._listener.closed(value, max(self.floor, self._at(text, index)))
        return self._next

    def _number(self, text: str, index: int) -> Step:
        end = _NUMBER_RUN.match(text, index).end()  # type: ignore[union-attr]
        self._pieces.append(text[index:end])
        if end == len(text):
            return end, _NUMBER
        # The character behind it proves it, and is looked at again.
        return end, self._put(self._number_value(text, end), text, end + 1)

    def _number_value(self, text: str, index: int) -> Any:
        """The number that ends before ``index``."""
        number = "".join(self._pieces)
        try:
            return integer(number, orjson.loads(number))
        except orjson.JSONDecodeError:
            proof = min(index, len(text) - 1)
            if _NUMBER_FORM.fullmatch(number):
                raise self._refuse(text, proof, "number", "the number is too large") from None
            raise self._refuse(text, proof) from None

    def _literal(self, text: str, index: int) -> Step:
        word, _, value = self._word
        while index < len(text) and self._matched < len(word):
            if text[index] != word[self._matched]:
                raise self._refuse(text, index)
            index += 1
            self._matched += 1
        if self._matched < len(word):
            return index, _WORD
        return index, self._put(value, text, index)

    # Strings

    def _begin_string(self, text: str, index: int) -> Step:
        """The quote before ``index`` begins a value."""
        self._hold("")
        self._grown = index
        if self._listener is not None:
            self._listener.began("string", max(self.floor, self._at(text, index)))
        return self._string(text, index) if index < len(text) else (index, _STRING)

    def _string(self, text: str, index: int) -> Step:
        """More of a string or name, up to its end, to what must be looked at closely, or to the end of the piece."""
        size, parts = len(text), self._parts
        while True:
            # In a short piece it is quicker to look for the quote and then at what is before it;
            # in a long one that would look at the same characters for every escape.
            piece = "\\"
            if size <= _SHORT:
                stop = text.find('"', index)
                piece = text[index:stop] if stop >= 0 else text[index:]
            if "\\" in piece or not piece.isprintable():
                found = _STOP.search(text, index)
                stop = found.start() if found else -1
                piece = text[index:stop] if found else text[index:]
            if piece:
                parts.append(piece)
            if stop < 0:
                self._grown = size
                return size, _STRING
            self._grown = stop
            if text[stop] == '"':
                return self._end_string(text, stop + 1)
            if text[stop] != "\\":
                raise self._refuse(text, stop, message="a control character in a string")
            index = stop + 1
            escaped = _ESCAPES.get(text[index]) if index < size else None
            if escaped is None:
                return index, _ESCAPE
            parts.append(escaped)
            self._grown = index = index + 1

    def _end_string(self, text: str, index: int) -> Step:
        """The quote before ``index`` ends the string."""
        parts = self._parts
        value = parts[0] if len(parts) == 1 else "".join(parts)
        if self._in_name:
            parts.clear()
            self._named(text, index - 1, value)
            self._in_name = False
            return index, _COLON
        self._holder[self._keys[-1] if self._in_object else -1] = value
        if self._listener is not None:
            at = self._at(text, index)
            if self._told < len(parts) and self.tells_growth:
                self._listener.grew("".join(parts[self._told :]), at - 1)
            self._listener.closed(value, at)
        parts.clear()
        self._told = 0
        return index, self._next

    def _escape(self, text: str, index: int) -> Step:
        """The character behind a backslash, where it comes with the next piece or is a ``u``."""
        char = text[index]
        if char == "u":
            self._hex = ""
            return index + 1, _HEX
        if char not in _ESCAPES:
            raise self._refuse(text, index, message="an unknown escape in a string")
        self._parts.append(_ESCAPES[char])
        self._grown = index + 1
        return index + 1, _STRING

    def _pair(self, text: str, index: int) -> Step:
        """Behind the first half of a surrogate pair: another escape."""
        if text[index] != "\\":
            raise self._refuse(text, index, "surrogate", "half of a surrogate pair")
        return index + 1, _PAIR_U

    def _pair_u(self, text: str, index: int) -> Step:
        if text[index] != "u":
            raise self._refuse(text, index, "surrogate", "half of a surrogate pair")
        self._hex = ""
        return index + 1, _HEX

    def _hex_digit(self, text: str, index: int) -> Step:
        if text[index] not in _HEX_DIGITS:
            raise self._refuse(text, index, message="an unknown escape in a string")
        self._hex += text[index]
        if len(self._hex) < 4:
            return index + 1, _HEX
        code = int(self._hex, 16)
        is_low = 0xDC00 <= code <= 0xDFFF
        if bool(self._high) != is_low:
            raise self._refuse(text, index, "surrogate", "half of a surrogate pair")
        if 0xD800 <= code <= 0xDBFF:
            self._high = code
            return index + 1, _PAIR
        if is_low:
            code += 0x10000 - 0xDC00 + ((self._high - 0xD800) << 10)
            self._high = 0
        self._parts.append(chr(code))
        self._grown = index + 1
        return index + 1, _STRING
