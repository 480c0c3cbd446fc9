"""edit: an exact text is replaced, whatever the line ends; everything else stays byte for byte; where it fails it helps."""

from __future__ import annotations

import codecs
import os

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentd.toolsources.files.editing import edit
from agentwire.errors import ToolError
from tests.fakes.file_calls import FileCalls

PIECES = st.lists(st.sampled_from(["a", "b", " ", "\t", "ab", "é", "\n", "\r\n"]), max_size=60).map("".join)


@given(before=PIECES, old=PIECES, after=PIECES, new=PIECES)
def test_what_is_around_stays(before: str, old: str, after: str, new: str) -> None:
    """A unique text is replaced where it is; every character before and after it is the same, whatever ends the lines."""
    text = before + old + after
    plain = text.replace("\r\n", "\n")
    needle = old.replace("\r\n", "\n")
    assume(needle and plain.count(needle) == 1 and needle != new.replace("\r\n", "\n"))
    assume(plain.find(needle) == len(before.replace("\r\n", "\n")))
    result = edit(text, needle, new, everywhere=False)
    assert result.text.startswith(before) and result.text.endswith(after)
    middle = result.text[len(before) : len(result.text) - len(after) if after else None]
    assert middle.replace("\r\n", "\n") == new.replace("\r\n", "\n")


@given(parts=st.lists(PIECES, min_size=2, max_size=5), old=PIECES, new=PIECES)
def test_every_occurrence(parts: list[str], old: str, new: str) -> None:
    """`all` replaces as str.replace does, if line ends are left aside; how often is told."""
    text = old.join(parts)
    plain, old, new = (one.replace("\r\n", "\n") for one in (text, old, new))
    assume(old and old != new)
    result = edit(text, old, new, everywhere=True)
    assert result.text.replace("\r\n", "\n") == result.after == plain.replace(old, new)
    assert result.count == plain.count(old)


@given(lines=st.lists(st.text("abc ", max_size=8), min_size=1, max_size=20), end=st.sampled_from(["\n", "\r\n"]), data=st.data())
def test_line_ends_of_a_file_stay_what_they_are(lines: list[str], end: str, data: st.DataObject) -> None:
    """In a file with one kind of line ends, what is put in has that kind too, however it was written."""
    numbered = [f"{number} {line}" for number, line in enumerate(lines)]
    line = data.draw(st.sampled_from(numbered))
    written = data.draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join([*numbered, "end", ""])
    result = edit(text, line, f"x{written}y{written}z", everywhere=True)
    assert result.text.count("\n") == result.text.count(end)


@pytest.mark.parametrize(
    ("old", "says"),
    [
        ("", "old is empty"),
        ("    two()", "leave out the line numbers"),
        ("if one:\n  two()", "begins at line 1, which is exactly:\nif one:\n\ttwo()"),
        ("two()\n\n\nthree()", "begins at line 2, which is exactly:\n\ttwo()\nthree()"),
        ("thre()", "the nearest lines are:\n     3\tthree()"),
        ("nothing of the kind at all", "nothing is like it"),
    ],
)
def test_help_where_there_is_no_match(old: str, says: str) -> None:
    """What differs is shown as it is in the file."""
    text = "if one:\n\ttwo()\nthree()\n"
    with pytest.raises(ToolError) as caught:
        edit(text, "     2\ttwo()" if "numbers" in says else old, "x", everywhere=False)
    assert says in str(caught.value)


def test_help_takes_no_time() -> None:
    """Whatever the file has: many like lines, long ones, very many."""
    for text in ("a a " * 200_000, "a\n" * 500_000, "x" * 190 + "\n" + ("x" * 180 + "y" * 20 + "\n") * 20_000, " " * 5_000_000):
        with pytest.raises(ToolError, match="old is not in the file"):
            edit(text, "a " * 300 + "b", "c", everywhere=False)


def test_help_where_it_was_done_before() -> None:
    """A repeated edit is recognised."""
    with pytest.raises(ToolError, match="new is there already, at line 2"):
        edit("a\nnew line\n", "old line", "new line", everywhere=False)


def test_help_where_there_are_several() -> None:
    """With the lines, of many only some."""
    with pytest.raises(ToolError, match=r"3 times \(lines 1, 2, 4\).*all=true"):
        edit("x\nx\ny\nx\n", "x", "z", everywhere=False)
    with pytest.raises(ToolError, match="and 80 more"):
        edit("x\n" * 100, "x", "z", everywhere=False)


async def test_bytes_that_are_no_text_stay(calls: FileCalls) -> None:
    """A file that is not quite UTF-8 can be edited, and one with a byte order mark, also in UTF-16."""
    contents = {
        "latin": b"caf\xe9 one\r\n\xff two\r\n",
        "marked": codecs.BOM_UTF8 + b"one\r\n two\n",
        "wide": codecs.BOM_UTF16_LE + "one é\r\n two\n".encode("utf-16-le"),
    }
    for name, content in contents.items():
        (calls.root / name).write_bytes(content)
        await calls.text("read", path=name)
        await calls.text("edit", path=name, old="one", new="ONE")
        encoding = "utf-16-le" if name == "wide" else "ascii"
        assert (calls.root / name).read_bytes() == content.replace("one".encode(encoding), "ONE".encode(encoding))


async def test_the_result_has_the_diff(calls: FileCalls) -> None:
    """What is known after an edit is enough for the next one."""
    (calls.root / "a").write_text("".join(f"{number}\n" for number in range(20)))
    await calls.text("read", path="a")
    said = await calls.text("edit", path="a", old="9\n10\n", new="nine\n10\n")
    assert said == f"edited {calls.root}/a (+1 -1 lines)\n@@ -7,7 +7,7 @@\n 6\n 7\n 8\n-9\n+nine\n 10\n 11\n 12"
    said = await calls.text("edit", path="a", old="1", new="one", all=True)
    assert said.startswith(f"edited {calls.root}/a in 12 places (+11 -11 lines)")


async def test_what_cannot_be_edited(calls: FileCalls) -> None:
    """Nothing is changed then, and it is said what to do."""
    (calls.root / "a").write_text("x\n")
    (calls.root / "binary").write_bytes(b"\0x")
    (calls.root / "dir").mkdir()
    assert "read it first" in await calls.error("edit", path="a", old="x", new="y")
    await calls.text("read", path="a")
    await calls.text("read", path="binary")
    assert "the same" in await calls.error("edit", path="a", old="x", new="x")
    assert "use write" in await calls.error("edit", path="new", old="x", new="y")
    assert "binary" in await calls.error("edit", path="binary", old="x", new="y")
    assert "directory" in await calls.error("edit", path="dir", old="x", new="y")
    assert (calls.root / "a").read_text() == "x\n"


async def test_a_file_that_changed_is_read_again_first(calls: FileCalls) -> None:
    """Also when its size and time are the same; a file that was only touched has not changed."""
    (calls.root / "a").write_text("one\n")
    await calls.text("read", path="a")
    os.utime(calls.root / "a")
    await calls.text("edit", path="a", old="one", new="two")
    (calls.root / "a").write_text("six\n")
    assert "changed since it was read" in await calls.error("edit", path="a", old="six", new="ten")
    await calls.text("read", path="a")
    await calls.text("edit", path="a", old="six", new="ten")
    assert (calls.root / "a").read_text() == "ten\n"
