"""What a prompt asks for, judged by its nearest example, when none of its words settled it.

A prompt goes to the topic of its nearest example. Questions that nothing measured here can
answer are examples too: a prompt that is nearest to one of them stays beyond.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.facts.intent import Intent, Topic
from engine.sentences.meaning import Meaning

if TYPE_CHECKING:
    from engine.sentences.bert import Matrix

EXAMPLES: dict[Topic | None, tuple[str, ...]] = {
    "summary": (
        "Summarise this video",
        "Give me the main points in short",
        "Tell me briefly what this is",
        "What is going on in this clip?",
        "Explain the content of the video to me",
    ),
    "chapters": (
        "Divide the video into chapters with timestamps",
        "Where does one scene end and the next begin?",
        "Make a table of contents so that I can jump to a place",
        "List the structure of the video step by step with times",
    ),
    "transcript": (
        "Write down every word that is spoken",
        "What does the person tell us?",
        "Give me the full text of the speech",
        "Write out the conversation word for word",
        "What were their exact words?",
    ),
    "look": (
        "Which colours does the picture have?",
        "How bright or dark is the image?",
        "How much movement is there in the picture?",
        "Describe the visual appearance",
        "What is the lighting and the tint of the footage like?",
    ),
    "sound": (
        "How loud is the audio?",
        "Are there silences or noises?",
        "What can be heard on the sound track?",
        "Is there a beep or a tone?",
    ),
    "text": (
        "Which words are shown in the picture?",
        "Read me the signs and titles that can be seen",
    ),
    None: (
        "How many people are there?",
        "Who is this person?",
        "What animal is in the video?",
        "What is the dog doing?",
        "What brand is the car?",
        "Is the man happy or angry?",
        "Where was this filmed?",
        "What is she holding in her hand?",
        "Is this video suitable for children?",
        "Why did he do that?",
        "Write a poem",
    ),
}
_TOPICS = [topic for topic, examples in EXAMPLES.items() for _ in examples]
# A prompt that is less like its nearest example is like none (docs/engine.md: how it was found).
_ALIKE = 0.35


class Prompts:
    """Judge prompts beyond their words; without weights, by their words alone."""

    def __init__(self, meaning: Meaning) -> None:
        self._meaning = meaning
        self._examples: asyncio.Task[Matrix] | None = None

    async def open(self) -> None:
        """Make the examples' vectors in the background."""
        if self._meaning.available:
            examples = [example for examples in EXAMPLES.values() for example in examples]
            self._examples = asyncio.create_task(self._meaning.vectors(examples))

    async def close(self) -> None:
        if self._examples is not None:
            self._examples.cancel()
            await asyncio.gather(self._examples, return_exceptions=True)

    @property
    def weights(self) -> Path | None:
        """The directory of the sentence model; None for words only."""
        return self._meaning.weights

    async def settle(self, prompt: str, intent: Intent) -> Intent:
        """Return what a prompt asks for; what its words have settled stays as it is."""
        if self._examples is None or not intent.unsure:
            return intent
        [vector] = await self._meaning.vectors([prompt])
        topics = nearest_topic(await asyncio.shield(self._examples) @ vector)
        return replace(intent, topics=topics, beyond=False, unsure=False) if topics else intent


def nearest_topic(likeness: "Matrix") -> tuple[Topic, ...]:
    """Return the topic of the nearest example; none where that is too far, or is no topic.

    Args:
        likeness: of a prompt and each example, in their order.
    """
    nearest = int(likeness.argmax())
    topic = _TOPICS[nearest]
    return (topic,) if topic is not None and likeness[nearest] >= _ALIKE else ()
