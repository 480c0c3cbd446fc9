"""A session's state out of the store: its snapshot if there is a usable one, and the events since."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

import msgspec
import structlog

from agentd.core.live import Live
from agentd.core.state import STATE_VERSION, SessionState
from agentd.ports import Store
from agentwire import __version__, convert
from agentwire import events as ev
from agentwire.errors import AgentError, InternalError

T = TypeVar("T")
log = structlog.get_logger()

_PAGE = 1000
_CODE = f"{__version__}/{STATE_VERSION}"


async def load(store: Store, session: str) -> Live | None:
    """The session as the log has it; None if it has no such stream.

    Error handling: InternalError for a log that cannot be read: that session's problem, and nobody else's.
    """
    try:
        return await _load(store, session)
    except AgentError:
        raise
    except Exception as error:
        log.exception("session_unreadable", session=session)
        raise InternalError(f"the log of session {session} cannot be read: {error!r}") from None


async def _load(store: Store, session: str) -> Live | None:
    state = await _snapshot(store, session)
    saved = state.seq if state else 0
    async with aclosing(events_of(store, session, after=saved)) as events:
        async for event in events:
            state = state or SessionState(session, event.user)
            state.apply(event)
    if state is None:
        return None
    live = Live.of(state)
    live.saved_seq = saved
    return live


async def _snapshot(store: Store, session: str) -> SessionState | None:
    """None if there is none, or none that can be read: the log has everything."""
    found = await store.load_snapshot(session, _CODE)
    if found is None:
        return None
    try:
        return convert.structure_stored(found[1], SessionState)
    except ValueError as error:
        log.warning("snapshot_unreadable", session=session, reason=str(error))
        return None


async def save(store: Store, live: Live) -> None:
    """Write a snapshot of what is there now."""
    seq, state = live.state.seq, msgspec.json.encode(live.state)
    await store.save_snapshot(live.state.id, seq, _CODE, state)
    live.saved_seq = seq


async def events_of(store: Store, session: str, *, after: int = 0) -> AsyncGenerator[ev.Event]:
    """Every event of the stream behind `after`, with its body. Whoever stops early closes it (`aclosing`)."""
    while page := await store.read(session, after=after, limit=_PAGE):
        for event in page:
            yield _with_body(event)
        after = page[-1].seq


async def newest(store: Store, session: str, kind: type[T], *, most: int) -> AsyncGenerator[T]:
    """The bodies of this kind among the last `most` events of the stream, the newest first. Close it like `events_of`."""
    before, looked = sys.maxsize, 0
    while looked < most and (page := await store.read_back(session, before=before, limit=_PAGE)):
        for event in reversed(page):
            if event.kind == ev.KIND_OF[kind]:
                yield convert.structure_body(event.kind, event.version, event.data)
        before, looked = page[0].seq, looked + len(page)


def _with_body(event: ev.Event) -> ev.Event:
    """Field by field: `evolve` would take twice as long, and a long session has many."""
    return ev.Event(
        pos=event.pos,
        stream=event.stream,
        seq=event.seq,
        user=event.user,
        at=event.at,
        kind=event.kind,
        version=event.version,
        body=convert.structure_body(event.kind, event.version, event.data),
        data=event.data,
    )
