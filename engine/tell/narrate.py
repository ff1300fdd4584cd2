"""Answer a free-text prompt in prose, as the facts come in.

Each function is a reader of the timeline that yields text. The facts of the file's headers
come first, so that the first words come at once. ``[mm:ss]`` opens each line that belongs
to a time, and nothing follows the last such line, so that a caption reader takes no closing
remark for speech. What is wrong with the file comes last, in brackets of its own.
"""

from collections.abc import Callable, Iterable, Iterator

from engine.facts.facts import Utterance
from engine.facts.intent import Intent, Topic
from engine.facts.timeline import Timeline, mean_look, weighed
from engine.sentences.weights import MODEL as SENTENCES
from engine.tell.phrases import (
    about_clip,
    capital,
    colours_in,
    counted,
    examined,
    faults_told,
    length,
    light_word,
    limits,
    listed,
    loudness_word,
    mark,
    motion_of,
    motion_word,
    one_of,
    quote,
    said,
    seen,
    shown,
    spotted,
    title_of,
    tracks_of,
    with_languages,
)
from engine.tell.retrieval import About, Encode

# What must be examined for each topic.
NEEDS: dict[Topic, frozenset[str]] = {
    "summary": frozenset({"picture", "sound", "speech", "on_screen_text", "things"}),
    "chapters": frozenset({"picture", "sound", "speech"}),
    "moment": frozenset({"picture", "sound", "speech", "on_screen_text", "things"}),
    "transcript": frozenset({"speech"}),
    "look": frozenset({"picture"}),
    "sound": frozenset({"sound"}),
    "text": frozenset({"on_screen_text"}),
    # Two sightings count in one shot only, so shots are looked for too.
    "things": frozenset({"picture", "things"}),
}


def narrate(timeline: Timeline, intent: Intent, encode: Encode | None = None) -> Iterator[str]:
    """Yield the answer to a prompt in fragments.

    Args:
        encode: texts to vectors, where there are weights: then subjects are found by meaning too.
    """
    tracks = tracks_of(timeline.clip, timeline.examinations)
    yield f"{limits(timeline.examinations)} {examined(timeline.examinations)}{' ' if tracks else ''}{tracks}\n\n"
    if intent.beyond:
        yield (
            "The question asks for more than that: it would take a model that recognises what is shown. "
            "What was measured is this.\n\n"
        )
    yield from topics(timeline, intent, encode)


def topics(timeline: Timeline, intent: Intent, encode: Encode | None = None) -> Iterator[str]:
    """Yield the answer itself, topic by topic."""
    if intent.about:
        yield from _said_about(timeline, About(intent.about, encode))
    elif intent.span is not None and intent.span[0] >= timeline.clip.duration:
        yield f"The clip lasts only {length(timeline.clip.duration)}: {mark(intent.span[0])} is past its end.\n"
        return
    else:
        for index, topic in enumerate(intent.topics):
            yield "\n" if index else ""
            yield from _things(timeline, intent.things) if topic == "things" else _TOLD[topic](timeline)
    for time, sentence in faults_told(timeline.faults()):
        yield f"[{mark(time)}] [{sentence}]\n"


def _summary(timeline: Timeline) -> Iterator[str]:
    yield about_clip(timeline.clip) + "\n"
    for section in timeline.sections():
        yield f"\n[{mark(section.start)}] {seen(section)}"
        yield from said(timeline.said_in(section))
    yield "\n"
    yield from _written(timeline)
    yield from _spotted(timeline)


def _chapters(timeline: Timeline) -> Iterator[str]:
    yield about_clip(timeline.clip) + "\n"
    for section in timeline.sections():
        utterances = list(timeline.said_in(section))
        yield f"\n[{mark(section.start)}] {title_of(section, utterances)} "
        yield f"({length(section.end - section.start)}). {seen(section)}"
        yield from said(utterances)
    yield "\n"


def _said_about(timeline: Timeline, about: About) -> Iterator[str]:
    if timeline.examinations["speech"].outcome != "made":
        yield f"There is no transcript: {timeline.examinations['speech'].reason}.\n"
        return
    how = f"its words and its meaning ({SENTENCES})" if about.by_meaning else "its words alone"
    yield f'What was said was searched for "{about.subject}" by {how}.\n'
    found = False
    fitting = (one for one in timeline.utterances() if one.understood and about.fits(one.text))
    for line in _lines(fitting):
        found = True
        yield line
    if not found:
        yield "Nothing that was understood fits it.\n"


def _transcript(timeline: Timeline) -> Iterator[str]:
    if timeline.examinations["speech"].outcome != "made":
        yield f"There is no transcript: {timeline.examinations['speech'].reason}.\n"
        return
    heard = False
    for line in _lines(timeline.utterances()):
        heard = True
        yield line
    if not heard:
        yield "No speech was found in this clip.\n"


def _lines(utterances: Iterable[Utterance]) -> Iterator[str]:
    """Quote utterances, a line each; a language is told in brackets, as in subtitles."""
    for one, language in with_languages(utterances):
        yield f"[{mark(one.start)}] {f'[{language}] ' if language else ''}{quote(one)}\n"


def _moment(timeline: Timeline) -> Iterator[str]:
    section = timeline.whole()
    yield f"[{mark(section.start)}] What was measured up to {mark(section.end)}: "
    if section.shots:
        yield f"{_changes(len(section.shots) - 1)} "
    yield seen(section)
    yield from said(timeline.utterances())
    yield "\n"
    yield from _written(timeline)
    yield from _spotted(timeline)


def _changes(number: int) -> str:
    return "one shot, without a change." if number <= 0 else f"{counted(number, 'change')} of shot."


def _look(timeline: Timeline) -> Iterator[str]:
    if timeline.examinations["picture"].outcome != "made":
        yield f"Nothing can be said of the picture: {timeline.examinations['picture'].reason}.\n"
        return
    yield about_clip(timeline.clip) + "\n"
    for section in timeline.sections():
        look = mean_look(section.shots)
        colours = listed([f"{colour.name} {colour.hex} ({colour.share:.0%})" for colour in look.colours])
        motion = motion_word(weighed(section.shots, lambda shot: shot.motion))
        yield f"\n[{mark(section.start)}] {capital(light_word(look.light))} and {motion}: {colours}. "
        yield motion_of(section.motions)
    whole = mean_look(timeline.whole().shots)
    yield f"\n\nOver the whole clip the picture is {light_word(whole.light)}, {colours_in(whole)}.\n"


def _sound(timeline: Timeline) -> Iterator[str]:
    if timeline.examinations["sound"].outcome != "made":
        yield f"Nothing can be said of the sound: {timeline.examinations['sound'].reason}.\n"
        return
    whole = timeline.whole()
    if not whole.levels:
        yield "The sound track holds no samples.\n"
        return
    loudest = max(whole.levels, key=lambda level: level.dbfs)
    silent = sum(silence.end - silence.start for silence in whole.silences)
    yield (
        f"At its loudest, near {mark(loudest.start)}, the sound is {loudness_word(loudest.dbfs)} "
        f"({-loudest.dbfs:.0f} dB below full scale). "
    )
    yield f"It is silent for {length(silent)} of {length(timeline.clip.duration)}.\n"
    for silence in whole.silences[:20]:
        yield f"[{mark(silence.start)}] Silence until {mark(silence.end)}.\n"
    for tone in whole.tones[:20]:
        yield f"[{mark(tone.start)}] A steady tone of {tone.hz:.0f} Hz until {mark(tone.end)}.\n"


def _text(timeline: Timeline) -> Iterator[str]:
    examination = timeline.examinations["on_screen_text"]
    if examination.outcome != "made":
        yield f"Nothing can be said of text on the screen: {examination.reason}.\n"
        return
    nothing = True
    for line in _written(timeline):
        nothing = False
        yield line
    if nothing:
        yield "No text was read on the screen.\n"


def _written(timeline: Timeline) -> Iterator[str]:
    """Tell the texts on the screen, a line each: they end when they are gone, and so come last."""
    for writing in timeline.writings():
        yield f"[{mark(writing.start)}] {shown(writing)}\n"


def _things(timeline: Timeline, names: tuple[str, ...]) -> Iterator[str]:
    examination = timeline.examinations["things"]
    if examination.outcome != "made":
        yield f"No things can be named: {examination.reason}.\n"
        return
    yield "Once a second the picture was searched for things. What is told is probably right; more may be there.\n"
    nothing = True
    for line in _spotted(timeline, names):
        nothing = False
        yield line
    if nothing:
        sought = listed([one_of(name) for name in names]).replace(" and ", " or ")
        yield f"Nothing was taken for {sought or 'one'}: it does not follow that there is none.\n"


def _spotted(timeline: Timeline, names: tuple[str, ...] = ()) -> Iterator[str]:
    """Tell the things that are probably there, a line each."""
    for thing in timeline.things(names):
        yield f"[{mark(thing.start)}] {spotted(thing)}\n"


_TOLD: dict[Topic, Callable[[Timeline], Iterator[str]]] = {
    "summary": _summary,
    "chapters": _chapters,
    "transcript": _transcript,
    "moment": _moment,
    "look": _look,
    "sound": _sound,
    "text": _text,
}
