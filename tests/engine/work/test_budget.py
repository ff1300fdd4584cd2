"""What a token is, and how far a budget goes."""

from hypothesis import given
from hypothesis import strategies as st

from engine.work.budget import Budget, tokens_in


@given(st.lists(st.text()), st.integers(1, 20))
def test_a_budget_cuts_between_characters_and_never_gives_more(texts: list[str], tokens: int) -> None:
    budget = Budget(tokens)
    whole = "".join(texts)
    taken = "".join(budget.take(text) for text in texts)
    assert whole.startswith(taken)
    assert len(taken.encode()) <= tokens * 4
    assert budget.tokens == tokens_in(taken)
    assert budget.exhausted == (len(whole.encode()) > tokens * 4)
