"""What is done to sessions beside their work: idle ones leave memory, long ones get a snapshot, old ones are cleaned up."""

from __future__ import annotations

import structlog
import trio

from agentd.core import loading
from agentd.core.live import Live
from agentd.core.sessions import Sessions
from agentd.core.settings import Current
from agentd.ports import Clock, Store
from agentwire.errors import Conflict, NotFound, StorageFull
from agentwire.types import SessionFilter, SessionInfo

log = structlog.get_logger()

_EVERY = 60.0
_CLEAN_EVERY = 3600.0
_SNAPSHOT_EVERY = 500
"""Events that are replayed in a few milliseconds."""
_SNAPSHOT_GROWTH = 4
"""A snapshot has all that came before it: written for every 500 events it would cost more, the longer the session."""
_LEAST_IDLE = 5.0
"""Seconds: longer than any request holds a session that it has opened."""
_PAGE = 500


def snapshot_due(seq: int, saved: int) -> bool:
    """Whether enough came since the last snapshot: 500 events, and a quarter of what that one has."""
    return seq - saved >= max(_SNAPSHOT_EVERY, saved // _SNAPSHOT_GROWTH)


class Upkeep:
    def __init__(self, store: Store, sessions: Sessions, clock: Clock, settings: Current) -> None:
        self._store, self._sessions, self._clock, self._settings = store, sessions, clock, settings

    async def run(self) -> None:
        """Unload, snapshot and clean up for ever."""
        cleaned = trio.current_time() - _CLEAN_EVERY + _EVERY
        while True:
            await trio.sleep(_EVERY)
            for live in self._sessions.loaded:
                await self._tend(live)
            if trio.current_time() - cleaned >= _CLEAN_EVERY:
                cleaned = trio.current_time()
                await self._clean_all()

    async def _tend(self, live: Live) -> None:
        if snapshot_due(live.state.seq, live.saved_seq):
            await loading.save(self._store, live)
        after = max(self._settings().unload_after, _LEAST_IDLE)
        idle = not live.busy and not live.watchers and live.state.turn is None
        if idle and trio.current_time() - live.used > after:
            self._sessions.unload(live)

    # --- cleaning up -------------------------------------------------------------------------------------------------------

    async def _clean_all(self) -> None:
        settings = self._settings()
        if not (settings.clean_idle or settings.clean_age):
            return
        try:
            for user in await self._store.users():
                if gone := await self.clean(user, idle=settings.clean_idle, age=settings.clean_age):
                    log.info("sessions_cleaned_up", user=user, sessions=len(gone))
        except StorageFull as error:
            log.warning("clean_up_postponed", reason=str(error))

    async def clean(self, user: str, *, idle: float, age: float, dry_run: bool = False) -> list[SessionInfo]:
        """Delete what has been idle for `idle` seconds or was created `age` seconds ago (0: no such condition).

        Never what is pinned, at work or watched. Returns those that were deleted, or would be, longest idle last.
        """
        found = {info.id: info for which in self._conditions(idle, age) for info in await self._matching(user, which)}
        return [info for info in found.values() if await self._gone(user, info, dry_run=dry_run)]

    def _conditions(self, idle: float, age: float) -> list[SessionFilter]:
        now = self._clock.now()
        conditions = []
        if idle:
            conditions.append(SessionFilter(status="idle", pinned=False, active_before=now - idle))
        if age:
            conditions.append(SessionFilter(status="idle", pinned=False, created_before=now - age))
        return conditions

    async def _matching(self, user: str, which: SessionFilter) -> list[SessionInfo]:
        found: list[SessionInfo] = []
        before = ""
        while page := await self._store.sessions(user, which, before=before, limit=_PAGE):
            found += [info for info in page if not info.queued]
            before = f"{page[-1].updated_at!r}:{page[-1].id}"
        return found

    async def _gone(self, user: str, info: SessionInfo, *, dry_run: bool) -> bool:
        if self._sessions.in_use(info.id):
            return False
        if dry_run:
            return True
        try:
            await self._sessions.delete(user, info.id)
        except (Conflict, NotFound):  # somebody came, or was faster
            return False
        return True
