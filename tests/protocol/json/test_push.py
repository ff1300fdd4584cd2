"""The push parser against orjson: whatever the document, however it is cut."""

import json
import re
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.json.bounds import too_deep
from protocol.json.push import JsonPush, JsonRefused
from protocol.json.wrapping import LOOK_AHEAD, find_document
from protocol.ndjson import dumps, loads
from protocol.pointers import resolve
from tests.protocol.json_cases import SCRAPS

CHARACTERS = st.characters(codec="utf-8")
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**66), 2**66)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(CHARACTERS, max_size=12)
)
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(CHARACTERS, max_size=6), below, max_size=4),
    max_leaves=16,
)
FORMS = st.sampled_from(
    [
        {"ensure_ascii": True},
        {"ensure_ascii": False},
        {"ensure_ascii": True, "indent": 1},
        {"ensure_ascii": False, "separators": (",", ":")},
    ]
)
DOCUMENTS = st.builds(lambda value, form: json.dumps(value, **form), VALUES, FORMS)


class Told:
    """A listener that writes down what it is told, and builds the tree from nothing else."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.parser = JsonPush(self)

    def _note(self, *event: Any) -> None:
        self.events.append((event[0], self.parser.pointer(), *event[1:]))

    def began(self, kind: str, at: int) -> None:
        self._note("began", kind, at)

    def named(self, name: str, at: int) -> None:
        self._note("named", name, at)

    def grew(self, text: str, at: int) -> None:
        self._note("grew", text, at)

    def more(self, at: int) -> None:
        self._note("more", at)

    def closed(self, value: Any, at: int) -> None:
        self._note("closed", dumps(value), at)

    def withdrawn(self, at: int) -> None:
        self._note("withdrawn", at)


def pieces(text: str, size: int) -> list[str]:
    return [text[place : place + size] for place in range(0, len(text), size)]


def parse(fragments: list[str]) -> tuple[JsonPush, list[tuple[Any, ...]], JsonRefused | None]:
    told = Told()
    try:
        for fragment in fragments:
            told.parser.feed(fragment)
        told.parser.close()
    except JsonRefused as refusal:
        return told.parser, told.events, refusal
    return told.parser, told.events, None


def joined(events: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The events with neighbouring growth told as one, as if the text had come whole."""
    whole: list[tuple[Any, ...]] = []
    for event in events:
        if event[0] == "grew" and whole and whole[-1][0] == "grew":
            event = ("grew", event[1], whole.pop()[2] + event[2], event[3])
        whole.append(event)
    return whole


def whole_value(text: str) -> Any:
    """What orjson makes of the document that stands in ``text``; raises where it makes nothing."""
    encoded = text.encode()
    try:
        return loads(encoded)
    except orjson.JSONDecodeError:
        found = find_document(encoded)
        if found is None or not found.around:
            raise
        return loads(encoded[found.start : found.end])


@given(DOCUMENTS, st.integers(1, 9))
def test_the_tree_is_orjsons_however_the_text_is_cut(text: str, size: int) -> None:
    parser, _, refusal = parse(pieces(text, size))
    assert refusal is None
    assert parser.around == ()
    assert parser.tree == loads(text.encode())


@given(DOCUMENTS, st.data())
def test_any_two_cuts_tell_the_same_events(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    edges = [0, *cuts, len(text)]
    fragments = [text[start:stop] for start, stop in pairwise(edges)]
    assert joined(parse(fragments)[1]) == joined(parse([text])[1])


WIRE = '{"a":[1,-2.50e1,true,{"b":"h\\u00e9\\n\\ud83d\\ude00 é😀"}],"":null,"x/~y":[[],{}],"n":0}\n'


def test_a_document_split_at_every_character_tells_the_same() -> None:
    whole = joined(parse([WIRE])[1])
    for cut in range(len(WIRE) + 1):
        assert joined(parse([WIRE[:cut], WIRE[cut:]])[1]) == whole
    assert joined(parse(list(WIRE))[1]) == whole


def test_events_name_the_place_and_the_byte_that_proved_them() -> None:
    _, events, _ = parse(['{"é":["x', 'y",12', ",tr", "ue]}"])
    assert events == [
        ("began", "", "object", 1),
        ("named", "/é", "é", 5),
        ("began", "/é", "array", 7),
        ("began", "/é/0", "string", 8),
        ("grew", "/é/0", "x", 9),
        ("grew", "/é/0", "y", 10),
        ("closed", "/é/0", b'"xy"', 11),
        ("more", "/é/0", 12),
        ("began", "/é/1", "number", 13),
        ("closed", "/é/1", b"12", 15),
        ("more", "/é/1", 15),
        ("began", "/é/2", "true", 16),
        ("closed", "/é/2", b"true", 19),
        ("closed", "/é", b'["xy",12,true]', 20),
        ("closed", "", '{"é":["xy",12,true]}'.encode(), 21),
    ]


@settings(max_examples=50)
@given(DOCUMENTS)
def test_the_live_tree_grows_by_every_piece(text: str) -> None:
    parser = JsonPush()
    for place, char in enumerate(text):
        parser.feed(char)
        assert parser.offset == len(text[: place + 1].encode())
        assert dumps(parser.tree) is not None
    parser.close()
    assert parser.tree == loads(text.encode())


@settings(max_examples=50)
@given(DOCUMENTS, st.integers(1, 5))
def test_events_alone_rebuild_the_tree(text: str, size: int) -> None:
    root: list[Any] = []
    for kind, pointer, *rest in parse(pieces(text, size))[1]:
        if kind in ("began", "closed") and not (kind == "closed" and rest[0][:1] in b"{["):
            fresh = {"object": {}, "array": [], "string": ""}.get(rest[0]) if kind == "began" else loads(rest[0])
            if kind == "began" and fresh is None:
                continue
            put(root, pointer, fresh)
    assert root[0] == loads(text.encode())


def put(root: list[Any], pointer: str, value: Any) -> None:
    if not pointer:
        root[:] = [value]
        return
    above, _, last = pointer.rpartition("/")
    holder = resolve(root[0], above)
    if isinstance(holder, dict):
        holder[last.replace("~1", "/").replace("~0", "~")] = value
    elif isinstance(holder, list):
        holder[int(last) :] = [value]


def test_of_duplicate_keys_the_last_one_counts() -> None:
    text = '{"a":{"x":1},"b":2,"a":[3]}'
    parser, events, _ = parse(pieces(text, 3))
    assert parser.tree == {"a": [3], "b": 2} == loads(text.encode())
    assert [event[1] for event in events if event[0] == "named"] == ["/a", "/a/x", "/b", "/a"]


MUTATIONS = st.tuples(
    st.sampled_from(["insert", "delete", "swap"]),
    st.floats(0, 1),
    st.sampled_from(list('{}[]",:\\0129.eE+-tfn \n\x00\x1fu/`é')),
)


def mutated(text: str, how: str, where: float, char: str) -> str:
    place = int(where * len(text))
    rest = text[place:] if how == "insert" else text[place + 1 :]
    return text[:place] + ("" if how == "delete" else char) + rest


@settings(max_examples=150)
@given(DOCUMENTS, st.lists(MUTATIONS, min_size=1, max_size=3), st.integers(1, 9))
def test_a_mutated_document_is_refused_or_agreed_upon(text: str, changes: list[Any], size: int) -> None:
    for change in changes:
        text = mutated(text, *change)
    check_agreement(text, size)


@settings(max_examples=150)
@given(SCRAPS, st.integers(1, 9))
@example('"a" {"b":1}', 1)
@example('[00:12] hello [1] {"a": 1} bye', 4)
@example("```json\n[1, 2]\n```", 2)
@example("[", 1)
@example("[1.", 1)
@example("{", 1)
@example('x {"', 2)
@example("1 ", 1)
@example("[1e400]", 3)
@example('"\\ud83d" ["x"]', 3)
def test_scraps_of_json_are_refused_or_agreed_upon(text: str, size: int) -> None:
    check_agreement(text, size)


def check_agreement(text: str, size: int) -> None:
    parser, _, refusal = parse(pieces(text, size))
    try:
        expected = whole_value(text)
    except orjson.JSONDecodeError:
        assert refusal is not None
        assert refusal.at <= len(text.encode())
        return
    if too_deep(expected):
        assert refusal is not None
        assert refusal.keyword == "depth"
        return
    assert refusal is None, refusal
    assert dumps(parser.tree) == dumps(expected)
    found = find_document(text.encode())
    if isinstance(expected, dict | list):
        assert found is not None
        assert parser.around == found.around


@pytest.mark.parametrize(
    ("text", "keyword", "pointer", "at"),
    [
        ('{"a":01}', "syntax", "/a", 8),
        ('{"a":1 2}', "syntax", "", 8),
        ('{"a":[1,]}', "syntax", "/a/1", 9),
        ('{"a":"\x01"}', "syntax", "/a", 7),
        ('{"a":"\\x"}', "syntax", "/a", 8),
        ('{"a\\ud83d":1}', "surrogate", "", 10),
        ('{"a":["\\ud83dx"]}', "surrogate", "/a/0", 14),
        ('{"a":["\\ude00"]}', "surrogate", "/a/0", 13),
        ('{"a":["\\ud83d\\u0041"]}', "surrogate", "/a/0", 19),
        ('{"a":1e999}', "number", "/a", 11),
        ('{"a":NaN}', "syntax", "/a", 6),
        ('{"a":nul}', "syntax", "/a", 9),
        ('{"a":-Infinity}', "syntax", "/a", 7),
        ("{" * 2, "syntax", "", 2),
        ("[" * 65, "depth", "/0" * 64, 65),
        ('{"a":[{"b":"cut', "incomplete", "/a/0/b", 15),
        ('{"a":[{"b":1', "incomplete", "/a/0/b", 12),
        ('{"a":[{"b":1 ', "incomplete", "/a/0", 13),
        ('{"a":[{"b', "incomplete", "/a/0", 9),
        ("  ", "incomplete", "", 2),
        ("No.", "syntax", "", 3),
    ],
)
@pytest.mark.parametrize("size", [1, 4, 99])
def test_a_refusal_names_its_kind_place_and_byte(text: str, keyword: str, pointer: str, at: int, size: int) -> None:
    refusal = parse(pieces(text, size))[2]
    assert refusal is not None
    assert (refusal.keyword, refusal.pointer, refusal.at) == (keyword, pointer, at)


def test_a_refused_parser_stays_refused() -> None:
    parser = JsonPush()
    for _ in range(2):
        with pytest.raises(JsonRefused, match="syntax at 2"):
            parser.feed("{x")
    with pytest.raises(JsonRefused, match="syntax at 2"):
        parser.close()


@pytest.mark.parametrize(
    ("text", "around", "tree"),
    [
        ('Here: {"a":1}', ("prose_before",), {"a": 1}),
        ('```json\n{"a":1}\n```', ("code_fence",), {"a": 1}),
        ("```\n[1, 2]\n```\n", ("code_fence",), [1, 2]),
        ('Sure!\n```json\n{"a":1}\n```\nAnything else?', ("prose_before", "code_fence", "text_after"), {"a": 1}),
        ('{"a":1} {"b":2}', ("text_after",), {"a": 1}),
        ('{"a":1}\n```', ("text_after",), {"a": 1}),
        ('```json\n{"a":1}\n`` `', ("code_fence", "text_after"), {"a": 1}),
        ('[00:12] Hello [1] {x} {"a":1}', ("prose_before",), {"a": 1}),
        ('3 clips: [{"a":1}]', ("prose_before",), [{"a": 1}]),
        ('"Quoted" first: ["b"]', ("prose_before",), ["b"]),
        ("true: []", ("prose_before",), []),
        ('\ufeff{"a":1}', ("prose_before",), {"a": 1}),
        (' \n{"a":1}\n ', (), {"a": 1}),
        ('"just a string" ', (), "just a string"),
        (" -12.5 ", (), -12.5),
        ("null", (), None),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 99])
def test_what_stands_around_the_json_is_named(text: str, around: tuple[str, ...], tree: Any, size: int) -> None:
    parser, _, refusal = parse(pieces(text, size))
    assert refusal is None
    assert (parser.around, parser.tree) == (around, tree)


def test_a_root_string_that_begins_prose_is_withdrawn() -> None:
    told = Told()
    told.parser.feed('"Cut," he says')
    assert [event[0] for event in told.events] == ["began", "grew", "closed", "withdrawn"]
    assert told.parser.tree is None


def test_plain_text_tells_nothing() -> None:
    parser, events, refusal = parse(pieces("[00:12] A man {smiling} walks. [Music] 1. First", 5))
    assert (parser.tree, events) == (None, [])
    assert refusal is not None
    assert refusal.keyword == "syntax"


def test_growth_is_told_without_looking_back() -> None:
    """Nothing a fragment costs may grow with the text: no pointer, no join, no rescan."""
    parser = JsonPush()
    parser.feed('{"a":{"b":"')
    for _ in range(1000):
        parser.feed("word ")
    assert parser._scanner.root == [{"a": {"b": ""}}]  # kept apart until somebody looks
    assert parser.tree["a"]["b"] == "word " * 1000


def test_pointers_are_escaped() -> None:
    events = parse(['{"a/b":{"~":[0]}}'])[1]
    assert ("closed", "/a~1b/~0/0", b"0", 15) in events


FENCED = st.lists(
    st.sampled_from(["```", "````", "``", "`", "~~~", "json", "py thon", "{.x}", "é", " ", "\n", "\n", "\r\n", "\n```\n",
                     "```python\n", "```json\n", 'x = {"a":', '{"b":', "1", "}", "[", '"s"', "]", "[1", "say",
                     " " * 64, "x" * 96, "`" * 16]),
    max_size=14,
).map("".join)  # fmt: skip


@settings(max_examples=300)
@given(FENCED, st.integers(1, 9))
@example('```python\nx = {"a": 1}\n```\nThe answer:\n```json\n{"real": 1}\n```', 2)
@example('```x {"b":1}\n', 1)
@example("```x\n```\n[1", 1)
@example("`" * 20 + '\n{"b":1}' + "`" * 20, 3)
@example("```" + " " * 64 + "\n" + " " * 65 + '{"b":1}', 1)
@example("```" + "x" * 96 + '\n{"b":1}', 7)
@example("```" + "x" * 97 + '\n{"b":1}', 7)
def test_fences_are_agreed_upon(text: str, size: int) -> None:
    check_agreement(text, size)


TWO_FENCES = 'See:\n```py title="a"\nx = {"a": [1]}\nre.match(r"```json")\n```\nSo:\n````json\n{"real": "é"}\n````\nOk?'


def test_two_fences_split_at_every_character_tell_the_same() -> None:
    for cut in range(len(TWO_FENCES) + 1):
        parser, events, refusal = parse([TWO_FENCES[:cut], TWO_FENCES[cut:]])
        assert (refusal, parser.tree) == (None, {"real": "é"})
        assert parser.around == ("prose_before", "code_fence", "text_after")
        assert joined(events) == joined(parse([TWO_FENCES])[1])


CODE = '```python\nx = {"a": 1}\n'


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        (CODE + '```\nSo:\n```json\n{"b": 1}\n```', {"b": 1}),
        (CODE + '```\nSo: {"b": 1}', {"b": 1}),
        (CODE + '```\n[1, 2] {"b": 1}', {"b": 1}),
        (CODE + '```json\n{"b": 1}', {"b": 1}),
        (CODE + 'y = "```"\n```\n{"b": 1}', {"b": 1}),
        ("It is ```python\nx = [[]]\n```\n[[1]]", [[1]]),
        ('````md\n```json\n{"a": 1}\n```\n````\n{"b": 1}', {"b": 1}),
        ('```js title="x.js" {1}\nx = {"a": 1}\n```\n``` \n{"b": 1}\n```', {"b": 1}),
        ('```json answer.json\n{"b": 1}\n```', {"b": 1}),
        ('``` {.json}\nx\n```\n{"b": 1}', {"b": 1}),
        ('Say `x` or ``{}``, ``` too, ```a``` as well: {"b": 1}', {}),
        ('No ``` is needed\n{"b": 1}', {"b": 1}),
        ('~~~python\nx = {"a": 1}\n~~~\n{"b": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```\n```json\n{"b": 1}\n```', {"a": 1}),
        ('<think>```python\nx = {"a": 1}</think>{"b": 1}', {"b": 1}),
    ],
)
@pytest.mark.parametrize("size", [1, 4, 999])
def test_a_fence_of_other_things_is_prose_to_its_end(text: str, tree: Any, size: int) -> None:
    parser, _, refusal = parse(pieces(text, size))
    assert (refusal, parser.tree) == (None, tree)


@pytest.mark.parametrize("text", [CODE, CODE + 'So: {"b": 1}', '```\nHere: {"b": 1}\n```'])
def test_in_a_fence_that_does_not_begin_with_it_there_is_no_json(text: str) -> None:
    _, events, refusal = parse([text])
    assert (events, find_document(text.encode())) == ([], None)
    assert refusal is not None
    assert (refusal.keyword, refusal.at) == ("syntax", len(text))


def test_what_a_growing_text_holds_back_is_short() -> None:
    for text in ("`" * 2000, ("```x\n" + " " * 64 + "{" + " " * 64) * 9, "```" + "a {[" * 500, "```" + " " * 999):
        parser = JsonPush()
        for char in text:
            parser.feed(char)
            assert len(parser._held) < LOOK_AHEAD


@given(st.binary(max_size=60))
def test_random_text_raises_one_kind_of_error_only(noise: bytes) -> None:
    parse(pieces(re.sub("[\ud800-\udfff]", "\ufffd", noise.decode("utf-8", "replace")), 3))


SCRAPS = st.lists(
    st.sampled_from(["<think>", "</think>", "<thinking>", "</thinking>", "<", "<th", "{", '"a":', "1", "}", "[", "]", " ",
                     "no", "```json\n", "```", '"s"', ","]),
    max_size=12,
)  # fmt: skip


@given(st.sampled_from(["<think>", "<thinking>", "  <think>", "<thin", "<think"]), SCRAPS, st.integers(1, 9))
@example("<think>", ['{"a":', "1", "}", "</think>", '{"a":', "1", "}"], 3)
@example("<think>", ["</think>", "1"], 1)
@example("<think>", ["</think>", '"s"', " ", "[", '"s"', "]"], 2)
@example("<think>", ["{", "}"], 4)
def test_what_stands_behind_a_thought_is_agreed_upon(begins: str, scraps: list[str], size: int) -> None:
    check_agreement(begins + "".join(scraps), size)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('<think>perhaps {"a": 0}?</think>{"a": 1}', {"a": 1}),
        ('<thinking>[1]\n</thinking>\n\n```json\n[1, 2]\n```', [1, 2]),
        ('<think></think>Here it is: {"a": 1}', {"a": 1}),
        ("<think>x</think> [1, 2]", [1, 2]),
        ('<b>{"a": 1}', {"a": 1}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_thought_is_prose_whatever_json_it_tried(text: str, tree: Any, size: int) -> None:
    parser, _, refusal = parse(pieces(text, size))
    assert (refusal, parser.tree, parser.around[0]) == (None, tree, "prose_before")


@pytest.mark.parametrize(
    "text", ['<think>{"a": 1}', "<think>", "<think></think>", "<think>x</think>1", '<think>x</think>"s"']
)
def test_a_thought_without_an_answer_holds_no_json(text: str) -> None:
    _, _, refusal = parse([text])
    assert refusal is not None
    assert find_document(text.encode()) is None


@pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809", "1" * 40, "9" * 5000])
@pytest.mark.parametrize("size", [1, 7])
def test_an_integer_of_any_length_is_one(number: str, size: int) -> None:
    parser, _, refusal = parse(pieces(f'{{"a": {number}}}', size))
    if len(number) < 4300:
        assert (refusal, parser.tree) == (None, {"a": int(number)})
    else:
        assert refusal is not None or isinstance(parser.tree["a"], float)
