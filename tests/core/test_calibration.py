"""What is learnt of a model's tokens: soon, within bounds, and not from one odd request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentd.core.calibration import LEAST, MOST, Calibration


def taught(*requests: tuple[int, int], first: float = 3.5) -> float:
    calibration = Calibration()
    assert calibration.ratio("m", first) == first
    for characters, tokens in requests:
        calibration.learn("m", characters, tokens)
    return calibration.ratio("m", first)


def test_the_catalogue_holds_until_something_is_known() -> None:
    """Each model has its own; what nobody asked for is not learnt."""
    calibration = Calibration()
    calibration.learn("x", 4000, 1000)
    assert calibration.ratio("x", 3.0) == 3.0 and calibration.ratio("y", 2.55) == 2.55
    calibration.learn("x", 4000, 1000)
    assert calibration.ratio("x", 3.0) == 3.5 and calibration.ratio("y", 2.55) == 2.55


def test_a_few_replies_are_enough() -> None:
    """From 3.5 to what they say, though one request moves it no further than half or double; and it follows a change."""
    assert taught((1500, 1000), (1500, 1000), (1500, 1000), (1500, 1000)) == 1.9
    assert taught(*[(1500, 1000)] * 40) == 1.5
    assert taught(*[(1500, 1000)] * 40, *[(4500, 1000)] * 60) == 4.5


def test_one_odd_request_spoils_nothing() -> None:
    """A hundred times too many tokens, or too few: the mean moves by a tenth of itself at most."""
    usual = [(4000, 1000)] * 20
    assert 3.5 <= taught(*usual, (4000, 100_000)) <= 4.0 <= taught(*usual, (400_000, 1000)) <= 4.5


def test_small_requests_say_nothing() -> None:
    """What a host adds of its own weighs too much there; nor do reports of nothing."""
    assert taught((50, 199), (0, 500), (100, 0), (5000, -1)) == 3.5


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**6)), max_size=50), st.floats(0.1, 20))
def test_bounds_hold_whatever_is_reported(requests: list[tuple[int, int]], first: float) -> None:
    """From one request on."""
    calibration = Calibration()
    calibration.ratio("m", first)
    calibration.learn("m", 1000, 1000)
    for characters, tokens in requests:
        calibration.learn("m", characters, tokens)
        assert LEAST <= calibration.ratio("m", first) <= MOST


@given(st.floats(0.6, 7.5), st.floats(0.6, 7.5))
def test_it_converges_to_what_is_true(first: float, true: float) -> None:
    """Within a tenth, from wherever the catalogue begins."""
    found = taught(*[(round(true * 10_000), 10_000)] * 60, first=first)
    assert abs(found - true) <= 0.11
