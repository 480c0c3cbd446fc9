"""Compression loses nothing and never makes a payload noticeably longer."""

from __future__ import annotations

import hashlib
import random
import string

import lz4.block
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.store import blob
from agentwire.events import AssistantMessage, encode_body
from agentwire.types import Text, Usage


@given(
    st.binary(max_size=3000)
    | st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=20), st.integers(0, 500))
)
def test_what_goes_in_comes_out(content: bytes) -> None:
    """Any bytes, also those that look like our own marks; at most one byte longer."""
    stored = blob.pack(content)
    assert blob.unpack(stored) == content
    assert len(stored) <= len(content) + 1


@pytest.mark.parametrize("content", [b"", b"\x00", b"\x01", b"\x02", b"\x01" * 600, b"\x02" * 99, b"{", b"{}" * 300, b"\x00{"])
def test_marks_in_the_content_do_not_confuse(content: bytes) -> None:
    """Content that begins like a mark, or is empty."""
    assert blob.unpack(blob.pack(content)) == content


def test_an_event_costs_little_more_than_its_text() -> None:
    """The JSON around a text is in the dictionary: 155 bytes of it take less than 60."""
    text = "".join(random.Random(7).choices(string.ascii_letters, k=300))
    usage = Usage(input=48_211, output=163)
    body = AssistantMessage(turn=731, step=0, model="openai/gpt-5", parts=(Text(text=text),), stop="end", usage=usage)
    assert len(encode_body(body)) > 450
    assert len(blob.pack(encode_body(body))) < 300 + 60


def test_ordinary_words_are_shorter() -> None:
    """A message of 300 characters of plain English takes at least a fifth less."""
    text = (
        "Could you look at the log of the last night and tell me why the backup has failed? I changed the mount options yesterday, "
        "and since then it complains about permissions on two directories. Also check whether the disk is nearly full, and if so "
        "which folders have grown most during the last week."
    )
    assert len(blob.pack(encode_body(Text(text=text)))) < len(text) * 0.8


@pytest.mark.parametrize(
    "stored",
    [
        b"\x01",
        b"\x01\x05\x00\x00\x00\xff\xff",
        b"\x02",
        b"\x02\x05\x00\xff\xff\xff",
        blob.pack(b'{"input":1,"model":"openai/gpt-5","turn":1}')[:-1],
        b"\x02\xff\x00" + blob.pack(b'{"input":1,"model":"openai/gpt-5","turn":1}')[3:],
    ],
)
def test_damage_is_an_error(stored: bytes) -> None:
    """Never a guess: what cannot be unpacked to the size it had raises."""
    with pytest.raises(ValueError, match=r".+"):
        blob.unpack(stored)


def test_rows_of_the_first_release() -> None:
    """Plain, behind a zero byte, and compressed without a dictionary: read for ever."""
    body = b'{"title":"' + b"x" * 600 + b'"}'
    assert blob.unpack(body) == body
    assert blob.unpack(b"\x00\x01\x02") == b"\x01\x02"
    assert blob.unpack(b"\x01" + lz4.block.compress(body, store_size=True)) == body


@pytest.mark.parametrize("size", [65_535, 65_536, 200_000])
def test_sizes_around_two_bytes(size: int) -> None:
    """From 64 KiB on the size has four bytes and the dictionary is left out."""
    content = bytes(random.Random(size).choices(b"abc", k=size))
    assert blob.unpack(blob.pack(content)) == blob.unpack(blob.pack(content, cold=True)) == content


def test_cold_content_is_denser() -> None:
    """A snapshot is searched through more thoroughly, and read like all others."""
    words = random.Random(1).choices([f"word{n}" for n in range(500)], k=50_000)
    text = " ".join(words).encode()
    assert len(blob.pack(text, cold=True)) < len(blob.pack(text)) * 0.9
    assert blob.unpack(blob.pack(text, cold=True)) == text


def test_repetitive_content_shrinks() -> None:
    """Long text of a log pays for its compression."""
    text = b"WARNING: disk almost full\n" * 1000
    assert len(blob.pack(text)) < len(text) / 50


def test_address_is_the_sha256() -> None:
    """Clients can check what they got."""
    assert blob.address(b"abc") == hashlib.sha256(b"abc").hexdigest()
