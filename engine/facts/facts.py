"""What was measured, as values with times; everything that the engine says is read from these.

Times are seconds from the clip's start. What is seen and measured is told in order of
``end``, so that a reader knows that nothing earlier is still to come. Utterances and
on-screen text are told in an order of their own, because recognising takes longer than
looking.
"""

from dataclasses import dataclass
from typing import Literal

# Below this mean confidence the recogniser's words are closer to noise than to what was said. Speech played backwards
# has 0.53 to 0.55; of real speech on the shared clips the lowest is film dialogue, 0.75.
UNDERSTOOD = 0.65


@dataclass(frozen=True, slots=True)
class Track:
    """Which of several tracks of a kind was taken.

    Attributes:
        number: its place among them, from 1.
        flagged: the file flags it as its default, and others not.
        language: its language as the file names it; empty where it does not.
    """

    number: int = 1
    of: int = 1
    flagged: bool = False
    language: str = ""


@dataclass(frozen=True, slots=True)
class Clip:
    """What the file's own headers say, checked by opening its decoders.

    Attributes:
        width, height: as the picture is shown.
        picture_end, sound_end: until when the file announces pictures and sound; None where nothing says so.
    """

    duration: float
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    channels: int | None = None
    sample_rate: int | None = None
    still_image: bool = False
    picture_end: float | None = None
    sound_end: float | None = None
    picture_track: Track | None = None
    sound_track: Track | None = None

    @property
    def has_picture(self) -> bool:
        return self.width is not None

    @property
    def has_sound(self) -> bool:
        return self.audio_codec is not None


@dataclass(frozen=True, slots=True)
class Colour:
    """A named colour, its mean as ``#rrggbb``, and its share of the picture (0..1)."""

    name: str
    hex: str
    share: float


@dataclass(frozen=True, slots=True)
class Look:
    """Means over a stretch of picture: ``light`` and ``saturation`` are 0..1."""

    colours: tuple[Colour, ...]
    light: float
    saturation: float


Opening = Literal["start", "cut", "dissolve", "fade", "continues"]


@dataclass(frozen=True, slots=True)
class Shot:
    """One stretch of picture between two changes.

    A very long shot is told in parts, of which all but the first open with
    ``continues``: otherwise nothing could be said before it ends.

    Attributes:
        motion: mean change of the picture, 0 (still) .. 1.
        more: the shot goes on in a next part.
        fade_in: seconds of fading in from black at its start; 0 for none.
    """

    start: float
    end: float
    opening: Opening
    look: Look
    motion: float
    fade_in: float = 0.0
    fade_out: float = 0.0
    more: bool = False


@dataclass(frozen=True, slots=True)
class Motion:
    """A span in which part of the picture, or much of it, changes.

    ``origin`` and ``goal`` name the ninth of the picture where the change was
    centred at first and at last.
    """

    start: float
    end: float
    extent: Literal["part", "much"]
    origin: str
    goal: str


@dataclass(frozen=True, slots=True)
class Level:
    """Mean sound level over about a second, in dB below full scale (never above 0)."""

    start: float
    end: float
    dbfs: float


@dataclass(frozen=True, slots=True)
class Silence:
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Tone:
    """A span in which nearly all sound energy lies at one steady frequency."""

    start: float
    end: float
    hz: float


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of voice, with the words the recogniser made of it.

    ``words`` is None where no recogniser is installed: voice was found, not read.

    Attributes:
        language: the code of the one that the recogniser found out and read it in; empty where it knows one alone.
    """

    start: float
    end: float
    words: tuple[Word, ...] | None
    language: str = ""

    @property
    def confidence(self) -> float | None:
        """Mean confidence of the words, 0..1; None without words."""
        if not self.words:
            return None
        return sum(word.confidence for word in self.words) / len(self.words)

    @property
    def understood(self) -> bool:
        return (self.confidence or 0.0) >= UNDERSTOOD

    @property
    def text(self) -> str:
        """The words as recognised; empty when they were not understood."""
        return " ".join(word.text for word in self.words or ()) if self.understood else ""


@dataclass(frozen=True, slots=True)
class Heard:
    """No utterance that starts before ``end`` is still to come."""

    end: float


@dataclass(frozen=True, slots=True)
class Seen:
    """Nothing but speech that ends before ``end`` is still to come."""

    end: float


# Sides of a box in the picture, as shares of its width and height (0..1): left, top, right, bottom.
Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Writing:
    """A line of text that stands on the screen, in one place.

    Pictures are read once a second: ``start`` is the first that shows it, ``end`` the
    first that does not any more.

    Attributes:
        confidence: mean over the pictures that were read like this, 0..1.
        box: where it stood at last.
    """

    start: float
    end: float
    text: str
    confidence: float
    box: Box


@dataclass(frozen=True, slots=True)
class Read:
    """No text on the screen is still to come."""

    end: float


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing that a network took something in the picture for: probably rightly.

    Pictures are looked at once a second: ``start`` is the first that shows it, ``end`` a second after the last, or the
    end of the shot.

    Attributes:
        name: that of a kind in ``engine.facts.things``.
        score: the best of all pictures, 0..1.
        box: where it stood in that picture; ``WHOLE`` where a network judged the picture as a whole.
        most: how many of the kind half of its pictures showed at once, or more.
        source: the network that gave the best score.
    """

    start: float
    end: float
    name: str
    score: float
    box: Box
    most: int = 1
    source: str = "nanodet"


@dataclass(frozen=True, slots=True)
class Spotted:
    """No thing is still to come."""

    end: float


@dataclass(frozen=True, slots=True)
class Fault:
    """A place where the file is not what it should be.

    Attributes:
        kind: ``restart``: the clock of the file begins again; ``gap``, ``overlap``: of the sound's timestamps;
            ``missing``: announced, but not to be had or decoded; ``damaged``: packets that were passed over.
        packets: how many were passed over.
    """

    start: float
    end: float
    kind: Literal["restart", "gap", "overlap", "missing", "damaged"]
    track: Literal["file", "picture", "sound"]
    packets: int = 0


# What is recognised beside the decoder, and told in an order of its own.
Recognised = Utterance | Heard | Writing | Read | Thing | Spotted
Fact = Shot | Motion | Level | Silence | Tone | Fault | Seen | Recognised

Outcome = Literal["made", "not_needed", "not_available"]


@dataclass(frozen=True, slots=True)
class Examination:
    """Whether one kind of examination was made, and if not, why not.

    Attributes:
        language: the code of the one that speech is read in; empty where that is found out of each stretch.
    """

    outcome: Outcome
    reason: str = ""
    language: str = ""


# What the engine can examine, in the order in which it is told.
KINDS = ("picture", "sound", "speech", "on_screen_text", "things")

Examinations = dict[str, Examination]
