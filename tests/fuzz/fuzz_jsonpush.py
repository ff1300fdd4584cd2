"""Coverage-guided fuzzing of the push parser; not part of the ordinary run.

    pip install atheris
    python -m tests.fuzz.fuzz_jsonpush -max_total_time=600 corpus/

Random bytes are text and cuts. `JsonRefused` is the one allowed error, two cuts of a text must tell the
same, and what the parser accepts, orjson must accept with the same value, and the other way round.
"""

import sys

import atheris

with atheris.instrument_imports(include=["protocol"]):
    import orjson

    from protocol.json.bounds import too_deep
    from protocol.json.push import JsonPush, JsonRefused
    from protocol.json.wrapping import find_document


def parsed(fragments: list[str]) -> tuple[JsonPush, JsonRefused | None]:
    parser = JsonPush()
    try:
        for fragment in fragments:
            parser.feed(fragment)
        parser.close()
    except JsonRefused as refusal:
        return parser, refusal
    return parser, None


def by_orjson(text: bytes) -> tuple[bool, object]:
    """Whether orjson finds a document in the text, and its value."""
    try:
        return True, orjson.loads(text)
    except orjson.JSONDecodeError:
        found = find_document(text)
    if found is None or found.end is None or not found.around:
        return False, None
    try:
        return True, orjson.loads(text[found.start : found.end])
    except orjson.JSONDecodeError:
        return False, None


def one_input(noise: bytes) -> None:
    provider = atheris.FuzzedDataProvider(noise)
    size = provider.ConsumeIntInRange(1, 8)
    text = provider.ConsumeBytes(4096).decode("utf-8", "replace")
    cut, refusal = parsed([text[place : place + size] for place in range(0, len(text), size)])
    whole, whole_refusal = parsed([text])
    if refusal is None or whole_refusal is None:
        assert refusal is whole_refusal is None, (refusal, whole_refusal)
    else:
        assert (refusal.keyword, refusal.pointer, refusal.at) == (
            whole_refusal.keyword,
            whole_refusal.pointer,
            whole_refusal.at,
        )
    assert orjson.dumps(cut.tree) == orjson.dumps(whole.tree)
    is_json, value = by_orjson(text.encode())
    assert (refusal is None) == (is_json and not too_deep(value)), (refusal, value)
    if refusal is None:
        assert orjson.dumps(cut.tree) == orjson.dumps(value)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
