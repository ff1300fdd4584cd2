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
from collections.abc import Generator
from typing import Any, Literal, Protocol

import orjson

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


# What the next character belongs to.
IN_STRING, _IN_NAME, _AFTER, _VALUE, _COLON, _NAME, NUMBER = range(7)
_VALUE_OR_END, _NAME_OR_END, _WORD, _ESCAPE, _HEX, _PAIR, _PAIR_U, COMPLETE, _REFUSED = range(7, 16)

_SHORT = 256
_STOP = re.compile(r'["\\\x00-\x1f]')
_SPACE = frozenset(" \t\r\n")
_NUMBER_STARTS = frozenset("-0123456789")
_NUMBER_CHARS = "0123456789+-.eE"
_NUMBER_FORM = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_WORDS: dict[str, tuple[str, Kind, bool | None]] = {
    "t": ("true", "true", True),
    "f": ("false", "false", False),
    "n": ("null", "null", None),
}
_CONTAINER_STATES = {"{": _NAME_OR_END, "[": _VALUE_OR_END}
_STRING_STATES = frozenset({IN_STRING, _ESCAPE, _HEX, _PAIR, _PAIR_U})


class JsonScanner:
    """The state of one value in progress; ``jsonpush`` feeds it.

    Args:
        listener: told each event, or None.
        max_depth: containers inside containers; the root is the first.
        max_names: characters of all member names on the way to a value.
    """

    def __init__(self, listener: JsonListener | None, max_depth: int, max_names: int) -> None:
        self._listener = listener
        # Growth is the most frequent event; a listener may switch it off while it does not care.
        self.tells_growth = listener is not None
        self._max_depth = max_depth
        self._max_names = max_names
        self._offset = 0  # bytes before the text in hand
        self._ascii = True  # the text in hand has one byte a character
        self._mark, self._mark_at = 0, 0  # else: a character of it, and its offset
        self._floor = 0  # nothing is told of as proved before this offset
        self._stopped = 0  # the character that proved a refusal
        self._reset()

    def _reset(self) -> None:
        self._state = _VALUE
        # The root stands in an array of its own, so that no step has to ask whether it is the root.
        self._containers: list[Any] = [[]]
        self._keys: list[Any] = [0]  # of each container, the member name or index in progress
        self._pointers: list[str | None] = [None]  # of each container, made when asked for
        self._names = [0]  # characters of the names on the way to each container
        self._parts: list[str] = []  # of the string in progress
        self._told = 0  # how many of them the listener knows
        self._in_name = False  # the string in progress is a member's name
        self._pieces: list[str] = []  # of the number in progress
        self._word = _WORDS["n"]
        self._matched = 0  # characters of it
        self._hex = ""
        self._high = 0  # the first half of a surrogate pair
        scanner = self._scanner()
        next(scanner)
        self._scan = scanner.send

    @property
    def depth(self) -> int:
        """Containers open now."""
        return len(self._containers) - 1

    @property
    def complete(self) -> bool:
        """Whether the root has closed."""
        return self._state == COMPLETE

    @property
    def has_tree(self) -> bool:
        """Whether a value stands in the tree."""
        return bool(self._containers[0])

    @property
    def tree(self) -> Any:
        """The document so far, growing strings included; None while there is none. Live: not to be changed.

        Not to be asked for by a listener. Joins the open string: cheap now and then, not for every
        fragment of a long one.
        """
        if self._state in _STRING_STATES and not self._in_name:
            self._parts[:] = [self._join_open_string()]
            self._told = 1
        root = self._containers[0]
        return root[0] if root else None

    @property
    def innermost(self) -> Any:
        """The innermost open container; an array that holds the root, when none is open."""
        return self._containers[-1]

    def _join_open_string(self) -> str:
        """Put the open string as it has grown into the tree."""
        joined = "".join(self._parts)
        holder = self._containers[-1]
        holder[self._keys[-1] if type(holder) is dict else -1] = joined
        return joined

    def pointer(self) -> str:
        """Return the pointer of the value in progress or just told."""
        depth = len(self._containers) - 1
        return f"{self._base(depth)}/{token(self._keys[-1])}" if depth else ""

    def _base(self, level: int) -> str:
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
        return self._base(len(self._containers) - 1)

    def _unfinished(self) -> str:
        """The pointer of the value in progress, else of the innermost open container."""
        inside = self._state in _STRING_STATES or self._state in (NUMBER, _WORD)
        return self.pointer() if inside and not self._in_name else self.enclosing()

    # Offsets and refusals

    def _at(self, text: str, index: int) -> int:
        """The offset before character ``index``; asked in nearly rising order: each byte is counted once."""
        if self._ascii:
            return self._offset + index
        if index < self._mark:  # the byte that proved a number is looked at again
            return self._mark_at - len(text[index : self._mark].encode())
        self._mark_at += len(text[self._mark : index].encode())
        self._mark = index
        return self._mark_at

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
        self._stopped = index
        self._state = _REFUSED
        pointer = self.enclosing() if between or self._in_name else self.pointer()
        return JsonRefused(keyword, pointer, self._at(text, index + 1), message)

    def _tell_growth(self, at: int) -> None:
        """Tell what the open string has got and the listener does not know yet."""
        if self._told < len(self._parts) and self._listener is not None and not self._in_name:
            told, self._told = self._told, len(self._parts)
            if self.tells_growth:
                self._listener.grew("".join(self._parts[told:]), at)

    # The states

    def _scanner(self) -> Generator[int, str, None]:  # noqa: PLR0912, PLR0915
        """Be sent pieces of text; answer each with the position past the root's end, or past the piece.

        One loop over the states, most frequent first. A generator, because a piece is often four
        characters: its locals survive from one to the next, and setting them up again, or calling a
        method for each step, would cost as much as the work (measured: twice the time).

        Raises:
            JsonRefused: what was told before it stands.
        """
        state, listener, containers, keys, parts = _VALUE, self._listener, self._containers, self._keys, self._parts
        holder: Any = containers[-1]
        in_object = False
        size = index = 0
        base = self._offset
        text = ""
        grown = 0  # past the last character that the open string has got
        while True:
            if index >= size or state == COMPLETE:
                if self._told < len(parts) and listener is not None and not self._in_name:
                    self._tell_growth(base + grown if base >= 0 else self._at(text, grown))
                self._offset = base + index if base >= 0 else self._at(text, index)
                self._state = state
                text = yield index
                size = len(text)
                index = grown = 0
                # In an ASCII text an offset is a sum; else bytes must be counted.
                if text.isascii():
                    base = self._offset
                else:
                    base = -1
                    self._mark, self._mark_at = 0, self._offset
                self._ascii = base >= 0
                continue
            if state <= _IN_NAME:
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
                    index = grown = size
                    continue
                grown = stop
                index = stop + 1
                char = text[stop]
                if char == "\\":
                    escaped = _ESCAPES.get(text[index]) if index < size else None
                    if escaped is None:
                        state = _ESCAPE
                    else:
                        parts.append(escaped)
                        index = grown = index + 1
                elif char != '"':
                    raise self._refuse(text, stop, message="a control character in a string")
                elif state == _IN_NAME:
                    keys[-1] = name = parts[0] if len(parts) == 1 else "".join(parts)
                    parts.clear()
                    if len(name) + self._names[-1] > self._max_names:
                        raise self._refuse(text, stop, "size", "the names on the way here are too long", between=True)
                    self._in_name = False
                    state = _COLON
                    if listener is not None:
                        listener.named(name, base + index if base >= 0 else self._at(text, index))
                else:
                    value = parts[0] if len(parts) == 1 else "".join(parts)
                    holder[keys[-1] if in_object else -1] = value
                    if listener is not None:
                        at = base + index if base >= 0 else self._at(text, index)
                        if self._told < len(parts) and self.tells_growth:
                            listener.grew("".join(parts[self._told :]), at - 1)
                        listener.closed(value, at)
                    parts.clear()
                    self._told = 0
                    state = _AFTER if len(containers) > 1 else COMPLETE
            elif state == _AFTER:
                char = text[index]
                index += 1
                if char == ",":
                    if in_object:
                        state = _NAME
                    else:
                        state = _VALUE
                        if listener is not None:
                            listener.more(base + index if base >= 0 else self._at(text, index))
                elif char == ("}" if in_object else "]"):
                    state = self._leave(text, index)
                    holder = containers[-1]
                    in_object = type(holder) is dict
                elif char not in _SPACE:
                    raise self._refuse(text, index - 1, between=True)
            elif state == NUMBER:
                # Slices are bounded: of a megabyte in hand, a number must not copy all.
                window = text[index : index + 24]
                run = len(window) - len(window.lstrip(_NUMBER_CHARS))
                self._pieces.append(window[:run])
                index += run
                if index == size or run == 24:
                    continue
                try:
                    value = orjson.loads("".join(self._pieces))
                except orjson.JSONDecodeError:
                    raise self._refuse_number(text, index) from None
                if in_object:
                    holder[keys[-1]] = value
                else:
                    holder.append(value)
                state = _AFTER if len(containers) > 1 else COMPLETE
                if listener is not None:
                    at = base + index + 1 if base >= 0 else self._at(text, index + 1)
                    listener.closed(value, at)
            elif state >= _WORD:
                index, state = self._rest(text, index, state)
                grown = index if state <= _IN_NAME else grown
            elif (char := text[index]) in _SPACE:
                index += 1
            elif state == _COLON:
                if char != ":":
                    raise self._refuse(text, index)
                state = _VALUE
                index += 1
            elif state in (_NAME, _NAME_OR_END):
                index += 1
                if char == '"':
                    self._in_name = True
                    state = _IN_NAME
                    grown = index
                elif char == "}" and state == _NAME_OR_END:
                    state = self._leave(text, index)
                    holder = containers[-1]
                    in_object = type(holder) is dict
                else:
                    raise self._refuse(text, index - 1, between=True)
            elif char == "]" and state == _VALUE_OR_END:
                index += 1
                state = self._leave(text, index)
                holder = containers[-1]
                in_object = type(holder) is dict
            else:  # a value begins
                if not in_object:
                    keys[-1] = len(holder)
                if char == '"':
                    if in_object:
                        holder[keys[-1]] = ""
                    else:
                        holder.append("")
                    state = IN_STRING
                    index = grown = index + 1
                    if listener is not None:
                        at = base + index if base >= 0 else self._at(text, index)
                        listener.began("string", at if at > self._floor else self._floor)
                elif char in _CONTAINER_STATES:
                    index += 1
                    state = self._enter(text, index, char)
                    holder = containers[-1]
                    in_object = char == "{"
                elif char in _NUMBER_STARTS:
                    self._pieces.clear()
                    state = NUMBER
                    if listener is not None:
                        at = base + index + 1 if base >= 0 else self._at(text, index + 1)
                        listener.began("number", at if at > self._floor else self._floor)
                else:
                    state = self._begin_word(text, index, char)

    def _enter(self, text: str, index: int, char: str) -> int:
        """The bracket before ``index`` opens a container."""
        if len(self._containers) > self._max_depth:
            raise self._refuse(text, index - 1, "depth", f"nested deeper than {self._max_depth}")
        name = self._keys[-1]
        names = self._names[-1] + (len(name) if type(name) is str else 0)
        value: Any = {} if char == "{" else []
        holder = self._containers[-1]
        if type(holder) is dict:
            holder[self._keys[-1]] = value
        else:
            holder.append(value)
        if self._listener is not None:
            kind: Kind = "object" if char == "{" else "array"
            self._listener.began(kind, max(self._floor, self._at(text, index)))
        self._containers.append(value)
        self._keys.append(None)
        self._pointers.append(None)
        self._names.append(names)
        return _CONTAINER_STATES[char]

    def _leave(self, text: str, index: int) -> int:
        """The bracket before ``index`` closes the innermost container."""
        value = self._containers.pop()
        self._keys.pop()
        self._pointers.pop()
        self._names.pop()
        if self._listener is not None:
            self._listener.closed(value, self._at(text, index))
        return _AFTER if len(self._containers) > 1 else COMPLETE

    def _begin_word(self, text: str, index: int, char: str) -> int:
        """A literal begins with ``char``, which is left to its state."""
        if char not in _WORDS:
            raise self._refuse(text, index)
        self._word, self._matched = _WORDS[char], 0
        if self._listener is not None:
            self._listener.began(self._word[1], max(self._floor, self._at(text, index + 1)))
        return _WORD

    def _end_root_number(self) -> None:
        """The end of the text ends the number, which is the root."""
        try:
            value = orjson.loads("".join(self._pieces))
        except orjson.JSONDecodeError:
            raise self._refuse_number("", 0) from None
        self._state = self._put(value, "", 0)

    def _refuse_number(self, text: str, index: int) -> JsonRefused:
        """The refusal of the number that ends before ``index``, as the character there proves."""
        proof = min(index, len(text) - 1)
        if _NUMBER_FORM.fullmatch("".join(self._pieces)):
            return self._refuse(text, proof, "number", "the number is too large")
        return self._refuse(text, proof)

    def _put(self, value: Any, text: str, index: int) -> int:
        """A literal or root number is complete, as the character before ``index`` proves."""
        holder = self._containers[-1]
        if type(holder) is dict:
            holder[self._keys[-1]] = value
        else:
            holder.append(value)
        if self._listener is not None:
            self._listener.closed(value, max(self._floor, self._at(text, index)))
        return _AFTER if len(self._containers) > 1 else COMPLETE

    def _rest(self, text: str, index: int, state: int) -> tuple[int, int]:
        """What is rare: literals, and escapes that are cut or are not a single character."""
        if state == _WORD:
            return self._literal(text, index)
        if state == _HEX:
            return self._hex_digit(text, index)
        char = text[index]
        if state == _ESCAPE and char != "u":
            if char not in _ESCAPES:
                raise self._refuse(text, index, message="an unknown escape in a string")
            self._parts.append(_ESCAPES[char])
            return index + 1, self._string_state()
        if char != ("\\" if state == _PAIR else "u"):
            raise self._refuse(text, index, "surrogate", "half of a surrogate pair")
        self._hex = ""
        return index + 1, _PAIR_U if state == _PAIR else _HEX

    def _literal(self, text: str, index: int) -> tuple[int, int]:
        word, _, value = self._word
        while index < len(text) and self._matched < len(word):
            if text[index] != word[self._matched]:
                raise self._refuse(text, index)
            index += 1
            self._matched += 1
        if self._matched < len(word):
            return index, _WORD
        return index, self._put(value, text, index)

    def _hex_digit(self, text: str, index: int) -> tuple[int, int]:
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
        return index + 1, self._string_state()

    def _string_state(self) -> int:
        return _IN_NAME if self._in_name else IN_STRING
