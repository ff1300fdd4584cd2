"""Tokens of pages and of upload addresses."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.work.tokens import Expired, Forged, Tokens


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_token_gives_its_text_back_and_is_url_safe(text: str) -> None:
    tokens = Tokens(b"secret", "page", Clock())
    token = tokens.make(text, 60)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)
    assert tokens.read(token) == text


def test_a_token_ends_when_its_time_is_over() -> None:
    clock = Clock()
    tokens = Tokens(b"secret", "page", clock)
    token = tokens.make("x", 60)
    clock.now += 59
    assert tokens.read(token) == "x"
    clock.now += 1
    with pytest.raises(Expired):
        tokens.read(token)


def test_no_other_text_passes_for_a_token() -> None:
    tokens = Tokens(b"secret", "page", Clock())
    token = tokens.make("x", 60)
    changed = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token) - 1)]
    for wrong in (*changed, "", "x", "ä", token[:-3], Tokens(b"other", "page", Clock()).make("x", 60)):
        with pytest.raises(Forged):
            tokens.read(wrong)


def test_a_token_serves_one_purpose() -> None:
    with pytest.raises(Forged):
        Tokens(b"secret", "page", Clock()).read(Tokens(b"secret", "chunk", Clock()).make("x", 60))
