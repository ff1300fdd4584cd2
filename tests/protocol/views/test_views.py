"""The views ``json`` and ``patch``: the same for all, whenever they come."""

import copy
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.captions import cues
from protocol.captions.projection import CaptionProjection
from protocol.ndjson import dumps, loads
from protocol.pointers import child, names_of, resolve
from protocol.schema.admitted import admit
from protocol.views import elements
from protocol.views.elements import ElementProjection
from protocol.views.patch import PatchProjection, join_ops
from protocol.views.projections import MAX_NAMES
from tests.protocol.json_cases import SCRAPS, VALUES

DOCUMENTS = st.builds(
    lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, indent=indent),
    VALUES,
    st.booleans(),
    st.sampled_from([None, 1]),
)


def run(view: Any, fragments: list[str]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    for fragment in fragments:
        told += copy.deepcopy(view.feed(fragment))
    return told + copy.deepcopy(view.close())


def pieces(text: str, size: int) -> list[str]:
    return [text[place : place + size] for place in range(0, len(text), size)]


def elements_of(value: Any, pointer: str = "") -> list[tuple[str, Any]]:
    """Every array element, and every member of a root object, inner ones first."""
    found: list[tuple[str, Any]] = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in pairs:
        place = child(pointer, name)
        found += elements_of(part, place)
        if isinstance(value, list) or not pointer:
            found.append((place, part))
    return found


def apply(root: list[Any], ops: list[dict[str, Any]]) -> None:
    """A client's side of the view ``patch``; ``root`` holds the tree, or nothing."""
    for op in ops:
        path, value = op["path"], copy.deepcopy(op["value"])
        if not path:
            root[:] = [value] if op["op"] == "add" else [root[0] + value]
            continue
        holder = resolve(root[0], path.rpartition("/")[0])
        name: Any = names_of(path)[-1]
        if isinstance(holder, list):
            name = int(name)
            if op["op"] == "add" and name == len(holder):
                holder.append(None)
        assert isinstance(holder, dict | list)
        holder[name] = value if op["op"] == "add" else holder[name] + value


@given(DOCUMENTS, st.integers(1, 6))
def test_every_element_is_told_once_as_it_closes(text: str, size: int) -> None:
    told = run(ElementProjection(), pieces(text, size))
    assert [(each["pointer"], each["value"]) for each in told] == elements_of(loads(text.encode()))
    assert all(each["valid"] is None for each in told)
    assert [each["at"] for each in told] == sorted(each["at"] for each in told)
    assert told == run(ElementProjection(), [text])


def test_an_element_is_told_at_its_last_byte_and_a_number_at_the_byte_after_it() -> None:
    text = '{"a":[1, "é",{"b":[]}],"c":2}'
    told = [(each["pointer"], each["at"]) for each in run(ElementProjection(), [text])]
    encoded = text.encode()
    assert told == [
        ("/a/0", encoded.index(b",") + 1),
        ("/a/1", encoded.index(b',{"b"')),
        ("/a/2", encoded.index(b"}]") + 1),
        ("/a", encoded.index(b"}]") + 2),
        ("/c", len(encoded)),
    ]


@settings(max_examples=50)
@given(DOCUMENTS, st.integers(0, 60))
def test_a_late_reader_of_elements_misses_nothing_and_gets_nothing_twice(text: str, cut: int) -> None:
    whole = run(ElementProjection(), [text])
    view = ElementProjection()
    before = view.feed(text[:cut])
    offset = len(text[:cut].encode())
    assert view.state(0) == before
    assert view.state(offset) == []
    for start in range(offset + 1):
        assert view.state(start) == [each for each in before if each["at"] > start]
    assert [*view.state(0), *view.feed(text[cut:]), *view.close()] == whole


CLIP = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 5},
        "tags": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
        "shots": {"type": "array", "items": {"$ref": "#/$defs/shot"}},
        "pair": {"prefixItems": [{"type": "number"}, {"type": "string"}], "items": False},
    },
    "additionalProperties": False,
    "$defs": {"shot": {"type": "object", "required": ["start"], "properties": {"start": {"minimum": 0}}}},
}


def test_each_element_is_judged_by_its_own_part_of_the_schema() -> None:
    text = '{"title":"a clip","tags":["x",1],"shots":[{"start":1},{"start":-1},{}],"pair":[1,2,3],"other":1}'
    told = run(ElementProjection(admit(CLIP)), pieces(text, 4))
    assert {each["pointer"]: each["valid"] for each in told} == {
        "/title": False,
        "/tags/0": True,
        "/tags/1": False,
        "/tags": False,
        "/shots/0": True,
        "/shots/1": False,
        "/shots/2": False,
        "/shots": False,
        "/pair/0": True,
        "/pair/1": False,
        "/pair/2": False,
        "/pair": False,
        "/other": False,
    }


def test_of_alternatives_an_element_must_fit_one() -> None:
    schema = {"oneOf": [{"items": {"type": "string"}}, {"items": {"anyOf": [{"const": 1}, {"type": "array", "items": {"const": 2}}]}}]}  # fmt: skip
    told = run(ElementProjection(admit(schema)), ['["a",1,[2,3],null]'])
    assert {each["pointer"]: each["valid"] for each in told} == {
        "/0": True,
        "/1": True,
        "/2/0": True,
        "/2/1": False,
        "/2": False,
        "/3": False,
    }


def test_too_many_alternatives_are_not_judged() -> None:
    choice = {"anyOf": [{"items": {"const": n}} for n in range(20)]}
    told = run(ElementProjection(admit(choice)), ["[1]"])
    assert [each["valid"] for each in told] == [None]


def test_a_recursive_schema_judges_at_every_depth() -> None:
    schema = {"type": "object", "properties": {"below": {"items": {"$ref": "#"}}, "n": {"type": "number"}}}
    told = run(ElementProjection(admit(schema)), ['{"below":[{"below":[{"n":"x"}]}]}'])
    assert [(each["pointer"], each["valid"]) for each in told] == [
        ("/below/0/below/0", False),
        ("/below/0", False),
        ("/below", False),
    ]


def test_of_a_member_told_twice_the_state_has_the_last() -> None:
    view = ElementProjection()
    assert len(view.feed('{"a":1,"a":2}')) == 2
    assert [(each["pointer"], each["value"]) for each in view.state(0)] == [("/a", 2)]


@given(DOCUMENTS, st.integers(1, 6))
def test_operations_rebuild_the_tree(text: str, size: int) -> None:
    root: list[Any] = []
    at = 0
    for message in run(PatchProjection(), pieces(text, size)):
        assert at < message["at"] <= len(text.encode())
        at = message["at"]
        apply(root, message["ops"])
    assert root == [loads(text.encode())]


@settings(max_examples=60)
@given(DOCUMENTS, st.integers(0, 60), st.integers(1, 5))
def test_a_late_reader_of_patches_goes_on_from_the_tree(text: str, cut: int, size: int) -> None:
    view = PatchProjection()
    view.feed(text[:cut])
    state = copy.deepcopy(view.state(0))
    root = [] if state is None else [state]
    for fragment in pieces(text[cut:], size):
        for message in view.feed(fragment):
            apply(root, message["ops"])
    for message in view.close():
        apply(root, message["ops"])
    assert root == [loads(text.encode())]


@settings(max_examples=60)
@given(DOCUMENTS, st.lists(st.integers(0, 80), max_size=4), st.integers(1, 5))
def test_joined_operations_have_the_same_outcome(text: str, cuts: list[int], size: int) -> None:
    ops = [op for message in run(PatchProjection(), pieces(text, size)) for op in message["ops"]]
    kept = copy.deepcopy(ops)
    root: list[Any] = []
    edges = sorted({0, *(min(cut, len(ops)) for cut in cuts), len(ops)})
    for start, stop in itertools.pairwise(edges):
        joined = join_ops(ops[start:stop])
        assert len(joined) <= stop - start
        dumps(joined)
        apply(root, joined)
    assert root == [loads(text.encode())]
    assert ops == kept
    assert len(join_ops(ops)) == 1


def test_operations_as_the_contract_writes_them() -> None:
    view = PatchProjection()
    assert view.feed('{"a":"x') == [
        {"at": 1, "ops": [{"op": "add", "path": "", "value": {}}]},
        {"at": 6, "ops": [{"op": "add", "path": "/a", "value": ""}]},
        {"at": 7, "ops": [{"op": "append", "path": "/a", "value": "x"}]},
    ]
    assert view.feed('y","b":[12') == [
        {"at": 8, "ops": [{"op": "append", "path": "/a", "value": "y"}]},
        {"at": 15, "ops": [{"op": "add", "path": "/b", "value": []}]},
    ]
    assert view.feed("]") == [{"at": 18, "ops": [{"op": "add", "path": "/b/0", "value": 12}]}]
    assert view.state(0) == {"a": "xy", "b": [12]}


@pytest.mark.parametrize("make", [ElementProjection, PatchProjection])
@settings(max_examples=100)
@given(st.one_of(DOCUMENTS, SCRAPS), st.lists(st.integers(1, 5), min_size=1, max_size=40))
def test_what_is_told_later_stands_later(make: Any, text: str, sizes: list[int]) -> None:
    """A reader who has all up to the head, and was told all of that, needs only what is told after it."""
    view = make()
    head = place = 0
    for size in sizes:
        fragment = text[place : place + size]
        place += size
        told = view.feed(fragment)
        now = head + len(fragment.encode())
        assert all(head < message["at"] <= now for message in told)
        head = now


@pytest.mark.parametrize("view", [ElementProjection, PatchProjection])
def test_without_json_there_is_nothing(view: Any) -> None:
    plain = view()
    assert run(plain, ["[00:12] A man ", "walks. 1 + 1"]) == []
    assert not plain.state(0)


@pytest.mark.parametrize("view", [ElementProjection, PatchProjection])
def test_a_text_that_breaks_off_keeps_what_it_told(view: Any) -> None:
    broken = view()
    assert run(broken, ['{"a":1,', '"b":x}']) != []
    assert broken.feed("more") == []
    assert broken.state(0) in ({"a": 1}, [{"at": 7, "pointer": "/a", "value": 1, "valid": None}])


@pytest.mark.parametrize("make", [ElementProjection, PatchProjection, CaptionProjection])
def test_a_long_name_around_many_values_is_not_repeated_for_each(make: Any) -> None:
    within, beyond = "n" * (MAX_NAMES - 1), "n" * MAX_NAMES
    cues = ",".join(['{"start":1,"text":"x"}'] * 100)
    text = f'{{"a":[{cues}],"m":{{"{within}":{{}},"n":[{cues}]}}}}'
    assert any(within in str(message) for message in run(make(), [text])) or make is CaptionProjection
    for value in (f"[{cues}]", '"a string that grows"'):
        told = run(make(), pieces(f'{{"a":[{cues}],"m":{{"{beyond}":{value}}}}}', 3))
        assert all(beyond not in str(message) for message in told)


def test_the_elements_of_a_text_come_to_no_more_than_a_message_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "MAX_TOLD_BYTES", 10_000)
    # A value in many arrays is told in each, and a digit has a longer message: neither gets past the bound.
    for text in ("[" * 60 + '"' + "x" * 1000 + '"' + "]" * 60, "[" + "1," * 5000 + "1]"):
        view = ElementProjection()
        told = run(view, pieces(text, 100))
        assert told == view.state(0) != []
        assert len(dumps(told)) < 20_000


def test_no_more_cues_are_told_than_the_bound_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cues, "MAX_CUES", 3)
    view = CaptionProjection()
    run(view, pieces("".join(f"[00:0{n}] A car{chr(65 + n)}.\n" for n in range(6)), 5))
    assert (
        [cue["text"] for cue in view.finals()]
        == ["A carA.", "A carB.", "A carC."]
        == [cue["text"] for cue in view.state(0)]
    )


def test_a_fenced_document_is_seen_as_one() -> None:
    told = run(ElementProjection(), pieces('Here:\n```json\n[{"a":1}]\n```', 3))
    assert [(each["pointer"], each["at"]) for each in told] == [("/0", 22)]
