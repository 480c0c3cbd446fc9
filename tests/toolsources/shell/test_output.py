"""What is kept of an output, and what is made of it: hostile bytes in, a text that is safe to read out."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.toolsources.shell.output import Output, is_binary, readable


def said(*pieces: bytes, kept: int = 1 << 20) -> Output:
    output = Output(kept)
    for piece in pieces:
        output.add(piece)
    return output


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain\n", "plain\n"),
        (b"\x1b[1;31mred\x1b[0m\n", "red\n"),
        (b"\x1b]0;a title\x07shown", "shown"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1bP1$r\x1b\\after \x1b_app\x1b\\it", "after it"),
        (b"\x1b]52;c;never closed\nnext", "\nnext"),
        (b"\x1b(Bset \x1b7saved\x1b", "set saved"),
        (b"\xc2\x9b31mc1\xc2\x9d0;t\xc2\x9c!", "c1!"),
        (b"10%\r50%\r100%\ndone\r\n", "100%\ndone\n"),
        (b"abc\b\bx\b\b\b\b\b\by", "y"),
        (b"a\0b\0", "a\\0b\\0"),
        (b"bell\x07 and \x7f\x0e\x01", "bell and "),
        (b"caf\xe9 \xff \xe2\x82", "caf\ufffd \ufffd \ufffd"),
        ("grüße 漢字 🙂\tx".encode(), "grüße 漢字 🙂\tx"),
    ],
)
def test_what_a_terminal_obeys_is_gone(raw: bytes, text: str) -> None:
    """And what it would have overwritten; letters of any script stay."""
    assert readable(raw) == text


@given(
    st.binary(max_size=400)
    | st.lists(st.sampled_from([b"\x1b", b"[", b"]", b"\x9b", b"\x07", b"\r", b"\b", b"\n", b"x"])).map(b"".join)
)
def test_nothing_that_a_terminal_obeys_is_left(raw: bytes) -> None:
    """Whatever it was made of."""
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", readable(raw))


def test_pieces_make_no_difference_at_line_ends() -> None:
    """A long output is made readable in pieces, each of whole lines."""
    line = b"\x1b[32mok\x1b[0m 1%\r99%\n"
    assert readable(line * 20_000) == "99%\n" * 20_000


def test_a_line_without_an_end() -> None:
    """Is as long as it is."""
    assert readable(b"x" * 300_000) == "x" * 300_000


def test_beginning_and_end_are_kept() -> None:
    """However much comes, memory is bounded; between them stands how much is missing."""
    output = said(b"first\n", *([b"0123456789" * 100] * 1000), b"\nlast\n", kept=1000)
    text = output.text()
    assert output.total == 1_000_012 and len(output._head) + len(output._tail) <= 3000
    assert text.startswith("first\n0123") and text.endswith("\nlast\n")
    assert "[998,012 bytes are left out here]" in text


@given(st.lists(st.binary(max_size=30), max_size=20), st.integers(1, 40))
def test_what_is_kept_is_what_came(pieces: list[bytes], kept: int) -> None:
    """As long as it fits, nothing is lost or doubled."""
    output = said(*pieces, kept=kept)
    whole = b"".join(pieces)
    assert output.total == len(whole) and bytes(output._head) == whole[:kept]
    assert bytes(output._tail[-kept:]) == whole[kept:][-kept:]


@pytest.mark.parametrize(
    ("raw", "binary"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(100), True),
        ("utf-16".encode("utf-16"), True),
        (bytes(range(128, 256)), True),
        (b"path/one\0path/two\0path/three\0", False),
        ("漢字かな".encode(), False),
        ("gr\xfc\xdfe".encode("latin-1"), True),
        ("a whole line of German gr\xfc\xdfe in Latin-1, as it is".encode("latin-1"), False),
        (b"", False),
    ],
)
def test_what_is_no_text_is_told(raw: bytes, binary: bool) -> None:
    """A few bytes that do not belong there are no reason to hide the rest."""
    assert is_binary(raw) == binary
    assert said(raw).text().startswith(f"[{len(raw)} bytes that are no text") == binary


def test_the_last_lines() -> None:
    """For whoever watches: as many as asked for, also when little has come."""
    assert said(b"a\n", b"b\nc\n").ending(2, 100) == "b\nc"
    assert said(b"x" * 50, b"tail", kept=10).ending(5, 6) == "xxtail"
    assert said().ending(5, 6) == ""
