"""Captions from plain text: ``[mm:ss] words`` and ``mm:ss - mm:ss words``.

A cue's words run from its mark to the next mark, to a blank line, or to the end of a line that ends a
sentence; what follows without a mark is no caption. With one time the cue is final when the next mark tells
where it ends; with two it is final as soon as its words are. What may still become a mark is not shown.
"""

import re

from protocol.captions.cues import Cue, CueBoard
from protocol.captions.media_times import CLOCK, seconds

_GAP = r"[ \t]{0,3}"
_DASH = rf"{_GAP}(?:-->|->|[-–—~]){_GAP}"
_BRACKETED = rf"[\[(]{_GAP}({CLOCK})(?:(?:{_DASH}|{_GAP}to{_GAP})({CLOCK}))?{_GAP}[\])]"
# In a growing text the character after the second time tells that the time is over.
_BARE = rf"(?<![\w:.,])({CLOCK}){_DASH}({CLOCK})(?=[^0-9:.,]|[.,:][^0-9])"
_MARK = re.compile(f"{_BRACKETED}|{_BARE}")
_MARK_AT_END = re.compile(rf"{_BRACKETED}|{_BARE[:-1]}|[.,:]?\Z)")
# What may stand before a mark and belong to it: white space, a list's bullet or number, emphasis.
# White space is taken in one way only (``++``): a run of it has as many ways to be shared out as it is long.
_BEFORE = r"(?:\s{1,64}+(?:[-*•>#–—|]{1,3}|[0-9]{1,3}[.)]?)\s{0,64}+|\s{1,128}+)?[*_]{0,2}"
_TIME_SO_FAR = r"[0-9][0-9:.,]{0,14}"
_RANGE_SO_FAR = rf"{_TIME_SO_FAR}(?:{_GAP}(?:-{{1,2}}>?|[–—~]|to?)?{_GAP}(?:{_TIME_SO_FAR})?)?"
# What at the end of the text may yet turn out to be a mark, or to stand before one.
_OPEN_END = re.compile(rf"{_BEFORE}(?:[\[(]{_GAP}(?:{_RANGE_SO_FAR}{_GAP})?|(?<![\w:.,]){_RANGE_SO_FAR})?\Z")
_LONGEST_OPEN_END = 256
# The part of it that is taken off the words when a mark does follow.
_TAIL = re.compile(r"(?:\s++[-*•>#–—|]{1,3}|\s++[0-9]{1,3}[.)]|\n[ \t]*+[0-9]{1,3}(?=[ \t]*+\n))?\s*+[*_]{0,2}\Z")
# Between a mark and its words.
_LEAD = re.compile(r"[\s:*_|>)\]–—-]*")
# The words end at a line's end before more text: at a blank line, or where the line ends a sentence.
# Each run of white space is looked at once, from its beginning.
_LINE_END = re.compile(r"(?<!\s)(?P<blank>[^\S\n]*+)\n\s*+\S")
_BLANK_LINE = re.compile(r"\n[ \t]*+\n")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’」』)\]*_]{0,3}\Z")
_SPACES = re.compile(r"\s+")
# How far the patterns above look back into what was passed.
_LOOK_BACK = 16


class PlainCues:
    """Puts the cues of a plain text on a board.

    Args:
        board: theirs.
    """

    def __init__(self, board: CueBoard) -> None:
        self._board = board
        self._cue: Cue | None = None
        self._has_words = False
        self._is_over = False  # the cue's words have ended; its time may not be known yet
        self._words = ""  # the last of them as written
        self._space_due = False  # before the next ones
        self._text = ""  # what is not decided yet, and a little before it
        self._from = 0  # where it begins there
        self._offset = 0  # and in the whole text, in bytes
        self._head = 0  # where the whole text ends
        self._seen = 0  # and where it ended before the latest piece

    def grew(self, head: int) -> None:
        """The whole text now ends at offset ``head``; what of it is fed may come later."""
        self._seen, self._head = self._head, head

    def feed(self, fragment: str) -> None:
        """Take the next piece of text."""
        self._text += fragment
        self._take_marks(_MARK)
        begin = max(self._from, len(self._text) - _LONGEST_OPEN_END)
        open_end = _OPEN_END.search(self._text, begin)
        self._take_words(open_end.start() if open_end else len(self._text))
        kept = max(0, self._from - _LOOK_BACK)
        self._text, self._from = self._text[kept:], self._from - kept
        if self._cue is not None:
            self._board.grown(self._cue, self._at(self._offset))

    def close(self) -> None:
        """The text is over."""
        self._seen = self._head
        self._take_marks(_MARK_AT_END)
        tail = _TAIL.search(self._text, max(self._from, len(self._text) - _LONGEST_OPEN_END))
        self._take_words(tail.start() if tail else len(self._text))
        self._end_cue(self._offset)

    # What is mark and what is words

    def _take_marks(self, pattern: re.Pattern[str]) -> None:
        while mark := pattern.search(self._text, self._from):
            begin = max(self._from, mark.start() - _LONGEST_OPEN_END)
            tail = _TAIL.search(self._text, begin, mark.start())
            self._take_words(tail.start() if tail else mark.start())
            start, end = seconds(mark[1] or mark[3]), seconds(mark[2] or mark[4])
            begins = self._offset
            self._pass(mark.end())
            # A bare mark is proved by the character after it.
            beyond = self._text[self._from : self._from + 1] if mark[3] else ""
            self._end_cue(self._offset + len(beyond.encode()), start)
            self._begin_cue(begins, start, end)

    def _take_words(self, until: int) -> None:
        text = self._text[self._from : until]
        if self._cue is not None and not self._is_over and text:
            proof = self._add_words(self._cue, text)
            if proof is not None:
                self._is_over = True
                if self._cue.end is not None:
                    self._end_cue(self._offset + len(text[:proof].encode()))
        self._pass(until)

    def _pass(self, until: int) -> None:
        self._offset += len(self._text[self._from : until].encode())
        self._from = until

    # What becomes of it

    def _begin_cue(self, at: int, start: float | None, end: float | None) -> None:
        self._cue = Cue(at, start, end)
        self._has_words = self._is_over = self._space_due = False
        self._words = ""

    def _end_cue(self, at: int, next_start: float | None = None) -> None:
        """The next mark, or the end of the text, has come."""
        cue, self._cue = self._cue, None
        if cue is None:
            return
        if cue.end is None and next_start is not None and cue.start is not None and next_start > cue.start:
            cue.end = next_start
        self._board.final(cue, self._at(at))

    def _at(self, offset: int) -> int:
        """The offset to tell: past what was there before: a reader that has that would not be told again."""
        return offset if offset > self._seen else self._head

    def _add_words(self, cue: Cue, text: str) -> int | None:
        """Add text to a cue; return the position past the first character that is not the cue's any more."""
        lead = _LEAD.match(text)
        skipped = lead.end() if lead and not self._has_words else 0
        self._has_words = self._has_words or skipped < len(text)
        written = self._words + text[skipped:]
        before = len(text) - len(written)  # from a position in `written` to one in `text`
        end = _words_end(written)
        self._words = written[-_LOOK_BACK:]
        if end is None:
            self._show(cue, text[skipped:])
            return None
        self._show(cue, text[skipped : max(skipped, end.start() + before)])
        return end.end() + before

    def _show(self, cue: Cue, text: str) -> None:
        shown = _SPACES.sub(" ", text)
        words = shown.strip()
        if words:
            spaced = self._space_due or shown[0] == " "
            cue.add(f" {words}" if spaced and (cue.text or cue.waiting) else words)
        if shown:
            self._space_due = shown[-1] == " "


def _words_end(written: str) -> re.Match[str] | None:
    """The white space at which the words end, with the character after it that proves it."""
    for end in _LINE_END.finditer(written):
        if _BLANK_LINE.search(written, end.start(), end.end()):
            return end
        # What ends a sentence is four characters at most.
        is_bare = not end["blank"].strip(" \t")
        if is_bare and _SENTENCE_END.search(written, max(0, end.start() - 4), end.start()):
            return end
    return None
