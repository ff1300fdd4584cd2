"""Histograms: what lies where, and at whose trace."""

from itertools import pairwise

import pytest

from service.watch.histogram import COARSE, FINE, MIDDLE, Histogram


def test_a_value_lies_below_the_first_bound_that_it_does_not_pass():
    figure = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        figure.observe(value)
    assert figure.counts == [2, 2, 1]
    assert (figure.count, figure.sum) == (5, 7.5)


def test_the_last_trace_of_each_place_is_remembered_and_untraced_values_take_none_away():
    figure = Histogram((1.0,))
    figure.observe(0.5, "aa")
    figure.observe(0.6, "bb")
    figure.observe(0.7)
    figure.observe(3.0, "cc")
    assert figure.exemplars == {0: (0.6, "bb"), 1: (3.0, "cc")}


@pytest.mark.parametrize("bounds", [FINE, MIDDLE, COARSE])
def test_bounds_rise(bounds: tuple[float, ...]):
    assert all(a < b for a, b in pairwise(bounds))
