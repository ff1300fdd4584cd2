"""Which words a question is searched by."""

import pytest

from engine.facts.words import word_query


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("a green picture", '"green" OR "picture"'),
        ("the", '"the"'),  # nothing telling: then what there is
        ('x" OR text:y *', '"x" OR "text" OR "y"'),
        ("???", '""'),
    ],
)
def test_words_are_searched_as_they_stand(text: str, query: str) -> None:
    assert word_query(text) == query
