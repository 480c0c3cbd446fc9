"""read: numbered lines of any file, only what is needed of a large one; words about what is no text."""

from __future__ import annotations

import codecs
import os
import socket
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.toolsources.files.reading import WHOLE, read
from agentwire.errors import ToolError
from agentwire.types import Image
from tests.fakes.file_calls import FileCalls

LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), max_size=30), max_size=40)
PICTURES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/gif": b"GIF89a",
    "image/webp": b"RIFF\0\0\0\0WEBPVP8 ",
}


def numbered(lines: list[str], first: int = 1) -> str:
    return "\n".join(f"{number:6}\t{line}" for number, line in enumerate(lines, first))


@settings(max_examples=200, deadline=None)
@given(lines=LINES, offset=st.integers(1, 45), limit=st.integers(1, 45), end=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
def test_any_range_of_any_file(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], offset: int, limit: int, end: str, last: bool
) -> None:
    """The lines that were asked for, as they are; where there are more it says where to read on; a wrong offset is an error."""
    path = tmp_path_factory.getbasetemp() / "any"
    if lines and not lines[-1]:
        last = True
    path.write_bytes((end.join(lines) + end * (last and bool(lines))).encode())
    begins_with_mark = lines and lines[0].startswith("\ufeff")
    if begins_with_mark:
        return

    async def main() -> str:
        return (await trio.to_thread.run_sync(read, str(path.resolve()), offset, limit)).text

    wanted = lines[offset - 1 : offset - 1 + limit]
    if not lines:
        assert trio.run(main) == "(the file is empty)"
    elif not wanted:
        with pytest.raises(ToolError, match=f"the file has {len(lines)} line"):
            trio.run(main)
    else:
        said = trio.run(main)
        assert said.split("\n(")[0].split("\n") == numbered(wanted, offset).split("\n(")[0].split("\n")
        assert (f"read on with offset={offset + limit}" in said) == (offset - 1 + limit < len(lines))


async def test_a_large_file_is_read_only_where_it_is_needed(calls: FileCalls) -> None:
    """The beginning without looking at the rest; a range far inside; the end; and what is past it."""
    line = "x" * 99
    with (calls.root / "large").open("w") as file:
        file.writelines(f"{line}\n" for _ in range(10 * WHOLE // 100))
    count = 10 * WHOLE // 100
    assert (
        await calls.text("read", path="large", limit=1)
    ) == f"     1\t{line}\n(lines 1-1; there are more: read on with offset=2)"
    assert (await calls.text("read", path="large", offset=count)) == f"{count:6}\t{line}"
    assert (await calls.text("read", path="large", offset=count // 2, limit=2)).startswith(f"{count // 2:6}\t{line}\n")
    assert f"the file has {count} lines" in await calls.error("read", path="large", offset=count + 1)


async def test_a_file_of_one_endless_line(calls: FileCalls) -> None:
    """Its beginning, and how long it is; the line after it is found."""
    (calls.root / "long").write_text("ä" * 2 * WHOLE + "\nsecond\n")
    said = await calls.text("read", path="long")
    assert said.startswith("     1\t" + "ä" * 2000 + " [cut: the line has")
    assert said.endswith("     2\tsecond")
    assert await calls.text("read", path="long", offset=2) == "     2\tsecond"


async def test_a_result_is_bounded(calls: FileCalls) -> None:
    """Below what would become a blob; reading on from where it says gives all lines once."""
    lines = [f"{number} " + "y" * 300 for number in range(2000)]
    (calls.root / "many").write_text("\n".join(lines))
    seen: list[str] = []
    offset = 1
    while True:
        said = await calls.text("read", path="many", offset=offset)
        assert len(said) < 64 * 1024
        seen += [line.split("\t")[1] for line in said.split("\n") if "\t" in line]
        if "read on" not in said:
            break
        offset = int(said.split("offset=")[1].rstrip(")"))
    assert seen == lines


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-8"])
async def test_encodings_with_a_mark(calls: FileCalls, encoding: str) -> None:
    """The text, and which encoding it is."""
    mark = {
        "utf-16-le": codecs.BOM_UTF16_LE,
        "utf-16-be": codecs.BOM_UTF16_BE,
        "utf-32-le": codecs.BOM_UTF32_LE,
        "utf-8": codecs.BOM_UTF8,
    }
    (calls.root / "a").write_bytes(mark[encoding] + "äöü\r\nzwei\r\n".encode(encoding))
    said = await calls.text("read", path="a")
    assert said.startswith(numbered(["äöü", "zwei"]))
    assert f"{encoding} with a byte order mark" in said and "CRLF" in said


async def test_what_is_no_text_is_described(calls: FileCalls) -> None:
    """Bytes that are not UTF-8 are replaced, a NUL far inside too; a binary file is not dumped."""
    (calls.root / "latin").write_bytes(b"caf\xe9\n" + b"x\n" * 8000 + b"a\0b\n\x1b[31m\n")
    assert (await calls.text("read", path="latin", limit=1)).startswith("     1\tcaf\ufffd\n")
    assert (await calls.text("read", path="latin", offset=8002)) == numbered(["a\ufffdb", "\x1b[31m"], 8002)
    (calls.root / "program").write_bytes(b"\x7fELF\0\0" + bytes(100))
    said = await calls.text("read", path="program")
    assert "binary file of 106 bytes" in said and "ELF" in said and "\0" not in said


@pytest.mark.parametrize("media", PICTURES)
async def test_pictures(calls: FileCalls, media: str) -> None:
    """They are kept as blobs whose media type is told by what is in them, not by their name."""
    content = PICTURES[media] + bytes(range(256)) * 5000
    (calls.root / "picture.txt").write_bytes(content)
    outcome = await calls.outcome("read", path="picture.txt")
    picture = outcome.parts[1]
    assert isinstance(picture, Image) and picture.media == media
    assert calls.blobs[picture.blob] == (content, media)


async def test_a_picture_that_is_too_large_is_described(calls: FileCalls) -> None:
    """No vendor would take it."""
    with (calls.root / "p.png").open("wb") as file:
        file.write(PICTURES["image/png"])
        file.truncate(11 * 1024 * 1024)
    outcome = await calls.outcome("read", path="p.png")
    assert len(outcome.parts) == 1 and "too large" in await calls.text("read", path="p.png")


async def test_directories(calls: FileCalls) -> None:
    """By name, directories with a slash; of very many only some."""
    (calls.root / "b").mkdir()
    (calls.root / "a").write_text("")
    (calls.root / "b" / "c").symlink_to("/etc")
    assert await calls.text("read", path=".") == "(a directory)\na\nb/"
    assert await calls.text("read", path="b") == "(a directory)\nc"
    for number in range(1200):
        (calls.root / "b" / f"{number}").write_text("")
    assert "(201 more" in await calls.text("read", path="b")


async def test_paths(calls: FileCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative, absolute, from the home directory, through links: planned is always the real path."""
    (calls.root / "a").write_text("x")
    (calls.root / "link").symlink_to("a")
    monkeypatch.setenv("HOME", str(calls.root))
    for path in ("a", "./a", str(calls.root / "a"), "~/a", "link", "../work/a"):
        [access] = calls.plan("read", path=path)
        assert (access.kind, access.target) == ("read", str(calls.root / "a"))
        assert await calls.text("read", path=path) == "     1\tx"


async def test_what_cannot_be_opened_says_why(calls: FileCalls) -> None:
    """Missing files, FIFOs, sockets, devices, loops, /proc, empty paths."""
    os.mkfifo(calls.root / "fifo")
    (calls.root / "loop").symlink_to("loop")
    (calls.root / "file").write_text("")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(calls.root / "socket"))
        for path, why in {
            "missing": "no such file",
            "fifo": "a socket, a FIFO or a device",
            "socket": "a socket, a FIFO or a device",
            "/dev/zero": "a socket, a FIFO or a device",
            "loop": "links go in a circle",
            "file/below": "is a file, not a directory",
            "/proc/self/environ": "/proc",
            "": "path is empty",
            "a\0b": "not a path",
            "x" * 300: "too long",
        }.items():
            assert why in await calls.error("read", path=path), path


async def test_arguments_are_taken_as_they_are_meant(calls: FileCalls) -> None:
    """null and numbers in quotes are understood; what does not exist is named, with what does."""
    (calls.root / "a").write_text("1\n2\n3\n")
    assert (await calls.text("read", path="a", offset="2", limit=None)) == numbered(["2", "3"], 2)
    assert (await calls.text("read", path="a", offset=0, limit=1)).startswith("     1\t1")
    assert "there is no argument file" in await calls.error("read", path="a", file="b")
    assert "do not fit" in await calls.error("read", path="a", offset="x")
    assert "do not fit" in await calls.error("read")


async def test_a_name_that_is_nearly_right(calls: FileCalls, tmp_path: Path) -> None:
    """Those like it are named, in the workspace."""
    (calls.root / "reading.py").write_text("")
    (tmp_path / "outside.py").write_text("")
    assert (await calls.error("read", path="readnig.py")).endswith("no such file or directory; did you mean reading.py?")
    assert "mean" not in await calls.error("read", path="../outsid.py")
    assert "mean" not in await calls.error("read", path="nowhere/reading.py")
