"""Facts in words: sentences and parts of sentences that claim what was measured and nothing more."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from engine.facts.facts import WHOLE, Clip, Examinations, Fault, Look, Motion, Shot, Thing, Track, Utterance, Writing
from engine.facts.languages import language_name
from engine.facts.places import place
from engine.facts.things import BY_NAME
from engine.facts.timeline import Section, mean_look, weighed

MODEL = "local-facts"
_LIMITS = f"Measured by {MODEL}, which recognises no objects, people or actions."
_LIMITS_WITH_THINGS = (
    f"Measured by {MODEL}, which recognises no actions, and of things and people only that they are there."
)
NOT_UNDERSTOOD = "speech, not understood"
SENTENCE_ENDS = ".?!…"

_LIGHT = ((0.1, "very dark"), (0.3, "dark"), (0.55, "moderately lit"), (0.75, "bright"), (2.0, "very bright"))
_MOTION = ((0.002, "still"), (0.015, "nearly still"), (0.06, "moving"), (2.0, "restless"))
SILENT_DBFS = -55.0
_LOUDNESS = ((SILENT_DBFS, "silent"), (-38.0, "quiet"), (-20.0, "of medium loudness"), (1.0, "loud"))
_EXAMINED = {
    "picture": "the picture",
    "sound": "the sound level",
    "speech": "speech",
    "on_screen_text": "on-screen text",
    "things": "things",
}


def mark(seconds: float) -> str:
    """Return a time as ``mm:ss``, rounded down: a mark never points past its event."""
    whole = int(seconds + 1e-6)
    return f"{whole // 60:02d}:{whole % 60:02d}"


def length(seconds: float) -> str:
    """Return a length for a sentence: ``8.0 seconds``, ``2 minutes 5 seconds``."""
    if seconds < 60:
        return f"{seconds:.1f} seconds"
    minutes, rest = divmod(round(seconds), 60)
    words = f"{minutes} minute{'s' if minutes != 1 else ''}"
    return f"{words} {rest} second{'s' if rest != 1 else ''}" if rest else words


def listed(items: Sequence[str]) -> str:
    """Join items as in prose: ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def counted(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def capital(text: str) -> str:
    """Raise the first letter."""
    return text[:1].upper() + text[1:]


def _graded(value: float, scale: Iterable[tuple[float, str]]) -> str:
    return next(word for bound, word in scale if value < bound)


def light_word(light: float) -> str:
    return _graded(light, _LIGHT)


def motion_word(motion: float) -> str:
    return _graded(motion, _MOTION)


def loudness_word(dbfs: float) -> str:
    return _graded(dbfs, _LOUDNESS)


def limits(examinations: Examinations) -> str:
    """Say what the engine does not recognise."""
    things = examinations.get("things")
    return _LIMITS_WITH_THINGS if things and things.outcome == "made" else _LIMITS


def examined(examinations: Examinations) -> str:
    """Say which examinations were made, and which were not and why."""
    made = [
        _EXAMINED[kind] + (f" ({language_name(exam.language)})" if exam.language else "")
        for kind, exam in examinations.items()
        if exam.outcome == "made"
    ]
    skipped = [_EXAMINED[kind] for kind, exam in examinations.items() if exam.outcome == "not_needed"]
    lacking = [
        f"{_EXAMINED[kind]} ({exam.reason})" for kind, exam in examinations.items() if exam.outcome == "not_available"
    ]
    text = f"Examined: {listed(made) or 'nothing'}."
    if skipped:
        text += f" Not asked for: {listed(skipped)}."
    if lacking:
        text += f" Not to be had: {'; '.join(lacking)}."
    return text


def about_clip(clip: Clip) -> str:
    """Describe the file in one sentence, from its headers."""
    if not clip.has_picture:
        return f"This is a sound recording of {length(clip.duration)}, without a picture."
    rate = f" at {clip.fps:g} frames a second" if clip.fps else ""
    sound = "with a sound track" if clip.has_sound else "without a sound track"
    return f"This clip lasts {length(clip.duration)}: {clip.width}x{clip.height}{rate}, {sound}."


def tracks_of(clip: Clip, examinations: Examinations) -> str:
    """Say which of several tracks of a kind were examined; nothing where there is one of each."""
    made = {kind for kind, one in examinations.items() if one.outcome == "made"}
    parts = [
        _which("pictures", clip.picture_track) if made & {"picture", "on_screen_text", "things"} else "",
        _which("sound tracks", clip.sound_track) if made & {"sound", "speech"} else "",
    ]
    return " ".join(part for part in parts if part)


def _which(kind: str, track: Track | None) -> str:
    if track is None or track.of < 2:
        return ""
    why = "the one that the file flags as its default" if track.flagged else "the first"
    language = f" (language: {track.language})" if track.language else ""
    return f"Of {track.of} {kind} in the file, number {track.number}{language} was examined, {why}."


# Where damage is found in more places than this, they are told as one.
_MOST_DAMAGE = 2


def faults_told(faults: Sequence[Fault]) -> list[tuple[float, str]]:
    """Say what is wrong with a file: sentences, each with the time that it belongs to."""
    told = [(one.start, _FAULTS[one.kind](one)) for one in faults if one.kind != "damaged"]
    for half in ("picture", "sound"):
        damage = [one for one in faults if one.kind == "damaged" and one.track == half]
        if len(damage) > _MOST_DAMAGE:
            packets = sum(one.packets for one in damage)
            damage = [Fault(damage[0].start, max(one.end for one in damage), "damaged", damage[0].track, packets)]
        told += [(one.start, _damaged(one)) for one in damage]
    return sorted(told)


def _damaged(fault: Fault) -> str:
    what = counted(fault.packets, f"packet of the {fault.track}", f"packets of the {fault.track}")
    until = f" up to {mark(fault.end)}" if mark(fault.end) != mark(fault.start) else ""
    were = "was" if fault.packets == 1 else "were"
    return f"Damaged: {what}{until} could not be decoded rightly, and {were} passed over."


def _missing(fault: Fault) -> str:
    how = "looked at" if fault.track == "picture" else "listened to"
    return (
        f"The {fault.track} could be {how} up to here only: "
        f"the file announces it up to {mark(fault.end)}, but the rest cannot be had or decoded."
    )


_FAULTS: dict[str, Callable[[Fault], str]] = {
    "restart": lambda _: "The clock of the file begins again here; the times told go on.",
    "gap": lambda one: f"The sound has a gap up to {mark(one.end)}.",
    "overlap": lambda one: f"The sound overlaps itself up to {mark(one.end)}; what came second was left out.",
    "missing": _missing,
}


def colours_in(look: Look) -> str:
    """Name the colours that make up the picture."""
    names = [colour.name for colour in look.colours]
    if look.colours and look.colours[0].share > 0.85:
        return f"almost all {names[0]}"
    return f"mostly {listed(names[:3])}" if len(names) < 3 else listed(names[:3])


def picture_of(shots: list[Shot]) -> str:
    """Return a noun phrase: ``a still, dark picture, almost all dark blue``."""
    look = mean_look(shots)
    motion = weighed(shots, lambda shot: shot.motion)
    return f"a {motion_word(motion)}, {light_word(look.light)} picture, {colours_in(look)}"


_OPENINGS = {
    "start": "It opens on",
    "cut": "After a cut,",
    "dissolve": "After a likely dissolve,",
    "fade": "Out of black comes",
    "continues": "The shot goes on with",
}


def opening_of(section: Section) -> str:
    """Say how a section begins and what its picture is like."""
    shots = section.shots
    text = f"{_OPENINGS[shots[0].opening]} {picture_of(shots)}"
    if shots[0].fade_in:
        text += f", fading in from black over {shots[0].fade_in:.1f} seconds"
    cuts = sum(shot.opening != "continues" for shot in shots[1:])
    if cuts:
        text += f", with {counted(cuts, 'further change')} of shot"
    if shots[-1].fade_out:
        text += f", fading to black over the last {shots[-1].fade_out:.1f} seconds"
    return text + "."


def motion_of(motions: list[Motion]) -> str:
    """Say when and where something moves; the longest spans only."""
    longest = sorted(motions, key=lambda motion: motion.start - motion.end)[:2]
    return " ".join(_moves(motion) for motion in sorted(longest, key=lambda motion: motion.start))


def _moves(motion: Motion) -> str:
    span = f"from {mark(motion.start)} to {mark(motion.end)}"
    if motion.extent == "much":
        return f"Much of the picture changes {span}."
    if motion.origin == motion.goal:
        return f"Something moves {span}, around the {motion.origin}."
    return f"Something moves {span}, from the {motion.origin} to the {motion.goal}."


def sound_of(section: Section) -> str:
    """Say how loud a section is, and name silence and tones."""
    if not section.levels:
        return ""
    silent = sum(min(one.end, section.end) - max(one.start, section.start) for one in section.silences)
    loudest = max(level.dbfs for level in section.levels)
    if silent >= 0.9 * (section.end - section.start) or loudest < SILENT_DBFS:
        return "It is silent."
    text = f"The sound is {loudness_word(loudest)}"
    if section.tones:
        tones = [f"{tone.hz:.0f} Hz from {mark(tone.start)}" for tone in section.tones[:3]]
        text += f", with a steady tone of {listed(tones)}"
    return text + "."


def quote(utterance: Utterance) -> str:
    """Return the words of an utterance, or say in brackets that there are none."""
    if utterance.words is None:
        return "[speech, not transcribed]"
    return utterance.text if utterance.understood else f"[{NOT_UNDERSTOOD}]"


def with_languages(utterances: Iterable[Utterance]) -> Iterator[tuple[Utterance, str]]:
    """Yield utterances, with ``in French`` where that was found out and is not the language of those before."""
    last = ""
    for one in utterances:
        new = one.language if one.understood and one.language != last else ""
        last = new or last
        yield one, f"in {language_name(new)}" if new else ""


def languages_in(utterances: Iterable[Utterance]) -> list[str]:
    """Return the codes of the languages in which something was understood, in order of appearance."""
    return list(dict.fromkeys(one.language for one in utterances if one.understood and one.language))


def said(utterances: Iterable[Utterance]) -> Iterator[str]:
    """Quote what is said, utterance by utterance; what was not understood is counted."""
    quoted = lost = 0
    last = ""
    why = "understood"
    for one, language in with_languages(utterances):
        if one.understood:
            yield f"{', ' if quoted else ' A voice says '}{language}{' ' if language else ''}“{quote(one)}”"
            quoted += 1
            last = one.text[-1:]
        else:
            lost += 1
            why = "transcribed" if one.words is None else why
    # A sentence that ends within the quotation ends.
    yield "." if quoted and last not in SENTENCE_ENDS else ""
    if lost:
        yield f" There is {'also ' if quoted else ''}speech that was not {why}."


def place_of(one: Writing | Thing) -> str:
    """Name the ninth of the picture in which a text or a thing stands, or that it is all of it."""
    if one.box == WHOLE:
        return "whole picture"
    left, top, right, bottom = one.box
    return place((left + right) / 2, (top + bottom) / 2)


def shown(writing: Writing) -> str:
    """Return a text on the screen as it was read, with how long it stands and where."""
    until = f" until {mark(writing.end)}" if mark(writing.end) != mark(writing.start) else ""
    where = place_of(writing)
    at = "in" if where == "centre" else "on" if where.endswith("side") else "at"
    return f"On the screen{until}, {at} the {where}: “{writing.text}”"


def one_of(name: str) -> str:
    """Return a kind of thing with its article: ``a person``."""
    if BY_NAME[name].plural == name:
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def spotted(thing: Thing) -> str:
    """Say that a thing, or several of a kind, is probably there, and until when."""
    what = one_of(thing.name)
    if thing.most > 1:
        what = f"{BY_NAME[thing.name].plural}, {thing.most} of them at once"
    return f"Probably {what}, until {mark(thing.end)}."


def title_of(section: Section, utterances: Sequence[Utterance]) -> str:
    """Return a few words that tell a section apart from others: what is said, else how it looks."""
    words = " ".join(one.text for one in utterances if one.understood).split()
    if words:
        return capital(" ".join(words[:7]).rstrip(",.;:")) + ("…" if len(words) > 7 else "")
    if section.shots:
        look = mean_look(section.shots)
        motion = motion_word(weighed(section.shots, lambda shot: shot.motion))
        title = f"{motion}, {light_word(look.light)} picture, {listed([c.name for c in look.colours[:2]])}"
    else:
        title = "speech" if utterances else "sound without speech"
    if utterances and section.shots:
        title += ", with speech"
    elif section.tones:
        title += ", with a tone"
    return capital(title)


def seen(section: Section) -> str:
    """Tell a section in a few sentences, all but what is said in it."""
    parts = [opening_of(section) if section.shots else "", motion_of(section.motions), sound_of(section)]
    return " ".join(part for part in parts if part)
