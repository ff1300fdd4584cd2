"""What was said about something."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.facts.intent import Intent
from engine.tell.retrieval import About, encode_for
from tests.engine.tiny import DIMENSIONS, write_model


@pytest.mark.parametrize(
    ("subject", "fits"),
    [
        ("telescopes", True),
        ("the Telescope", True),
        ("science and cooking", True),
        ("astronomy", False),
        ("???", False),
    ],
)
def test_without_weights_a_text_is_about_what_it_names(subject: str, fits: bool) -> None:
    about = About(subject)
    assert about.fits("This is the science segment of the space telescope") is fits
    assert not about.by_meaning


def test_with_weights_what_means_alike_is_about_it_too() -> None:
    angles = {"observatory": 0.0, "telescope": 1.2, "bread": 1.3}

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[np.cos(angles[one]), np.sin(angles[one])] for one in texts], np.float32)

    about = About("observatory", encode)
    assert about.by_meaning
    assert [about.fits(one) for one in ("observatory", "telescope", "bread")] == [True, True, False]


def test_weights_are_loaded_for_an_answer_that_compares_and_for_no_other(tmp_path: Path) -> None:
    weights = write_model(tmp_path / "weights")
    about, whole = Intent(("transcript",), about="a meal"), Intent(("summary",))
    encode = encode_for(about, weights)
    assert encode is not None
    assert encode(["bread", "a meal"]).shape == (2, DIMENSIONS)
    assert encode_for(about, None) is None
    assert encode_for(whole, tmp_path / "none there") is None
