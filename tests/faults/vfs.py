"""SQLite's way to the disk with a place for faults in it, and with ears.

    with faulty(Fault("sync", 3, apsw.SQLITE_IOERR_FSYNC)) as vfs:
        ...  # every connection opened in here goes through it; the fourth sync fails

Theory of operation: `Vfs` is SQLite's own layer for Unix with each operation counted, made the default while the scope is open. An
operation that is due to fail raises what the system would have said. `ears` hear of everything that did happen, in order, and can
tell afterwards what a loss of power would have left (disk.py). Nothing is synced in truth, which would only take time. The shared
memory beside a WAL is no file that survives, and is not looked at.
"""

# ruff: noqa: N802 - the methods have SQLite's names

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

import apsw
from attrs import define, field, frozen

Operation = Literal["open", "read", "write", "sync", "truncate", "delete"]

_BASE = "unix"


@frozen
class Fault:
    """Operation `number` (from 0, of its kind) ends with the SQLite result `code`, and so do those behind it, `times` in all.

    `part`: how much of a write reaches the file all the same. `file`: only if the file's name ends so. `errno`: what the system
    gave as its reason.
    """

    operation: Operation
    number: int
    code: int
    times: float = 1
    part: float = 0.0
    file: str = ""
    errno: int = 0


class Ears(Protocol):
    """Who wants to know what reaches the disk. Paths are absolute."""

    def created(self, path: str) -> None: ...

    def deleted(self, path: str, *, durably: bool) -> None: ...

    def written(self, path: str, offset: int, data: bytes) -> None: ...

    def truncated(self, path: str, size: int) -> None: ...

    def synced(self, path: str) -> None: ...

    def sync_failed(self, path: str) -> None: ...


@define(eq=False)
class Gate:
    """Counts operations and says which fail."""

    fault: Fault | None = None
    ears: Ears | None = None
    seen: Counter[str] = field(factory=Counter)
    failures: int = 0

    def due(self, operation: Operation, path: str) -> Fault | None:
        number, fault = self.seen[operation], self.fault
        self.seen[operation] += 1
        if fault is None or fault.operation != operation or not path.endswith(fault.file):
            return None
        if not fault.number <= number < fault.number + fault.times:
            return None
        self.failures += 1
        return fault

    def check(self, operation: Operation, path: str) -> None:
        """Raise if it is this one's turn to fail."""
        if fault := self.due(operation, path):
            raise apsw.exception_for(fault.code)


class Vfs(apsw.VFS):
    """The file layer itself."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        super().__init__("faulty", _BASE, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        path = os.path.abspath(name.filename() if isinstance(name, apsw.URIFilename) else name or "")
        self._gate.check("open", path)
        new = not os.path.exists(path)
        file = File(self._gate, path, name, flags)
        if new and self._gate.ears:
            self._gate.ears.created(path)
        return file

    def xGetLastError(self) -> tuple[int, str]:
        return (self._gate.fault.errno if self._gate.fault else 0), ""

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self._gate.check("delete", filename)
        super().xDelete(filename, syncdir)
        if self._gate.ears:
            self._gate.ears.deleted(filename, durably=syncdir)


class File(apsw.VFSFile):
    """An open file."""

    def __init__(self, gate: Gate, path: str, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._gate, self._path = gate, path
        super().__init__(_BASE, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        self._gate.check("read", self._path)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        fault = self._gate.due("write", self._path)
        data = bytes(data)
        if fault:
            data = data[: round(len(data) * fault.part)]
        if data:
            super().xWrite(data, offset)
            if self._gate.ears:
                self._gate.ears.written(self._path, offset, data)
        if fault:
            raise apsw.exception_for(fault.code)

    def xTruncate(self, newsize: int) -> None:
        self._gate.check("truncate", self._path)
        super().xTruncate(newsize)
        if self._gate.ears:
            self._gate.ears.truncated(self._path, newsize)

    def xSync(self, flags: int) -> None:
        if fault := self._gate.due("sync", self._path):
            if self._gate.ears:
                self._gate.ears.sync_failed(self._path)
            raise apsw.exception_for(fault.code)
        if self._gate.ears:
            self._gate.ears.synced(self._path)


@contextmanager
def faulty(fault: Fault | None = None, ears: Ears | None = None) -> Iterator[Gate]:
    """Connections opened inside go through a `Vfs`; its gate is given."""
    gate = Gate(fault, ears)
    vfs = Vfs(gate)
    try:
        yield gate
    finally:
        vfs.unregister()
