"""Sessions: which are loaded, who may touch them, what starts and ends their turns.

Theory of operation: `on_commit` is the only way anything changes. An event that opens a turn (`turn_started`, `turn_resumed`)
starts its task there and then, whoever appended it and whether or not they still wait. Admission decides and reserves without an
await, then enqueues; the queue's order is the order of decisions. A session is loaded on use and unloaded when idle: cost follows
what is open.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import structlog
import trio
from attrs import evolve

from agentd.core import decide
from agentd.core.agent_loop import AgentLoop
from agentd.core.bus import Bus
from agentd.core.draft import Draft
from agentd.core.live import Live
from agentd.core.state import STATE_VERSION, SessionState
from agentd.core.tools import Tools
from agentd.ports import NewEvent, Store
from agentwire import __version__, convert
from agentwire import events as ev
from agentwire.errors import AgentError, Conflict, InternalError, NotFound, Overloaded, Stopping
from agentwire.types import Delivery, InputPart, TurnOutcome

log = structlog.get_logger()

_SNAPSHOT_EVERY = 500
_PAGE = 1000
_UPKEEP_EVERY = 60.0
_LEAST_IDLE = 5.0
"""Seconds: longer than any request holds a session that it has opened."""
_CODE = f"{__version__}/{STATE_VERSION}"
MAX_QUEUED = 100
"""Inputs that may wait in one session."""
MAX_QUEUED_BYTES = 2 * 1024 * 1024
"""Of all that waits, encoded: the view that a watch begins with has it, and must fit a frame."""


class Sessions:
    """The registry of loaded sessions."""

    def __init__(self, store: Store, bus: Bus, loop: AgentLoop, tools: Tools, *, unload_after: float) -> None:
        self._store, self._bus, self._loop, self._tools = store, bus, loop, tools
        self._unload_after = max(unload_after, _LEAST_IDLE)
        self._lives: dict[str, Live] = {}
        self._loading: dict[str, trio.Event] = {}
        self._work: trio.Nursery | None = None
        self._stopping = False

    # --- commits -----------------------------------------------------------------------------------------------------------

    def on_commit(self, event: ev.Event) -> None:
        """Apply and publish one committed event. Synchronous: whoever appended it wakes after this."""
        body = event.body
        if isinstance(body, ev.SessionCreated):
            self._lives[event.stream] = Live.of(SessionState(event.stream, event.user))
        if live := self._lives.get(event.stream):
            live.state.apply(event)
            live.used = trio.current_time()
            live.notify()
            if isinstance(body, ev.AssistantMessage | ev.TurnFinished | ev.TurnResumed):
                live.draft = None  # in the same stretch as the publishing: no view shows a reply as message and as draft
            if isinstance(body, ev.TurnStarted | ev.TurnResumed):
                self._start(live)
            if live.state.interrupted:
                live.cancel()
        self._bus.publish(event.stream, ev.encode_event(event), event.seq)
        if isinstance(body, ev.SessionDeleted):
            self._lives.pop(body.session, None)
            self._bus.close(body.session, "deleted")

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
        """The session whose id is `ref` or begins with it. A foreign session is NotFound, like none at all."""
        live = self._lives.get(ref) or await self._load(await self._resolve(user, ref))
        if live is None or live.state.user != user or live.deleted:
            raise _unknown(ref)
        live.used = trio.current_time()
        return live

    async def _resolve(self, user: str, ref: str) -> str:
        found = await self._store.find_session(user, ref.lower())
        if len(found) > 1:
            raise Conflict(f"more than one session id begins with {ref}; give more of it")
        return found[0] if found else ""

    async def _load(self, session: str) -> Live | None:
        if not session:
            return None
        while (waiting := self._loading.get(session)) is not None:
            await waiting.wait()
        if live := self._lives.get(session):
            return live
        done = self._loading[session] = trio.Event()
        try:
            live = await self._replay(session)
            if live is not None:
                self._lives[session] = live
            return live
        finally:
            del self._loading[session]
            done.set()

    async def _replay(self, session: str) -> Live | None:
        try:
            return await self._replayed(session)
        except AgentError:
            raise
        except Exception as error:  # a damaged log is that session's problem, and nobody else's
            log.exception("session_unreadable", session=session)
            raise InternalError(f"the log of session {session} cannot be read: {error!r}") from None

    async def _replayed(self, session: str) -> Live | None:
        state = await self._snapshot(session)
        saved = state.seq if state else 0
        while page := await self._store.read(session, after=state.seq if state else 0, limit=_PAGE):
            state = state or SessionState(session, page[0].user)
            for event in page:
                state.apply(_with_body(event))
        if state is None:
            return None
        live = Live.of(state)
        live.saved_seq = saved
        return live

    async def _snapshot(self, session: str) -> SessionState | None:
        """None if there is none, or none that can be read: the log has everything."""
        found = await self._store.load_snapshot(session, _CODE)
        if found is None:
            return None
        try:
            return convert.structure_stored(msgspec.json.decode(found[1]), SessionState)
        except (ValueError, msgspec.DecodeError) as error:
            log.warning("snapshot_unreadable", session=session, reason=str(error))
            return None

    # --- admission ---------------------------------------------------------------------------------------------------------

    async def create(self, user: str, body: ev.SessionCreated, append: Any) -> Live:
        """A new session. `append(events)` is the caller's way into the store, with its idempotency key."""
        self.refuse_if_stopping()
        session = secrets.token_hex(16)
        await append([NewEvent(session, user, body)])
        return self._lives[session]

    def admit(
        self, live: Live, parts: tuple[InputPart, ...], delivery: Delivery, *, interactive: bool, model: str, max_steps: int
    ) -> tuple[int, int | None, list[NewEvent]]:
        """Decide on an input, without an await: (its number, the turn it starts or None, what to append)."""
        self.refuse_if_stopping()
        if live.deleted:  # since it was opened: nothing may come behind the erasure
            raise _unknown(live.state.id)
        if len(live.state.queue) >= MAX_QUEUED:
            raise Overloaded(
                f"{MAX_QUEUED} inputs are waiting in this session already; wait for some to be answered", retry_after=5.0
            )
        if len(ev.encode_body([*(queued.parts for queued in live.state.queue), parts])) > MAX_QUEUED_BYTES and live.state.queue:
            raise Overloaded("the inputs that wait in this session are long; wait for some to be answered", retry_after=5.0)
        live.inputs += 1
        number = live.inputs
        accepted = ev.InputAccepted(
            input=number, parts=parts, delivery=delivery, interactive=interactive, model=model, max_steps=max_steps
        )
        bodies: list[Any] = [accepted]
        turn = None
        if not live.busy and live.state.turn is None and not live.state.queue:
            turn = live.state.turns + 1
            bodies.append(ev.TurnStarted(turn=turn, input=number, model=model))
            live.busy = True
        return number, turn, live.new(bodies)

    def release(self, live: Live) -> None:
        """An admitted append failed: take the reservation back."""
        self._free(live)

    def refuse_if_stopping(self) -> None:
        if self._stopping:
            raise Stopping("the daemon is stopping; try again when it runs", retry_after=1.0)

    async def delete(self, live: Live, *, force: bool) -> None:
        live.deleted = True
        try:
            self._refuse_at_work(live, force=force)
            while live.busy:  # a turn that runs, begins, or has just ended
                if force:
                    live.cancel()
                await live.changed()
                self._refuse_at_work(live, force=force)
            body = ev.SessionDeleted(session=live.state.id)
            with trio.CancelScope(shield=True):  # a caller that hangs up does not take the erasure back
                await self._store.append([NewEvent(f"user:{live.state.user}", live.state.user, body)], erase=live.state.id)
        except BaseException:
            live.deleted = False
            self.kick(live)
            raise

    def _refuse_at_work(self, live: Live, *, force: bool) -> None:
        if (live.state.turn is not None or live.state.queue) and not force:
            raise Conflict("the session is at work; cancel it first, or delete it with force")

    # --- life --------------------------------------------------------------------------------------------------------------

    async def run_work(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """The nursery of all turns; every turn ends with it."""
        async with trio.open_nursery() as nursery:
            self._work = nursery
            task_status.started()
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

    async def upkeep(self) -> None:
        """Unload idle sessions, snapshot long ones."""
        while True:
            await trio.sleep(_UPKEEP_EVERY)
            for live in tuple(self._lives.values()):
                await self._tend(live)

    async def _tend(self, live: Live) -> None:
        session = live.state.id
        idle = not live.busy and not live.watchers and live.state.turn is None
        unload = idle and trio.current_time() - live.used > self._unload_after
        if live.state.seq - live.saved_seq >= (1 if unload else _SNAPSHOT_EVERY):
            seq, state = live.state.seq, msgspec.json.encode(live.state)
            await self._store.save_snapshot(session, seq, _CODE, state)
            live.saved_seq = seq
        if unload and live.state.seq == live.saved_seq and trio.current_time() - live.used > self._unload_after:
            self._lives.pop(session, None)

    @property
    def running(self) -> int:
        return sum(live.busy for live in self._lives.values())

    # --- recovery ----------------------------------------------------------------------------------------------------------

    async def recover(self, *, resume: bool, clean: bool, grace: float) -> None:
        """Take up what the last boot left open. `resume` False: open turns end as interrupted, queued inputs stay queued."""
        for user, session in await self._store.unfinished():
            try:
                live = await self.open(user, session)
            except AgentError as error:  # unreadable, or deleted meanwhile
                log.warning("not_recovered", session=session, reason=str(error))
                continue
            if live.state.turn is None:
                if resume:
                    self.kick(live)
            elif self._work is not None:
                turn, chunks = live.state.turn, await self._store.load_draft(session)
                live.draft = Draft.restore(turn.number, turn.steps, chunks)  # whoever watches from now on sees what was saved
                live.busy = True
                self._work.start_soon(partial(self._recover_turn, live, resume=resume, clean=clean, grace=grace))

    async def _recover_turn(self, live: Live, *, resume: bool, clean: bool, grace: float) -> None:
        await self._tools.refresh()  # what is safe to repeat is a question to today's tools
        turn, draft = live.state.open_turn, live.draft
        safe = frozenset(spec.name for spec in self._tools.specs() if spec.effect in ("read", "idempotent"))
        doubtful = [call for call in decide.doubtful_calls(live.state, safe) if call.effect == "once"]
        go_on = resume and turn.resumes < decide.MAX_RESUMES and (not doubtful or await self._somebody_watches(live, grace))
        if go_on:
            bodies = decide.resume_turn(live.state, draft, safe, clean=clean)
        else:
            outcome: TurnOutcome = "cancelled" if live.cancel_requested else "interrupted"
            bodies = decide.close_turn(live.state, draft, decide.Finish(outcome))
        log.info("turn_recovered", session=live.state.id, turn=turn.number, resumed=go_on, doubtful=len(doubtful))
        await self._store.append(live.new(bodies), essential=True)
        if not go_on:
            live.cancel_requested = live.busy = False
            live.notify()
            if resume:  # else what waits stays waiting until somebody comes
                self.kick(live)

    async def _somebody_watches(self, live: Live, grace: float) -> bool:
        """A call whose effect is unknown goes back to the model only under somebody's eyes; clients get `grace` seconds to come."""
        with trio.move_on_after(grace):
            while not (live.watchers or live.cancel_requested):
                await live.changed()
        return live.watchers > 0 and not live.cancel_requested

    def watch(self, live: Live, change: int) -> None:
        """Count a watcher in (1) or out (-1)."""
        live.watchers += change
        live.used = trio.current_time()
        live.notify()


def _unknown(ref: str) -> NotFound:
    return NotFound(f"there is no session {ref}; `agentctl session list` shows yours")


def _with_body(event: ev.Event) -> ev.Event:
    return evolve(event, body=convert.structure_body(event.kind, event.version, event.data))


def page_of(events: Sequence[ev.Event]) -> tuple[msgspec.Raw, ...]:
    """Stored events for a reply, without decoding them."""
    return tuple(msgspec.Raw(ev.encode_event(event)) for event in events)
