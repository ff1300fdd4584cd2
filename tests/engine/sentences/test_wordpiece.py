"""Text into pieces. The expected words were checked against Hugging Face's ``tokenizers`` (see docs/engine.md)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sentences.wordpiece import WordPiece, words_of
from tests.engine.tiny import WORDS

PIECES = WordPiece(WORDS)
UNKNOWN, FIRST, LAST = (WORDS.index(one) for one in ("[UNK]", "[CLS]", "[SEP]"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello  WORLD\tagain", ["hello", "world", "again"]),
        ("don't stop—now…", ["don", "'", "t", "stop", "—", "now", "…"]),
        ("Café naïve Ångström", ["cafe", "naive", "angstrom"]),
        ("漢字かな 한", ["漢", "字", "かな", "한"]),
        ("1+1=2 <b> $5 ^_^", ["1", "+", "1", "=", "2", "<", "b", ">", "$", "5", "^", "_", "^"]),
        ("a\u200db\x00c\ufffdd", ["abcd"]),
        ("a\u00a0b\u2028c", ["a", "b", "c"]),
        ("ΟΔΟΣ", ["οδοσ"]),
        ("", []),
    ],
)
def test_words_are_what_the_model_was_trained_on(text: str, words: list[str]) -> None:
    got = list(words_of(text))
    assert [one.encode() for one in got] == [one.encode() for one in _decomposed(words)]


def _decomposed(words: list[str]) -> list[str]:
    import unicodedata

    return [unicodedata.normalize("NFD", word) for word in words]


def test_the_longest_known_beginning_is_taken() -> None:
    names = [WORDS[number] for number in PIECES.encode("A green ball rolls, rolling! Café 漢", 99)]
    assert names == [
        "[CLS]", "a", "green", "ball", "roll", "##s", "[UNK]", "roll", "##ing", "!", "cafe", "漢", "[SEP]",
    ]  # fmt: skip


def test_a_word_with_an_unknown_end_is_unknown_as_a_whole() -> None:
    assert PIECES.encode("rollx", 9) == [FIRST, UNKNOWN, LAST]
    assert PIECES.encode("a" * 101, 9) == [FIRST, UNKNOWN, LAST]


def test_marks_of_the_vocabulary_cannot_be_written_in_text() -> None:
    assert LAST not in PIECES.encode("[SEP] [CLS]", 99)[1:-1]


def test_text_past_the_longest_is_cut_and_the_end_is_marked() -> None:
    assert PIECES.encode("green " * 100, 5) == [FIRST, *[WORDS.index("green")] * 3, LAST]


@given(st.text(), st.integers(2, 40))
def test_any_text_gives_a_row_within_its_bound(text: str, longest: int) -> None:
    numbers = PIECES.encode(text, longest)
    assert (numbers[0], numbers[-1]) == (FIRST, LAST)
    assert len(numbers) <= longest
    assert all(0 <= number < len(WORDS) for number in numbers)
