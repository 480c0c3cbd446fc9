"""A session's row is the same whether its events came one by one or together."""

from __future__ import annotations

from typing import Any

import apsw
from hypothesis import given
from hypothesis import strategies as st

from agentd.ports import IndexChange
from agentd.store.derived import indexed
from agentd.store.listing import Listing
from agentd.store.migrations import upgrade

_TITLES = st.sampled_from(["", "a", "b"])
_CHANGES = st.one_of(
    st.builds(lambda title: IndexChange(set={"title": title}), _TITLES),
    st.builds(lambda title, step: IndexChange(add={"queued": step}, title=title), _TITLES, st.integers(-1, 1)),
    st.builds(lambda count: IndexChange(set={"queued": count, "status": "running"}, add={"jobs": 1}), st.integers(0, 9)),
    st.just(IndexChange()),
)


@given(st.lists(st.tuples(st.sampled_from("st"), _CHANGES, st.booleans()), max_size=12))
def test_together_or_one_by_one(steps: list[tuple[str, IndexChange, bool]]) -> None:
    """Also a title that is given, taken away and given again in one commit."""
    assert _rows(steps, together=True) == _rows(steps, together=False)


def _rows(steps: list[tuple[str, IndexChange, bool]], *, together: bool) -> list[Any]:
    db = apsw.Connection(":memory:")
    upgrade(db)
    listing = Listing(db)
    fresh = {"title": "", "cwd": "/", "model": "m", "status": "idle", "turns": 0, "queued": 0}
    for stream in "st":
        listing.take(stream, "ann", 1.0, IndexChange(set=fresh, create=True))
    for at, (stream, change, ends) in enumerate(steps, 2):
        listing.take(stream, "ann", float(at), change)
        if ends or not together:
            listing.write()
    listing.write()
    found = [indexed(db, stream) for stream in "st"]
    db.close()
    return found
