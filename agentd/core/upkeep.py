"""What is done to sessions beside their work: idle ones leave memory, long ones get a snapshot, old ones are cleaned up."""

from __future__ import annotations

import structlog
import trio

from agentd.core import loading
from agentd.core.live import Live
from agentd.core.sessions import Sessions
from agentd.core.settings import Current
from agentd.ports import Clock, Store
from agentwire import methods as m
from agentwire.errors import Conflict, InternalError, NotFound, StorageFull
from agentwire.types import SessionFilter, SessionInfo

log = structlog.get_logger()

_EVERY = 60.0
_CLEAN_EVERY = 3600.0
_JUMP = 60.0
"""Seconds by which the wall clock may go wrong in a round without being called a jump."""
_SNAPSHOT_EVERY = 500
"""Events that are replayed in a few milliseconds."""
_SNAPSHOT_GROWTH = 4
"""A snapshot has all that came before it: written for every 500 events it would cost more, the longer the session."""
_LEAST_IDLE = 5.0
"""Seconds: longer than any request holds a session that it has opened."""
_PAGE = 500
_MOST = 1000
"""Sessions that one clean-up deletes: its answer fits a frame, and no request takes minutes."""


def snapshot_due(seq: int, saved: int) -> bool:
    """Whether enough came since the last snapshot: 500 events, and a quarter of what that one has."""
    return seq - saved >= max(_SNAPSHOT_EVERY, saved // _SNAPSHOT_GROWTH)


class Upkeep:
    def __init__(self, store: Store, sessions: Sessions, clock: Clock, settings: Current) -> None:
        self._store, self._sessions, self._clock, self._settings = store, sessions, clock, settings
        # While sessions are cleaned up none is unloaded: what happened to one since it was listed can then be seen at its state.
        self._alone = trio.Lock()
        self._steady_since = self._drift = 0.0  # trio clock; seconds between that and the wall clock

    async def run(self) -> None:
        """Unload, snapshot and clean up for ever."""
        self._restart_hour()
        while True:
            await trio.sleep(_EVERY)
            try:
                async with self._alone:
                    for live in self._sessions.loaded:
                        await self._tend(live)
                if self._due():
                    await self._clean_all()
            except (StorageFull, InternalError) as error:
                log.warning("upkeep_postponed", reason=str(error))

    async def _tend(self, live: Live) -> None:
        if snapshot_due(live.state.seq, live.saved_seq):
            await loading.save(self._store, live)
        after = max(self._settings().unload_after, _LEAST_IDLE)
        idle = not live.busy and not live.watchers and live.state.turn is None
        if idle and trio.current_time() - live.used > after:
            self._sessions.unload(live)

    # --- cleaning up -------------------------------------------------------------------------------------------------------

    def _due(self) -> bool:
        """The wall clock went for an hour as the other one did. Right after a jump every session may look old."""
        if abs(self._clock.now() - trio.current_time() - self._drift) > _JUMP:
            self._restart_hour()
        if trio.current_time() - self._steady_since < _CLEAN_EVERY:
            return False
        self._restart_hour()
        return True

    def _restart_hour(self) -> None:
        self._steady_since = trio.current_time()
        self._drift = self._clock.now() - self._steady_since

    async def _clean_all(self) -> None:
        settings = self._settings()
        if not (settings.clean_idle or settings.clean_age):
            return
        for user in await self._store.users():
            more = True
            while more:
                cleaned = await self.clean(user, idle=settings.clean_idle, age=settings.clean_age)
                more = cleaned.more and bool(cleaned.sessions)
                if cleaned.sessions:
                    log.info("sessions_cleaned_up", user=user, sessions=len(cleaned.sessions))

    async def clean(self, user: str, *, idle: float, age: float, dry_run: bool = False) -> m.Cleaned:
        """Delete what has been idle for `idle` seconds or was created `age` seconds ago (0: no such condition).

        Never what is pinned, at work, watched, or was touched since it was looked up. Returns what was deleted, or would be.
        """
        async with self._alone:
            found: dict[str, SessionInfo] = {}
            for which in self._conditions(idle, age):
                await self._gather(user, which, found)
            chosen = list(found.values())[:_MOST]
            gone = [info for info in chosen if dry_run or await self._gone(user, info)]
            return m.Cleaned(sessions=tuple(gone), more=len(found) > _MOST)

    def _conditions(self, idle: float, age: float) -> list[SessionFilter]:
        now = self._clock.now()
        conditions = []
        if idle:
            conditions.append(SessionFilter(status="idle", pinned=False, active_before=now - idle))
        if age:
            conditions.append(SessionFilter(status="idle", pinned=False, created_before=now - age))
        return conditions

    async def _gather(self, user: str, which: SessionFilter, found: dict[str, SessionInfo]) -> None:
        """More than are deleted at once need not be known."""
        before = ""
        while len(found) <= _MOST and (page := await self._store.sessions(user, which, before=before, limit=_PAGE)):
            found |= {info.id: info for info in page if not info.queued and not self._sessions.in_use(info)}
            before = f"{page[-1].updated_at!r}:{page[-1].id}"

    async def _gone(self, user: str, info: SessionInfo) -> bool:
        if self._sessions.in_use(info):
            return False
        try:
            await self._sessions.delete(user, info.id)
        except (Conflict, NotFound):  # somebody came, or was faster
            return False
        return True
