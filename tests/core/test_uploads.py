"""Blobs on their way in: in order, whole, what their name says, and not too many."""

from __future__ import annotations

import hashlib

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.uploads import Name, Uploads
from agentwire.errors import Conflict, InvalidParams, Overloaded

Clock = trio.testing.MockClock
CONTENT = bytes(range(250)) * 4


def name_of(content: bytes, session: str = "s") -> Name:
    return ("ann", session, hashlib.sha256(content).hexdigest())


@given(content=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=4))
def test_pieces_make_the_whole(content: bytes, cuts: list[int]) -> None:
    """Wherever it is cut, also into empty pieces; given out once, with the last piece."""

    async def main() -> None:
        uploads, name = Uploads(), name_of(content)
        places = sorted(cut for cut in cuts if cut < len(content))
        for begin, end in zip([0, *places], [*places, len(content)], strict=True):
            received, whole = uploads.take(name, len(content), begin, content[begin:end])
            assert (received, whole) == (end, content if end == len(content) else None)
        assert not uploads._open

    trio.run(main)


async def test_a_piece_follows_the_last_one() -> None:
    """A hole, a repeat or another length is refused, and what was there goes on; offset 0 begins anew."""
    uploads, name = Uploads(), name_of(CONTENT)
    with pytest.raises(Conflict, match="offset 0"):
        uploads.take(name, 1000, 10, b"x")
    uploads.take(name, 1000, 0, b"other beginning")
    uploads.take(name, 1000, 0, CONTENT[:400])
    for size, offset in ((1000, 399), (1000, 401), (999, 400)):
        with pytest.raises(Conflict):
            uploads.take(name, size, offset, CONTENT[400:500])
    assert uploads.take(name, 1000, 400, CONTENT[400:]) == (1000, CONTENT)
    with pytest.raises(Conflict):
        uploads.take(name, 1000, 1000, b"")


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"!", CONTENT + b"!"])
async def test_what_is_not_what_its_name_says_is_refused_and_forgotten(content: bytes) -> None:
    """Another content, or more than was said."""
    uploads, name = Uploads(), name_of(CONTENT)
    with pytest.raises(InvalidParams, match=r"params\.(blob|data)"):
        uploads.take(name, len(CONTENT), 0, content)
    assert not uploads._open
    assert uploads.take(name, len(CONTENT), 0, CONTENT) == (len(CONTENT), CONTENT)


async def test_four_at_once(autojump_clock: Clock) -> None:
    """A fifth has to wait until one is done, or has been silent for a minute; one that begins anew is none more."""
    uploads = Uploads()
    names = [name_of(CONTENT, f"s{number}") for number in range(6)]
    for name in names[:4]:
        uploads.take(name, 1000, 0, CONTENT[:10])
    uploads.take(names[3], 1000, 0, CONTENT[:10])
    with pytest.raises(Overloaded) as refused:
        uploads.take(names[4], 1000, 0, CONTENT[:10])
    assert refused.value.retryable
    uploads.take(names[0], 1000, 10, CONTENT[10:])
    uploads.take(names[4], 1000, 0, CONTENT[:10])
    await trio.sleep(59)
    uploads.take(names[1], 1000, 10, CONTENT[10:20])
    await trio.sleep(2)
    uploads.take(names[5], 1000, 0, CONTENT[:10])
    with pytest.raises(Conflict):
        uploads.take(names[2], 1000, 10, CONTENT[10:20])
    assert uploads.take(names[1], 1000, 20, CONTENT[20:]) == (1000, CONTENT)
