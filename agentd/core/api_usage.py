"""What was used: by days, sessions, models, users, or the turns of one session, and what budgets have left."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from agentd.core.accounts import Accounts
from agentd.core.api import Caller, Handler
from agentd.core.costs import plus
from agentd.core.sessions import Sessions
from agentd.core.state import SessionState
from agentd.ports import Store, UsageFilter, day_of
from agentwire import convert
from agentwire import events as ev
from agentwire import methods as m
from agentwire.errors import Denied, InvalidParams
from agentwire.types import Usage, UsageRow

_PAGE = 500
_MODELS = 1000
_NOTHING = UsageRow(key="", requests=0, usage=Usage(), cost=0.0, unpriced=0)
_DELETED = "deleted sessions"


class UsageMethods:
    def __init__(self, store: Store, sessions: Sessions, accounts: Accounts) -> None:
        self._store, self._sessions, self._accounts = store, sessions, accounts
        self.handlers: Mapping[str, Handler] = {"usage/get": self._get}

    async def _get(self, caller: Caller, params: m.GetUsage) -> m.UsageReport:
        if params.by == "user" and not caller.admin:
            raise Denied("what others have used is told to administrators; ask for days, sessions or models")
        if params.by == "turn" and not params.session:
            raise InvalidParams("turns are those of one session: say which")
        state = (await self._sessions.open(caller.user, params.session)).state if params.session else None
        which = UsageFilter(
            user="" if params.by == "user" else caller.user,
            session=state.id if state else "",
            since=None if params.since is None else day_of(params.since),
            until=None if params.until is None else day_of(params.until),
        )
        models = await self._store.usage("model", which, limit=_MODELS)
        return m.UsageReport(
            rows=await self._rows(params, which, state),
            total=next(iter(await self._store.usage("all", which, limit=1)), _NOTHING),
            unpriced=tuple(row.key for row in models if row.unpriced),
            budgets=self._accounts.budgets(caller.user, state),
        )

    async def _rows(self, params: m.GetUsage, which: UsageFilter, state: SessionState | None) -> tuple[UsageRow, ...]:
        if params.by == "turn" and state is not None:
            return await self._turns(state, which, params.limit)
        rows = await self._store.usage("day" if params.by == "turn" else params.by, which, limit=params.limit)
        return tuple(evolve(row, title=_DELETED) if params.by == "session" and not row.key else row for row in rows)

    async def _turns(self, state: SessionState, which: UsageFilter, limit: int) -> tuple[UsageRow, ...]:
        """The newest first, out of the log: it has each of their requests."""
        rows: dict[int, UsageRow] = {}
        before = state.seq + 1
        while page := await self._store.read_back(state.id, before=before, limit=_PAGE):
            before = page[0].seq
            for event in reversed(page):
                if which.since is not None and day_of(event.at) < which.since:
                    return tuple(rows.values())
                late = which.until is not None and day_of(event.at) > which.until
                if event.kind == "assistant_message" and not late:
                    body = convert.structure_body(event.kind, event.version, event.data)
                    if body.turn not in rows and len(rows) == limit:
                        return tuple(rows.values())
                    rows[body.turn] = _plus(rows.get(body.turn, evolve(_NOTHING, key=str(body.turn), cost=None)), body)
        return tuple(rows.values())


def _plus(row: UsageRow, body: ev.AssistantMessage) -> UsageRow:
    models = [body.model, *(name for name in row.title.split(", ") if name and name != body.model)]
    return evolve(
        row,
        requests=row.requests + 1,
        usage=row.usage + body.usage,
        cost=plus(row.cost, body.cost),
        unpriced=row.unpriced + (body.cost is None),
        estimated=row.estimated + body.estimated,
        title=", ".join(models),
    )
