"""A sound track read stretch by stretch, and what happens when the listener is gone."""

import io
import os
import signal
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.audio.resampler import AudioResampler
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ApiError
from engine.facts.samples import Samples
from engine.recognise.companion import Companion, read_block
from engine.recognise.listener import listen
from engine.recognise.reading import MAX_CHARACTERS, cut
from engine.recognise.speech import Ears
from engine.recognise.voice import VoiceFinder
from engine.recognise.whisper import Reading, Words
from engine.senses import Senses
from tests.engine.conftest import shared_clip, speech_model


def block(samples: Samples) -> bytes:
    content = samples.tobytes()
    return len(content).to_bytes(8, "little") + content


def told(script: str, read: Any, language: str = "") -> list[dict[str, Any]]:
    """What a listener tells of a track: ``#`` is a chunk of voice, ``.`` one without."""
    chances = iter([0.9 if mark == "#" else 0.05 for mark in script])
    messages: list[dict[str, Any]] = []
    source = io.BytesIO(block(np.full(len(script) * 512, 5000, dtype=np.int16)) + bytes(8))
    listen(
        source,
        lambda samples: Reading(read(samples), language),
        VoiceFinder(lambda chunk: next(chances)),
        messages.append,
    )
    return messages


def said(text: str) -> Words:
    """Words of 0.4 s each, 0.1 s apart."""
    return [(word, n / 2, n / 2 + 0.4, 0.9) for n, word in enumerate(text.split())]


def test_stretches_are_told_in_their_order_and_then_the_end() -> None:
    messages = told("." * 30 + "#" * 40 + "." * 60 + "#" * 40, lambda samples: said("A car."))
    utterances = [message["utterance"] for message in messages if "utterance" in message]
    assert [[word for word, *_ in words] for _, _, words, _ in utterances] == [["A", "car."]] * 2
    assert utterances[0][0] < utterances[0][1] < utterances[1][0]
    assert messages[-1] == {"done": True}


def test_a_stretch_of_two_sentences_is_told_as_two_with_the_times_of_their_words() -> None:
    [first, second] = [
        message["utterance"]
        for message in told("#" * 100, lambda samples: said("A car turns. It stops."))
        if "utterance" in message
    ]
    assert [word for word, *_ in first[2]] == ["A", "car", "turns."]
    assert (first[1], second[0]) == (1.4, 1.5)


def heard(messages: list[dict[str, Any]]) -> list[tuple[str, float, float]]:
    told = [message["utterance"] for message in messages if "utterance" in message]
    return [(" ".join(word for word, *_ in words), start, end) for start, end, words, _ in told]


def so_far(text: str, samples: Samples) -> Words:
    """The words of a text, as many as there are samples for."""
    return [word for word in said(text) if word[1] < len(samples) / 16_000]


LONG = "one two three four five six seven eight nine ten eleven twelve"


def test_words_at_the_beginning_are_told_before_the_whole_is_read_and_never_again() -> None:
    lengths = []

    def read(samples: Samples) -> Words:
        lengths.append(round(len(samples) / 16_000, 1))
        return so_far(LONG, samples)

    messages = told("#" * 200, read)
    assert lengths == [4.0, 6.4]
    assert heard(messages) == [
        ("one two three four five six", 0.0, 2.9),
        ("seven eight nine ten eleven twelve", 2.9, 6.4),
    ]


def test_a_word_that_the_whole_is_read_otherwise_stands_as_it_was_told() -> None:
    def read(samples: Samples) -> Words:
        return so_far(LONG if len(samples) < 5 * 16_000 else LONG.replace("two", "too"), samples)

    assert " ".join(text for text, *_ in heard(told("#" * 200, read))) == LONG


def test_a_beginning_that_is_muddled_waits_for_the_whole() -> None:
    def read(samples: Samples) -> Words:
        sure = 0.5 if len(samples) < 5 * 16_000 else 0.9
        return [(text, start, end, sure) for text, start, end, _ in so_far(LONG, samples)]

    assert [text for text, *_ in heard(told("#" * 200, read))] == [LONG]


def test_a_beginning_does_not_end_with_a_word_that_leads_on() -> None:
    text = "one two three four of the seven eight nine ten eleven twelve"
    assert heard(told("#" * 200, lambda samples: so_far(text, samples)))[0][0] == "one two three four"


def test_a_stretch_that_holds_no_more_words_than_were_told_is_told_no_further() -> None:
    assert heard(told("#" * 200, lambda samples: said("A car turns."))) == [("A car turns.", 0.0, 1.4)]


def test_a_stretch_of_which_no_word_was_read_is_told_without_words() -> None:
    messages = told("#" * 40, lambda samples: [])
    assert [message["utterance"][2] for message in messages if "utterance" in message] == [[]]


def test_each_caption_of_a_stretch_has_the_language_in_which_it_was_read() -> None:
    messages = told("#" * 100, lambda samples: said("Une voiture. Elle tourne."), "fr")
    assert [message["utterance"][3] for message in messages if "utterance" in message] == ["fr", "fr"]


def test_a_listener_ends_quietly_when_the_near_end_is_gone() -> None:
    messages: list[dict[str, Any]] = []
    source = io.BytesIO(block(np.full(8000, 5000, dtype=np.int16)) + b"\1\0")
    listen(source, lambda samples: Reading([]), VoiceFinder(lambda chunk: 0.0), messages.append)
    assert {"done": True} not in messages


def test_a_cut_block_is_the_end_of_the_row() -> None:
    assert read_block(io.BytesIO(block(np.zeros(10, dtype=np.int16))[:-1])) is None


def test_a_long_sentence_is_cut_behind_a_comma() -> None:
    text = "When the lights turned green at last and nobody was left on the road, the car went on its way slowly."
    assert [" ".join(word for word, *_ in piece) for piece in cut(said(text))] == [
        "When the lights turned green at last and nobody was left on the road,",
        "the car went on its way slowly.",
    ]


@given(st.lists(st.text("ab.,? ", min_size=1, max_size=30).filter(lambda text: text.strip() == text), max_size=60))
def test_no_word_is_lost_and_no_caption_too_long_that_has_two_words(texts: list[str]) -> None:
    words: Words = [(text, n * 0.3, n * 0.3 + 0.2, 0.9) for n, text in enumerate(texts)]
    pieces = list(cut(words))
    assert [word for piece in pieces for word in piece] == words
    assert all(len(piece) == 1 or len(" ".join(word for word, *_ in piece)) <= MAX_CHARACTERS for piece in pieces)


@pytest.fixture
def ears() -> Any:
    ears = Ears(Senses(2, speech_model()).arguments())
    ears.begin(0.0)
    # What comes first is answered when the listener is up.
    ears.hear(np.zeros(32_000, dtype=np.int16))
    assert ears.read(wait=True)
    yield ears
    ears.close()


def test_a_killed_listener_ends_the_job_with_a_reason(ears: Ears) -> None:
    os.kill(ears.pid, signal.SIGKILL)
    with pytest.raises(ApiError, match="speech recogniser ended unexpectedly") as caught:
        while True:
            ears.read(wait=True)
    assert caught.value.status == 500


def sound_of(path: Path) -> Samples:
    """Decode a sound track to 16 kHz mono."""
    to_mono = AudioResampler(format="s16", layout="mono", rate=16_000)
    with av.open(str(path)) as container:
        return np.concatenate(
            [small.to_ndarray()[0] for frame in container.decode(audio=0) for small in to_mono.resample(frame)]
        )


def test_speech_played_backwards_is_not_told_as_words(ears: Ears) -> None:
    ears.hear(sound_of(shared_clip("jfk.flac"))[::-1].copy())
    ears.finish()
    facts = []
    while not ears.done:
        facts += ears.read(wait=True)
    utterances = [fact for fact in facts if hasattr(fact, "understood")]
    assert utterances
    assert not any(one.understood for one in utterances)


def test_a_companion_that_is_killed_while_it_writes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half.py").write_text("import sys\nsys.stdout.write('{\"seen\": [')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    companion = Companion("half", (), "reader", 1)
    with pytest.raises(ApiError, match="reader ended unexpectedly"):
        companion.take(wait=True)
    companion.close()


def test_a_long_sentence_without_a_comma_is_cut_before_a_word_that_begins_a_part() -> None:
    text = "This is the optical and science segment of the Webb Space Telescope in one of the largest clean rooms here."
    assert [" ".join(word for word, *_ in piece) for piece in cut(said(text))] == [
        "This is the optical and science segment of the Webb Space Telescope",
        "in one of the largest clean rooms here.",
    ]
