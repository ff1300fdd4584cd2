"""Cut text into the pieces that the sentence model knows, as its own tokeniser does.

Source: the steps and their order in ``tokenizer.json`` of the model (BertNormalizer,
BertPreTokenizer, WordPiece) and Hugging Face's ``tokenizers``: control characters go,
ideographs stand alone, accents go, letters become small; words end at white space,
punctuation stands alone; of each word the longest known beginning is taken, over and over.
"""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

_LONGEST_WORD = 100  # code points; a longer one is unknown as a whole
_INNER = "##"  # marks a piece that does not begin a word
# Blocks of CJK ideographs; Hangul and kana are written in words and are not among them.
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


class WordPiece:
    """A vocabulary, and how text is written in it.

    Args:
        pieces: all pieces, in the order of their numbers; among them [CLS], [SEP] and [UNK].
    """

    def __init__(self, pieces: list[str]) -> None:
        self._numbers = {piece: number for number, piece in enumerate(pieces)}
        self._first, self._last = self._numbers["[CLS]"], self._numbers["[SEP]"]
        self._unknown = self._numbers["[UNK]"]

    @classmethod
    def load(cls, path: Path) -> "WordPiece":
        """Read a vocabulary of one piece a line."""
        return cls(path.read_text(encoding="utf-8").rstrip("\n").split("\n"))

    def encode(self, text: str, longest: int) -> list[int]:
        """Return a text's numbers between those of its two ends; what goes past ``longest`` is cut off."""
        numbers = [self._first]
        for word in words_of(text):
            numbers += self._pieces(word)
            if len(numbers) >= longest:
                break
        return [*numbers[: longest - 1], self._last]

    def _pieces(self, word: str) -> list[int]:
        """Return the numbers of a word's pieces; a word that has no such pieces is unknown as a whole."""
        if len(word) > _LONGEST_WORD:
            return [self._unknown]
        numbers, start = [], 0
        while start < len(word):
            mark = _INNER if start else ""
            for end in range(len(word), start, -1):
                if (number := self._numbers.get(mark + word[start:end])) is not None:
                    break
            else:
                return [self._unknown]
            numbers.append(number)
            start = end
        return numbers


def words_of(text: str) -> Iterator[str]:
    """Yield words and marks of punctuation, without accents, in small letters."""
    for word in _plain(text).split():
        start = 0
        for at, character in enumerate(word):
            if _is_punctuation(character):
                if at > start:
                    yield word[start:at]
                yield character
                start = at + 1
        if start < len(word):
            yield word[start:]


def _plain(text: str) -> str:
    spaced = "".join(_spaced(character) for character in text)
    # Accents first, then case, letter by letter: a sigma at the end of a word is a sigma.
    return "".join(one.lower() for one in unicodedata.normalize("NFD", spaced) if unicodedata.category(one) != "Mn")


def _spaced(character: str) -> str:
    if character in "\t\n\r" or unicodedata.category(character) in ("Zs", "Zl", "Zp"):
        return " "
    if character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf", "Co"):
        return ""
    code = ord(character)
    return f" {character} " if any(low <= code <= high for low, high in _IDEOGRAPHS) else character


def _is_punctuation(character: str) -> bool:
    """Whether it stands alone: marks by Unicode, and all of ASCII that is neither letter nor digit."""
    return ("!" <= character <= "~" and not character.isalnum()) or unicodedata.category(character).startswith("P")
