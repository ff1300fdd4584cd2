"""Words out of an utterance, with faster-whisper and a model that lies on this machine.

Nothing is ever fetched here: the directory must hold all that faster-whisper 1.2 reads, its tokenizer too, which it
would otherwise look for on the network.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.facts.samples import Samples

# A word, its start and its end in seconds from the utterance's first sample, its confidence 0..1.
Words = list[tuple[str, float, float, float]]


class Reading(NamedTuple):
    """What was read of an utterance.

    Attributes:
        language: its code, where the model found it out; empty where it knows one alone.
    """

    words: Words
    language: str = ""


Reader = Callable[[Samples], Reading]

_NEEDED = ("model.bin", "config.json", "tokenizer.json")
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")  # the latter in older models


def lack_of(directory: Path) -> str:
    """Say what keeps a directory from being a CTranslate2 Whisper model; empty if nothing does."""
    if not directory.is_dir():
        return f"{directory} is not a directory"
    absent = [name for name in _NEEDED if not (directory / name).is_file()]
    if not any((directory / name).is_file() for name in _VOCABULARIES):
        absent.append(_VOCABULARIES[0])
    return f"{directory} lacks {', '.join(absent)}" if absent else ""


def memory_of(directory: Path) -> int:
    """Return how many bytes a loaded model may take: its weights, once more while they are converted."""
    return 2 * (directory / "model.bin").stat().st_size


def reader_of(directory: Path, threads: int) -> Reader:
    """Load a model; one utterance is read at a time, by so many threads.

    Raises:
        RuntimeError: the files are no model.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    from faster_whisper import WhisperModel

    model = WhisperModel(str(directory), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True)
    return lambda samples: read_with(model, samples)


def read_with(model: Any, samples: Samples) -> Reading:
    """Return the words of an utterance; times and confidence are the model's own word timestamps.

    Each utterance stands for itself: text that was read before must not lead the model on.
    """
    many = model.model.is_multilingual
    segments, info = model.transcribe(
        samples.astype(np.float32) / 32768.0,
        task="transcribe",  # nothing is translated
        language=None if many else "en",
        word_timestamps=True,
        condition_on_previous_text=False,
        vad_filter=False,  # voice was found already
    )
    words = [
        (text, float(word.start), float(word.end), min(1.0, max(0.0, float(word.probability))))
        for segment in segments
        for word in segment.words or ()
        if (text := word.word.strip())
    ]
    return Reading(words, info.language if many else "")
