"""Levels, silences and tones of sounds that are known."""

import numpy as np
import pytest

from engine.facts.facts import Fact, Level, Silence, Tone
from engine.facts.samples import RATE, Samples
from engine.measure.sound import SoundMeter


def tone(hz: float, seconds: float, share: float = 0.5) -> Samples:
    phase = 2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE
    return (share * 32767 * np.sin(phase)).astype(np.int16)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), dtype=np.int16)


def noise(seconds: float) -> Samples:
    return np.random.default_rng(1).normal(0, 3000, round(seconds * RATE)).astype(np.int16)


def measure(samples: Samples, piece: int = 1000, start: float = 0.0) -> list[Fact]:
    meter = SoundMeter(start)
    facts = [fact for at in range(0, len(samples), piece) for fact in meter.feed(samples[at : at + piece])]
    return facts + meter.finish()


@pytest.mark.parametrize("piece", [1, 333, 16_000, 10**6])
def test_facts_do_not_depend_on_how_the_samples_come(piece: int) -> None:
    samples = np.concatenate([silence(1), tone(440, 2), noise(1)])[: 5 * RATE // (10 if piece == 1 else 1)]
    assert sorted(measure(samples, piece), key=repr) == sorted(measure(samples), key=repr)


def test_silence_is_told_with_its_times() -> None:
    [found] = [fact for fact in measure(np.concatenate([noise(1), silence(2), noise(1)])) if isinstance(fact, Silence)]
    assert (found.start, found.end) == (pytest.approx(1.0, abs=0.05), pytest.approx(3.0, abs=0.05))


def test_a_short_pause_is_no_silence() -> None:
    assert not any(isinstance(fact, Silence) for fact in measure(np.concatenate([noise(1), silence(0.3), noise(1)])))


@pytest.mark.parametrize("hz", [110.0, 440.0, 660.0, 3000.0])
def test_a_steady_tone_is_told_with_its_frequency(hz: float) -> None:
    [found] = [
        fact for fact in measure(np.concatenate([silence(1), tone(hz, 2), silence(1)])) if isinstance(fact, Tone)
    ]
    assert found.hz == pytest.approx(hz, rel=0.02)
    assert found.end - found.start == pytest.approx(2.0, abs=0.5)


def test_noise_is_no_tone() -> None:
    assert not any(isinstance(fact, Tone) for fact in measure(noise(3)))


def test_two_tones_are_told_apart() -> None:
    found = [fact.hz for fact in measure(np.concatenate([tone(440, 2), tone(660, 2)])) if isinstance(fact, Tone)]
    assert found == [pytest.approx(440, rel=0.02), pytest.approx(660, rel=0.02)]


def test_levels_cover_the_whole_sound_a_second_each() -> None:
    levels = [fact for fact in measure(noise(2.5), start=3.0) if isinstance(fact, Level)]
    assert [(one.start, one.end) for one in levels] == [(3.0, 4.0), (4.0, 5.0), (5.0, 5.5)]
