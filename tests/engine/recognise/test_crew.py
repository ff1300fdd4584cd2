"""Recognisers side by side: the order of what they read, and what happens when one is gone."""

import io
import os
import select
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.audio.resampler import AudioResampler

from engine.errors import ApiError
from engine.facts.samples import Samples
from engine.recognise.companion import Companion, read_block
from engine.recognise.crew import Crew, Forked, Reader, RecogniserDied
from engine.recognise.listener import listen
from engine.recognise.speech import Ears
from engine.recognise.sphinx import Words
from engine.recognise.voice import Voice, VoiceFinder
from engine.senses import missing_package
from tests.engine.conftest import shared_clip


def voice(number: int) -> Voice:
    return Voice(number, number + 0.5, number - 0.25, np.full(16, number, dtype=np.int16))


def named(samples: Samples) -> Words:
    """Read the number that the samples are made of."""
    return [(f"word{samples[0]}", 0.25, 0.5, 0.9)]


def told_by(*readers: Reader, voices: int) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    crew = Crew(readers, told.append)
    for number in range(voices):
        crew.read(voice(number))
        crew.say({"heard": number})
    crew.finish()
    return told


def test_what_is_read_later_is_told_in_its_turn() -> None:
    second_was_read = threading.Event()

    def slow_at_first(samples: Samples) -> Words:
        if samples[0] == 0:
            assert second_was_read.wait(10)
        else:
            second_was_read.set()
        return named(samples)

    told = told_by(slow_at_first, slow_at_first, voices=6)
    assert [one["utterance"][2][0][0] for one in told[:-1:2]] == [f"word{number}" for number in range(6)]
    assert [one["heard"] for one in told[1:-1:2]] == list(range(6))
    assert told[-1] == {"done": True}


def test_times_of_words_count_from_the_sound_tracks_first_sample() -> None:
    [told, *_] = told_by(named, voices=1)
    assert told == {"utterance": [0, 0.5, [["word0", 0.0, 0.25, 0.9]]]}


def test_more_utterances_than_may_wait_are_all_read() -> None:
    assert len(told_by(named, named, voices=200)) == 401


def test_a_reader_that_fails_is_told_and_nothing_after_it() -> None:
    def fails_at_two(samples: Samples) -> Words:
        if samples[0] == 2:
            raise RecogniserDied
        return named(samples)

    told = told_by(fails_at_two, voices=100)
    assert [*told[-1]] == ["failed"]
    assert len([one for one in told if "utterance" in one]) == 2


@contextmanager
def forked(read: Reader) -> Iterator[Forked]:
    with warnings.catch_warnings():
        # Python 3.12 and later warn of forks beside threads; those of the test runner hold no lock here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = Forked(read)
    try:
        yield child
    finally:
        child.close()
        os.waitpid(child.pid, 0)


def test_a_forked_reader_answers_as_if_it_were_here() -> None:
    with forked(named) as one, forked(named) as other:
        assert one(voice(3).samples) == named(voice(3).samples)
        assert other(voice(4).samples) == named(voice(4).samples)


def test_a_killed_reader_is_noticed_while_another_lives_on() -> None:
    with forked(named) as one, forked(named) as other:
        os.kill(one.pid, signal.SIGKILL)
        with pytest.raises(RecogniserDied):
            one(voice(1).samples)
        assert other(voice(2).samples)


def test_a_reader_that_breaks_is_noticed() -> None:
    with forked(lambda samples: 1 / 0) as child, pytest.raises(RecogniserDied):
        child(voice(1).samples)


def block(samples: Samples) -> bytes:
    content = samples.tobytes()
    return len(content).to_bytes(8, "little") + content


def test_a_listener_ends_quietly_when_the_near_end_is_gone() -> None:
    told: list[dict[str, Any]] = []
    source = io.BytesIO(block(np.full(8000, 5000, dtype=np.int16)) + b"\1\0")
    listen(source, Crew([named], told.append), VoiceFinder(lambda chunk: 0.0))
    assert {"done": True} not in told


def test_a_cut_block_is_the_end_of_the_row() -> None:
    assert read_block(io.BytesIO(block(np.zeros(10, dtype=np.int16))[:-1])) is None


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as found:
        return [int(one) for one in found.read().split()]


@pytest.fixture
def ears() -> Iterator[Ears]:
    if missing := missing_package():
        pytest.skip(f"the package {missing} is not installed")
    if not os.path.exists("/proc/self/task"):
        pytest.skip("processes are found by /proc here")
    ears = Ears(["--recognisers", "2"])
    ears.begin(0.0)
    # What comes first is answered when the listener is up, and so are its recognisers.
    ears.hear(np.zeros(32_000, dtype=np.int16))
    assert ears.read(wait=True)
    yield ears
    ears.close()


def test_a_killed_recogniser_ends_the_job_with_a_reason(ears: Ears) -> None:
    first, second = children(ears.pid)
    os.kill(first, signal.SIGKILL)
    os.kill(second, signal.SIGKILL)
    speech = sound_of(shared_clip("jfk.flac"))
    with pytest.raises(ApiError, match="speech recogniser ended unexpectedly") as caught:
        ears.hear(speech)
        ears.finish()
        while not ears.done:
            ears.read(wait=True)
    assert caught.value.status == 500


def sound_of(path: Path) -> Samples:
    """Decode a sound track to 16 kHz mono."""
    to_mono = AudioResampler(format="s16", layout="mono", rate=16_000)
    with av.open(str(path)) as container:
        return np.concatenate(
            [small.to_ndarray()[0] for frame in container.decode(audio=0) for small in to_mono.resample(frame)]
        )


def test_a_killed_listener_ends_the_job_with_a_reason_and_takes_its_recognisers_along(ears: Ears) -> None:
    readers = children(ears.pid)
    fds = [os.pidfd_open(pid) for pid in readers]
    os.kill(ears.pid, signal.SIGKILL)
    with pytest.raises(ApiError, match="speech recogniser ended unexpectedly"):
        while True:
            ears.read(wait=True)
    for fd in fds:
        assert select.select([fd], [], [], 10)[0]
        os.close(fd)


def test_a_companion_that_is_killed_while_it_writes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half.py").write_text("import sys\nsys.stdout.write('{\"seen\": [')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    companion = Companion("half", (), "reader", 1)
    with pytest.raises(ApiError, match="reader ended unexpectedly"):
        companion.take(wait=True)
    companion.close()
