"""What can be had of a clip, and what is said of the rest."""

import pytest

from engine.facts.facts import Clip
from engine.senses import ENGLISH_ALONE, NO_MODEL, NO_THINGS
from engine.worker.answer import examinations_of, lacking

ALL = frozenset({"picture", "sound", "speech"})
FILM = Clip(10.0, 640, 360, 25.0, "h264", "aac", 1, 44100)
MUTE = Clip(10.0, 640, 360, 25.0, "h264")
RECORD = Clip(10.0, audio_codec="flac")


def outcomes(clip: Clip, needs: frozenset[str] = ALL) -> dict[str, str]:
    return {kind: exam.outcome for kind, exam in examinations_of(clip, needs).items()}


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.worker.answer.speech_lack", lambda: NO_MODEL)


@pytest.fixture
def no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.worker.answer.missing_reader", lambda: "rapidocr")


@pytest.fixture
def a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.worker.answer.missing_reader", lambda: None)


@pytest.fixture(autouse=True)
def a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.worker.answer.speech_lack", lambda: "")
    monkeypatch.setattr("engine.worker.answer.things_lack", lambda: "")
    monkeypatch.setattr("engine.worker.answer.language_lack", lambda: ENGLISH_ALONE)


@pytest.mark.usefixtures("no_reader")
def test_what_is_needed_and_can_be_had_is_made() -> None:
    assert outcomes(FILM) == {
        "picture": "made", "sound": "made", "speech": "made", "on_screen_text": "not_available",
        "things": "not_needed",
    }  # fmt: skip


@pytest.mark.usefixtures("a_reader")
def test_text_on_the_screen_is_read_where_a_reader_is_installed_and_asked_for() -> None:
    assert outcomes(FILM)["on_screen_text"] == "not_needed"
    assert outcomes(FILM, frozenset({"on_screen_text"}))["on_screen_text"] == "made"
    assert "on_screen_text" not in lacking(FILM)


@pytest.mark.usefixtures("a_reader")
def test_a_recording_of_sound_shows_no_text() -> None:
    assert examinations_of(RECORD, frozenset({"on_screen_text"}))["on_screen_text"].reason == "the file has no picture"


@pytest.mark.usefixtures("no_reader")
def test_a_missing_reader_is_said_with_the_extra_that_brings_it() -> None:
    assert lacking(FILM)["on_screen_text"] == "the package rapidocr is not installed (extra ocr)"


def test_things_are_looked_for_where_their_weights_are_and_they_are_asked_for() -> None:
    assert outcomes(FILM, frozenset({"things"}))["things"] == "made"
    assert examinations_of(RECORD, frozenset({"things"}))["things"].reason == "the file has no picture"


def test_missing_weights_for_things_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.worker.answer.things_lack", lambda: NO_THINGS)
    assert lacking(FILM)["things"] == NO_THINGS
    assert examinations_of(FILM, frozenset({"things"}))["things"].reason == NO_THINGS


def test_what_nobody_asked_for_is_not_made() -> None:
    assert outcomes(FILM, frozenset({"picture"}))["speech"] == "not_needed"


def test_a_file_without_sound_or_picture_says_so() -> None:
    assert examinations_of(MUTE, ALL)["speech"].reason == "the file has no sound track"
    assert examinations_of(RECORD, ALL)["picture"].reason == "the file has no picture"


@pytest.mark.usefixtures("no_model")
def test_a_missing_model_is_said_and_is_no_error() -> None:
    assert examinations_of(FILM, ALL)["speech"].reason == NO_MODEL
    assert lacking(FILM)["speech"] == NO_MODEL


@pytest.mark.usefixtures("no_model")
def test_without_a_sound_track_no_model_is_missed() -> None:
    assert "speech" not in lacking(MUTE)


def test_a_model_that_knows_english_alone_is_said_to_read_english_and_tells_no_language() -> None:
    assert examinations_of(FILM, ALL)["speech"].language == "en"
    assert lacking(FILM)["language"] == ENGLISH_ALONE


def test_a_model_of_many_languages_tells_them_of_each_utterance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.worker.answer.language_lack", lambda: "")
    assert examinations_of(FILM, ALL)["speech"].language == ""
    assert "language" not in lacking(FILM)
