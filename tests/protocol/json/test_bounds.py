import pytest

from protocol.json.bounds import nesting


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        (b"", 0),
        (b'{"a":[[1],{}]}', 3),
        (b'"[[[" [', 1),
        (b'"\\"[[" [', 1),
        (b"[" * 9, 9),
        (b'[["[[[', 2),
        (b'["a\nb[", [', 2),
    ],
)
def test_brackets_in_strings_do_not_nest(text: bytes, depth: int) -> None:
    assert nesting(text) == depth


def test_a_string_without_end_is_looked_at_once() -> None:
    # From each escaped quote anew, this would be ten thousand million steps.
    assert nesting(b'["' + b'\\"' * 200_000) == 1
