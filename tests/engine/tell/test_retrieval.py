"""What was said about something."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.tell.retrieval import About


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
