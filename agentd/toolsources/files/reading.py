"""What `read` gives: numbered lines of a text, pictures as they are, words about everything else. Only what is needed is read."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

import trio
from attrs import frozen

from agentd.toolsources.files import text as texts
from agentd.toolsources.files.known import Known, Stamp
from agentd.toolsources.files.opening import explained, opened
from agentwire.errors import ToolError

WHOLE = 1024 * 1024  # bytes up to which a file is read whole, so that its digest is known
_CHUNK = 1024 * 1024
_FOREIGN = 32 * 1024 * 1024  # bytes up to which UTF-16 and UTF-32 are turned into UTF-8
_LINE = 2000  # characters shown of a line
_LINE_BYTES = 4 * _LINE
_PAGE = 60_000  # characters of one result: below what agent_loop puts into a blob
_ENTRIES = 1000  # of a directory
_PICTURE = 10 * 1024 * 1024  # bytes, about what vendors take

_PICTURES: tuple[tuple[bytes, int, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF87a", 0, "image/gif"),
    (b"GIF89a", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
)
_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF: `pdftotext` in the shell may read it"),
    (b"PK\x03\x04", "a zip archive (or a document made of one): `unzip -l` in the shell lists it"),
    (b"\x1f\x8b", "gzip data"),
    (b"\x7fELF", "an ELF program or library"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\xfd7zXZ", "xz data"),
    (b"BZh", "bzip2 data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
)

Reader = Callable[[int], bytes]


@frozen
class Seen:
    """The result of reading: a text, perhaps a picture with its media type; what is now known of the file."""

    text: str
    known: Known | None = None
    picture: bytes = b""
    media: str = ""


class _Line(NamedTuple):
    """`data` is its beginning, `length` that of all of it, in bytes."""

    data: bytes
    length: int


def read(path: str, offset: int, limit: int) -> Seen:
    """`limit` lines of the file at the real path, from line `offset` on. Error handling: ToolError."""
    with explained(path), opened(path) as (fd, about):
        if stat.S_ISDIR(about.st_mode):
            return Seen(_listing(fd))
        with open(fd, "rb", buffering=0, closefd=False) as file:
            return _file(path, file.read, about, max(1, offset), limit)


def _file(path: str, read: Reader, about: os.stat_result, offset: int, limit: int) -> Seen:
    head = _exactly(read, WHOLE)
    whole = len(head) < WHOLE
    known = Known.whole(about, head) if whole else Known(Stamp.of(about), None)
    if media := _media(head):
        return _picture(head, read, about.st_size, media, known)
    if texts.is_binary(head):
        return Seen(_binary(head, about.st_size), known)
    if not head:
        return Seen("(the file is empty)", known)
    encoding, mark = texts.encoding_of(head)
    if encoding != "utf-8":
        head, read = _as_utf8(path, head, read, encoding), io.BytesIO().read
    rest = _Rest(head[len(mark) :] if encoding == "utf-8" else head, read)
    return Seen(_page(rest, offset, limit, _notes(head, encoding, mark)), known)


def _exactly(read: Reader, size: int) -> bytes:
    """`size` bytes, fewer only at the end of the file."""
    data = read(size)
    while 0 < len(data) < size and (more := read(size - len(data))):
        data += more
    return data


def _as_utf8(path: str, head: bytes, read: Reader, encoding: str) -> bytes:
    content = texts.decode(head + _exactly(read, _FOREIGN))
    if content is None:
        raise ToolError(f"{path}: it begins as {encoding} text, but is not: look at it with `xxd` in the shell")
    return content.text.encode("utf-8", "replace")


def _notes(head: bytes, encoding: str, mark: bytes) -> list[str]:
    notes = [f"{encoding} with a byte order mark"] if mark else []
    if b"\r\n" in head:
        notes.append("lines end with CRLF; edit keeps that")
    return notes


# --- lines -----------------------------------------------------------------------------------------------------------------------


class _Rest:
    """What is still to be read of a file, line by line; lines beyond what is shown are never in memory."""

    def __init__(self, head: bytes, read: Reader) -> None:
        self._chunk, self._read = head, read
        self._at = 0  # in the chunk
        self._in_line = False  # the last byte seen was inside of a line

    def skip(self, count: int) -> int:
        """Leave `count` lines out; how many there were of them."""
        left = count
        while left and self._fill():
            found = self._chunk.count(b"\n")
            if found >= left:
                self._at = _end_of_line(self._chunk, left)
                return count
            left -= found
            self._in_line = not self._chunk.endswith(b"\n")
            self._at = len(self._chunk)
        return count - left + (left > 0 and self._in_line)

    def line(self) -> _Line | None:
        """The next one, the data of a long one cut; None at the end."""
        data, length = b"", 0
        while self._fill():
            newline = self._chunk.find(b"\n", self._at)
            stop = newline if newline >= 0 else len(self._chunk)
            data += self._chunk[self._at : min(stop, self._at + _LINE_BYTES - len(data))]
            length += stop - self._at
            self._at = stop + 1
            if newline >= 0:
                return _Line(data, length)
        return _Line(data, length) if length else None

    def _fill(self) -> bool:
        """Whether there is more."""
        if self._at >= len(self._chunk):
            trio.from_thread.check_cancelled()
            self._chunk, self._at = self._read(_CHUNK), 0
        return bool(self._chunk)


def _end_of_line(data: bytes, number: int) -> int:
    """The offset behind the `number`th newline."""
    at = 0
    for _ in range(number):
        at = data.index(b"\n", at) + 1
    return at


def _page(rest: _Rest, offset: int, limit: int, notes: list[str]) -> str:
    skipped = rest.skip(offset - 1)
    if skipped < offset - 1:
        raise ToolError(f"offset {offset} is past the end: the file has {skipped} line{'s' * (skipped != 1)}")
    shown: list[str] = []
    size, number, line = 0, offset, rest.line()
    while line is not None and len(shown) < limit and size < _PAGE:
        shown.append(f"{number:6}\t{_cut(line)}")
        size += len(shown[-1]) + 1
        number, line = number + 1, rest.line()
    if line is not None:
        notes.insert(0, f"lines {offset}-{number - 1}; there are more: read on with offset={number}")
    elif not shown:
        raise ToolError(f"offset {offset} is past the end: the file has {skipped} line{'s' * (skipped != 1)}")
    return texts.shown("\n".join([*shown, *([f"({'; '.join(notes)})"] if notes else [])]))


def _cut(line: _Line) -> str:
    text = line.data.decode("utf-8", "replace")
    if line.length > len(line.data) or len(text) > _LINE:
        return f"{text[:_LINE]} [cut: the line has {line.length} bytes]"
    return text.removesuffix("\r")


# --- what is no text -------------------------------------------------------------------------------------------------------------


def _media(head: bytes) -> str:
    return next((media for magic, at, media in _PICTURES if head.startswith(magic, at) and (not at or head[:4] == b"RIFF")), "")


def _picture(head: bytes, read: Reader, size: int, media: str, known: Known) -> Seen:
    if size > _PICTURE:
        return Seen(f"({media}, {size} bytes: too large to show; make it smaller than {_PICTURE} bytes)", known)
    return Seen(f"({media}, {size} bytes)", known, head + _exactly(read, _PICTURE), media)


def _binary(head: bytes, size: int) -> str:
    kind = next((name for magic, name in _KINDS if head.startswith(magic)), "not text")
    return f"(binary file of {size} bytes, {kind}; it begins with the bytes {head[:16].hex(' ')})"


def _listing(fd: int) -> str:
    """The entries of a directory by name, directories with a slash."""
    with os.scandir(fd) as entries:
        names = sorted(entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "") for entry in entries)
    more = [f"({len(names) - _ENTRIES} more: look for some with glob)"] if len(names) > _ENTRIES else []
    return texts.shown("\n".join(["(a directory)", *names[:_ENTRIES], *more]))


def meant(path: str, roots: Sequence[str], hidden: Callable[[str], bool]) -> str:
    """Names like that of a missing file, where it would be in the workspace; empty if there are none."""
    folder, name = os.path.split(path)
    if not any(f"{folder}/".startswith(f"{root.rstrip('/')}/") for root in roots):
        return ""
    with suppress(OSError), opened(folder) as (fd, _about), os.scandir(fd) as entries:
        names = [entry.name for entry in islice(entries, _ENTRIES)]
        import difflib  # only when something is wrong

        near = [other for other in difflib.get_close_matches(name, names, n=3, cutoff=0.6) if not hidden(f"{folder}/{other}")]
        return texts.shown(f"; did you mean {' or '.join(near)}?") if near else ""
    return ""
