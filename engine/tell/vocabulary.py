"""What names mean: the words of schemas, and the measurements they can stand for.

A concept is a measurement with the names it goes by. Names are compared without case,
units and decoration (``videoDurationSec`` is ``duration``). What is not in these tables
was not measured, and nothing stands in for it.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.facts.facts import Colour, Level, Motion, Silence, Thing, Tone, Utterance, Word, Writing
from engine.facts.intent import Intent
from engine.facts.languages import language_name
from engine.facts.things import ASKED_BY, kinds_for
from engine.facts.timeline import Section, Timeline, mean_look, weighed
from engine.facts.words import keywords_of
from engine.tell import narrate, phrases

Kind = Literal["text", "time", "length", "number", "count", "share", "decibels", "flag"]
Needs = frozenset[str]


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a value is read: the clip, or the ``index``-th row of some kind (``item``)."""

    timeline: Timeline
    intent: Intent
    item: Any = None
    index: int = 0


@dataclass(frozen=True, slots=True)
class Concept:
    """A measurement.

    Attributes:
        names: the names it goes by, as a pattern for the whole normalised name.
        read: returns the value (text may be an iterator of fragments), or None where
            nothing was measured.
        word: for a number, its name in words.
        needs: the examinations without which it cannot be read.
        uses: the examinations that add to it where they are available.
        sure: whether ``read`` always has a value, so that writing can begin before it does.
    """

    kind: Kind
    names: str
    read: Callable[[Scope], Any]
    needs: Needs = frozenset()
    word: Callable[[Any], str] | None = None
    sure: bool = True
    uses: Needs = frozenset()


_PICTURE = frozenset({"picture"})
_SOUND = frozenset({"sound"})
_SPEECH = frozenset({"speech"})
# What a model that knows one language alone cannot tell.
_LANGUAGE = _SPEECH | {"language"}
_TEXT = frozenset({"on_screen_text"})
# Two sightings count in one shot only, so shots are looked for too.
_THINGS = frozenset({"things", "picture"})
_ALL = _PICTURE | _SOUND | _SPEECH

_SUMMARY = r"summary|description|overview|synopsis|abstract|gist|recap|narrative|caption|details?"
_ANSWER = r"text|answer|content|response|result|output|value|report|message|body"
_TRANSCRIPT = (
    r"transcripts?|transcription|speech|speech_text|spoken|spoken_(?:words|text|content)|dialog(?:ue)?"
    r"|narration|subtitles?|captions|words_spoken|what_is_said|said"
)
_VISUAL = r"visuals?|visual_(?:description|style|summary|content)|look|appearance|picture|image|style"
_AUDIO = r"audio|audio_description|sound|sound_description|soundscape|sounds"
_TITLE = r"title|headline|heading|name|label"
_START = r"start|start_time|starts?_at|begin|begins?_at|begin_time|from|time|timestamp|offset|at|time_start|in"
_END = r"end|end_time|ends?_at|finish|stop|to|until|time_end|out"
_DURATION = r"duration|length|runtime|running_time|play_time"
_INDEX = r"index|idx"
_NUMBER = r"number|no|id|position|order|rank"
_HAS_SPEECH = (
    r"(?:has|contains|includes|is|with)_?(?:speech|voice|dialog(?:ue)?|narration|talking|spoken_words)"
    r"(?:_present|_detected)?|(?:speech|voice|dialog(?:ue)?)_(?:present|detected|found|exists)"
)
_LANGUAGE_NAME = (
    r"(?:(?:spoken|speech|audio|detected|original|main|primary)_)?languages?(?:_(?:spoken|detected|names?))?"
)
_LANGUAGE_CODE = r"(?:spoken_|detected_)?(?:language_codes?|languages?_iso|lang|lang_code|iso_(?:639_1_)?code)"
_WRITTEN = (
    r"on_?screen_(?:text|texts|titles?|words|writing|content)|texts?_on_?(?:the_)?screen|screen_text|ocr|ocr_(?:text|content|results?)"
    r"|(?:visible|displayed|burned_in|overlaid|written|shown|superimposed)_(?:text|titles?|words)|text_(?:overlays?|visible)"
    r"|overlay_text|overlays|title_cards?|titles|graphics_text|lower_thirds?|text_in_(?:picture|video|frame)"
)
_HAS_WRITING = (
    rf"(?:has|contains|includes|is|with|shows)_?(?:{_WRITTEN}|text|titles?|lettering)(?:_present|_detected)?"
    r"|(?:on_?screen_)?text_(?:present|detected|found|exists)"
)
_OBJECTS = (
    r"things?|objects?|(?:detected|visible|recogni[sz]ed|seen|identified|spotted)_(?:things?|objects?)"
    r"|(?:object|thing)_(?:detections?|labels?|list|names?)|(?:things?|objects?)_(?:detected|seen|visible|present)"
)
_BRIGHTNESS = r"brightness|light|lighting|luminance|luma|exposure|light_level"
_MOTION = r"motion|movement|activity|motion_level|activity_level|motion_score|amount_of_motion|dynamics"
_LOUDNESS = r"loudness|volume|sound_level|audio_level|loudness_db|peak_level|volume_level|level|db|dbfs"
_COLOUR = r"colou?rs?|dominant_colou?rs?|main_colou?rs?|palette|primary_colou?r|colou?r_palette"
_SATURATION = r"saturation|colou?rfulness|vividness"


def _fixed(kind: Kind, names: str, read: Callable[[Timeline], Any]) -> Concept:
    """A concept that the file's headers answer."""
    return Concept(kind, names, lambda scope: read(scope.timeline), sure=False)


def _whole_clip(scope: Scope) -> Section:
    return scope.timeline.whole()


def _part(scope: Scope) -> Section:
    section: Section = scope.item
    return section


def _utterances(scope: Scope, section: Section) -> list[Utterance]:
    return list(scope.timeline.said_in(section))


def _understood(utterances: list[Utterance]) -> list[Word]:
    return [word for one in utterances if one.understood for word in one.words or ()]


def _confidence(words: list[Word]) -> float | None:
    return sum(word.confidence for word in words) / len(words) if words else None


def _summary(scope: Scope) -> Iterator[str]:
    yield phrases.about_clip(scope.timeline.clip)
    tracks = phrases.tracks_of(scope.timeline.clip, scope.timeline.examinations)
    yield f" {tracks}" if tracks else ""
    for section in scope.timeline.sections():
        yield f" At {phrases.mark(section.start)}: {phrases.seen(section)}"
        yield from phrases.said(scope.timeline.said_in(section))
    for time, sentence in phrases.faults_told(scope.timeline.faults()):
        yield f" At {phrases.mark(time)}: {sentence}"


def _answer(scope: Scope) -> Iterator[str]:
    """Answer the prompt itself, where a member asks for nothing more specific."""
    yield from narrate.topics(scope.timeline, scope.intent)


def _transcript(scope: Scope, start: float = 0.0, end: float = math.inf) -> Iterator[str]:
    for index, one in enumerate(scope.timeline.utterances(start, end)):
        yield (" " if index else "") + phrases.quote(one)


def _title(scope: Scope) -> str:
    timeline = scope.timeline
    words = " ".join(one.text for one in timeline.utterances() if one.understood).split()
    about = phrases.counted(len(list(timeline.scenes())), "shot") if timeline.clip.has_picture else "Recording"
    about += f" in {phrases.length(timeline.clip.duration)}"
    return f"{about}: “{phrases.capital(' '.join(words[:7]).rstrip(',.;:'))}”" if words else about


def _told(scope: Scope) -> Iterator[str]:
    """Tell a section: what is seen, heard and said in it."""
    yield phrases.seen(_part(scope))
    yield from phrases.said(scope.timeline.said_in(_part(scope)))


def _writings(scope: Scope, section: Section) -> list[Writing]:
    return [one for one in scope.timeline.writings() if one.start < section.end and one.end > section.start]


def _written(scope: Scope, section: Section) -> str:
    """Return the texts of a section, each once; empty where nothing was read."""
    return " / ".join(dict.fromkeys(one.text for one in _writings(scope, section)))


def _things(scope: Scope, section: Section, names: tuple[str, ...] = ()) -> list[Thing]:
    return [one for one in scope.timeline.things(names) if one.start < section.end and one.end > section.start]


def _named(scope: Scope, section: Section) -> str | None:
    """Return the things of a section, each once; None where none was seen, for there may be some."""
    return ", ".join(dict.fromkeys(one.name for one in _things(scope, section))) or None


def _thing_words() -> dict[tuple[str, ...], str]:
    """Return patterns of the words that ask for things, by the kinds that they ask for."""
    words: dict[tuple[str, ...], list[str]] = {}
    for word in ASKED_BY:
        words.setdefault(kinds_for([word]), []).append(re.sub(r"\W+", "_", word))
    return {names: "|".join(found) for names, found in words.items()}


_THING_WORDS = _thing_words()


def _has_things(section_of: Callable[[Scope], Section], names: tuple[str, ...]) -> Concept:
    """Whether a thing is there: true where it was seen, and never false."""
    word = rf"(?:{_THING_WORDS[names]})"
    return Concept(
        "flag",
        rf"(?:has|have|contains?|includes?|is|with|shows?)_?(?:an?_|any_)?{word}(?:_(?:present|visible|detected|seen))?"
        rf"|{word}_(?:present|visible|detected|seen|appears?|exists|found)",
        lambda scope: True if _things(scope, section_of(scope), names) else None,
        _THINGS,
        sure=False,
    )


def _look_text(section: Section) -> str | None:
    return phrases.capital(phrases.picture_of(section.shots)) + "." if section.shots else None


def _sound_text(section: Section) -> str | None:
    return phrases.sound_of(section) or None


def _light(section: Section) -> float | None:
    return mean_look(section.shots).light if section.shots else None


def _moving(section: Section) -> float | None:
    return weighed(section.shots, lambda shot: shot.motion) if section.shots else None


def _colours(section: Section) -> str | None:
    return ", ".join(colour.name for colour in mean_look(section.shots).colours) if section.shots else None


def _loudest(section: Section) -> float | None:
    return max((level.dbfs for level in section.levels), default=None)


def _silent(section: Section) -> float:
    return sum(silence.end - silence.start for silence in section.silences)


def _is_silent(timeline: Timeline, section: Section) -> bool:
    return not timeline.clip.has_sound or _silent(section) >= 0.9 * (section.end - section.start)


def _aspect(timeline: Timeline) -> str | None:
    width, height = timeline.clip.width, timeline.clip.height
    if not width or not height:
        return None
    divisor = math.gcd(width, height)
    return f"{width // divisor}:{height // divisor}"


def _counting(noun: str) -> str:
    return rf"{noun}|{noun}_?count|(?:num|number|count|amount|total)_?(?:of)?_?{noun}"


def _languages(spoken: Callable[[Scope], list[Utterance]]) -> list[Concept]:
    """In which languages somebody speaks, where that is found out: names and codes."""

    def told(scope: Scope, name: Callable[[str], str]) -> str | None:
        return ", ".join(name(code) for code in phrases.languages_in(spoken(scope))) or None

    return [
        Concept("text", _LANGUAGE_NAME, lambda scope: told(scope, language_name), _LANGUAGE, sure=False),
        Concept("text", _LANGUAGE_CODE, lambda scope: told(scope, str), _LANGUAGE, sure=False),
    ]


def _of_section(section_of: Callable[[Scope], Section]) -> list[Concept]:
    """Concepts that hold for the whole clip as well as for a part of it."""

    def words(scope: Scope) -> list[Word]:
        return _understood(_utterances(scope, section_of(scope)))

    return [
        Concept("text", _VISUAL, lambda scope: _look_text(section_of(scope)), _PICTURE, sure=False),
        Concept("text", _AUDIO, lambda scope: _sound_text(section_of(scope)), _SOUND, sure=False),
        Concept("share", _BRIGHTNESS, lambda scope: _light(section_of(scope)), _PICTURE, phrases.light_word, False),
        Concept("share", _MOTION, lambda scope: _moving(section_of(scope)), _PICTURE, phrases.motion_word, False),
        Concept(
            "share",
            _SATURATION,
            lambda scope: mean_look(section_of(scope).shots).saturation if section_of(scope).shots else None,
            _PICTURE,
            sure=False,
        ),
        Concept("decibels", _LOUDNESS, lambda scope: _loudest(section_of(scope)), _SOUND, phrases.loudness_word, False),
        Concept("text", _COLOUR, lambda scope: _colours(section_of(scope)), _PICTURE, sure=False),
        Concept("flag", _HAS_SPEECH, lambda scope: bool(_utterances(scope, section_of(scope))), _SPEECH),
        *_languages(lambda scope: _utterances(scope, section_of(scope))),
        Concept("text", _WRITTEN, lambda scope: _written(scope, section_of(scope)), _TEXT),
        Concept("flag", _HAS_WRITING, lambda scope: bool(_writings(scope, section_of(scope))), _TEXT),
        Concept("count", _counting(rf"(?:{_WRITTEN})"), lambda scope: len(_writings(scope, section_of(scope))), _TEXT),
        Concept("text", _OBJECTS, lambda scope: _named(scope, section_of(scope)), _THINGS, sure=False),
        *(_has_things(section_of, names) for names in _THING_WORDS),
        Concept(
            "flag",
            r"(?:has|contains|is|with)_?(?:motion|movement|moving|action_on_screen)|motion_(?:present|detected)",
            lambda scope: bool(section_of(scope).motions),
            _PICTURE,
        ),
        Concept(
            "flag",
            r"(?:is_)?silent|is_silence",
            lambda scope: _is_silent(scope.timeline, section_of(scope)),
            _SOUND,
        ),
        Concept(
            "length",
            r"silence|silence_(?:duration|length)|silent_(?:duration|time)",
            lambda scope: _silent(section_of(scope)),
            _SOUND,
        ),
        Concept(
            "count", r"words?|words?_count|(?:number|count|num)_of_words", lambda scope: len(words(scope)), _SPEECH
        ),
        Concept(
            "share",
            r"confidence|(?:speech|transcript|transcription)_confidence|confidence_score",
            lambda scope: _confidence(words(scope)),
            _SPEECH,
            sure=False,
        ),
        Concept(
            "length",
            r"speech_(?:duration|length|time)|speaking_(?:time|duration)|talk_time",
            lambda scope: sum(one.end - one.start for one in _utterances(scope, section_of(scope))),
            _SPEECH,
        ),
    ]


CLIP: list[Concept] = [
    _fixed("length", _DURATION, lambda timeline: timeline.clip.duration),
    Concept("text", _TITLE, _title, uses=_PICTURE | _SPEECH),
    Concept("text", _SUMMARY, _summary, uses=_ALL),
    Concept("text", _ANSWER, _answer, uses=_ALL | _TEXT | _THINGS),
    Concept("text", _TRANSCRIPT, _transcript, _SPEECH),
    Concept("count", _counting(r"(?:scenes?|shots?)"), lambda scope: len(list(scope.timeline.scenes())), _PICTURE),
    Concept(
        "count",
        _counting(r"(?:cuts?|hard_cuts?|camera_cuts?)"),
        lambda scope: sum(one.shots[0].opening == "cut" for one in scope.timeline.scenes()),
        _PICTURE,
    ),
    Concept(
        "count",
        _counting(r"(?:transitions?|changes|shot_changes|scene_changes)"),
        lambda scope: max(0, len(list(scope.timeline.scenes())) - 1),
        _PICTURE,
    ),
    Concept(
        "count",
        _counting(r"(?:chapters?|sections?|parts?)"),
        lambda scope: len(list(scope.timeline.sections())),
        uses=_PICTURE | _SOUND,
    ),
    Concept(
        "count",
        _counting(r"(?:utterances?|sentences?|segments?|lines?)"),
        lambda scope: len(list(scope.timeline.utterances())),
        _SPEECH,
    ),
    _fixed("flag", r"(?:has|contains|with)_(?:audio|sound|sound_track|audio_track)", lambda t: t.clip.has_sound),
    _fixed("flag", r"(?:has|contains|with)_(?:video|picture|video_track)", lambda t: t.clip.has_picture),
    _fixed("count", r"width|frame_width", lambda timeline: timeline.clip.width),
    _fixed("count", r"height|frame_height", lambda timeline: timeline.clip.height),
    _fixed(
        "text",
        r"resolution|dimensions|frame_size|size",
        lambda t: f"{t.clip.width}x{t.clip.height}" if t.clip.has_picture else None,
    ),
    _fixed("text", r"aspect_ratio|aspect", _aspect),
    _fixed("number", r"fps|frame_rate|framerate|frames_per_second", lambda timeline: timeline.clip.fps),
    _fixed("text", r"codec|video_codec", lambda timeline: timeline.clip.video_codec),
    _fixed("text", r"audio_codec", lambda timeline: timeline.clip.audio_codec),
    _fixed("count", r"channels|audio_channels|channel_count", lambda timeline: timeline.clip.channels),
    _fixed("count", r"sample_rate|sampling_rate", lambda timeline: timeline.clip.sample_rate),
    _fixed("text", r"model|model_name|engine|analy[sz]ed_by|generated_by", lambda _: phrases.MODEL),
    _fixed(
        "text",
        r"limitations?|limits|caveats?|disclaimer|notes?|examinations|examined|method|methodology",
        lambda timeline: " ".join(
            (
                f"{phrases.limits(timeline.examinations)} {phrases.examined(timeline.examinations)}",
                phrases.tracks_of(timeline.clip, timeline.examinations),
            )
        ).rstrip(),
    ),
    _fixed("time", _START, lambda timeline: timeline.start),
    _fixed("time", _END, lambda timeline: timeline.end),
    *_of_section(_whole_clip),
    Concept(
        "text",
        r"topics?|subject|themes?|keywords?|tags",
        lambda scope: ", ".join(keywords_of(scope.timeline.utterances())) or None,
        _SPEECH,
        sure=False,
    ),
]


def _spans(needs: Needs = frozenset()) -> list[Concept]:
    """What every row has: its times and its place in the row."""
    return [
        Concept("time", _START, lambda scope: scope.item.start, needs),
        Concept("time", _END, lambda scope: scope.item.end, needs),
        Concept("length", _DURATION, lambda scope: scope.item.end - scope.item.start, needs),
        *_places(needs),
    ]


def _places(needs: Needs) -> list[Concept]:
    return [
        Concept("count", _INDEX, lambda scope: scope.index, needs),
        Concept("count", _NUMBER, lambda scope: scope.index + 1, needs),
    ]


_SECTION_TITLE = Concept(
    "text",
    _TITLE + "|topic|subject",
    lambda scope: phrases.title_of(_part(scope), _utterances(scope, _part(scope))),
    uses=_PICTURE | _SPEECH,
)
PART: list[Concept] = [
    *_spans(),
    _SECTION_TITLE,
    Concept("text", f"{_SUMMARY}|{_ANSWER}|event|what_happens|scene", _told, uses=_ALL),
    Concept(
        "text",
        _TRANSCRIPT + "|quote|words",
        lambda scope: " ".join(phrases.quote(one) for one in _utterances(scope, _part(scope))) or None,
        _SPEECH,
        sure=False,
    ),
    Concept(
        "text",
        r"transition|opening|opens_with|transition_type|cut_type|type|kind",
        lambda scope: _part(scope).shots[0].opening if _part(scope).shots else None,
        _PICTURE,
        sure=False,
    ),
    Concept("count", _counting(r"(?:scenes?|shots?)"), lambda scope: len(_part(scope).shots), _PICTURE),
    *_of_section(_part),
]


def _spoken(scope: Scope) -> Utterance:
    utterance: Utterance = scope.item
    return utterance


_QUOTE = Concept(
    "text",
    f"{_TRANSCRIPT}|{_ANSWER}|caption|line|sentence|quote|words|phrase|utterance",
    lambda scope: phrases.quote(_spoken(scope)),
    _SPEECH,
)
UTTERANCE: list[Concept] = [
    *_spans(_SPEECH),
    _QUOTE,
    Concept(
        "share", r"confidence|score|confidence_score", lambda scope: _spoken(scope).confidence, _SPEECH, sure=False
    ),
    Concept(
        "flag", r"(?:is_)?understood|intelligible|(?:is_)?reliable", lambda scope: _spoken(scope).understood, _SPEECH
    ),
    Concept("flag", _HAS_SPEECH, lambda _: True, _SPEECH),
    Concept("count", r"words?_count", lambda scope: len(_spoken(scope).text.split()), _SPEECH),
    *_languages(lambda scope: [_spoken(scope)]),
]


def _rows(kind: str, needs: Needs, *more: Concept) -> list[Concept]:
    return [*_spans(needs), Concept("text", r"type|kind|category", lambda _: kind, needs), *more]


_TOLD = f"{_SUMMARY}|{_ANSWER}|{_TITLE}|event"
_WORD = Concept("text", r"word|text|token|value|content", lambda scope: scope.item.text, _SPEECH)
_TONE = Concept("text", _TOLD, lambda scope: f"A steady tone of {scope.item.hz:.0f} Hz.", _SOUND)
_MOVES = Concept("text", _TOLD, lambda scope: phrases.motion_of([scope.item]), _PICTURE)
_LEVEL = Concept("decibels", _LOUDNESS + "|value", lambda scope: scope.item.dbfs, _SOUND, phrases.loudness_word)
_COLOUR_NAME = Concept("text", r"name|colou?r|label|title|colou?r_name", lambda scope: scope.item.name, _PICTURE)
_COLOUR_HEX = Concept(
    "text", r"hex|hex_code|code|rgb|value|hex_value|colou?r_code", lambda scope: scope.item.hex, _PICTURE
)
_KEYWORD = Concept("text", r"keyword|topic|tag|name|text|term|label|title|value", lambda scope: scope.item, _SPEECH)
_WHEN = Concept("time", _START, lambda scope: scope.item.start)

WORD = _rows(
    "word",
    _SPEECH,
    _WORD,
    Concept("share", r"confidence|score|probability", lambda scope: scope.item.confidence, _SPEECH),
)
SILENCE = _rows("silence", _SOUND, Concept("text", _TOLD, lambda _: "Silence.", _SOUND))
TONE = _rows(
    "tone",
    _SOUND,
    Concept("number", r"hz|frequency|frequency_hz|pitch", lambda scope: scope.item.hz, _SOUND),
    _TONE,
)
MOTION = _rows(
    "motion",
    _PICTURE,
    _MOVES,
    Concept("text", r"extent|size", lambda scope: scope.item.extent, _PICTURE),
    Concept("text", r"origin|start_position|region|location|place|where", lambda s: s.item.origin, _PICTURE),
    Concept("text", r"goal|end_position|destination", lambda scope: scope.item.goal, _PICTURE),
)
LEVEL = _rows("level", _SOUND, _LEVEL)
_LINE = Concept("text", f"{_WRITTEN}|{_ANSWER}|{_TITLE}|caption|line|words|string", lambda s: s.item.text, _TEXT)
_PLACE = Concept(
    "text", r"place|position|location|region|where|area", lambda scope: phrases.place_of(scope.item), _TEXT
)
WRITING = [
    _PLACE,  # before the rows' own ``position``, which is a number
    *_rows(
        "on_screen_text",
        _TEXT,
        _LINE,
        Concept("share", r"confidence|score|probability|confidence_score", lambda s: s.item.confidence, _TEXT),
    ),
]
_THING_NAME = Concept(
    "text", rf"{_OBJECTS}|{_TITLE}|class|class_name|category|type|kind|text|value|what", lambda s: s.item.name, _THINGS
)
THING = [
    Concept("text", r"place|position|location|region|where|area", lambda s: phrases.place_of(s.item), _THINGS),
    _THING_NAME,
    Concept("text", rf"{_SUMMARY}|event", lambda scope: phrases.spotted(scope.item), _THINGS),
    *_spans(_THINGS),
    Concept("share", r"confidence|score|probability|confidence_score|certainty", lambda s: s.item.score, _THINGS),
    Concept("count", r"most|count|most_at_once|at_once|(?:number|count)_at_once", lambda s: s.item.most, _THINGS),
    Concept("text", r"source|model|detector|detected_by|network", lambda s: s.item.source, _THINGS),
]
COLOUR = [
    _COLOUR_NAME,
    _COLOUR_HEX,
    Concept(
        "share",
        r"share|percentage|percent|proportion|weight|fraction|ratio|coverage",
        lambda scope: scope.item.share,
        _PICTURE,
    ),
    *_places(_PICTURE),
]


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of rows that an array can be made of.

    Attributes:
        rows: yields the items, each as soon as it was measured.
        concepts: what can be read of an item that is an object.
        plain: what an item is when it is a string or a number; None where it can be neither.
        needs, uses: the examinations the rows come from.
        plain_rows: yields the items where they are no objects, if those are others.
    """

    rows: Callable[[Scope], Iterator[Any]]
    concepts: list[Concept]
    plain: Concept | None
    needs: Needs
    uses: Needs = frozenset()
    plain_rows: Callable[[Scope], Iterator[Any]] | None = None


def _within(kind: type[Any]) -> Callable[[Scope], Iterator[Any]]:
    """Rows of one kind of fact, in the clip or in the section that the scope stands in."""
    names = {Silence: "silences", Tone: "tones", Motion: "motions", Level: "levels"}

    def rows(scope: Scope) -> Iterator[Any]:
        section = scope.item if isinstance(scope.item, Section) else scope.timeline.whole()
        return iter(getattr(section, names[kind]))

    return rows


def _spoken_rows(scope: Scope) -> Iterator[Utterance]:
    if isinstance(scope.item, Section):
        return scope.timeline.said_in(scope.item)
    return scope.timeline.utterances()


def _word_rows(scope: Scope) -> Iterator[Word]:
    spoken = iter([scope.item]) if isinstance(scope.item, Utterance) else _spoken_rows(scope)
    return (word for one in spoken if one.understood for word in one.words or ())


def _writing_rows(scope: Scope) -> Iterator[Writing]:
    inside = isinstance(scope.item, Section)
    return iter(_writings(scope, scope.item) if inside else scope.timeline.writings())


def _thing_rows(names: tuple[str, ...] = ()) -> Callable[[Scope], Iterator[Thing]]:
    def rows(scope: Scope) -> Iterator[Thing]:
        section = scope.item if isinstance(scope.item, Section) else scope.timeline.whole()
        return iter(_things(scope, section, names))

    return rows


def _kind_rows(names: tuple[str, ...]) -> Callable[[Scope], Iterator[Thing]]:
    """Rows of which each kind has one alone: names without times say nothing twice."""
    rows = _thing_rows(names)
    return lambda scope: iter({one.name: one for one in rows(scope)}.values())


def _colour_rows(scope: Scope) -> Iterator[Colour]:
    section = scope.item if isinstance(scope.item, Section) else scope.timeline.whole()
    return iter(mean_look(section.shots).colours if section.shots else ())


SOURCES: Mapping[str, Source] = {
    "utterances": Source(_spoken_rows, UTTERANCE, _QUOTE, _SPEECH),
    "sections": Source(lambda scope: scope.timeline.sections(), PART, _SECTION_TITLE, frozenset(), _PICTURE | _SOUND),
    "scenes": Source(lambda scope: scope.timeline.scenes(), PART, _SECTION_TITLE, _PICTURE),
    "cuts": Source(lambda scope: (one for one in scope.timeline.scenes() if one.index), PART, _WHEN, _PICTURE),
    "words": Source(_word_rows, WORD, _WORD, _SPEECH),
    "silences": Source(_within(Silence), SILENCE, _WHEN, _SOUND),
    "tones": Source(_within(Tone), TONE, _TONE, _SOUND),
    "motions": Source(_within(Motion), MOTION, _MOVES, _PICTURE),
    "levels": Source(_within(Level), LEVEL, _LEVEL, _SOUND),
    "writings": Source(_writing_rows, WRITING, _LINE, _TEXT),
    **{
        f"things {names}": Source(_thing_rows(names), THING, _THING_NAME, _THINGS, plain_rows=_kind_rows(names))
        for names in _THING_WORDS
    },
    # "people" as a row of texts asks for their names, which nobody knows here.
    "things ('person',)": Source(_thing_rows(("person",)), THING, None, _THINGS),
    "colours": Source(_colour_rows, COLOUR, _COLOUR_NAME, _PICTURE),
    "hex_colours": Source(_colour_rows, COLOUR, _COLOUR_HEX, _PICTURE),
    "keywords": Source(lambda scope: iter(keywords_of(_spoken_rows(scope))), [_KEYWORD], _KEYWORD, _SPEECH),
}

# Which rows an array's name stands for, the likeliest first.
_ARRAYS: list[tuple[str, tuple[str, ...]]] = [
    (
        r"segments?|cues?|timed_text",
        ("utterances", "sections"),
    ),
    (
        r"captions?|subtitles?|transcripts?|transcription|utterances?|sentences?|lines?|dialog(?:ue)?s?|speech"
        r"|spoken_(?:lines|segments|text)|quotes?|phrases|narration|speech_segments|transcript_segments",
        ("utterances",),
    ),
    (r"chapters?|sections?|parts?|outline|time_?line|moments?|events?|topics_by_time|agenda|index", ("sections",)),
    (r"scenes?|shots?|takes?|scene_list|shot_list|scene_descriptions", ("scenes",)),
    (r"cuts?|cut_times?|transitions?|scene_changes?|shot_changes?|shot_boundaries|boundaries", ("cuts",)),
    (r"words?|tokens?|word_timings?|words_with_times", ("words",)),
    (r"silences?|pauses?|silent_(?:parts|segments|spans|periods)|gaps?", ("silences",)),
    (r"tones?|beeps?", ("tones",)),
    (r"motions?|movements?|moving_(?:parts|regions)|motion_segments|activity", ("motions",)),
    (_WRITTEN + r"|signs?|writings?|inscriptions?", ("writings",)),
    (r"levels?|loudness|volume|sound_levels|loudness_curve", ("levels",)),
    (r"hex_colou?rs|colou?r_codes|hex_codes|colou?rs_hex", ("hex_colours",)),
    (_COLOUR + r"|palettes?", ("colours",)),
    (r"keywords?|key_?words|topics?|tags?|hashtags?|terms?|key_terms?|themes?|subjects?", ("keywords",)),
]
_ARRAYS.append((_OBJECTS, ("things ()",)))
_ARRAYS += [(words, (f"things {names}",)) for names, words in _THING_WORDS.items()]
_SEGMENTS = re.compile(r"segments?")
_GENERIC_ARRAYS = re.compile(r"|items?|rows?|results?|data|entries|list|elements?|records?|annotations?|output")

# Words that decorate a name without changing what it means.
_DECORATION = re.compile(
    r"^(?:video|clip|media|overall|short|brief|full|detailed|complete|total|main|general|generated|estimated"
    r"|approximate|average|mean|the|a|an|scene|shot|chapter|segment|section|caption|word|cue|item|file)_(?=.)"
)
_UNITS = {
    "ms": 1000.0, "msec": 1000.0, "millis": 1000.0, "milliseconds": 1000.0,
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "min": 1 / 60, "mins": 1 / 60, "minutes": 1 / 60,
}  # fmt: skip


def normalised(name: str) -> str:
    """Return a name in lower case with underscores: ``startTime`` is ``start_time``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


def variants(name: str) -> Iterator[tuple[str, float]]:
    """Yield a name and its plainer forms, each with the unit it names (1 is seconds)."""
    plain = normalised(name)
    unit = 1.0
    yield plain, unit
    head, _, tail = plain.rpartition("_")
    if head and tail in _UNITS:
        plain, unit = head.removesuffix("_in"), _UNITS[tail]
        yield plain, unit
    elif head and tail in ("percent", "percentage", "pct"):  # the value's shape sees that it is a percentage
        plain = head
        yield plain, unit
    while match := _DECORATION.match(plain):
        plain = plain[match.end() :]
        yield plain, unit


def find_concept(
    concepts: list[Concept], name: str, kinds: tuple[Kind, ...], description: str = ""
) -> tuple[Concept, float] | None:
    """Find the concept that a name stands for, among those of the given kinds.

    Where the name says nothing, the head of the description may ("Number of scenes in
    the clip"); words further in do not count, they say what something is about.
    """
    for candidate, unit in (*variants(name), *_heads(description)):
        for concept in concepts:
            if concept.kind in kinds and re.fullmatch(concept.names, candidate):
                return concept, unit
    return None


_ARTICLES = re.compile(
    r"^(?:(?:a|an|the|this|short|brief|concise|one|two|sentence|full|total|overall|detailed|exact|complete"
    r"|plain|text|whether|if|there|is|are|any|clip|video|s)\b[\s'-]*)+", re.IGNORECASE
)  # fmt: skip


def _heads(description: str) -> Iterator[tuple[str, float]]:
    words = normalised(_ARTICLES.sub("", description.strip())).split("_")
    unit = next((_UNITS[word] for word in words if len(word) > 3 and word in _UNITS), 1.0)
    for count in range(min(4, len(words)), 0, -1):
        yield "_".join(words[:count]), unit


def find_sources(name: str, description: str, members: frozenset[str], intent: Intent) -> list[str]:
    """Return the kinds of rows an array may stand for, the likeliest first."""
    for candidate, _ in (*variants(name), *_heads(description)):
        for names, sources in _ARRAYS:
            if re.fullmatch(names, candidate):
                timed = bool(_SEGMENTS.fullmatch(candidate)) and "timestamp" in members
                return _by_members(list(sources), members, intent, timed)
    if _GENERIC_ARRAYS.fullmatch(normalised(name)):
        return _by_members(["utterances", "sections"], members, intent)
    return []


def _by_members(sources: list[str], members: frozenset[str], intent: Intent, timed: bool = False) -> list[str]:
    """Put sections before utterances where the items, or else the prompt, speak of pictures.

    Args:
        timed: the items divide the clip by timestamps: they follow each other from its start to its end.
    """
    if len(sources) < 2:
        return sources
    shown = {"title", "headline", "summary", "description", "visual", "scene", "look", "visual_description"}
    spoken = {"transcript", "speech", "speaker", "confidence", "caption", "quote", "utterance"}
    if members & shown and not members & spoken:
        return sources[::-1]
    pictured = timed or intent.topics[0] in ("chapters", "look")
    if not members & spoken and pictured and "transcript" not in intent.topics:
        return sources[::-1]
    return sources
