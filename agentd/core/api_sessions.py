"""The methods about sessions as things: created, listed, configured, forked, cleaned up, deleted."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from attrs import evolve

from agentd.core.api import Caller, Handler
from agentd.core.approvals import Approvals
from agentd.core.history import added, blobs_of
from agentd.core.live import Live
from agentd.core.loading import events_of
from agentd.core.once import Once
from agentd.core.sessions import Sessions
from agentd.core.settings import Current
from agentd.core.state import SessionState
from agentd.core.upkeep import Upkeep
from agentd.ports import Adopt, Message, NewEvent, Store
from agentwire import events as ev
from agentwire import methods as m
from agentwire.errors import Conflict, InvalidParams
from agentwire.types import Preferences, SessionInfo, SessionSettings

ENVIRONMENT = frozenset({"PATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "SSH_AUTH_SOCK"})
"""What of a client's environment a session keeps for its tools."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_MAX_VARIABLES = 64 * 1024
"""Characters of all variables of a session together."""


class SessionMethods:
    """`resolve` makes a model's full name of what a user wrote."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        upkeep: Upkeep,
        once: Once,
        settings: Current,
        resolve: Callable[[str], Awaitable[str]],
        approvals: Approvals,
    ) -> None:
        self._store, self._sessions, self._upkeep, self._once = store, sessions, upkeep, once
        self._settings, self._resolve, self._approvals = settings, resolve, approvals
        self.handlers: Mapping[str, Handler] = {
            "session/create": self._create,
            "session/list": self._list,
            "session/get": self._get,
            "session/rename": self._rename,
            "session/settings": self._show_settings,
            "session/set": self._set,
            "session/fork": self._fork,
            "session/clean": self._clean,
            "session/delete": self._delete,
        }

    async def _create(self, caller: Caller, params: m.CreateSession) -> Any:
        environment = {name: value for name, value in params.environment.items() if name in ENVIRONMENT}
        model = await self._resolve(params.model or self._settings().model)
        body = ev.SessionCreated(title=params.title, cwd=params.cwd, model=model, environment=environment)
        return await self._once.run(
            caller.user, "session/create", params, lambda: self._open(caller, "session/create", params, [body])
        )

    async def _open(
        self, caller: Caller, method: str, params: Any, bodies: Sequence[Any], messages: Sequence[Message] = (), source: str = ""
    ) -> SessionInfo:
        """A new session that begins with these events; `messages` refer to blobs of session `source`."""
        self._sessions.refuse_if_stopping()
        session = secrets.token_hex(16)

        def answer(events: Sequence[ev.Event]) -> SessionInfo:
            state = SessionState(session, caller.user)
            for event in events:
                state.apply(event)
            return state.info

        blobs = blobs_of(messages)
        committed = await self._once.append(
            [NewEvent(session, caller.user, body) for body in (*bodies, *added(messages))],
            self._once.key(caller.user, method, params, answer),
            adopt=Adopt(stream=session, source=source, blobs=blobs) if blobs else None,
        )
        return answer(committed)

    async def _list(self, caller: Caller, params: m.ListSessions) -> m.SessionList:
        try:
            rows = await self._store.sessions(caller.user, params, before=params.before, limit=params.limit + 1)
        except ValueError:
            raise InvalidParams("params.before: not a cursor of this method") from None
        page = tuple(rows[: params.limit])
        cursor = f"{page[-1].updated_at!r}:{page[-1].id}" if len(rows) > params.limit else ""
        return m.SessionList(sessions=page, cursor=cursor)

    async def _get(self, caller: Caller, params: m.SessionRef) -> SessionInfo:
        return (await self._sessions.open(caller.user, params.session)).state.info

    async def _rename(self, caller: Caller, params: m.RenameSession) -> SessionInfo:
        live = await self._sessions.open(caller.user, params.session)
        await self._append(live, ev.SessionRenamed(title=params.title))
        return live.state.info

    async def _delete(self, caller: Caller, params: m.DeleteSession) -> m.Empty:
        live = await self._sessions.open(caller.user, params.session)
        await self._sessions.delete(caller.user, live.state.id, force=params.force)
        return m.Empty()

    async def _clean(self, caller: Caller, params: m.CleanSessions) -> m.Cleaned:
        if not (params.idle or params.age):
            raise InvalidParams("params: give `idle` or `age`, in seconds; nothing is cleaned up without a condition")
        return await self._upkeep.clean(caller.user, idle=params.idle, age=params.age, dry_run=params.dry_run)

    # --- settings ----------------------------------------------------------------------------------------------------------

    async def _show_settings(self, caller: Caller, params: m.SessionRef) -> SessionSettings:
        return (await self._sessions.open(caller.user, params.session)).state.settings

    async def _set(self, caller: Caller, params: m.SetSession) -> SessionSettings:
        live = await self._sessions.open(caller.user, params.session)
        _refuse_variables({**live.state.variables, **params.variables})
        preferences = params.preferences
        if preferences.model is not None:
            preferences = evolve(preferences, model=await self._resolve(preferences.model or self._settings().model))
        await self._append(live, ev.SessionConfigured(preferences=preferences, variables=params.variables))
        if preferences.mode is not None:
            await self._approvals.settle(caller.user)
        return live.state.settings

    async def _append(self, live: Live, body: Any) -> None:
        self._sessions.refuse_deleted(live)
        live.changing += 1
        try:
            await self._once.append(live.new([body]))
        finally:
            live.changing -= 1

    # --- forks -------------------------------------------------------------------------------------------------------------

    async def _fork(self, caller: Caller, params: m.ForkSession) -> Any:
        # Whoever asks again hears of the fork that was made, also when its source is gone by now.
        return await self._once.run(caller.user, "session/fork", params, lambda: self._branch(caller, params))

    async def _branch(self, caller: Caller, params: m.ForkSession) -> SessionInfo:
        live = await self._sessions.open(caller.user, params.session)
        messages = await self._conversation(live, params.seq)
        self._sessions.refuse_deleted(live)  # its blobs go with it; and no await from here to the append
        state = live.state
        created = ev.SessionCreated(
            title=params.title or state.title,
            cwd=state.cwd,
            model=state.model,
            environment=dict(state.environment),
            parent=state.id,
        )
        settings = state.settings
        chosen = evolve(settings.preferences, model=None, pinned=None)  # the one is in the creation, the other a choice of its own
        configured = ev.SessionConfigured(preferences=chosen, variables=dict(settings.variables))
        bodies = [created, configured] if chosen != _AS_CONFIGURED or settings.variables else [created]
        return await self._open(caller, "session/fork", params, bodies, messages, state.id)

    async def _conversation(self, live: Live, seq: int | None) -> Sequence[Message]:
        """The messages up to the complete step at `seq`, or up to the last one."""
        if seq is None and live.state.complete:
            return tuple(live.state.messages)
        if seq is not None and seq > live.state.seq:
            raise InvalidParams(f"params.seq: the session has no event {seq}; its newest is {live.state.seq}")
        state, complete, length = SessionState(live.state.id, live.state.user), 0, 0
        async with aclosing(events_of(self._store, live.state.id)) as events:
            async for event in events:
                state.apply(event)
                if state.complete:
                    complete, length = state.seq, len(state.messages)
                if state.seq == seq:
                    break
        if seq is not None and complete != seq:
            raise Conflict(f"event {seq} is in the middle of a step; the step before it ends with event {complete}", seq=complete)
        return state.messages[:length]  # what comes behind a complete step changes nothing before it


_AS_CONFIGURED = Preferences(max_steps=0, instructions="")


def _refuse_variables(variables: Mapping[str, str | None]) -> None:
    """Error handling: InvalidParams for a name that no program could read from its environment, or for too much of it all."""
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            raise InvalidParams(f"params.variables: {name[:70]!r} is no name: letters, digits and _, at most 64, no digit first")
    if sum(len(name) + len(value or "") for name, value in variables.items()) > _MAX_VARIABLES:
        raise InvalidParams(f"params.variables: a session holds at most {_MAX_VARIABLES // 1024} KiB of variables")
