"""A log at work, small facts to write into it, and a disk that is full."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from agentd.ports import NewEvent
from agentd.store.log import EventLog
from agentwire import events as ev
from tests.core.logs import created


@asynccontextmanager
async def running(store: EventLog, also: Callable[[ev.Event], None] = lambda _: None) -> AsyncIterator[list[ev.Event]]:
    """The writer in a task of its own; gives what it committed, in order. `also` hears it too. The log is closed at the end."""
    committed: list[ev.Event] = []

    def on_commit(events: Sequence[ev.Event]) -> None:
        for event in events:
            committed.append(event)
            also(event)

    async with trio.open_nursery() as nursery:
        await nursery.start(store.run, on_commit)
        yield committed
        store.close()


def renamed(title: str = "x", stream: str = "s", user: str = "ann") -> NewEvent:
    """The smallest event."""
    return NewEvent(stream, user, ev.SessionRenamed(title=title))


def opened(stream: str = "s", user: str = "ann", **fields: str) -> NewEvent:
    """A session's first event, which gives it a row in the index."""
    return NewEvent(stream, user, ev.SessionCreated(**{**_fields(created()), **fields}))


def _fields(body: Any) -> dict[str, Any]:
    return {"title": body.title, "cwd": body.cwd, "model": body.model, "environment": body.environment}


def noise(size: int, seed: int = 1) -> str:
    """Text that no compression makes short."""
    return random.Random(seed).randbytes(size // 2).hex()


async def on_file(store: EventLog, name: str, *values: Any) -> Any:
    """A pragma of the writer's connection, in its thread."""
    return await store._writes.run(store._writer.db.pragma, name, *values)


async def fill(store: EventLog) -> None:
    """From now on the file may not grow: SQLite itself says that the disk is full."""
    await on_file(store, "max_page_count", await on_file(store, "page_count"))


async def free(store: EventLog) -> None:
    """The disk has space again."""
    await on_file(store, "max_page_count", 1_000_000)
