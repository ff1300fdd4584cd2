"""Sound that cancels itself when it is added up: neither silent, nor lost to the recogniser."""

from pathlib import Path

import numpy as np
import pytest
from av.audio.frame import AudioFrame

from engine.facts.facts import Level, Silence, Tone
from engine.facts.samples import level_dbfs
from engine.measure.examine import Order, examine
from engine.measure.media import read_clip
from engine.measure.mixing import Mixer
from engine.measure.opening import open_media
from tests.engine.clips import RATE, Sound, quiet, tone, write

VOICE = tone(2.0, 300.0)[0]
OTHER = tone(2.0, 700.0)[0]


def mixed(channels: list[np.ndarray], layout: str) -> np.ndarray:
    """Mix channels, block by block as a decoder gives them."""
    sound = np.stack(channels).astype(np.float32)
    mixer, found = None, []
    for at in range(0, sound.shape[1], 1024):
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(sound[:, at : at + 1024]), format="fltp", layout=layout)
        frame.sample_rate = RATE
        mixer = mixer or Mixer(frame)
        found += mixer.mix(frame)
    assert mixer is not None
    return np.concatenate([one.mono for one in (*found, *mixer.mix(None))])


def power(sound: np.ndarray, hz: float) -> float:
    """Return the level of one frequency, in dB below full scale."""
    wave = np.exp(2j * np.pi * hz * np.arange(len(sound)) / RATE)
    return 20 * float(np.log10(max(abs(np.mean(sound / 32768.0 * wave)) * 2**0.5, 1e-9)))


@pytest.mark.parametrize(
    ("channels", "layout"),
    [
        ([VOICE, VOICE], "stereo"),
        ([VOICE, -VOICE], "stereo"),
        ([-VOICE, VOICE], "stereo"),
        ([VOICE, -0.8 * VOICE], "stereo"),
    ],
)
def test_a_voice_survives_crossed_wires(channels: list[np.ndarray], layout: str) -> None:
    assert level_dbfs(mixed(channels, layout)) > level_dbfs((VOICE * 32767).astype(np.int16)) - 2


def test_an_inverted_channel_does_not_turn_the_mixture_over_and_over() -> None:
    whole = mixed([VOICE, -VOICE], "stereo")
    reference = (VOICE * 32767).astype(np.int16)[: len(whole)]
    assert abs(float(np.corrcoef(whole, reference)[0, 1])) > 0.99


def test_channels_that_have_nothing_in_common_are_added_up() -> None:
    whole = mixed([VOICE, OTHER], "stereo")
    assert power(whole, 300.0) == pytest.approx(power(whole, 700.0), abs=1.0)


def test_the_middle_of_six_channels_is_heard_and_the_lowest_is_not() -> None:
    nothing = np.zeros_like(VOICE)
    assert level_dbfs(mixed([nothing, nothing, VOICE, nothing, nothing, nothing], "5.1")) > -35
    assert level_dbfs(mixed([nothing, nothing, nothing, VOICE, nothing, nothing], "5.1")) < -90


def crossed(sound: Sound) -> Sound:
    return np.concatenate([sound, -sound])


def test_a_clip_with_an_inverted_channel_is_not_silent(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [], 8.0, crossed(np.hstack([quiet(3.0), tone(5.0)])))
    with open_media(path) as container:
        facts = list(examine(container, read_clip(container), Order(False, True, None)))
    assert [round(one.end) for one in facts if isinstance(one, Silence)] == [3]
    assert [round(one.hz) for one in facts if isinstance(one, Tone)] == [440]
    assert max(one.dbfs for one in facts if isinstance(one, Level)) == pytest.approx(-13.5, abs=0.5)


def test_a_level_is_that_of_the_loudest_channel(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [], 5.0, np.concatenate([quiet(5.0), tone(5.0)]))
    with open_media(path) as container:
        levels = [
            one.dbfs
            for one in examine(container, read_clip(container), Order(False, True, None))
            if isinstance(one, Level)
        ]
    assert levels[1] == pytest.approx(-13.5, abs=0.5)
