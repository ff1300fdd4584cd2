"""What workers hear and read with: which model, how many cores of it, and which packages are installed."""

import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path

from engine.weights import TAGS

NO_MODEL = "the speech model is not here (`fanlight models fetch speech` fetches it)"
NO_THINGS = "the weights that name things are not here (`fanlight models fetch things` fetches them)"
ENGLISH_ALONE = "the speech model knows English alone"
# Vocabularies from this size on have more languages than English: CTranslate2's own rule.
_MANY_LANGUAGES = 51_865
# Raised when the same network is used otherwise.
_LOOKS = 1


@dataclass(frozen=True, slots=True)
class Senses:
    """What a worker is given to hear and read with.

    Attributes:
        threads: cores that speech is read with. (Measured with tiny.en: a second core takes a fifth off the encoding,
            and adds half to the decoding, whose steps are too small to be shared.)
        whisper: the directory of a CTranslate2 Whisper model; None where there is none.
        things: the directory of the weights that name things; None where there are none.
    """

    threads: int = 1
    whisper: Path | None = None
    things: Path | None = None

    def arguments(self) -> list[str]:
        """Return them as arguments of the worker."""
        return [*self.hearing(), *(["--things", str(self.things)] if self.things else [])]

    def hearing(self) -> list[str]:
        """Return those of the listener."""
        return ["--threads", str(self.threads), *(["--whisper", str(self.whisper)] if self.whisper else [])]

    def name(self) -> str:
        """Name the recognisers: facts that other recognisers found are not the same facts."""
        speech = "no speech"
        if self.whisper and not missing_listener():
            speech = f"whisper {_model(self.whisper)}{', languages' if knows_languages(self.whisper) else ''}"
        return f"{speech}, {'no text' if missing_reader() else 'rapidocr'}{self._naming()}"

    def _naming(self) -> str:
        if not self.things or missing_spotter():
            return ""
        return f", nanodet {_LOOKS}{', lite0' if TAGS.lie_in(self.things) else ''}"


def _model(directory: Path) -> str:
    """A model by its directory and size: another one under the same name is another one."""
    return f"{directory.name} {(directory / 'model.bin').stat().st_size}"


def knows_languages(directory: Path) -> bool:
    """Whether a Whisper model knows more languages than English, and so finds out which one is spoken."""
    listed, lines = directory / "vocabulary.json", directory / "vocabulary.txt"
    if listed.is_file():
        return len(json.loads(listed.read_bytes())) >= _MANY_LANGUAGES
    return lines.is_file() and len(lines.read_bytes().split(b"\n")) > _MANY_LANGUAGES  # the last line ends


@dataclass(slots=True)
class _Process:
    senses: Senses = field(default_factory=Senses)


# What this process, or the workers that it starts, hears and sees with: a fact about it, as its packages are.
_process = _Process()


def sense_with(senses: Senses) -> None:
    """Say what this process has; before that it has nothing."""
    _process.senses = senses


def speech_lack() -> str:
    """Say why nothing can be heard here; empty where it can."""
    if package := missing_listener():
        return not_installed(package)
    return "" if _process.senses.whisper else NO_MODEL


def language_lack() -> str:
    """Say why nobody can tell here in which language somebody speaks; empty where it is found out."""
    if lack := speech_lack():
        return lack
    assert _process.senses.whisper is not None
    return "" if knows_languages(_process.senses.whisper) else ENGLISH_ALONE


def things_lack() -> str:
    """Say why no thing can be named here; empty where some can."""
    if package := missing_spotter():
        return not_installed(package)
    return "" if _process.senses.things else NO_THINGS


# Which optional packages are installed; asked without importing them.


def missing_listener() -> str | None:
    """Return the name of the package for speech that is not installed, if one is not."""
    return _first_missing("faster_whisper", "onnxruntime")


def missing_reader() -> str | None:
    """Return the name of the package for on-screen text (extra ``ocr``) that is not installed, if one is not."""
    return _first_missing("rapidocr", "onnxruntime")


def missing_spotter() -> str | None:
    """Return the name of the package for things that is not installed, if one is not."""
    return _first_missing("onnxruntime")


def not_installed(package: str, extra: str = "") -> str:
    """Say that a package is not installed, and with which extra it comes."""
    return f"the package {package} is not installed" + (f" (extra {extra})" if extra else "")


def _first_missing(*names: str) -> str | None:
    return next((name for name in names if importlib.util.find_spec(name) is None), None)
