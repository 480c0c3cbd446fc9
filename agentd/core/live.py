"""A loaded session: its state, its draft, its running turn, and the saver of drafts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio
from attrs import define, field

from agentd.core.draft import Draft
from agentd.core.state import SessionState
from agentd.ports import ModelRequest, NewEvent, Store
from agentwire.errors import NotFound
from agentwire.events import ToolFinished
from agentwire.types import SessionView

_SAVE_EVERY = 0.25
"""Seconds a streamed text may go unsaved: what a kill -9 can take back (promises.md)."""
_SAVE_AT = 4096
"""Characters at which a draft is saved at once."""


@define(eq=False)
class Live:
    """One loaded session. `busy`: a turn is open, or an append that will open one is on its way.

    `broken`: an event of the log could not be applied; nothing may be decided on this state, and nothing written because of it.
    `inputs` numbers inputs ahead of the log: decided and reserved without an await, so two prompts never share a number.
    """

    state: SessionState
    inputs: int
    draft: Draft | None = None
    request: ModelRequest | None = None  # of the reply that is wanted, over its seams
    busy: bool = False
    deleted: bool = False
    broken: bool = False
    cancel_requested: bool = False
    scope: trio.CancelScope | None = None
    watchers: int = 0
    ruled: int = 0  # the turn for which the rules of its user and project are at hand
    changing: int = 0  # requests whose change is on its way to the log
    used: float = 0.0  # trio clock
    saved_seq: int = 0  # seq of the newest snapshot
    _answers: dict[str, str] = field(factory=dict)
    _changes: trio.Event | None = None  # if somebody waits for one

    @classmethod
    def of(cls, state: SessionState) -> Live:
        return cls(state, state.inputs, used=trio.current_time())

    def new(self, bodies: Sequence[Any]) -> list[NewEvent]:
        """To be appended without an await in between: from here on nobody can answer for a call whose outcome is among them."""
        for body in bodies:
            if isinstance(body, ToolFinished):
                self.reserve_answer(body.call, "the end of the call")
        return [NewEvent(self.state.id, self.state.user, body) for body in bodies]

    async def changed(self) -> None:
        """Wait for the next committed event or change of watchers."""
        if self._changes is None:
            self._changes = trio.Event()
        await self._changes.wait()

    def notify(self) -> None:
        if self._changes is not None:
            self._changes.set()
            self._changes = None

    def cancel(self) -> None:
        """Cancel the running turn, or the one that is just about to run."""
        self.cancel_requested = True
        self.notify()
        if self.scope is not None:
            self.scope.cancel()

    def abandon(self) -> None:
        """The state is not the log's any more: its turn ends without a word, and the next start takes it up."""
        self.broken = self.deleted = True
        self.busy = self.scope is not None  # what was reserved for a turn that will not begin
        self.cancel()

    def reserve_answer(self, call: str, who: str) -> bool:
        """True for the first who answers this call, decided before anything is written."""
        if call in self._answers:
            return False
        self._answers[call] = who
        return True

    def release_answer(self, call: str) -> None:
        """The answer could not be written: somebody may try again."""
        self._answers.pop(call, None)

    @property
    def view(self) -> SessionView:
        state, turn = self.state, self.state.turn
        calls = turn.calls.values() if turn else ()
        return SessionView(
            info=state.info,
            turn=turn.number if turn else None,
            queue=tuple(state.queue),
            approvals=tuple(call.approval for call in calls if call.approval and call.awaits_answer),
            draft=self.draft.view if self.draft else None,
            todos=state.todos,
            jobs=tuple(job for job in state.jobs if job.state == "running"),
        )


def unknown_session(ref: str) -> NotFound:
    """What to say of a session that is not there, was deleted, or is somebody else's."""
    return NotFound(f"there is no session {ref}; `agentctl session list` shows yours")


class DraftSaver:
    """Saves what was streamed, all sessions together, at most four times a second; asleep when nothing streams."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._touched: dict[str, Live] = {}
        self._wake = trio.Event()

    def touch(self, live: Live) -> None:
        if not self._touched:
            self._wake.set()
        self._touched[live.state.id] = live
        if live.draft and live.draft.unsaved_size >= _SAVE_AT:
            self._save(live)

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            await trio.sleep(_SAVE_EVERY)
            touched, self._touched = self._touched, {}
            self._wake = trio.Event()
            for live in touched.values():
                self._save(live)

    def _save(self, live: Live) -> None:
        if live.draft and (chunk := live.draft.take_unsaved()):
            self._store.save_draft(live.state.id, chunk)
