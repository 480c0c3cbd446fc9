from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.providers.emulated_json import StringReader, ValueReader

TEXTS = st.text(max_size=40)
CUTS = st.lists(st.integers(0, 200), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def pieces(text: str, cuts: list[int]) -> list[str]:
    """`text` cut at these places."""
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[begin:end] for begin, end in pairwise(places)]


@given(TEXTS, CUTS, st.booleans())
def test_any_string_in_any_split(text: str, cuts: list[int], ascii_only: bool) -> None:
    """A string comes out as it was, whether written with escapes or without, wherever it is cut; what is behind it is left."""
    reader, said, behind = StringReader(), "", ""
    for piece in pieces(json.dumps(text, ensure_ascii=ascii_only)[1:] + " tail", cuts):
        if reader.done:
            behind += piece
        else:
            some, rest = reader.feed(piece)
            said, behind = said + some, behind + rest
    assert (said, behind, reader.done) == (text, " tail", True)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (r'a\ud83d"', "a\ufffd"),
        (r"a\ud83d", "a"),
        (r"\ude00b", "\ufffdb"),
        (r"\ud83d\u0041", "\ufffdA"),
        (r"\ud83dx", "\ufffdx"),
        (r"\q\u12zz and on", r"\q\u12zz and on"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("ends in \\", "ends in "),
        (r"ends in \u00", "ends in "),
    ],
)
def test_strings_that_are_not_quite_right(written: str, said: str) -> None:
    """Half a pair is replaced, a wrong escape stays, an escape that the end cut off is dropped: whole or letter by letter."""
    for split in ([written], list(written)):
        reader = StringReader()
        assert "".join([reader.feed(piece)[0] for piece in split]) == said


@given(VALUES, CUTS, st.sampled_from([None, 2]))
def test_any_value_in_any_split(value: object, cuts: list[int], indent: int | None) -> None:
    """A value ends where it ends, with what follows it inside an object or a list."""
    written = json.dumps(value, indent=indent)
    reader, taken, behind = ValueReader(), "", ""
    for piece in pieces(written + ', "more": 1}', cuts):
        if reader.done:
            behind += piece
        else:
            some, rest = reader.feed(piece)
            taken, behind = taken + some, behind + rest
    assert (taken, behind) == (written, ', "more": 1}')


def test_the_rest_of_an_object() -> None:
    """From inside an object, its end is found."""
    reader = ValueReader(depth=1)
    assert reader.feed(', "a": {"b": "}"}} after') == (', "a": {"b": "}"}}', " after")
    assert reader.done
