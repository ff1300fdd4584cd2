"""Where one shot ends and the next begins: hard cuts, likely dissolves, fades from and to black.

Frames come in as small pictures (``WIDTH`` x ``HEIGHT``, RGB) with their times; shots come
out about ``LAG_S`` of media time later, because a change can only be judged by what
follows it: a flash returns, a cut does not; a dissolve is a mixture of both its ends.

Where pictures are few (slides, time lapse), each stands until the next, and is seen again
meanwhile. Then nothing around a change says how much of it is motion: two pictures are
compared by their colours and by what stands in the same place in both.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.facts.facts import Opening, Shot
from engine.measure.colour import Palette, Pixels

WIDTH, HEIGHT = 64, 36

# Media time after which a frame's place in its shot is settled.
LAG_S = 2.6

# Differences are means over all pixels and channels, 0..255.
_CUT = 14.0  # a plain cut
_SOFT_CUT = 5.0  # the least jump that can be a cut, between two dark or pale pictures
_CUT_RATIO = 2.5  # how far a cut must stand out of the motion around it
_AROUND_S = 0.25
_SPARSE_S = 0.25  # a picture that comes so long after the one before has no motion around it
_RECOLOURED = 0.35  # of the colours must change between sparse pictures of different things
_REPAINTED = 0.7  # or so many, where the pictures are too flat to be compared by place
_FLASHED = 100.0  # a light does not change by more between two pictures
_SAME_TINT = 0.97
_RETURNED = 0.35  # the jump was a flash when this little of it is left afterwards

_DISSOLVE_WINDOWS_S = (0.5, 1.0, 1.6)
_DISSOLVE = 14.0
_DISSOLVE_EVERY_S = 0.1
_DISSOLVE_SETTLES_S = 0.5
_MIX_RESIDUE = 0.22  # how much of a mixture may stay unexplained
_MIX_SPREAD = 0.55  # a title that fades in changes only part of the picture
_SAME_PLACE = 0.7  # correlation above which a block shows the same thing in another light
_KEPT_PLACES = 0.25  # more than this share of them: the scene is the same
_BLOCKS_NEEDED = 6

_BLACK = 12.0
_COLOUR_EVERY_S = 0.2
_STILL_NOISE = 0.4  # difference that compression alone makes
_FULL_MOTION = 25.0


@dataclass(slots=True)
class _Frame:
    time: float
    pixels: Pixels
    values: NDArray[np.float32]
    jump: float  # difference to the frame before
    recolour: float  # change of the colour histogram to the frame before, 0..1
    luma: float
    sparse: bool = False


@dataclass(slots=True)
class _Dissolve:
    strength: float
    middle: float
    seen_at: float
    opening: Opening


@dataclass(slots=True)
class _Take:
    """What has been added up for the shot in progress."""

    start: float
    opening: Opening
    palette: Palette = field(default_factory=Palette)
    jumps: float = 0.0
    frames: int = 0
    last_colour: float = -1.0
    lumas: list[tuple[float, float]] = field(default_factory=list)

    def add(self, frame: _Frame) -> None:
        if self.frames:  # the first frame's jump belongs to the cut
            self.jumps += max(0.0, frame.jump - _STILL_NOISE)
        self.frames += 1
        if frame.time - self.last_colour >= _COLOUR_EVERY_S or self.frames == 1:
            self.palette.add(frame.pixels)
            self.last_colour = frame.time
            self.lumas.append((frame.time, frame.luma))

    def shot(self, end: float, more: bool = False) -> Shot:
        motion = min(1.0, self.jumps / max(1, self.frames - 1) / _FULL_MOTION)
        fade_in = _fade(self.lumas, self.start)
        return Shot(
            start=self.start,
            end=end,
            opening=self.opening,
            look=self.palette.look(),
            motion=motion,
            fade_in=fade_in if self.opening in ("start", "cut", "fade") else 0.0,
            fade_out=_fade([(end - time, luma) for time, luma in reversed(self.lumas)], 0.0),
            more=more,
        )


def _fade(lumas: list[tuple[float, float]], start: float) -> float:
    """Return how many seconds the picture takes to come out of black, 0 when it does not.

    ``lumas`` are (time, luma) from the black end on.
    """
    if not lumas or lumas[0][1] > _BLACK:
        return 0.0
    window = [(time, luma) for time, luma in lumas if time - start <= 4.0] or lumas[:1]
    peak = max(luma for _, luma in window)
    if peak < 4 * _BLACK:
        return 0.0
    previous = -1.0
    for time, luma in window:
        if luma < previous - 2:  # brightness must climb, not flicker
            return 0.0
        if luma >= 0.9 * peak:
            return time - start if time - start >= 0.3 else 0.0
        previous = luma
    return 0.0


class ShotTracker:
    """Turn frames into shots.

    Args:
        start: where the examined span begins, in seconds.
        part_s: the longest stretch told as one; a longer shot comes in parts.
    """

    def __init__(self, start: float = 0.0, part_s: float = 60.0) -> None:
        self._start = start
        self._part_s = part_s
        self._recent: deque[_Frame] = deque()  # settled and unsettled, the last LAG_S
        self._unsettled: deque[_Frame] = deque()
        self._take: _Take | None = None
        self._judged = -1.0  # cuts are decided up to this time
        self._last_mix = -1.0
        self._boundary = 0.0
        self._dissolve: _Dissolve | None = None
        self._last_new = -1.0

    def feed(self, time: float, pixels: Pixels, again: bool = False) -> list[Shot]:
        """Take the next frame; return the shots that it settles.

        Args:
            again: it is the frame before, which still stands.
        """
        frame = self._repeat(time) if again and self._recent else self._measure(time, pixels)
        if self._take is None:
            self._take = _Take(self._start if time - self._start < 1.0 else time, "start")
        self._recent.append(frame)
        self._unsettled.append(frame)
        shots = self._look_for_cuts(time)
        self._look_for_dissolve(time)
        shots += self._settle_dissolve(time)
        self._settle(time - LAG_S)
        while self._recent and self._recent[0].time < time - LAG_S:
            self._recent.popleft()
        return shots + self._part(time - LAG_S)

    def finish(self, end: float) -> list[Shot]:
        """Return what is left; ``end`` is the end of the picture."""
        if self._take is None:
            return []
        shots = self._look_for_cuts(end + 2 * _AROUND_S)
        shots += self._settle_dissolve(end + LAG_S)
        self._settle(float("inf"))
        shots.append(self._take.shot(max(end, self._take.start)))
        self._take = None
        return shots

    def _measure(self, time: float, pixels: Pixels) -> _Frame:
        values = pixels.astype(np.float32)
        jump = recolour = 0.0
        if self._recent:
            before = self._recent[-1]
            jump = float(np.abs(values - before.values).mean())
            if jump >= _SOFT_CUT:
                recolour = float(np.abs(_histogram(pixels) - _histogram(before.pixels)).sum() / 2)
        sparse = bool(self._recent) and time - self._last_new > _SPARSE_S
        self._last_new = time
        return _Frame(time, pixels, values, jump, recolour, float(values.mean()), sparse)

    def _repeat(self, time: float) -> _Frame:
        before = self._recent[-1]
        return _Frame(time, before.pixels, before.values, 0.0, 0.0, before.luma)

    # -- hard cuts ---------------------------------------------------------

    def _look_for_cuts(self, now: float) -> list[Shot]:
        shots: list[Shot] = []
        for frame in list(self._recent):
            if frame.time > now - _AROUND_S:
                break
            if frame.time > self._judged:
                self._judged = frame.time
                if self._is_cut(frame):
                    shots += self._cut(frame.time, "cut")
        return shots

    def _is_cut(self, frame: _Frame) -> bool:
        if frame.jump < _SOFT_CUT or frame.recolour < _recolour_needed(frame.jump):
            return False
        if frame.sparse:
            return self._is_other_view(frame)
        around = [other for other in self._recent if abs(other.time - frame.time) <= _AROUND_S]
        here = next(index for index, other in enumerate(around) if other is frame)
        if frame.jump < max(other.jump for other in around):
            return False
        # A blended frame can spread one cut over two jumps: direct neighbours do not count.
        rest = [other.jump for index, other in enumerate(around) if abs(index - here) > 1]
        near = [other.jump for index, other in enumerate(around) if abs(index - here) == 1]
        if frame.jump < max(_CUT_RATIO * max(rest, default=0.0), 1.3 * max(near, default=0.0)):
            return False
        if here == 0:
            return False
        before = around[max(0, here - 6)]
        after = around[min(len(around) - 1, here + 6)]
        left = float(np.abs(before.values - after.values).mean())
        return left >= _RETURNED * frame.jump

    def _is_other_view(self, frame: _Frame) -> bool:
        """Whether a sparse picture shows something else than the one before."""
        before = next((other for other in reversed(self._recent) if other.time < frame.time), None)
        if before is None or frame.recolour < _RECOLOURED:
            return False
        kept = _kept(before.values, frame.values)
        if kept is not None:
            return kept <= _KEPT_PLACES
        return frame.recolour >= _REPAINTED and (frame.jump >= _FLASHED or not _dimmed(before, frame))

    # -- dissolves ---------------------------------------------------------

    def _look_for_dissolve(self, now: float) -> None:
        if now - self._last_mix < _DISSOLVE_EVERY_S:
            return
        self._last_mix = now
        last = self._recent[-1]
        for window in _DISSOLVE_WINDOWS_S:
            frames = [frame for frame in self._recent if frame.time >= now - window - 1e-6]
            if len(frames) < 6 or frames[0].time < self._boundary or frames[0].time > now - 0.8 * window:
                continue
            found = _mixture(frames)
            if found and (self._dissolve is None or found.strength > self._dissolve.strength):
                found.seen_at = last.time
                self._dissolve = found

    def _settle_dissolve(self, now: float) -> list[Shot]:
        found = self._dissolve
        if found is None or now - found.seen_at < _DISSOLVE_SETTLES_S:
            return []
        self._dissolve = None
        if found.middle <= self._boundary or (found.opening == "fade" and found.middle < 0.5):
            return []  # the picture coming out of black at the start opens no second shot
        return self._cut(found.middle, found.opening)

    # -- shots -------------------------------------------------------------

    def _cut(self, time: float, opening: Opening) -> list[Shot]:
        """Close the shot in progress at ``time`` and open the next."""
        assert self._take is not None
        shots: list[Shot] = []
        pending = self._dissolve
        if opening == "cut" and pending is not None:
            self._dissolve = None
            if self._boundary < pending.middle < time - _AROUND_S:
                shots += self._cut(pending.middle, pending.opening)
        self._settle(time)
        shots.append(self._take.shot(time))
        self._take = _Take(time, opening)
        self._boundary = time
        return shots

    def _settle(self, until: float) -> None:
        """Add to the shot in progress the frames before ``until``."""
        assert self._take is not None
        while self._unsettled and self._unsettled[0].time < until:
            self._take.add(self._unsettled.popleft())

    def _part(self, settled: float) -> list[Shot]:
        assert self._take is not None
        if settled - self._take.start < self._part_s:
            return []
        shot = self._take.shot(settled, more=True)
        self._take = _Take(settled, "continues")
        return [shot]


def _recolour_needed(jump: float) -> float:
    """How much of the colours must change for a jump of this size to be a cut."""
    return 0.35 if jump < _CUT else 0.25 if jump < 2.5 * _CUT else 0.0


def _dimmed(one: _Frame, other: _Frame) -> bool:
    """Whether one picture is the other in more or less light; black is not taken for either."""
    product = float((one.values * other.values).sum())
    norms = float(np.linalg.norm(one.values) * np.linalg.norm(other.values))
    return min(one.luma, other.luma) >= _BLACK and product >= _SAME_TINT * norms


def _histogram(pixels: Pixels) -> NDArray[np.float64]:
    steps = (pixels >> 5).astype(np.intp)
    keys = (steps[..., 0] << 6) | (steps[..., 1] << 3) | steps[..., 2]
    return np.bincount(keys.ravel(), minlength=512) / keys.size


def _mixture(frames: list[_Frame]) -> _Dissolve | None:
    """Judge whether the frames between are mixtures of the first and the last one."""
    first, last = frames[0], frames[-1]
    if max(frame.jump for frame in frames[1:]) >= _CUT:
        return None
    way = last.values - first.values
    strength = float(np.abs(way).mean())
    if strength < _DISSOLVE:
        return None
    if float((np.abs(way).max(axis=2) > 8).mean()) < _MIX_SPREAD:
        return None
    shares = _shares(frames, way, strength)
    if shares is None:
        return None
    if _is_black(last) or _alike(first.values, last.values):
        return None  # a fade to black ends a shot only when something follows it
    opening: Opening = "fade" if _is_black(first) else "dissolve"
    threshold = 0.05 if opening == "fade" else 0.5
    middle = next(frame.time for frame, share in zip(frames, shares, strict=True) if share >= threshold)
    return _Dissolve(strength, middle, last.time, opening)


def _is_black(frame: _Frame) -> bool:
    return frame.luma < _BLACK and float(frame.values.std()) < 6.0


def _shares(frames: list[_Frame], way: NDArray[np.float32], strength: float) -> list[float] | None:
    """Return how much of the last frame is in each, or None when they are not mixtures."""
    energy = float((way * way).sum())
    shares = []
    for frame in frames:
        gone = frame.values - frames[0].values
        share = float((gone * way).sum()) / energy
        if float(np.abs(gone - share * way).mean()) > _MIX_RESIDUE * strength:
            return None
        shares.append(share)
    quarter = len(shares) // 4
    rises = shares[quarter] <= shares[2 * quarter] <= shares[3 * quarter]
    # The middle of the window must lie in the mixture, else it is a jump seen late.
    return shares if rises and 0.1 < shares[2 * quarter] < 0.9 else None


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether part of one picture's structure is still there in the other.

    Under a title that fades in, or a light that is switched, places keep their
    texture; in a dissolve none does. Two nearly flat pictures are a change of light.
    """
    kept = _kept(one, other)
    return kept is None or kept > _KEPT_PLACES


def _kept(one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    """Return the share of textured places that look the same in both; None where too few have any texture."""
    left, right = _blocks(one), _blocks(other)
    spread_left, spread_right = left.std(axis=1), right.std(axis=1)
    textured = np.maximum(spread_left, spread_right) > 4
    likeness = (left * right).mean(axis=1) / np.maximum(spread_left * spread_right, 1e-3)
    if textured.sum() < _BLOCKS_NEEDED:
        return None
    return float((likeness[textured] > _SAME_PLACE).mean())


def _blocks(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 32 blocks of grey values around their own mean."""
    grey = values.mean(axis=2).reshape(4, HEIGHT // 4, 8, WIDTH // 8)
    blocks = grey.transpose(0, 2, 1, 3).reshape(32, -1)
    centred: NDArray[np.float32] = blocks - blocks.mean(axis=1, keepdims=True)
    return centred
