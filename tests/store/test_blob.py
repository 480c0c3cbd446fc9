"""Compression loses nothing and never makes a payload noticeably longer."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.store import blob


@given(
    st.binary(max_size=3000)
    | st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=20), st.integers(0, 500))
)
def test_what_goes_in_comes_out(content: bytes) -> None:
    """Any bytes, also those that look like our own marks; at most one byte longer."""
    stored = blob.pack(content)
    assert blob.unpack(stored) == content
    assert len(stored) <= len(content) + 1


@pytest.mark.parametrize("content", [b"", b"\x00", b"\x01", b"\x01" * 600, b"{", b"{}" * 300, b"\x00{"])
def test_marks_in_the_content_do_not_confuse(content: bytes) -> None:
    """Content that begins like a mark, or is empty."""
    assert blob.unpack(blob.pack(content)) == content


def test_short_events_are_stored_as_they_are() -> None:
    """An event's JSON under half a KiB is readable in the file, without a byte more."""
    body = b'{"title":"' + b"x" * 400 + b'"}'
    assert blob.pack(body) == body


def test_repetitive_content_shrinks() -> None:
    """Long text of a log pays for its compression."""
    text = b"WARNING: disk almost full\n" * 1000
    assert len(blob.pack(text)) < len(text) / 50


def test_address_is_the_sha256() -> None:
    """Clients can check what they got."""
    assert blob.address(b"abc") == hashlib.sha256(b"abc").hexdigest()
