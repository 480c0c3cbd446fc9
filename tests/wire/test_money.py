"""US dollars as people read them: never nothing where there is something."""

from __future__ import annotations

import pytest

from agentwire.money import shown


@pytest.mark.parametrize(
    ("dollars", "expected"),
    [
        (0.0, "$0.0000"),
        (1e-9, "$0.000000001"),
        (0.00002, "$0.00002"),
        (0.000123456, "$0.000123"),
        (0.0009999, "$0.001"),
        (0.001, "$0.0010"),
        (0.01234, "$0.0123"),
        (99.5, "$99.5000"),
        (1234.567, "$1,234.57"),
    ],
)
def test_amounts(dollars: float, expected: str) -> None:
    """A ten-thousandth counts until there are hundreds, and what is less is written out."""
    assert shown(dollars) == expected
