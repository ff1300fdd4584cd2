"""The clip for whoever has none: the same every time, and all of it is found."""

from pathlib import Path

import pytest

from engine import sample
from engine.facts.facts import Motion, Shot, Silence, Tone
from engine.measure.examine import Order, examine
from engine.measure.media import probe, read_clip
from engine.measure.opening import open_media


def test_it_is_the_same_every_time(sample_clip: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.mp4"
    sample.render(again)
    assert again.read_bytes() == sample_clip.read_bytes()


def test_it_is_within_the_limits_of_the_api(sample_clip: Path) -> None:
    clip, _ = probe(sample_clip)
    assert clip.duration == pytest.approx(sample.DURATION, abs=0.1)
    assert clip.has_sound


def test_everything_in_it_is_found(sample_clip: Path) -> None:
    with open_media(sample_clip) as container:
        facts = list(examine(container, read_clip(container), Order(True, True, None)))
    shots = [fact for fact in facts if isinstance(fact, Shot)]
    assert [round(shot.start, 2) for shot in shots] == [scene.start for scene in sample.SCENES]
    assert [shot.opening for shot in shots] == ["start", "cut", "cut", "cut"]
    assert [round(fact.hz / 10) * 10 for fact in facts if isinstance(fact, Tone)] == [440, 660]
    motions = [fact for fact in facts if isinstance(fact, Motion)]
    assert [(round(one.start), round(one.end)) for one in motions] == [(2, 4), (4, 6)]
    assert {(one.origin.split()[-2], one.goal.split()[-2]) for one in motions} == {("left", "right")}
    assert [(round(one.start), round(one.end)) for one in facts if isinstance(one, Silence)] == [(0, 2), (6, 8)]


def test_the_command_writes_the_clip_that_speaks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    monkeypatch.setattr("sys.argv", ["engine.sample", str(path)])
    assert sample.main() == 0
    with open_media(path) as container:
        clip = read_clip(container)
    assert (round(clip.duration), path.stat().st_size < 1_500_000) == (13, True)


def test_the_command_needs_a_path(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["engine.sample"])
    assert sample.main() == 2
    assert "usage" in capsys.readouterr().err


def test_every_letter_it_writes_can_be_drawn() -> None:
    for scene in sample.SCENES:
        assert sample.picture((scene.start + scene.end) / 2).shape == (sample.HEIGHT, sample.WIDTH, 3)
