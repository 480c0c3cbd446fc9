"""A log as a killed daemon leaves it, with a backup, and what it must still say however it is damaged."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Event as Stop
from typing import Any

import apsw
from attrs import evolve

from agentd.core.index import index_change
from agentd.store import blob, files
from agentd.store.check import check
from agentd.store.keeping import backup
from agentd.store.sqlite import Append, Database, Draft, Encoded, Write, connect
from agentwire import events as ev
from agentwire.types import BlobRef, Text
from tests.core.logs import accepted, created, finished, replied, started
from tests.store.running import noise

NOW = 1_800_000_000.0
Truth = Mapping[str, Sequence[tuple[Any, ...]]]
"""Of each stream its rows: seq, kind, at, body."""


class Log:
    """A log that is written to and never closed."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.database = Database(connect(self.path), self.path, index_change)
        self.database.migrate()
        self.at = NOW

    def append(self, stream: str, *bodies: Any, erase: str | None = None) -> None:
        self.at += 1
        events = [Encoded(stream, "ann", self.at, body, ev.encode_body(body)) for body in bodies]
        self.database.commit([Append(events, erase=erase)])

    def write(self, action: Any) -> None:
        self.database.commit([Write(action)])

    def turn(self, stream: str, number: int, text: str) -> None:
        self.append(stream, accepted(number, text), started(number, number))
        self.append(stream, evolve(replied(text[::-1]), turn=number))
        self.append(stream, evolve(finished(), turn=number))

    def blob(self, stream: str, content: bytes) -> None:
        """A result whose content is a blob."""
        name = blob.address(content)
        self.write(lambda database: database.put_blob(stream, content, name))
        self.append(stream, ev.MessageAdded(role="user", parts=(Text(text=f'"blob":"{"0" * 64}"'),)))
        part = BlobRef(blob=name, bytes=len(content), media="text/plain")
        self.append(stream, ev.ToolFinished(turn=1, call="c", outcome="ok", parts=(part,)))

    def backup(self) -> str:
        self.at += 1
        return backup.daily(Stop(), self.path, self.at, 2)

    def leave(self, folder: Path) -> Path:
        """The files as they are at this moment, elsewhere: what a kill would leave."""
        folder.mkdir()
        for name in ("agentd.db", "agentd.db-wal", "agentd.db-shm"):
            shutil.copy(Path(self.path).parent / name, folder / name)
        if (kept := Path(files.backups_of(self.path))).exists():
            shutil.copytree(kept, folder / "backups")
        return folder / "agentd.db"


def lived(path: Path, *, with_backup: bool = True) -> Log:
    """A log with a past: sessions of one page and of many, blobs, one deleted session; a backup, and what came after it."""
    log = Log(path)
    log.write(lambda database: database.start_boot("boot", NOW))
    for stream in ("a" * 32, "b" * 32, "c" * 32):
        log.append(stream, evolve(created(), title=stream[0]))
        log.turn(stream, 1, noise(300, ord(stream[0])))
    log.blob("a" * 32, noise(9000, 9).encode())
    log.append("user:ann", ev.SessionDeleted(session="c" * 32), erase="c" * 32)
    log.turn("b" * 32, 2, noise(6000))
    if with_backup:
        log.backup()
    log.append("d" * 32, evolve(created(), title="later"))
    for number in range(1, 8):
        log.turn("d" * 32, number, noise(500, number))
        log.turn("a" * 32, number + 1, noise(100, number))
    log.blob("d" * 32, noise(20_000, 5).encode())
    log.append("a" * 32, accepted(20, "open"), started(20, 20))
    log.database.commit([Draft("a" * 32, b'[20,0,[[0,"text","","half a repl"]]]')])
    return log


def truth(path: Path | str) -> Truth:
    """What a log says, read by SQLite alone."""
    db = apsw.Connection(str(path))
    rows = db.execute("SELECT name, user, seq, kind, at, data FROM event JOIN stream ON stream.id = stream ORDER BY name, seq")
    said: dict[str, list[tuple[Any, ...]]] = {}
    for name, user, seq, kind, at, data in rows:
        said.setdefault(name, []).append((user, seq, kind, at, blob.unpack(data)))
    db.close()
    return said


def problems(path: Path | str) -> list[str]:
    db = apsw.Connection(str(path))
    try:
        return [problem.text for problem in check(db, index_change, full=True)]
    finally:
        db.close()


def prefixes(result: Truth, original: Truth, least: Truth) -> None:
    """Nothing is invented, every stream is a beginning of what it was, and what `least` holds is there."""
    for stream, rows in result.items():
        assert rows == original[stream][: len(rows)], f"{stream} is not what it was"
    for stream, rows in least.items():
        assert result.get(stream, [])[: len(rows)] == rows, f"{stream} has lost what the backup holds"


def flip(path: Path, places: Iterable[int], mask: int = 0xFF) -> None:
    content = bytearray(path.read_bytes())
    for place in places:
        content[place] ^= mask
    path.write_bytes(content)
