"""The push parser: a text that grows, in which one JSON document is found and parsed as it comes.

The scanner parses the document; here stands what is around it, by the rule of ``wrapping``: where it
begins, what comes after it, and that the end of the text is an event too.
"""

import re
import sys
from typing import Any

from protocol.json.bounds import MAX_DEPTH
from protocol.json.scan import JsonListener, JsonRefused, JsonScanner, Kind
from protocol.json.wrapping import (
    CODE_FENCE,
    LOOK_AHEAD,
    MARKS,
    MARKS_AT_END,
    PROSE_BEFORE,
    ROOT,
    TEXT_AFTER,
    THOUGHT,
    THOUGHT_OVER,
    THOUGHTS,
    UNDECIDED,
    Marks,
    is_root,
    next_document,
    past_blank,
    proof_end,
)

__all__ = ["JsonListener", "JsonPush", "JsonRefused", "Kind"]

# Where in the text the next character stands.
_START, _THOUGHT, _SCALAR, _PROSE, _INSIDE, _AFTER, _OVER, _REFUSED = range(8)
_BLANK = " \t\r\n"


class JsonPush:
    """One document in one growing text. Feed it, then close it; the first refusal is the last word.

    Not to be used from two threads at once.

    Args:
        listener: told each event, or None.
        max_depth: containers inside containers; the root is the first.
        max_names: characters of all member names on the way to a value; None where few pointers are told.
        in_hindsight: where a document begins is at times known a few bytes later: a `[` at the start of a text
            may be prose. Its beginning is then told with its own offset, not with that of the proof.

    Attributes:
        around: what stands around the document: ``prose_before``, ``code_fence``, ``text_after``.
    """

    def __init__(
        self,
        listener: JsonListener | None = None,
        *,
        max_depth: int = MAX_DEPTH,
        max_names: int | None = None,
        in_hindsight: bool = False,
    ) -> None:
        scanner = JsonScanner(listener, max_depth, max_names if max_names is not None else sys.maxsize)
        self._scanner = scanner
        self._scan = scanner.scan
        self._listener = listener
        # What is asked for at every event is the scanner's own.
        self.pointer = scanner.pointer
        self.enclosing = scanner.enclosing
        self.around: tuple[str, ...] = ()
        self._in_hindsight = in_hindsight
        self._where_in_text = _START
        self._held = ""  # the end of the text so far, while it is undecided what it is
        self._refused_start: JsonRefused | None = None  # a root string that was none
        self._refused: JsonRefused | None = None
        self._document_at = 0
        self._fence = 0  # backticks that opened the fence around the prose or the document
        self._fence_left = 0  # those of the document's fence that are still to come

    def __repr__(self) -> str:
        return f"<JsonPush {self.offset} bytes, depth {self.depth}, {' '.join(self.around) or 'bare'}>"

    @property
    def offset(self) -> int:
        """Bytes fed so far."""
        return self._scanner.offset + len(self._held.encode())

    @property
    def tells_growth(self) -> bool:
        """Whether the listener is told of growing strings."""
        return self._scanner.tells_growth

    @tells_growth.setter
    def tells_growth(self, value: bool) -> None:
        self._scanner.tells_growth = value

    @property
    def depth(self) -> int:
        """Containers open now."""
        return self._scanner.depth

    @property
    def tree(self) -> Any:
        """See `JsonScanner.tree`."""
        return self._scanner.tree

    @property
    def innermost(self) -> Any:
        """See `JsonScanner.innermost`."""
        return self._scanner.innermost

    @property
    def has_tree(self) -> bool:
        """Whether a value stands in the tree."""
        return bool(self._scanner.root)

    @property
    def has_document(self) -> bool:
        """Whether an object or array has begun. A root scalar may still turn out to be prose."""
        root = self._scanner.root
        return bool(root) and isinstance(root[0], dict | list)

    @property
    def prose_end(self) -> int:
        """The offset up to which the text is known to be no part of a document."""
        if self.has_document:
            return self._document_at
        return self._scanner.offset if self._where_in_text == _PROSE else 0

    def feed(self, fragment: str) -> None:
        """Take the next piece of text; lone surrogates must be U+FFFD by now.

        Raises:
            JsonRefused: the document cannot be JSON any more; from then on the same at each call.
        """
        if self._where_in_text != _INSIDE:
            self._advance(fragment)
        else:
            try:
                end = self._scan(fragment)
            except JsonRefused as refusal:
                self._work(self._stopped_inside(fragment, refusal))
            else:
                if end < len(fragment):
                    self._where_in_text = _AFTER
                    self._work(fragment[end:])

    def close(self) -> None:
        """The text is over.

        Raises:
            JsonRefused: the document is not complete, or there is none.
        """
        if self._refused is not None:
            raise self._refused
        self._settle()
        if self._where_in_text == _INSIDE and not self._scanner.complete and not self._ends_as_number():
            raise self._refuse_for_good(self._incomplete(self._scanner.unfinished()))
        if self._where_in_text == _START:
            raise self._refuse_for_good(self._incomplete(""))
        if self._where_in_text in (_PROSE, _THOUGHT):
            none = JsonRefused("syntax", "", self._scanner.offset, "the text holds no JSON")
            raise self._refuse_for_good(self._refused_start or none)
        if self._where_in_text == _AFTER and self._fence_half_closed:
            self._found_after()

    def _settle(self) -> None:
        """Decide what was held back, now that no more comes."""
        text, self._held = self._held, ""
        if not text:
            return
        if self._where_in_text == _THOUGHT or text[0] == "<":
            self._note_prose(text)
            self._where_in_text = _PROSE
            text = self._passed(text, len(text))
        elif self._where_in_text != _PROSE:  # an array or scalar from the start
            self._enter_document(0)
        else:
            text = self._find_document(text, MARKS_AT_END, len(text))
        self._work(text)

    def _ends_as_number(self) -> bool:
        try:
            return self._scanner.end()
        except JsonRefused as refusal:
            raise self._refuse_for_good(refusal) from None

    def _incomplete(self, pointer: str) -> JsonRefused:
        return JsonRefused("incomplete", pointer, self._scanner.offset, "the text ends before the JSON does")

    def _refuse_for_good(self, refusal: JsonRefused) -> JsonRefused:
        self._refused = refusal
        self._where_in_text = _REFUSED
        return refusal

    # One method for each place in the text; each takes what is its own and returns the rest.

    def _advance(self, fragment: str) -> None:
        if self._refused is not None:
            raise self._refused
        text, self._held = self._held + fragment, ""
        self._work(text)

    def _work(self, text: str) -> None:
        while text:
            text = _STEPS[self._where_in_text](self, text)

    def _passed(self, text: str, index: int) -> str:
        """Leave what stands before ``index`` behind; return the rest."""
        self._scanner.offset += len(text[:index].encode())
        return text[index:]

    def _hold(self, text: str) -> str:
        self._held = text
        return ""

    def _start(self, text: str) -> str:
        if blank := past_blank(text):
            return self._passed(text, blank)
        thought_over = bool(self.around)  # the text begins behind it, and no scalar is all of it
        if text[0] == "<" and not thought_over and any(tag.startswith(text[: len(tag)]) for tag in THOUGHTS):
            if THOUGHT.match(text) is None:
                return self._hold(text)
            self._where_in_text = _THOUGHT
        elif thought_over and text[0] in '"-0123456789tfn':
            self._where_in_text = _PROSE
        elif text[0] == '"':
            self._where_in_text = _INSIDE
        elif text[0] in "-0123456789tfn":
            self._where_in_text = _SCALAR
        elif found := ROOT.match(text):
            self._enter_document(proof_end(found))
        elif not is_root(text[:LOOK_AHEAD]):
            self._where_in_text = _PROSE
        elif len(text) < LOOK_AHEAD:
            return self._hold(text)
        else:
            self._enter_document(LOOK_AHEAD)
        return text

    def _thought(self, text: str) -> str:
        """Leave behind what stands before the answer."""
        over = THOUGHT_OVER.search(text)
        if over is None:
            kept = max(text.rfind("<"), len(text) - len("</thinking>"))
            return self._hold(self._passed(text, max(0, kept)))
        self.around = (PROSE_BEFORE,)
        self._where_in_text = _START
        return self._passed(text, over.end())

    def _scalar(self, text: str) -> str:
        """Hold a root number or literal back: with anything after it, it is prose."""
        if _SCALAR_SO_FAR.fullmatch(text) and len(text) < 16 * LOOK_AHEAD:
            return self._hold(text)
        self._where_in_text = _PROSE
        return text

    def _prose(self, text: str) -> str:
        undecided = UNDECIDED.search(text, max(0, len(text) - LOOK_AHEAD))
        rest = self._find_document(text, MARKS, undecided.start() if undecided else len(text))
        return rest if self._where_in_text == _INSIDE else self._hold(rest)

    def _find_document(self, text: str, marks: Marks, decided: int) -> str:
        """Leave behind what is prose and decided, and enter the document if it begins; return the rest."""
        found, self._fence = next_document(text, 0, marks, self._fence, decided)
        if found is None:
            self._note_prose(text[:decided])
            return self._passed(text, decided)
        self._note_prose(text[: found.start()])
        start = found.start()
        if self._fence:
            self.around = (*self.around, CODE_FENCE)
            self._fence_left = self._fence
            start = found.start("fenced")
        proof = proof_end(found) - start
        rest = self._passed(text, start)
        self._enter_document(len(rest[:proof].encode()))
        return rest

    def _enter_document(self, proof: int) -> None:
        """Here begins a container, as the bytes up to ``proof`` show."""
        self._where_in_text = _INSIDE
        self._document_at = self._scanner.offset
        if not self._in_hindsight:
            self._scanner.floor = self._scanner.offset + proof

    def _note_prose(self, passed: str) -> None:
        if not self.around and passed.strip(_BLANK):
            self.around = (PROSE_BEFORE,)

    def _inside(self, text: str) -> str:
        try:
            end = self._scan(text)
        except JsonRefused as refusal:
            return self._stopped_inside(text, refusal)
        if end < len(text):
            self._where_in_text = _AFTER
        return text[end:]

    def _stopped_inside(self, text: str, refusal: JsonRefused) -> str:
        """The document is refused, unless it was a scalar: then the text is something else."""
        if self.has_document:
            raise self._refuse_for_good(refusal) from None
        self._refused_start = refusal
        return self._withdraw(text, self._scanner.stopped)

    def _after(self, text: str) -> str:
        blank = 0 if self._fence_half_closed else past_blank(text)
        if blank == len(text):
            return self._passed(text, blank)
        if not self.has_document:
            return self._withdraw(text, blank)
        if self._fence_left and text[blank] == "`":
            self._fence_left -= 1
            return self._passed(text, blank + 1)
        self._found_after()
        return text

    @property
    def _fence_half_closed(self) -> bool:
        return 0 < self._fence_left < self._fence

    def _found_after(self) -> None:
        self.around = (*self.around, TEXT_AFTER)
        self._where_in_text = _OVER

    def _over(self, text: str) -> str:
        return self._passed(text, len(text))

    def _withdraw(self, text: str, index: int) -> str:
        """The root string is no document: it and what follows is prose."""
        rest = self._passed(text, index)
        self.around = (PROSE_BEFORE,)
        self._where_in_text = _PROSE
        self._scanner.restart()
        if self._listener is not None:
            self._listener.withdrawn(self._scanner.offset + len(rest[:1].encode()))
        return rest


_STEPS = {
    _START: JsonPush._start,
    _THOUGHT: JsonPush._thought,
    _SCALAR: JsonPush._scalar,
    _PROSE: JsonPush._prose,
    _INSIDE: JsonPush._inside,
    _AFTER: JsonPush._after,
    _OVER: JsonPush._over,
}
_SCALAR_SO_FAR = re.compile(r"(?:[-+.0-9eE]+|[a-z]{1,5})[ \t\r\n]*")
