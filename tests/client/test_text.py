"""Text of strangers cannot steer a terminal."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from agentctl.text import one_line, visible


def controls(text: str) -> set[str]:
    return {char for char in text if unicodedata.category(char) == "Cc"} - {"\n", "\t"}


@given(st.lists(st.text(alphabet=st.characters(max_codepoint=0x2100))))
def test_no_control_survives_in_any_split(pieces: list[str]) -> None:
    """However a stream is cut, no control character but tab and newline comes out of the pieces."""
    assert not controls("".join(visible(piece) for piece in pieces))


def test_escape_sequences_are_shown() -> None:
    """A title change, a one-byte CSI and a bell are readable, not obeyed."""
    assert visible("\x1b]0;owned\x07 \x9b2J") == "␛]0;owned␇ \\x9b2J"


def test_layout_survives() -> None:
    """Tabs, newlines and ordinary text of any script stay as they are; CRLF is one newline."""
    assert visible("a\tb\r\nпривет 👋\n") == "a\tb\nпривет 👋\n"


def test_lone_carriage_return_cannot_overwrite_a_line() -> None:
    """A carriage return that would hide what stands before it is shown."""
    assert visible("rm -rf ~\recho hi") == "rm -rf ~␍echo hi"


def test_bidirectional_overrides_are_shown() -> None:
    """Characters that reorder the line on screen are written out."""
    assert visible("a\u202eb\u2066") == "a\\u202eb\\u2066"


def test_one_line_fits_a_cell() -> None:
    """White space collapses, and what is too long ends in an ellipsis within the width."""
    assert one_line("a\n b\tc", 10) == "a b c"
    assert one_line("abcdef", 4) == "abc…"
