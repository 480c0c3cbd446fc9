from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.providers.ollama_lines import LineReader
from agentd.providers.sse import MAX_LINE, SseError


def read(*pieces: bytes) -> list[bytes]:
    reader = LineReader()
    return [line for piece in pieces for line in reader.feed(piece)]


def test_lines() -> None:
    """Empty ones say nothing; the end of the bytes is no end of a line."""
    assert read(b"{}\n\n \r\n[1]\r\n{") == [b"{}", b"[1]\r"]


STREAM = b'{"a": 1}\n\n{"b": "\xc3\xa9"}\r\n\n \n{"c"'


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_split_gives_the_same_lines(cuts: list[int]) -> None:
    """How the network cuts the bytes changes nothing, nor whether they end inside a line."""
    bounds = [0, *sorted(cuts), len(STREAM)]
    reader = LineReader()
    assert [line for a, b in pairwise(bounds) for line in reader.feed(STREAM[a:b])] == read(STREAM)
    assert reader.partial


@pytest.mark.parametrize(("data", "partial"), [(b"", False), (b"{}\n", False), (b'{"a": 1', True), (b'{"a": 1}', False)])
def test_a_last_line_without_its_end(data: bytes, partial: bool) -> None:
    """An object that is whole was not cut off."""
    reader = LineReader()
    reader.feed(data)
    assert reader.partial is partial


@pytest.mark.parametrize("split", [1, 8, MAX_LINE, MAX_LINE + 7])
def test_a_line_without_end_is_refused(split: int) -> None:
    """After 8 MiB, whether they came at once or in pieces; what was before it is not lost."""
    stream, lines = b"{}\n" + b"x" * (MAX_LINE + 1), []
    reader = LineReader()
    with pytest.raises(SseError, match="8 MiB") as caught:  # noqa: PT012 - which of the feeds raises depends on the split
        lines += reader.feed(stream[:split])
        lines += reader.feed(stream[split:])
    assert [*lines, *caught.value.events] == [b"{}"]


def test_a_long_line_in_the_middle_is_refused() -> None:
    with pytest.raises(SseError) as caught:
        read(b"{}\n" + b"x" * (MAX_LINE + 1) + b"\n[]\n")
    assert caught.value.events == [b"{}"]
