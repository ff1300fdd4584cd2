"""Prompts that say what they want in other words, with weights and without."""

from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.facts.intent import Intent
from engine.sentences.meaning import Meaning
from engine.tell.intent import read_intent
from engine.tell.paraphrase import EXAMPLES, Prompts
from tests.engine.conftest import true_weights
from tests.engine.paraphrases import BEYOND, PARAPHRASES

IN_ORDER = [example for examples in EXAMPLES.values() for example in examples]


class KnownMeaning:
    """All examples lie across from each other; a prompt is like one of them, more or less."""

    available = True
    weights = None

    def __init__(self, like: str, likeness: float) -> None:
        self._like, self._likeness = like, likeness

    async def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if len(texts) > 1:
            return np.eye(len(texts), dtype=np.float32)
        row = np.zeros((1, len(IN_ORDER)), np.float32)
        row[0, IN_ORDER.index(self._like)] = self._likeness
        return row


async def settled(prompt: str, like: str, likeness: float) -> Intent:
    prompts = Prompts(KnownMeaning(like, likeness))  # type: ignore[arg-type]
    await prompts.open()
    intent = await prompts.settle(prompt, read_intent(prompt))
    await prompts.close()
    return intent


async def test_a_prompt_that_words_do_not_settle_goes_where_its_nearest_example_goes() -> None:
    intent = await settled("Is it deafening?", "How loud is the audio?", 0.5)
    assert (intent.topics, intent.beyond) == (("sound",), False)


@pytest.mark.parametrize(("like", "likeness"), [("How loud is the audio?", 0.2), ("Who is this person?", 0.9)])
async def test_a_prompt_like_nothing_or_like_a_question_beyond_stays_beyond(like: str, likeness: float) -> None:
    assert (await settled("Is it deafening?", like, likeness)).beyond


async def test_what_words_settle_is_never_overruled() -> None:
    assert await settled("Summarize this", "How loud is the audio?", 1.0) == read_intent("Summarize this")


async def test_without_weights_words_have_the_last_say() -> None:
    prompts = Prompts(Meaning(None))
    await prompts.open()
    intent = read_intent("Is it deafening?")
    assert await prompts.settle("Is it deafening?", intent) == intent
    assert prompts.weights is None
    await prompts.close()


@pytest.fixture
async def prompts() -> AsyncIterator[Prompts]:
    meaning = Meaning(true_weights())
    opened = Prompts(meaning)
    await opened.open()
    yield opened
    await opened.close()
    meaning.close()


async def test_paraphrases_that_words_miss_are_mostly_understood_with_weights(prompts: Prompts) -> None:
    """The figures of docs/engine.md: 7 of 36 right without weights, six of them by the default, 27 with."""
    wrong = []
    for prompt, topic in PARAPHRASES:
        intent = await prompts.settle(prompt, read_intent(prompt))
        if intent.topics != (topic,):
            wrong.append((prompt, topic, intent.topics))
    assert sum(read_intent(prompt).topics == (topic,) for prompt, topic in PARAPHRASES) == 7
    assert len(PARAPHRASES) - len(wrong) >= 27, wrong


async def test_questions_beyond_what_is_measured_stay_beyond_with_weights(prompts: Prompts) -> None:
    changed = [one for one in BEYOND if not (await prompts.settle(one, read_intent(one))).beyond]
    assert len(changed) <= 1, changed
