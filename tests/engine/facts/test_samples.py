"""Levels of samples that are known."""

import numpy as np
import pytest

from engine.facts.samples import RATE, level_dbfs


def test_a_sine_at_half_scale_is_nine_decibels_down() -> None:
    wave = 0.5 * 32767 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert level_dbfs(wave.astype(np.int16)) == pytest.approx(-9.03, abs=0.05)


def test_nothing_is_at_the_floor() -> None:
    assert level_dbfs(np.zeros(RATE, np.int16)) == level_dbfs(np.zeros(0, np.int16)) == -96.0
