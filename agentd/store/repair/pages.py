"""The pages of a damaged log, read without SQLite: what a broken page of a tree leads to is out of its reach, but not of ours.

Format: https://www.sqlite.org/fileformat2.html. A table's rows are in its leaf pages, and each leaf says for itself what it holds.
What a row is we tell by its columns, and whether it is whole by its sum (sums.py); so it does not matter how we came upon it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple, Self

_PAGE_SIZES = {512 << shift for shift in range(8)}
_DEFAULT_SIZE = 4096
_FILE_HEADER = 100
"""Bytes at the beginning of page 1."""
_LEAF = 0x0D
_MAX_PAYLOAD = 64 * 1024 * 1024
"""Bytes of a row: twice what the largest blob has."""
_WAL_MAGIC = 0x377F0682
"""The last bit says whether its checksums are over big-endian words."""
_WAL_HEADER, _FRAME_HEADER = 32, 24

Value = int | float | bytes | str | None


class Wal(NamedTuple):
    """A write-ahead log. `committed`: where in it the newest committed content of a page is.

    `beyond`: (page, place) of committed frames behind the first that is broken; `lost_commits`: how many commits end there.
    One may be the commit that a power loss tore, before it was acknowledged; two are damage. `readable`: its header is whole.
    """

    page_size: int
    committed: dict[int, int]
    beyond: list[tuple[int, int]]
    lost_commits: int
    readable: bool = True


def read_wal(content: bytes) -> Wal:
    """All that can be known of a write-ahead log from its bytes."""
    wal = Wal(_DEFAULT_SIZE, {}, [], 0)
    if len(content) < _WAL_HEADER + _FRAME_HEADER:
        return wal
    magic, _, size, _, *salts_and_sums = struct.unpack(">8I", content[:_WAL_HEADER])
    order = ">" if magic & 1 else "<"
    sums = _checksum(content[:24], (0, 0), order)
    whole = readable = magic & ~1 == _WAL_MAGIC and size in _PAGE_SIZES and sums == tuple(salts_and_sums[2:])
    if not readable:
        size = _DEFAULT_SIZE
    salts = content[16:24] if whole else content[_WAL_HEADER + 8 : _WAL_HEADER + 16]
    pending: dict[int, int] = {}
    later: list[tuple[int, int]] = []
    for at in range(_WAL_HEADER, len(content) - _FRAME_HEADER - size + 1, _FRAME_HEADER + size):
        page, pages_after_commit = struct.unpack_from(">2I", content, at)
        if content[at + 8 : at + 16] != salts:  # what an earlier use of the file has left, or broken
            whole = False
            continue
        place = at + _FRAME_HEADER
        if whole:
            sums = _checksum(content[place : place + size], _checksum(content[at : at + 8], sums, order), order)
            whole = sums == struct.unpack_from(">2I", content, at + 16)
        if whole:
            pending[page] = place
            if pages_after_commit:
                wal.committed.update(pending)
                pending = {}
        else:
            later += [*pending.items(), (page, place)]  # what the broken commit had before its break is as good as what follows
            pending = {}
            if pages_after_commit:
                wal.beyond.extend(later)
                wal = wal._replace(lost_commits=wal.lost_commits + 1)
                later = []
    return wal._replace(page_size=size, readable=readable or not any(content[:_WAL_HEADER]))


def _checksum(content: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for one, other in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second


class Row(NamedTuple):
    """A row of some table: its number and its columns (the first is None where it is that number)."""

    number: int
    columns: tuple[Value, ...]


class Pages:
    """A log's file and its write-ahead log, as they are. A place says where a page's content is.

    *Resource handling*: `with` closes the files. No SQLite connection to them may be open in this process: POSIX locks of a file
    are lost when any descriptor of it is closed.
    """

    def __init__(self, path: str) -> None:
        self._file = _open(path)
        wal = _open(f"{path}-wal")
        self._wal = b"" if wal is None else os.pread(wal, os.fstat(wal).st_size, 0)
        if wal is not None:
            os.close(wal)
        self.wal = read_wal(self._wal)
        length = 0 if self._file is None else os.fstat(self._file).st_size
        head = b"" if self._file is None else self._read(self._file, 0, _FILE_HEADER)
        size = int.from_bytes(head[16:18], "big") if head.startswith(b"SQLite format 3\0") else 0
        self._size = size if size in _PAGE_SIZES else self.wal.page_size
        self._late = dict(self.wal.beyond)
        self.count = max([-(-length // self._size), *self.wal.committed])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)

    def places(self) -> Iterator[int]:
        """Of every page's newest content, and of what the write-ahead log has behind its first broken frame."""
        for page in range(1, self.count + 1):
            yield self._place(page)
        for _, place in self.wal.beyond:
            yield -place

    def _place(self, page: int) -> int:
        """In the file from 0 on, in the write-ahead log below."""
        found = self.wal.committed.get(page)
        return (page - 1) * self._size if found is None else -found

    def _late_place(self, page: int) -> int:
        """The same for what hangs on a row behind the first broken frame."""
        found = self._late.get(page)
        return self._place(page) if found is None else -found

    def rows(self, place: int) -> Iterator[tuple[int, Row]]:
        """The rows of the leaf at `place`, each with its number on the page; nothing if it is no leaf.

        Page 1 never is: it begins with the header of the file, and has only the schema.
        """
        content = self._at(place)
        if len(content) < self._size or content[0] != _LEAF:
            return
        cells = int.from_bytes(content[3:5], "big")
        for cell in range(min(cells, self._size // 4)):
            row = self._row(content, cell, place)
            if row is not None:
                yield cell, row

    def row(self, place: int, cell: int) -> Row | None:
        """A row that `rows` has given before."""
        return self._row(self._at(place), cell, place)

    def _row(self, content: bytes, cell: int, place: int) -> Row | None:
        try:
            (start,) = struct.unpack_from(">H", content, 8 + 2 * cell)
            length, at = _varint(content, start)
            number, at = _varint(content, at)
            late = bool(self.wal.beyond) and -place >= self.wal.beyond[0][1]
            payload = self._payload(content, at, length, self._late_place if late else self._place)
            return None if payload is None else Row(number, _columns(payload))
        except (IndexError, ValueError, struct.error):  # not a row, whatever it is
            return None

    def _payload(self, content: bytes, at: int, length: int, place_of: Callable[[int], int]) -> bytes | None:
        """What does not fit the leaf goes on in a chain of overflow pages."""
        if not 0 < length <= _MAX_PAYLOAD:
            return None
        most = self._size - 35
        least = (self._size - 12) * 32 // 255 - 23
        here = length if length <= most else least + (length - least) % (self._size - 4)
        if here > most:
            here = least
        pieces, left = [content[at : at + here]], length - here
        page = int.from_bytes(content[at + here : at + here + 4], "big")
        while left > 0:
            more = self._at(place_of(page)) if page else b""
            if not more:
                return None
            page = int.from_bytes(more[:4], "big")
            pieces.append(more[4 : 4 + left])
            left -= len(pieces[-1])
        return b"".join(pieces)

    def _at(self, place: int) -> bytes:
        if place < 0:
            return self._wal[-place : -place + self._size]
        return b"" if self._file is None else self._read(self._file, place, self._size)

    def _read(self, file: int, place: int, size: int) -> bytes:
        with suppress(OSError):  # a disk that cannot read it
            return os.pread(file, size, place)
        return b""


def _open(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where it ends."""
    value = 0
    for place in range(at, at + 8):
        byte = content[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    return _signed(value << 8 | content[at + 8]), at + 9


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)


def _columns(payload: bytes) -> tuple[Value, ...]:
    """A record as its values. Raises ValueError, IndexError or struct.error if it is none."""
    end, at = _varint(payload, 0)
    types: list[int] = []
    while at < end:
        kind, at = _varint(payload, at)
        types.append(kind)
    values: list[Value] = []
    for kind in types:
        size = (kind - 12) // 2 if kind >= 12 else _SIZES[kind]
        piece = payload[at : at + size]
        if len(piece) < size:
            raise ValueError("a record that ends too early")
        values.append(_value(kind, piece))
        at += size
    return tuple(values)


def _value(kind: int, piece: bytes) -> Any:
    if kind >= 12:
        return piece.decode() if kind & 1 else piece
    if kind == 7:
        return struct.unpack(">d", piece)[0]
    if kind in (8, 9):
        return kind - 8
    return int.from_bytes(piece, "big", signed=True) if kind else None
