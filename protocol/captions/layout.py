"""A caption's text laid out for the screen: parts of at most two lines of 37 columns, broken where it reads well.

Words break at spaces; Chinese and Japanese between characters, but not before closing or after opening
punctuation; a word longer than a line between its letters, never inside what is seen as one character.
Characters of East Asian width take two columns, combining and formatting ones none. Nothing is added,
removed or reordered but white space: direction marks stay where they are, beside what they act on.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

COLUMNS = 37
LINES = 2
# Longer texts are filled line by line; choosing among all breaks would take too long.
_CHOOSE_UP_TO = 2_000

_SENTENCE_END = re.compile(r"[.!?…。！？‽؟۔।][\"'”’»」』)\]）】\u200e\u200f\u202c\u2069]*\Z")
_CLAUSE_END = re.compile(r"[,;:،؛、，；：–—-][\"'”’»」』)\]）】\u200e\u200f\u202c\u2069]*\Z")
# Japanese and Chinese line breaking (JIS X 4051, GB/T 15834): these do not begin or end a line.
_NOT_FIRST = frozenset(
    "、。，．・：；！？）」』】〉》〕］｝ー々ゝゞヽヾ…‥ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ%％,.!?:;)]}"
)
_NOT_LAST = frozenset("（「『【〈《〔［｛([{$¥￥")
_BREAKS_ANYWHERE = re.compile(
    "[\u2e80-\u2fdf\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uff65\U00020000-\U0003ffff]"
)
_OPENING_MARKS = frozenset("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u200d")


class _Unit(NamedTuple):
    """What is not broken: a word, or a character of a script that breaks anywhere."""

    text: str
    columns: int
    spaced: bool  # a space stands before it


class _Choice(NamedTuple):
    cost: float
    begin: int
    lines: tuple[int, ...]  # where each line of the part begins


def columns(text: str) -> int:
    """Return how many columns a line takes."""
    if text.isascii() and text.isprintable():
        return len(text)
    return sum(_columns_of(char) for char in text)


def characters(text: str) -> int:
    """Return how many characters there are to read: those that take room."""
    if text.isascii():
        return len(text) - text.count("\n")
    return sum(1 for char in text if char != "\n" and _columns_of(char))


def lay_out(text: str) -> list[str]:
    """Return the text in parts for the screen, in order; lines are separated by newlines.

    A text that fits as it is stays as it is.
    """
    lines = text.split("\n")
    if len(lines) <= LINES and all(columns(line) <= COLUMNS for line in lines):
        return [text]
    units = _units(text)
    return _filled(units) if len(text) > _CHOOSE_UP_TO else _chosen(units)


@lru_cache(maxsize=4096)
def _columns_of(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf", "Cc"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def _units(text: str) -> list[_Unit]:
    units: list[_Unit] = []
    for word in text.split():
        spaced = bool(units)
        for piece in _pieces(word):
            units.append(_Unit(piece, columns(piece), spaced))
            spaced = False
    return units


def _pieces(word: str) -> list[str]:
    """A word where a line may break in it: between wide characters, else only when it fills a line."""
    if word.isascii() and len(word) <= COLUMNS:
        return [word]
    pieces: list[str] = []
    current, width = "", 0
    for cluster in _clusters(word):
        size = columns(cluster)
        if current and (_may_break(current, cluster) or width + size > COLUMNS):
            pieces.append(current)
            current, width = "", 0
        current += cluster
        width += size
    return [*pieces, current] if current else pieces


def _clusters(word: str) -> list[str]:
    """The word as characters that are seen as one: with marks, joiners and direction marks attached."""
    begins = [0]
    for place, (before, char) in enumerate(pairwise(word), 1):
        joins = (
            (_columns_of(char) == 0 and char not in _OPENING_MARKS)
            or before in _OPENING_MARKS
            or "\U0001f3fb" <= char <= "\U0001f3ff"
            or char == "\u200d"
        )
        if not joins:
            begins.append(place)
    return [word[begin:end] for begin, end in pairwise([*begins, len(word)])]


def _may_break(before: str, after: str) -> bool:
    if before[-1] in _NOT_LAST or after[0] in _NOT_FIRST:
        return False
    return bool(_BREAKS_ANYWHERE.match(before[-1]) or _BREAKS_ANYWHERE.match(after[0]))


def _filled(units: list[_Unit]) -> list[str]:
    """Parts whose lines are filled one after the other."""
    lines: list[str] = []
    line, width = "", 0
    for unit in units:
        gap = 1 if unit.spaced and line else 0
        if line and width + gap + unit.columns > COLUMNS:
            lines.append(line)
            line, width, gap = "", 0, 0
        line += " " * gap + unit.text
        width += gap + unit.columns
    lines.append(line)
    return ["\n".join(lines[place : place + LINES]) for place in range(0, len(lines), LINES)]


def _chosen(units: list[_Unit]) -> list[str]:
    """Parts that end where a sentence or clause does, if they can, with lines of like length."""
    if layout := _two_lines(units, 0, len(units)):
        return [_part(units, layout[1], len(units))]
    best = [_Choice(0.0, 0, ())]
    for end in range(1, len(units) + 1):
        best.append(min(_choices(units, end, best), key=lambda choice: choice.cost))
    parts: list[str] = []
    end = len(units)
    while end:
        choice = best[end]
        parts.append(_part(units, choice.lines, end))
        end = choice.begin
    return parts[::-1]


def _part(units: list[_Unit], begins: tuple[int, ...], end: int) -> str:
    edges = (*begins, end)
    return "\n".join(_joined(units[first:last]) for first, last in pairwise(edges))


def _choices(units: list[_Unit], end: int, best: list[_Choice]) -> list[_Choice]:
    """The ways to let a part end before ``end``."""
    found: list[_Choice] = []
    for begin in range(end - 1, -1, -1):
        layout = _two_lines(units, begin, end)
        if layout is None:
            break
        cost, lines = layout
        total = best[begin].cost + cost + _PART + _break_cost(units, end)
        found.append(_Choice(total, begin, lines))
    return found


# Costs, in columns of ragged lines that one would accept instead.
_PART, _AT_SENTENCE, _AT_CLAUSE, _AT_WORD, _IN_WORD = 30.0, 0.0, 8.0, 25.0, 60.0


def _break_cost(units: list[_Unit], end: int) -> float:
    if end == len(units) or _SENTENCE_END.search(units[end - 1].text):
        return _AT_SENTENCE
    if _CLAUSE_END.search(units[end - 1].text):
        return _AT_CLAUSE
    return _AT_WORD if units[end].spaced or _BREAKS_ANYWHERE.match(units[end].text) else _IN_WORD


def _two_lines(units: list[_Unit], begin: int, end: int) -> tuple[float, tuple[int, ...]] | None:
    """The best way to set ``units[begin:end]`` in one line or two; None when they do not fit."""
    ends = list(accumulate(unit.columns + unit.spaced for unit in units[begin:end]))
    whole = ends[-1] - units[begin].spaced
    if whole <= COLUMNS:
        return 0.0, (begin,)
    best: tuple[float, tuple[int, ...]] | None = None
    for middle in range(begin + 1, end):
        first = ends[middle - begin - 1] - units[begin].spaced
        if first > COLUMNS:
            break
        second = whole - first - units[middle].spaced
        if second <= COLUMNS:
            cost = abs(first - second) / 4 + _break_cost(units, middle) / 2
            best = min(best or (cost, (begin, middle)), (cost, (begin, middle)))
    return best


def _joined(units: list[_Unit]) -> str:
    return "".join([f" {unit.text}" if unit.spaced and place else unit.text for place, unit in enumerate(units)])
