"""Bytes as text and back: nothing is lost on the way."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.toolsources.files.text import decode, is_binary, shown

MARKS = [b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE]


@given(mark=st.sampled_from(MARKS), data=st.binary(max_size=200))
def test_what_can_be_read_is_written_as_it_was(mark: bytes, data: bytes) -> None:
    """Any bytes: they are no text, or come back byte for byte; what the model sees can be encoded."""
    content = decode(mark + data)
    if content is not None:
        assert content.encoded(content.text) == mark + data
        shown(content.text).encode()


@given(text=st.text(), number=st.integers(0, 5))
def test_text_in_every_encoding(text: str, number: int) -> None:
    """With its mark each is known."""
    encodings = ["utf-8", "utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
    encoded = MARKS[number] + text.encode(encodings[number])
    content = decode(encoded)
    if number == 0 and ("\0" in text or text.startswith("\ufeff")):
        return
    if number == 2 and text.startswith("\0"):
        return  # it begins as UTF-32 does
    assert content is not None and content.text == text


def test_what_is_binary() -> None:
    """A NUL near the beginning, but in an encoding that has them."""
    assert is_binary(b"\x7fELF\0") and not is_binary(b"text") and not is_binary(codecs.BOM_UTF16_LE + b"a\0")
    assert decode(b"a\0b") is None and decode(codecs.BOM_UTF16_LE + b"a") is None


def test_half_characters_cannot_be_written() -> None:
    """Those that did not come from the file."""
    content = decode(b"x")
    assert content is not None
    with pytest.raises(UnicodeEncodeError):
        content.encoded("\ud83d")
