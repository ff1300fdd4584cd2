"""The early verdict: what is provably wrong is told the moment it is, and once.

A violation is told at the first byte after which no way to go on leads to a valid document; its ``at`` is
the offset just past that byte. A number is proved by the byte after it; strings are held against ``enum``
and ``const`` while they grow, and against everything else when they close. The validator confirms each
finding before it is told, so nothing is told that the final verdict could accept.

One rule bounds that promise. A member name that comes a second time replaces the first one's value, so a
document could heal any fault outside of a root array by saying the member again, and nothing at all would
be provable before the end. Names given are therefore taken as given (RFC 8259, section 4: names within an
object should be unique): of a document that repeats a name, a value may be told of that the final verdict
no longer sees.
"""

import re
from contextlib import suppress
from typing import Any

from protocol.json.push import JsonPush, JsonRefused, Kind
from protocol.ndjson import canonical
from protocol.schema.admitted import AdmittedSchema
from protocol.schema.violations import Violation, told
from protocol.schema.walk import AllowedStrings, Place, Rule, SchemaWalk

_RAW_CHARACTER = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL)


class EarlyCheck:
    """The first provable violation in one growing text.

    Args:
        schema: as admitted.
    """

    def __init__(self, schema: AdmittedSchema) -> None:
        self._watch = _Watch(schema)
        self._parse = self._watch.parser.feed

    def feed(self, fragment: str) -> Violation | None:
        """Take the next piece of text; return the violation that it proves, the first time only."""
        watch = self._watch
        if watch.found is not None:
            return None
        watch.fragment = fragment
        try:
            self._parse(fragment)
        except JsonRefused as refusal:
            watch.refused(refusal)
        watch.past(fragment)
        return watch.found

    def close(self) -> Violation | None:
        """The text is over: a number that was the whole of it is proved by that."""
        if self._watch.found is None:
            # That the text ends too early is the final verdict's business.
            with suppress(JsonRefused):
                self._watch.parser.close()
            return self._watch.found
        return None


_CONTAINERS = frozenset({"object", "array"})


class _Watch:
    """The listener: a place of the schema for each open container, and one for the value in progress."""

    def __init__(self, schema: AdmittedSchema) -> None:
        self.found: Violation | None = None
        self.parser = JsonPush(self, in_hindsight=True)
        self.parser.tells_growth = False
        self.fragment = ""
        self._fragment_at = 0
        self._schema = schema
        self._place = SchemaWalk(schema).root
        # The innermost container: what applies to it, and for an array where it stands.
        self._holder = self._place
        self._index = -1  # of the element in progress; -1 in an object
        self._seen: set[bytes] | None = None  # an array's elements, where they must differ
        self._outer: list[tuple[Place, int, set[bytes] | None]] = []
        self._growing: str | None = None  # the open string, where only some are allowed
        self._raw, self._raw_at = bytearray(), 0  # as it was written

    # Pieces of text

    def past(self, fragment: str) -> None:
        """The fragment is done."""
        if self._growing is not None:
            self._take_raw(self._fragment_at + len(fragment.encode()))
        self._fragment_at += len(fragment) if fragment.isascii() else len(fragment.encode())

    def refused(self, refusal: JsonRefused) -> None:
        """The text is no JSON, whatever comes."""
        if self.found is None:
            self.found = Violation(refusal.pointer, "", refusal.keyword, refusal.message, refusal.at)

    # Events

    def began(self, kind: Kind, at: int) -> None:
        if self._index >= 0:
            holder = self._holder
            self._place = holder.every or holder.element(self._index)
        place = self._place
        if kind in place.impossible:
            self._tell(place.impossible[kind], self.parser.pointer(), at)
        if kind in _CONTAINERS:
            self._outer.append((self._holder, self._index, self._seen))
            self._holder = place
            self._index = 0 if kind == "array" else -1
            self._seen = set() if place.unique and kind == "array" else None
        elif kind == "string" and place.options:
            self._growing, self._raw, self._raw_at = "", bytearray(), at
            self.parser.tells_growth = True

    def named(self, name: str, at: int) -> None:
        holder = self._holder
        self._place, forbidden = holder.members.get(name) or holder.member(name)
        if forbidden is not None:
            self._tell(forbidden, self.parser.enclosing(), at, name)
        if (never := self._place.never) is not None:
            self._tell(never, self.parser.pointer(), at)
        bound = holder.max_members
        if bound is not None:
            members = self.parser.innermost
            if name not in members and len(members) >= bound.limit:
                self._tell(bound, self.parser.enclosing(), at)

    def grew(self, text: str, at: int) -> None:
        if self._growing is not None:
            self._growing += text
            self._hold_against_options(at)

    def more(self, at: int) -> None:
        self._index += 1
        holder = self._holder
        if holder.max_items is not None and self._index >= holder.max_items.limit:
            self._tell(holder.max_items, self.parser.enclosing(), at)
        if holder.forbids_elements and (never := holder.element(self._index).never) is not None:
            self._tell(never, f"{self.parser.enclosing()}/{self._index}", at)

    def closed(self, value: Any, at: int) -> None:
        place = self._place
        if type(value) is str:
            kind: Kind = "string"
            if self._growing is not None:
                self._hold_complete_against_options(value, at)
        elif type(value) is dict or type(value) is list:
            kind = "object" if type(value) is dict else "array"
            place = self._holder
            self._holder, self._index, self._seen = self._outer.pop()
        else:
            kind = "number" if value.__class__ in (int, float) else "null"
        for rule in place.closing[kind]:
            if (rule.breaks is None or rule.breaks(value, rule.limit)) and self._is_broken(rule, value):
                self._tell(rule, self.parser.pointer(), at, _missing(rule, value))
        if self._seen is not None:
            self._hold_against_siblings(value, at)

    def withdrawn(self, at: int) -> None:
        self._growing = None

    # Findings

    def _tell(self, rule: Rule, pointer: str, at: int, name: str | None = None) -> None:
        if self.found is None:
            where = rule.where
            said = told(where, self._schema.spelled(where), rule.keyword, rule.limit, name)
            self.found = Violation(pointer, *said, at=at)

    def _is_broken(self, rule: Rule, value: Any) -> bool:
        return not self._schema.keyword(rule.schema, rule.keyword).is_valid(value)

    def _hold_against_siblings(self, value: Any, at: int) -> None:
        assert self._seen is not None
        rule = self._holder.unique
        form = canonical(value)
        if form in self._seen and rule is not None and self._is_broken(rule, self.parser.innermost):
            self._tell(rule, self.parser.enclosing(), at)
        self._seen.add(form)

    def _hold_against_options(self, at: int) -> None:
        assert self._growing is not None
        for options in self._place.options:
            beginning = self._growing[: options.longest + 1]
            if not options.allow(beginning):
                self._take_raw(at)
                self._tell(options.rule, self.parser.pointer(), self._proof_of(options, beginning))

    def _hold_complete_against_options(self, value: str, at: int) -> None:
        for options in self._place.options:
            if value not in options.strings:
                self._tell(options.rule, self.parser.pointer(), at)
        self._forget_string()

    def _forget_string(self) -> None:
        self._growing = None
        self.parser.tells_growth = False

    def _proof_of(self, options: AllowedStrings, beginning: str) -> int:
        """The offset past the character with which ``beginning`` left all options behind."""
        right = 0
        while options.allow(beginning[: right + 1]):
            right += 1
        # Written with escapes a character is longer; each is one match.
        raw = self._raw.decode()
        end = 0
        for _, character in zip(range(right + 1), _RAW_CHARACTER.finditer(raw), strict=False):
            end = character.end()
        return self._raw_at + len(raw[:end].encode())

    def _take_raw(self, at: int) -> None:
        """Keep the open string as it was written, up to the offset ``at``."""
        known = self._raw_at + len(self._raw) - self._fragment_at
        self._raw += self.fragment.encode()[known : at - self._fragment_at]


def _missing(rule: Rule, value: Any) -> str | None:
    if rule.keyword != "required":
        return None
    missing: list[str] = [name for name in rule.limit if name not in value]
    return missing[0]
