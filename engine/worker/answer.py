"""From a request to its answer: what must be examined, what is available, and which module tells it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, TypedDict

from engine.errors import invalid
from engine.facts.facts import KINDS, Clip, Examination, Examinations
from engine.facts.intent import Intent
from engine.facts.job import Analyze
from engine.facts.kept import clip_of, replayed
from engine.facts.timeline import Timeline
from engine.measure.examine import Order, examine
from engine.measure.faults import Faults
from engine.measure.media import check_limits, read_clip
from engine.measure.opening import open_media
from engine.recognise.sight import Eyes
from engine.recognise.speech import Ears
from engine.recognise.spotting import Spotter
from engine.senses import ENGLISH_ALONE, language_lack, missing_reader, not_installed, speech_lack, things_lack
from engine.tell.narrate import NEEDS, narrate
from engine.tell.phrases import MODEL
from engine.tell.retrieval import encode_for
from engine.tell.schema_fill import fill, plan

# Around a moment that is asked for, this much is looked at.
_BEFORE_S, _AFTER_S = 3.0, 4.0
# A long video is told in parts, so that something can be said before it ends.
_SHORTEST_PART_S = 15.0
_NO_PICTURE = "the file has no picture"


@dataclass(frozen=True, slots=True)
class Recognisers:
    """The processes beside a worker; None where there is none."""

    ears: Ears | None = None
    eyes: Eyes | None = None
    spotter: Spotter | None = None

    def asked(self, examinations: Examinations) -> "Asked":
        """Return those that are needed, as members of an order."""

        def made(kind: str) -> bool:
            return examinations[kind].outcome == "made"

        return {
            "ears": self.ears if made("speech") else None,
            "eyes": self.eyes if made("on_screen_text") else None,
            "spotter": self.spotter if made("things") else None,
        }


class Asked(TypedDict):
    ears: Ears | None
    eyes: Eyes | None
    spotter: Spotter | None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was accepted; reading ``fragments`` does the work."""

    clip: Clip
    examinations: Examinations
    fragments: Iterator[str]
    faults: Faults
    omitted: tuple[str, ...] = ()

    def told(self) -> dict[str, Any]:
        """Return what the caller learns beside the text."""
        told: dict[str, Any] = {
            "model_name": MODEL,
            "examinations": {
                kind: {name: value for name, value in asdict(exam).items() if value}
                for kind, exam in self.examinations.items()
            },
        }
        if self.omitted:
            told["omitted"] = list(self.omitted)
        return told


@contextmanager
def answer(job: Analyze, recognisers: Recognisers) -> Iterator[Reply]:
    """Open a media file and prepare the answer to what is asked of it.

    Raises:
        ApiError: the file cannot be used, or the schema cannot be filled from it.
    """
    intent, schema = job.intent, job.schema
    with open_media(job.path) as container:
        # What was recorded need not be found out again: that may take reading the whole file.
        clip = read_clip(container) if job.record is None else clip_of(job.record)
        check_limits(clip, job.longest_s)
        if clip.still_image:
            raise invalid("The video parameter names an image; this call takes video or audio.")
        filled = plan(schema, intent, lacking(clip)) if schema is not None else None
        needs = filled.uses if filled else frozenset[str]().union(*(NEEDS[topic] for topic in intent.topics))
        examinations = examinations_of(clip, needs)
        order = _order(clip, examinations, intent, recognisers)
        if job.record is not None:
            order.faults.packets = job.record["damaged_packets"]
            timeline = replayed(job.record, examinations, (order.start, order.end))
        else:
            timeline = Timeline(clip, examinations, examine(container, clip, order), (order.start, order.end))
        if filled is None:
            yield Reply(clip, examinations, narrate(timeline, intent, encode_for(intent, job.weights)), order.faults)
        else:
            yield Reply(clip, examinations, fill(filled, timeline), order.faults, filled.omitted)


def lacking(clip: Clip) -> dict[str, str]:
    """Say which examinations cannot tell anything about this clip.

    A clip without a sound track is not among them: it is certain that nobody speaks in it.
    """
    lacks = {
        "picture": "" if clip.has_picture else _NO_PICTURE,
        "on_screen_text": _text_lack(clip),
        "things": _things_lack(clip),
    }
    if clip.has_sound:
        lacks["speech"] = _speech_lack(clip)
        lacks["language"] = language_lack()
    return {kind: lack for kind, lack in lacks.items() if lack}


def examinations_of(clip: Clip, needs: frozenset[str]) -> Examinations:
    """Say of each examination whether it will be made for this clip, and if not, why."""
    lacks = {
        "picture": "" if clip.has_picture else _NO_PICTURE,
        "sound": "" if clip.has_sound else "the file has no sound track",
        "speech": _speech_lack(clip),
        "on_screen_text": _text_lack(clip),
        "things": _things_lack(clip),
    }
    made: Examinations = {
        kind: Examination("not_available", lacks[kind])
        if lacks[kind]
        else Examination("made" if kind in needs else "not_needed")
        for kind in KINDS
    }
    if made["speech"].outcome == "made" and language_lack() == ENGLISH_ALONE:
        made["speech"] = replace(made["speech"], language="en")
    return made


def _speech_lack(clip: Clip) -> str:
    if not clip.has_sound:
        return "the file has no sound track"
    return speech_lack()


def _text_lack(clip: Clip) -> str:
    if not clip.has_picture:
        return _NO_PICTURE
    package = missing_reader()
    return not_installed(package, "ocr") if package else ""


def _things_lack(clip: Clip) -> str:
    return things_lack() if clip.has_picture else _NO_PICTURE


def _order(clip: Clip, examinations: Examinations, intent: Intent, recognisers: Recognisers) -> Order:
    start, end = intent.span or (0.0, clip.duration)
    if intent.span:
        start, end = max(0.0, start - _BEFORE_S), min(clip.duration, end + _AFTER_S)
    return Order(
        picture=examinations["picture"].outcome == "made",
        sound=examinations["sound"].outcome == "made",
        **recognisers.asked(examinations),
        start=start,
        end=end,
        part_s=max(_SHORTEST_PART_S, clip.duration / 12),
    )
