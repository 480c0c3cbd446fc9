"""Frames survive every way of cutting a byte stream, and one bad line costs nothing but itself."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentwire.codec import MAX_FRAME, FrameReader, Oversized, decode, encode, request

LIMIT = 20

lines = st.lists(st.binary(max_size=LIMIT + 10).map(lambda line: line.replace(b"\n", b"")), max_size=8)
texts = st.text(max_size=12)
json_values = (
    st.none() | st.booleans() | st.integers() | texts | st.lists(texts, max_size=3) | st.dictionaries(texts, texts, max_size=3)
)


def frames_of(reader: FrameReader, pieces: list[bytes]) -> list[bytes | Oversized]:
    return [frame for piece in pieces for frame in reader.feed(piece)]


@given(lines, st.lists(st.integers(0, 300), max_size=12))
def test_any_split_gives_the_same_frames(content: list[bytes], cuts: list[int]) -> None:
    """Wherever the stream is cut, the frames are its lines: blank ones dropped, long ones reported in their place."""
    stream = b"".join(line + b"\n" for line in content)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    expected = [Oversized(LIMIT) if len(line) > LIMIT else line for line in content if line.strip() or len(line) > LIMIT]
    reader = FrameReader(LIMIT)
    assert frames_of(reader, pieces) == expected
    assert not reader.truncated


@pytest.mark.parametrize("length", [LIMIT, LIMIT + 1])
def test_the_limit_is_inclusive(length: int) -> None:
    """A line of exactly the limit is a frame; one byte more is not."""
    frame = b"x" * length
    assert FrameReader(LIMIT).feed(frame + b"\n") == [frame if length == LIMIT else Oversized(LIMIT)]


def test_frame_after_an_oversized_one_is_fine() -> None:
    """An endless line is held nowhere, reported once at its end, and the next frame is read."""
    reader = FrameReader(LIMIT)
    assert [frame for _ in range(100) for frame in reader.feed(b"x" * LIMIT)] == []
    assert reader._pieces == []
    assert reader.truncated
    assert reader.feed(b"\n{}\n") == [Oversized(LIMIT), b"{}"]


@pytest.mark.parametrize(("stream", "truncated"), [(b"", False), (b'{"a":', True), (b'{"a":1}\n', False), (b"{}\n{", True)])
def test_truncated_says_that_the_peer_was_cut_off(stream: bytes, truncated: bool) -> None:
    """Bytes after the last newline are an unfinished frame until the newline comes."""
    reader = FrameReader()
    reader.feed(stream)
    assert reader.truncated == truncated


def test_carriage_returns_are_white_space() -> None:
    """A peer that ends lines with CRLF is understood, and its blank lines are blank."""
    (frame,) = FrameReader().feed(b"\r\n{}\r\n")
    assert isinstance(frame, bytes)
    assert decode(frame) == {}


@given(st.dictionaries(texts, json_values, max_size=4))
def test_encoding_is_one_line_and_round_trips(message: dict[str, Any]) -> None:
    """Whatever a message holds, its frame has one newline, at the end, and means the same message."""
    frame = encode(message)
    assert frame.count(b"\n") == 1
    (line,) = FrameReader().feed(frame)
    assert isinstance(line, bytes)
    assert decode(line) == message


def test_lone_surrogates_are_replaced() -> None:
    """Text that came from bytes which are no UTF-8 can be sent."""
    assert decode(encode({"text": "a\udcffb"})) == {"text": "a?b"}


def test_request_is_json_rpc() -> None:
    """The one request form of the protocol."""
    assert json.loads(request(7, "session/get", {"session": "s"})) == {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "session/get",
        "params": {"session": "s"},
    }


@pytest.mark.parametrize("frame", [b"[]", b"1", b"null", b'"x"', b"", b"{", b"\xff", b"{}{}"])
def test_decode_accepts_objects_only(frame: bytes) -> None:
    """Anything else in a frame is a ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        decode(frame)


def test_oversized_is_a_value() -> None:
    """Equal by limit, and says so."""
    assert {Oversized(3)} == {Oversized(3)} != {Oversized(4)}
    assert repr(Oversized(MAX_FRAME)) == f"Oversized(limit={MAX_FRAME})"
