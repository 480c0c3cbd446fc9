"""What a disk keeps when the power fails: of what was written since the last sync, anything.

Theory of operation: a `Disk` hears from a `Vfs` what is done to files and keeps it in order, and with each deed how much had been
promised until then. `images` plays that back and stops after every deed: what was synced is there, and of the rest nothing, all, or
some sectors, in any mixture, the others being what they were before, or, in a file that had grown, zeros or rubbish. A name is
durable once its directory was synced: SQLite does that with the first sync of a new journal or WAL, and when it is told to as it
deletes one. A failed sync loses for ever what it was to write, however often one succeeds afterwards (wal.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Sized
from pathlib import Path
from random import Random
from typing import Literal

from attrs import define, evolve, field, frozen

_SECTOR = 512


Kind = Literal["create", "delete", "write", "truncate", "sync", "lose"]


@frozen
class Deed:
    """One thing that was done to file number `file`. `promised` and `effects`: how many there were before it."""

    kind: Kind
    file: int
    promised: int
    effects: int
    path: str = ""
    at: int = 0  # the offset, or the new size
    data: bytes = b""


@define(eq=False)
class Platter:
    """Files by number: what is durable, and what is not yet. Names likewise."""

    durable: dict[int, bytes] = field(factory=dict)
    pending: dict[int, list[Deed]] = field(factory=dict)
    names: dict[str, int] = field(factory=dict)
    renamed: list[Deed] = field(factory=list)

    def take(self, deed: Deed) -> None:
        match deed.kind:
            case "create":
                self.durable[deed.file], self.pending[deed.file] = b"", []
                self.renamed.append(deed)
            case "delete":
                self.renamed.append(deed)
                if deed.at:
                    self._sync_names()
            case "write" | "truncate":
                self.pending[deed.file].append(deed)
            case "sync":
                self.durable[deed.file] = _played(self.durable[deed.file], self.pending[deed.file])
                self.pending[deed.file] = []
                if deed.path.endswith(("-wal", "-journal")):
                    self._sync_names()
            case "lose":
                self.pending[deed.file] = []

    def _sync_names(self) -> None:
        self.names = _named(self.names, self.renamed)
        self.renamed = []

    def files(self, random: Random, share: float) -> dict[str, bytes]:
        """The files as the next start finds them if this `share` of what is pending was written in time."""
        names = _named(self.names, self.renamed[: round(share * len(self.renamed) + random.random() * (0 < share < 1))])
        rubbish = share > 0 and random.random() < 0.3
        return {path: self._torn(file, random, share, rubbish=rubbish) for path, file in names.items()}

    def _torn(self, file: int, random: Random, share: float, *, rubbish: bool) -> bytes:
        kept = [piece for deed in self.pending[file] for piece in _sectors(deed) if random.random() < share]
        return _played(self.durable[file], kept, random if rubbish else None)


def _played(content: bytes, deeds: Sequence[Deed], rubbish: Random | None = None) -> bytes:
    new = bytearray(content)
    for deed in deeds:
        if deed.kind == "truncate":
            del new[deed.at :]
        gap = deed.at - len(new)
        if gap > 0:
            new += rubbish.randbytes(gap) if rubbish else bytes(gap)
        new[deed.at : deed.at + len(deed.data)] = deed.data
    return bytes(new)


def _sectors(deed: Deed) -> Iterator[Deed]:
    """A write as the disk does it: piece by piece."""
    if deed.kind == "truncate":
        yield deed
    start, end = deed.at, deed.at + len(deed.data)
    while start < end:
        stop = min(end, (start // _SECTOR + 1) * _SECTOR)
        yield evolve(deed, at=start, data=deed.data[start - deed.at : stop - deed.at])
        start = stop


def _named(names: dict[str, int], deeds: Sequence[Deed]) -> dict[str, int]:
    new = dict(names)
    for deed in deeds:
        if deed.kind == "create":
            new[deed.path] = deed.file
        else:
            new.pop(deed.path, None)
    return new


@define(eq=False)
class Disk:
    """vfs.Ears. `forgetful`: after a failed sync the system shows what is durable, and not what was written."""

    promised: Sized
    effects: Sized
    forgetful: bool = False
    deeds: list[Deed] = field(factory=list)
    _files: dict[str, int] = field(factory=dict)
    _now: Platter = field(factory=Platter)

    def created(self, path: str) -> None:
        self._files[path] = len(self.deeds)
        self._did("create", path)

    def deleted(self, path: str, *, durably: bool) -> None:
        self._did("delete", path, at=durably)
        del self._files[path]

    def written(self, path: str, offset: int, data: bytes) -> None:
        self._did("write", path, offset, data)

    def truncated(self, path: str, size: int) -> None:
        self._did("truncate", path, size)

    def synced(self, path: str) -> None:
        self._did("sync", path)

    def sync_failed(self, path: str) -> None:
        self._did("lose", path)
        if self.forgetful:
            content = self._now.durable[self._files[path]]
            with open(path, "r+b") as file:
                file.write(content)
                file.truncate(len(content))

    def _did(self, kind: Kind, path: str, at: int = 0, data: bytes = b"") -> None:
        deed = Deed(kind, self._files[path], len(self.promised), len(self.effects), path, at, data)
        self.deeds.append(deed)
        self._now.take(deed)

    def images(self, random: Random, shares: Sequence[float], chosen: float = 1.0) -> Iterator[Image]:
        """Images for each of `shares`, after every deed or after `chosen` of them."""
        platter = Platter()
        for number, deed in enumerate(self.deeds):
            if random.random() < chosen:
                for share in shares:
                    what = f"{share:.0%} of what was pending, before deed {number}: {deed.kind} {deed.path}"
                    yield Image(deed.promised, deed.effects, what, platter.files(random, share))
            platter.take(deed)
        for share in shares:
            yield Image(len(self.promised), len(self.effects), f"{share:.0%} in the end", platter.files(random, share))


@frozen
class Image:
    """The files at one moment by their paths, and how much had been promised and done by then."""

    promised: int
    effects: int
    what: str
    files: Mapping[str, bytes]

    def lay_out(self, folder: Path) -> None:
        """Write it, into a folder of its own."""
        folder.mkdir()
        for path, content in self.files.items():
            (folder / os.path.basename(path)).write_bytes(content)
