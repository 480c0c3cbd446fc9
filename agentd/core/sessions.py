"""Sessions: which are loaded, who may touch them, what starts and ends their turns.

Theory of operation: `on_commit` is the only way anything changes. An event that opens a turn (`turn_started`, `turn_resumed`)
starts its task there and then, whoever appended it and whether or not they still wait. Admission decides and reserves without an
await, then enqueues; the queue's order is the order of decisions. A session is loaded on use and unloaded when idle: cost follows
what is open.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from operator import attrgetter
from typing import Any

import structlog
import trio

from agentd.core import loading
from agentd.core.accounts import Accounts
from agentd.core.agent_loop import AgentLoop
from agentd.core.bus import Bus
from agentd.core.history import blobs_of
from agentd.core.jobs import Background
from agentd.core.live import Live, unknown_session
from agentd.core.state import SessionState
from agentd.core.users import Users
from agentd.ports import NewEvent, Store
from agentwire import events as ev
from agentwire.errors import Conflict, InternalError, Stopping
from agentwire.types import SessionInfo

log = structlog.get_logger()

_stream_of = attrgetter("stream")


class Sessions:
    """The registry of loaded sessions."""

    def __init__(self, store: Store, bus: Bus, loop: AgentLoop, accounts: Accounts, users: Users, jobs: Background) -> None:
        self._store, self._bus, self._loop, self._accounts, self._users = store, bus, loop, accounts, users
        self._jobs = jobs
        self._lives: dict[str, Live] = {}
        self._loading: dict[str, trio.Event] = {}
        self._doomed: set[str] = set()  # sessions that are being deleted without having been loaded
        self._work: trio.Nursery | None = None
        self._stopping = False

    # --- commits -----------------------------------------------------------------------------------------------------------

    def on_commit(self, events: Sequence[ev.Event]) -> None:
        """Apply and publish what was committed together. Synchronous: whoever appended it wakes after this."""
        for stream, some in groupby(events, key=_stream_of):
            together = tuple(some)
            for event in together:
                self._take(event)
            self._bus.publish_events(stream, together)
            for event in together:
                if isinstance(event.body, ev.SessionDeleted):
                    self._lives.pop(event.body.session, None)
                    self._bus.close(event.body.session, "deleted")

    def _take(self, event: ev.Event) -> None:
        body = event.body
        self._accounts.apply(event)
        self._users.apply(event)
        if isinstance(body, ev.SessionCreated):
            self._lives[event.stream] = Live.of(SessionState(event.stream, event.user))
        if (live := self._lives.get(event.stream)) and not live.broken:
            try:
                self._apply(live, event)
            except Exception:  # that session's problem, and nobody else's
                log.exception("session_broken", session=event.stream, seq=event.seq, kind=event.kind)
                live.abandon()
                self._bus.close(event.stream, "broken")

    def _apply(self, live: Live, event: ev.Event) -> None:
        live.state.apply(event)
        live.used = trio.current_time()
        live.notify()
        if isinstance(event.body, ev.AssistantMessage | ev.TurnFinished | ev.TurnResumed):
            live.draft = None  # in the same stretch as the publishing: no view shows a reply as message and as draft
        if isinstance(event.body, ev.TurnStarted | ev.TurnResumed):
            self._start(live)
        if live.state.interrupted:
            live.cancel()

    def _start(self, live: Live) -> None:
        live.busy = self._work is not None and not self._stopping
        if self._work is not None and live.busy:
            self._work.start_soon(self._run_turn, live)

    async def _run_turn(self, live: Live) -> None:
        try:
            await self._loop.run_turn(live)
        finally:
            self._free(live)

    def _free(self, live: Live) -> None:
        live.busy = False
        live.notify()
        self.kick(live)

    def kick(self, live: Live) -> None:
        """Start the next queued input if nothing runs."""
        state = live.state
        if self._work is None or self._stopping or live.busy or live.deleted or state.turn is not None or not state.queue:
            return
        live.busy = True
        self._work.start_soon(self._start_next, live)

    async def _start_next(self, live: Live) -> None:
        queued = live.state.queue[0]
        body = ev.TurnStarted(turn=live.state.turns + 1, input=queued.input, model=queued.model)
        await self._store.append(live.new([body]), essential=True)

    # --- loading -----------------------------------------------------------------------------------------------------------

    async def open(self, user: str, ref: str) -> Live:
        """The session whose id is `ref` or begins with it. A foreign session is NotFound, like none at all.

        Its user's rules are at hand from then on: what cannot be read fails whoever asks, and not a turn.
        """
        await self._users.load(user)
        live = self._lives.get(ref) or await self._load(await self._resolve(user, ref))
        if live is not None and live.state.user == user and live.broken:
            raise InternalError(
                f"session {live.state.id} stopped at an event that could not be applied: the traceback is in the daemon's log; "
                "it is read anew when the daemon is restarted"
            )
        if live is None or live.state.user != user or live.deleted:
            raise unknown_session(ref)
        live.used = trio.current_time()
        return live

    async def _resolve(self, user: str, ref: str) -> str:
        found = await self._store.find_session(user, ref.lower())
        if len(found) > 1:
            raise Conflict(f"more than one session id begins with {ref}; give more of it")
        return found[0] if found else ""

    async def _load(self, session: str) -> Live | None:
        while (waiting := self._loading.get(session)) is not None:
            await waiting.wait()
        if live := self._lives.get(session):
            return live
        if not session or session in self._doomed:
            return None
        done = self._loading[session] = trio.Event()
        try:
            live = await loading.load(self._store, session)
            if live is not None:
                self._lives[session] = live
            return live
        finally:
            del self._loading[session]
            done.set()

    @property
    def loaded(self) -> tuple[Live, ...]:
        return tuple(self._lives.values())

    def handles(self, session: str) -> frozenset[str]:
        """The blobs that the messages of a loaded session name."""
        live = self._lives.get(session)
        return blobs_of(live.state.messages) if live else frozenset()

    def unload(self, live: Live) -> None:
        """Forget an idle session; the next who opens it loads it again."""
        self._lives.pop(live.state.id, None)

    def in_use(self, info: SessionInfo) -> bool:
        """Somebody works in the session or watches it, or something has happened in it since it was as `info` says."""
        live = self._lives.get(info.id)
        if self._jobs.running(info.id):
            return True
        if live is None:
            return info.id in self._loading
        at_work = live.busy or live.changing > 0 or live.state.turn is not None
        return at_work or live.watchers > 0 or live.state.updated_at != info.updated_at

    # --- admission ---------------------------------------------------------------------------------------------------------

    def release(self, live: Live) -> None:
        """An admitted append failed: take the reservation back."""
        self._free(live)

    @asynccontextmanager
    async def at_rest(self, live: Live) -> AsyncIterator[None]:
        """Inside, no turn begins. Error handling: Conflict if one runs or waits, NotFound if the session was deleted."""
        while True:
            self.refuse_if_stopping()
            self.refuse_deleted(live)
            if live.state.turn is not None or live.state.queue:
                raise Conflict("the session is at work; wait until it is done, or cancel it")
            if not live.busy:
                break
            await live.changed()  # a turn that begins or has just ended, or somebody else in here
        live.busy = True
        try:
            yield
        finally:
            self._free(live)

    def refuse_deleted(self, live: Live) -> None:
        """Error handling: NotFound for one that was deleted since it was opened: nothing may come behind the erasure."""
        if live.deleted:
            raise unknown_session(live.state.id)

    def refuse_if_stopping(self) -> None:
        if self._stopping:
            raise Stopping("the daemon is stopping; try again when it runs", retry_after=1.0)

    async def delete(self, user: str, session: str, *, force: bool = False) -> None:
        """Erase a session by its whole id, loaded or not.

        Error handling: Conflict if it is at work and not `force`, NotFound if somebody else erases it already.
        """
        live = self._lives.get(session)
        if session in self._doomed or (live is not None and live.deleted):
            raise unknown_session(session)
        if live is None and session not in self._loading:
            await self._erase_unloaded(user, session)
        else:
            await self._erase_loaded(live or await self.open(user, session), force=force)

    async def _erase_unloaded(self, user: str, session: str) -> None:
        self._doomed.add(session)
        try:
            if session not in await self._store.find_session(user, session):  # erased since the caller looked
                raise unknown_session(session)
            await self._erase(user, session)
        finally:
            self._doomed.discard(session)

    async def _erase_loaded(self, live: Live, *, force: bool) -> None:
        live.deleted = True
        try:
            self._refuse_at_work(live, force=force)
            while live.busy:  # a turn that runs, begins, or has just ended
                if force:
                    live.cancel()
                await live.changed()
                self._refuse_at_work(live, force=force)
            await self._erase(live.state.user, live.state.id)
        except BaseException:
            live.deleted = live.broken
            self.kick(live)
            raise

    async def _erase(self, user: str, session: str) -> None:
        with trio.CancelScope(shield=True):  # a caller that hangs up does not take the erasure back
            await self._jobs.end(session)
            await self._store.append([NewEvent(f"user:{user}", user, ev.SessionDeleted(session=session))], erase=session)

    def _refuse_at_work(self, live: Live, *, force: bool) -> None:
        if (live.state.turn is not None or live.state.queue) and not force:
            raise Conflict("the session is at work; cancel it first, or delete it with force")

    # --- life --------------------------------------------------------------------------------------------------------------

    async def run_work(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """The nursery of all turns; every turn ends with it."""
        await self._accounts.load()
        async with trio.open_nursery() as nursery:
            self._work = nursery
            task_status.started(nursery)
            await trio.sleep_forever()

    def stop(self) -> None:
        """Start no more turns; those that run pause after their step."""
        self._stopping = self._loop.suspending = True
        for live in self._lives.values():
            live.notify()

    async def quiet(self) -> None:
        """Wait until no turn runs."""
        for live in tuple(self._lives.values()):
            while live.busy:
                await live.changed()

    @property
    def running(self) -> int:
        return sum(live.busy for live in self._lives.values())

    def watch(self, live: Live, change: int) -> None:
        """Count a watcher in (1) or out (-1)."""
        live.watchers += change
        live.used = trio.current_time()
        live.notify()
