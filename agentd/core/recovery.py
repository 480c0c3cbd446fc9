"""What the last boot left open is taken up: turns go on or are ended, what waits is started."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import structlog
import trio

from agentd.core import decide
from agentd.core.accounts import Accounts
from agentd.core.draft import Draft
from agentd.core.live import Live
from agentd.core.sessions import Sessions
from agentd.core.tools import Tools
from agentd.ports import Store
from agentwire import events as ev
from agentwire.errors import AgentError, InternalError
from agentwire.types import TurnOutcome

log = structlog.get_logger()


class Recovery:
    """`resume` False: open turns end as interrupted, queued inputs stay queued. `clean`: the last boot ended in good order.

    `grace`: seconds in which somebody may come to watch a turn with an unknown effect.
    """

    def __init__(
        self, store: Store, sessions: Sessions, tools: Tools, accounts: Accounts, *, resume: bool, clean: bool, grace: float
    ) -> None:
        self._store, self._sessions, self._tools, self._accounts = store, sessions, tools, accounts
        self._resume, self._clean, self._grace = resume, clean, grace

    async def run(self, work: trio.Nursery) -> None:
        """Load what is unfinished; each open turn is taken up in a task of its own in `work`."""
        for user, session in await self._store.unfinished():
            try:
                live = await self._sessions.open(user, session)
            except AgentError as error:  # unreadable, or deleted meanwhile
                log.warning("not_recovered", session=session, reason=str(error))
                continue
            if lost := [ev.JobFinished(number=job.number, state="lost") for job in live.state.jobs if job.state == "running"]:
                await self._store.append(live.new(lost), essential=True)
            if (turn := live.state.turn) is not None:
                chunks = await self._saved(session)
                live.draft = Draft.restore(turn.number, turn.steps, chunks)  # whoever watches from now on sees what was saved
                live.busy = True
                work.start_soon(partial(self._take_up, live, live.inputs))
            elif self._resume:
                self._sessions.kick(live)

    async def _saved(self, session: str) -> Sequence[bytes]:
        try:
            return await self._store.load_draft(session)
        except InternalError:  # the turn goes on without it, as it would after a loss of power
            return ()

    async def _take_up(self, live: Live, inputs: int) -> None:
        """`inputs`: how many the last boot left."""
        await self._tools.refresh()  # what is safe to repeat is a question to today's tools
        turn, draft = live.state.open_turn, live.draft
        safe = frozenset(spec.name for spec in self._tools.specs() if spec.effect in ("read", "idempotent"))
        if draft is not None:
            draft.asked = self._accounts.recalled(live.state, draft.model or turn.model)
        doubtful = [call for call in decide.doubtful_calls(live.state, safe) if call.effect == "once"]
        go_on = self._resume and turn.resumes < decide.MAX_RESUMES and (not doubtful or await self._somebody_watches(live))
        if go_on:
            bodies = decide.resume_turn(live.state, draft, safe, clean=self._clean)
        else:
            outcome: TurnOutcome = "cancelled" if live.cancel_requested else "interrupted"
            bodies = decide.close_turn(live.state, draft, decide.Finish(outcome))
        log.info("turn_recovered", session=live.state.id, turn=turn.number, resumed=go_on, doubtful=len(doubtful))
        await self._store.append(live.new(bodies), essential=True)
        if not go_on:
            live.cancel_requested = live.busy = False
            live.notify()
            if self._resume or live.inputs > inputs:  # else what waits stays waiting until somebody comes
                self._sessions.kick(live)

    async def _somebody_watches(self, live: Live) -> bool:
        """A call whose effect is unknown goes back to the model only under somebody's eyes."""
        with trio.move_on_after(self._grace):
            while not (live.watchers or live.cancel_requested):
                await live.changed()
        return live.watchers > 0 and not live.cancel_requested
