"""What prompts ask for."""

import pytest

from engine.facts.intent import Intent
from engine.tell.intent import read_intent


@pytest.mark.parametrize(
    ("prompt", "topics"),
    [
        ("Summarize this video.", ("summary",)),
        ("What is this video about?", ("summary",)),
        ("Describe what happens", ("summary",)),
        ("Give me chapters with timestamps", ("chapters",)),
        ("Transcribe the audio track", ("transcript", "sound")),
        ("What does the speaker say?", ("transcript",)),
        ("Write subtitles", ("transcript",)),
        ("Which colours dominate?", ("look",)),
        ("How loud is it?", ("sound",)),
        ("Which text is shown on screen?", ("text",)),
        ("List the on-screen text with its colours", ("text", "look")),
        ("What words are displayed?", ("text",)),
        ("What is written on the sign?", ("text",)),
        ("Do OCR", ("text",)),
        ("Write a text summary with chapter titles", ("summary", "chapters")),
        ("Summarize it, then list the chapters", ("summary", "chapters")),
        ("hello", ("summary",)),
    ],
)
def test_topics_are_read_off_the_words_in_their_order(prompt: str, topics: tuple[str, ...]) -> None:
    assert read_intent(prompt).topics == topics


@pytest.mark.parametrize(
    ("prompt", "span"),
    [
        ("What happens at 0:05?", (5, 5)),
        ("What happens at 01:02:03?", (3723, 3723)),
        ("Describe 00:10-00:20", (10, 20)),
        ("what is shown at 12 seconds", (12, 12)),
        ("what happens around 2 minutes", (120, 120)),
        ("What is at the 7 second mark?", (7, 7)),
    ],
)
def test_times_make_it_a_question_about_a_moment(prompt: str, span: tuple[float, float]) -> None:
    intent = read_intent(prompt)
    assert intent.topics == ("moment",)
    assert intent.span == span


@pytest.mark.parametrize("prompt", ["How many dogs are asleep?", "Who is that?", "Is the driver angry?"])
def test_a_question_beyond_what_is_measured_is_known_as_one(prompt: str) -> None:
    assert read_intent(prompt).beyond


@pytest.mark.parametrize(
    ("prompt", "things"),
    [
        ("When does a person appear?", ("person",)),
        ("Is there a car?", ("car",)),
        ("How many people?", ("person",)),
        ("How many people are there in the video?", ("person",)),
        ("Do you see a bird", ("bird",)),
        ("Is there a dog, a cat or a horse?", ("cat", "dog", "horse")),
        ("When can we see the clock?", ("clock",)),
        ("Where is the boat visible?", ("boat",)),
        ("Find all vehicles", ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "vehicle")),
        ("Which objects can be seen?", ()),
    ],
)
def test_a_question_for_things_names_their_kinds(prompt: str, things: tuple[str, ...]) -> None:
    assert read_intent(prompt) == Intent(("things",), things=things)


@pytest.mark.parametrize(
    "prompt",
    [
        "Is there a car chase?",
        "Is the dog happy?",
        "How many cars are red?",
        "What does the person say?",
        "How many people are talking?",
        "What is the person doing?",
        "How many words are on the screen?",
        "What happens at 0:05, is there a car?",
        "Which person is angry?",
        "Where is a car mentioned?",
    ],
)
def test_what_only_has_the_word_for_a_thing_asks_for_something_else(prompt: str) -> None:
    assert "things" not in read_intent(prompt).topics


def test_an_order_that_is_no_question_is_not_beyond() -> None:
    assert not read_intent("Please go ahead").beyond


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        ("What was said about the telescope?", "the telescope"),
        ("What does he say about his country in the video?", "his country"),
        ("Does anybody mention Maryland?", "Maryland"),
        ("When is the flight center mentioned?", "the flight center"),
        ('Find where they talk about "clean rooms".', "clean rooms"),
        ("Where is money being discussed?", "money"),
        ("What do they talk about?", ""),
        ("What is said in the video?", ""),
        ("What is being talked about in this video?", ""),
        ("What does she say about it?", ""),
        ("Summarize what was said", ""),
        ("Tell me about the video", ""),
        ("Quote what was said at 0:05 about money", ""),  # the moment decides
    ],
)
def test_a_question_for_what_was_said_about_something_names_its_subject(prompt: str, subject: str) -> None:
    intent = read_intent(prompt)
    assert intent.about == subject
    assert not subject or intent.topics == ("transcript",)


@pytest.mark.parametrize("prompt", ["is " * 2700, "is" + " " * 7900 + "x", "say" + " " * 7900, "mention " * 1000])
def test_a_hostile_prompt_is_read_without_trying_every_way(prompt: str) -> None:
    assert read_intent(prompt).topics


def test_a_subject_is_bounded() -> None:
    assert len(read_intent("What was said about " + "x" * 5000).about) == 200
