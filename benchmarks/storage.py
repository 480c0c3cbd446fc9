"""What the log costs: appends, bytes on disk, and a long session that is opened again."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import apsw
import trio

from agentd.core.index import index_change
from agentd.core.loading import load, save
from agentd.store.opening import open_log
from benchmarks.common import Client, Daemon, FullCommit, Lab, rule, tokens
from benchmarks.figures import Figure
from benchmarks.passages import LENGTH, passages

_CLIENTS, _EACH = 50, 40
_TURNS, _FIRST = 1000, 100
"""After the first hundred the write-ahead log has its full size, and what grows is the database."""
_OPENINGS = 7
"""Each by a daemon of its own; the best counts: there is no second chance in it to be quick."""
_ENDLESS: dict[str, Any] = {"AGENTD_PROVIDERS_OPENAI_CONTEXT": "1000000"}
"""No turn is left out of a request."""


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
    """1,000 turns of 300 characters each way: what they weigh on disk; and a session half as long, opened after a restart."""
    home = lab.place("home")
    with lab.listener(_TURNS) as port:
        with lab.daemon(port, home, **_ENDLESS) as daemon, closing(Client(daemon)) as client:
            long, short = client.session(), client.session()
            asked = passages(2 * _TURNS)[_TURNS:]
            for text in asked[:_FIRST]:
                client.turn(long, text)
            before = _on_disk(daemon)
            for text in asked[_FIRST:]:
                client.turn(long, text)
            grown = _on_disk(daemon) - before
            for text in asked[: _TURNS // 2]:
                client.turn(short, text)
            database = daemon.paths.database
        stopped = os.path.getsize(database)
        replayed = [_open(lab, port, home, short) for _ in range(_OPENINGS)]
        reading = median(_read(database) for _ in range(5)) / 3  # the short one's share of the rows
        at_rest = os.path.getsize(database)
        trio.run(_snapshot, database, long)
        snapshot = os.path.getsize(database) - at_rest
        trio.run(_snapshot, database, short)
        restored = [_open(lab, port, home, short) for _ in range(_OPENINGS)]
    messages = 2 * (_TURNS - _FIRST)
    each = partial(Figure, unit="B", floor=LENGTH, floor_name="B its text", bar=600, rule="600 B")
    opening = partial(Figure, unit="ms", floor=reading * 1000, floor_name="ms reading its rows", bar=50, rule="50 ms")
    return [
        each(name="a 300-character message on disk", value=grown / messages),
        each(name="  and with its part of a snapshot", value=grown / messages + snapshot / (2 * _TURNS)),
        each(name="  all there is, after a stop", value=stopped / (3 * _TURNS)),
        opening(name="opening a session of 1,000 messages", value=min(replayed) * 1000),
        opening(name="  with a snapshot", value=min(restored) * 1000),
    ]


async def _snapshot(database: str, session: str) -> None:
    """As the daemon's upkeep writes it."""
    async with open_log(database, index_change, _Clock()) as store, trio.open_nursery() as nursery:
        await nursery.start(store.run, lambda _: None)
        live = await load(store, session)
        assert live is not None
        await save(store, live)
        store.close()


class _Clock:
    def now(self) -> float:
        return time.time()


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
