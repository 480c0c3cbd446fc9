"""What requests have in common: a session that is named, pages that have an end."""

from __future__ import annotations

import pytest

from agentwire.convert import structure
from agentwire.errors import InvalidParams
from agentwire.methods import ListSessions
from agentwire.requests import Empty, SessionRef


def test_a_session_must_be_named() -> None:
    """By anything but nothing; who has it is the daemon's to say."""
    assert structure({"session": "3f"}, SessionRef) == SessionRef(session="3f")
    for params in ({}, {"session": ""}, {"session": 3}):
        with pytest.raises(InvalidParams, match=r"params\.session|session"):
            structure(params, SessionRef)


def test_nothing_is_nothing() -> None:
    """A parameter that nobody asked for is a mistake, not ignored."""
    assert structure({}, Empty) == Empty()
    with pytest.raises(InvalidParams, match="extra"):
        structure({"extra": 1}, Empty)


@pytest.mark.parametrize(("limit", "fits"), [(0, False), (1, True), (1000, True), (1001, False)])
def test_a_page_has_an_end(limit: int, fits: bool) -> None:
    """And something on it."""
    if fits:
        assert structure({"limit": limit}, ListSessions).limit == limit
    else:
        with pytest.raises(InvalidParams, match="limit"):
            structure({"limit": limit}, ListSessions)
