from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.providers.sse import MAX_LINE, SseError, SseReader


def read(*pieces: bytes) -> list[bytes]:
    reader = SseReader()
    return [event for piece in pieces for event in reader.feed(piece)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends(end: bytes) -> None:
    """LF, CRLF and CR end a line; a blank line ends an event."""
    assert read(end.join([b"data: one", b"", b"data: two", b"", b""])) == [b"one", b"two"]


def test_fields() -> None:
    """Comments, `event`, `id` and `retry` are passed over; one space after the colon is syntax, a second is data."""
    assert read(b": ping\n\nevent: x\nid: 1\nretry: 5\ndata:a\n\ndata:  b\n\ndata\n\nevent\n\n") == [b"a", b" b"]


def test_data_of_several_lines_is_one_event() -> None:
    assert read(b"data: {\ndata: }\n\n") == [b"{\n}"]


def test_byte_order_mark_is_dropped() -> None:
    """Only at the very beginning."""
    assert read(b"\xef", b"\xbb\xbfdata: a\n\n") == [b"a"]


def test_crlf_cut_in_two_is_one_line_end() -> None:
    """Between CR and LF no event ends."""
    assert read(b"data: a\r", b"\ndata: b\r", b"\n", b"\r", b"\n") == [b"a\nb"]


STREAM = b'\xef\xbb\xbf: hi\r\n\r\ndata: {"a": 1}\n\ndata: x\rdata: y\r\r\nevent: e\r\ndata:\xc3\xa9\n\n\n\ndata: [DONE]\r\n\r\n'


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_split_gives_the_same_events(cuts: list[int]) -> None:
    """How the network cuts the bytes changes nothing."""
    bounds = [0, *sorted(cuts), len(STREAM)]
    assert read(*[STREAM[a:b] for a, b in pairwise(bounds)]) == read(STREAM)


pieces = st.sampled_from(
    [
        b"data: one\n\n",
        b"data: two\n\n",
        b"data: \n\n",
        b"data: a",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b": x\n",
        b"data: b\n",
        b"data: c\r\n\n",
    ]
)


@given(st.lists(pieces, max_size=8))
def test_whole_events_in_one_piece_are_read_as_byte_by_byte(parts: list[bytes]) -> None:
    """Whatever came before them is still to be used, or is not."""
    whole = b"".join(parts)
    assert read(*parts) == read(*[bytes([byte]) for byte in whole])


@pytest.mark.parametrize("line", [b"<!DOCTYPE html>\n", b"\x16\x03\x01\x02\n", b'{"error": "x"}\n'])
def test_what_is_no_event_stream_is_refused(line: bytes) -> None:
    """The events before it are not lost."""
    with pytest.raises(SseError, match="no server-sent event") as caught:
        read(b"data: a\n\n" + line)
    assert caught.value.events == [b"a"]


def endless(head: bytes, piece: bytes) -> None:
    reader = SseReader()
    reader.feed(head)
    for _ in range(MAX_LINE // len(piece) + 1):
        reader.feed(piece)


@pytest.mark.parametrize("head", [b"data: ", b": ", b"garbage "])
@pytest.mark.parametrize("size", [1024 * 1024, MAX_LINE + 1])
def test_a_line_is_never_longer_than_the_cap(head: bytes, size: int) -> None:
    """Whether it comes at once or in pieces; memory holds no more than the cap and one piece."""
    with pytest.raises(SseError, match="longer than 8 MiB"):
        endless(head, b"x" * size)


def test_an_event_is_never_longer_than_the_cap() -> None:
    """Many lines of data are bounded like one."""
    with pytest.raises(SseError, match="longer than 8 MiB"):
        endless(b"", b"data: " + b"x" * 1024 * 1024 + b"\n")


@pytest.mark.parametrize("head", [b"data: ", b": "])
def test_the_cap_holds_for_a_line_that_comes_whole(head: bytes) -> None:
    with pytest.raises(SseError, match="longer than 8 MiB"):
        SseReader().feed(head + b"x" * MAX_LINE + b"\n")


def test_partial() -> None:
    """It is known whether the bytes end inside a line."""
    reader = SseReader()
    reader.feed(b"data: a")
    assert reader.partial
    reader.feed(b"\n")
    assert not reader.partial
