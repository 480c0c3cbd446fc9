"""What the log costs: appends, bytes on disk, and a long session that is opened again."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median

import apsw

from benchmarks.common import Client, Daemon, FullCommit, Lab, rule, tokens
from benchmarks.figures import Figure

_CLIENTS, _EACH = 50, 40
_TEXT = ("The quick brown fox jumps over the lazy dog while seven wizards brew a potion of jade and quartz. " * 4)[:299]
_TURNS, _FIRST = 500, 100
"""After the first hundred the write-ahead log has its full size, and what grows is the database."""


def appends(lab: Lab) -> list[Figure]:
    """50 clients that each append 40 events, one after the other, beside commits of one row each."""
    with (
        lab.server(rule("", tokens(1))) as port,
        lab.daemon(port) as daemon,
        ExitStack() as stack,
        closing(FullCommit(lab.place("floor"))) as commit,
    ):
        clients = [stack.enter_context(closing(Client(daemon))) for _ in range(_CLIENTS)]
        names = [client.call("session/create", cwd="/")["id"] for client in clients]
        walls = [_append_all(clients, names) for _ in range(3)]
        floor = median(commit() for _ in range(300))
    each = median(walls) / (_CLIENTS * _EACH)
    return [
        Figure(
            name="an append, 50 clients at once",
            value=each * 1e6,
            unit="us",
            floor=floor * 1e6,
            floor_name="us FULL commit of one row",
        )
    ]


def _append_all(clients: list[Client], names: list[str]) -> float:
    began = time.perf_counter()
    for client, name in zip(clients, names, strict=True):
        client.socket.sendall(b"".join(client.frame("session/rename", session=name, title=f"title {n}") for n in range(_EACH)))
    for client in clients:
        for _ in range(_EACH):
            assert "result" in client.next()
    return time.perf_counter() - began


def long_session(lab: Lab) -> list[Figure]:
    """500 turns of 299 characters each way: what they weigh on disk, and how soon they are there again after a restart."""
    home = lab.place("home")
    with lab.server(rule("", {"verb": "say", "text": _TEXT})) as port:
        with lab.daemon(port, home) as daemon, closing(Client(daemon)) as client:
            session = client.session()
            for _ in range(_FIRST):
                client.turn(session, _TEXT)
            before = _on_disk(daemon)
            for _ in range(_TURNS - _FIRST):
                client.turn(session, _TEXT)
            grown = _on_disk(daemon) - before
            database = daemon.paths.database
        opened = [_open(lab, port, home, session) for _ in range(3)]
    reading = median(_read(database) for _ in range(5))
    return [
        Figure(
            name="a 299-character message on disk",
            value=grown / (2 * (_TURNS - _FIRST)),
            unit="B",
            floor=299,
            floor_name="B its text",
        ),
        Figure(
            name="opening a session of 1,000 messages",
            value=median(opened) * 1000,
            unit="ms",
            floor=reading * 1000,
            floor_name="ms reading its rows",
        ),
    ]


def _on_disk(daemon: Daemon) -> int:
    return sum(os.path.getsize(path) for path in (daemon.paths.database, f"{daemon.paths.database}-wal"))


def _open(lab: Lab, port: int, home: Path, session: str) -> float:
    with lab.daemon(port, home) as daemon, closing(Client(daemon)) as client:
        began = time.perf_counter()
        client.call("session/watch", session=session)
        return time.perf_counter() - began


def _read(database: str) -> float:
    began = time.perf_counter()
    db = apsw.Connection(database, flags=apsw.SQLITE_OPEN_READONLY)
    assert len(db.execute("SELECT * FROM event ORDER BY stream, seq").fetchall()) > _TURNS
    db.close()
    return time.perf_counter() - began
