"""How workers hear: which recogniser, and how many of it."""

import os
from dataclasses import dataclass
from pathlib import Path

from engine.packages import missing_package, missing_reader

# Each holds a decoder's memory, and an utterance is read by one alone: more find no work.
_MOST = 8


def one_a_core() -> int:
    return max(1, min(_MOST, os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class Senses:
    """What a worker is given to hear and read with.

    Attributes:
        recognisers: utterances of one sound track that are read at once.
        whisper: the directory of a CTranslate2 Whisper model, to be used instead of pocketsphinx.
    """

    recognisers: int = 1
    whisper: Path | None = None

    def arguments(self) -> list[str]:
        """Return them as arguments of the worker and of the listener."""
        return ["--recognisers", str(self.recognisers), *(["--whisper", str(self.whisper)] if self.whisper else [])]

    def name(self) -> str:
        """Name what recognises: facts that something else measured are not the same facts."""
        speech = f"whisper {self.whisper.name}" if self.whisper else "pocketsphinx"
        return f"{'no speech' if missing_package() else speech}, {'no text' if missing_reader() else 'rapidocr'}"
