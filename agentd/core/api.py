"""Api: one method per wire method. Every front end calls `dispatch` with the same table; none has a way around it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4

import msgspec
import structlog
import trio
from attrs import frozen

from agentd.core.live import Live
from agentd.core.sessions import Sessions, page_of
from agentd.ports import IdemKey, NewEvent, Store
from agentwire import convert
from agentwire import events as ev
from agentwire import methods as m
from agentwire.errors import AgentError, Conflict, InternalError, InvalidParams, NotFound, UnknownMethod
from agentwire.types import ConfigValue, DaemonStatus, ModelInfo, SessionInfo

log = structlog.get_logger()

_PIECE = 256 * 1024
_ENVIRONMENT = frozenset({"PATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "SSH_AUTH_SOCK"})
"""What of a client's environment a session keeps for its tools."""


@frozen
class Caller:
    """Who asks."""

    user: str
    admin: bool


class Host(Protocol):
    """What the Api needs to know of the daemon around it."""

    def status(self, sessions: int, running: int) -> DaemonStatus: ...

    def stop(self) -> None: ...


@frozen(kw_only=True)
class Settings:
    model: str
    max_steps: int
    values: tuple[ConfigValue, ...]
    warnings: tuple[str, ...]


Handler = Callable[[Caller, Any], Awaitable[Any]]


class Api:
    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        host: Host,
        settings: Settings,
        models: Callable[[], Awaitable[Sequence[ModelInfo]]],
        resolve: Callable[[str], str],
    ) -> None:
        self._store, self.sessions, self._host, self._settings = store, sessions, host, settings
        self._models, self._resolve = models, resolve
        self._inflight: dict[tuple[str, str], trio.Event] = {}
        self._handlers: Mapping[str, Handler] = {
            "daemon/status": self.daemon_status,
            "daemon/stop": self.daemon_stop,
            "config/get": self.config_get,
            "model/list": self.model_list,
            "session/create": self.session_create,
            "session/list": self.session_list,
            "session/get": self.session_get,
            "session/rename": self.session_rename,
            "session/delete": self.session_delete,
            "session/prompt": self.session_prompt,
            "session/cancel": self.session_cancel,
            "event/list": self.event_list,
            "approval/answer": self.approval_answer,
            "blob/get": self.blob_get,
        }

    async def dispatch(self, caller: Caller, name: str, params: Mapping[str, Any]) -> Any:
        """Answer one request. Raises AgentError; a bug becomes InternalError with an id that is in the log."""
        handler = self._handlers.get(name)
        if handler is None:
            raise UnknownMethod(f"there is no method {name}")
        try:
            return await handler(caller, convert.structure(params, m.METHODS[name].params))
        except AgentError:
            raise
        except Exception:
            bug = uuid4().hex[:12]
            log.exception("dispatch_bug", method=name, id=bug)
            raise InternalError(f"a bug in agentd; its traceback is in the log under {bug}", id=bug) from None

    # --- daemon ------------------------------------------------------------------------------------------------------------

    async def daemon_status(self, _caller: Caller, _: m.Empty) -> DaemonStatus:
        return self._host.status(await self._store.count_sessions(), self.sessions.running)

    async def daemon_stop(self, _caller: Caller, _: m.Empty) -> m.Empty:
        self._host.stop()
        return m.Empty()

    async def config_get(self, _caller: Caller, _: m.Empty) -> m.ConfigView:
        return m.ConfigView(values=self._settings.values, warnings=self._settings.warnings)

    async def model_list(self, _caller: Caller, _: m.Empty) -> m.ModelList:
        return m.ModelList(models=tuple(await self._models()))

    # --- sessions ----------------------------------------------------------------------------------------------------------

    async def session_create(self, caller: Caller, params: m.CreateSession) -> Any:
        environment = {name: value for name, value in params.environment.items() if name in _ENVIRONMENT}
        body = ev.SessionCreated(
            title=params.title, cwd=params.cwd, model=self._resolve(params.model or self._settings.model), environment=environment
        )

        async def create() -> Any:
            def answer(events: Sequence[ev.Event]) -> bytes:
                return msgspec.json.encode(_new_info(events[0]))

            key = _key(caller, "session/create", params, answer)
            live = await self.sessions.create(caller.user, body, lambda events: self._append(events, key))
            return live.state.info

        return await self._once(caller, "session/create", params, create)

    async def session_list(self, caller: Caller, params: m.ListSessions) -> m.SessionList:
        try:
            rows = await self._store.sessions(caller.user, params, before=params.before, limit=params.limit + 1)
        except ValueError:
            raise InvalidParams("params.before: not a cursor of this method") from None
        page = tuple(rows[: params.limit])
        cursor = f"{page[-1].updated_at!r}:{page[-1].id}" if len(rows) > params.limit else ""
        return m.SessionList(sessions=page, cursor=cursor)

    async def session_get(self, caller: Caller, params: m.SessionRef) -> SessionInfo:
        return (await self.sessions.open(caller.user, params.session)).state.info

    async def session_rename(self, caller: Caller, params: m.RenameSession) -> SessionInfo:
        live = await self.sessions.open(caller.user, params.session)
        await self._append(live.new([ev.SessionRenamed(title=params.title)]))
        return live.state.info

    async def session_delete(self, caller: Caller, params: m.DeleteSession) -> m.Empty:
        live = await self.sessions.open(caller.user, params.session)
        await self.sessions.delete(live, force=params.force)
        return m.Empty()

    # --- turns -------------------------------------------------------------------------------------------------------------

    async def session_prompt(self, caller: Caller, params: m.Prompt) -> Any:
        live = await self.sessions.open(caller.user, params.session)
        return await self._once(caller, "session/prompt", params, lambda: self._prompt(caller, live, params))

    async def _prompt(self, caller: Caller, live: Live, params: m.Prompt) -> m.Prompted:
        number, turn, events = self.sessions.admit(
            live,
            params.parts,
            params.delivery,
            interactive=params.interactive,
            model=self._resolve(params.model or live.state.model),
            max_steps=params.max_steps or self._settings.max_steps,
        )
        key = _key(
            caller,
            "session/prompt",
            params,
            lambda committed: msgspec.json.encode(m.Prompted(input=number, seq=committed[0].seq, turn=turn)),
        )
        try:
            committed = await self._append(events, key)
        except BaseException:
            if turn is not None:
                self.sessions.release(live)
            raise
        if turn is None:
            self.sessions.kick(live)  # the turn it waited for may have ended meanwhile
        return m.Prompted(input=number, seq=committed[0].seq, turn=turn)

    async def session_cancel(self, caller: Caller, params: m.SessionRef) -> m.Cancelled:
        live = await self.sessions.open(caller.user, params.session)
        turn = live.state.turn
        if turn is None or not live.busy:
            return m.Cancelled(turn=None)
        live.cancel()
        return m.Cancelled(turn=turn.number)

    async def event_list(self, caller: Caller, params: m.ListEvents) -> m.EventPage:
        live = await self.sessions.open(caller.user, params.session)
        stream, limit = live.state.id, params.limit
        if params.before is not None:
            if params.after is not None:
                raise InvalidParams("params: give `after` or `before`, not both")
            found = await self._store.read_back(stream, before=params.before, limit=limit)
            return m.EventPage(events=page_of(found), more=bool(found) and found[0].seq > 1)
        found = await self._store.read(stream, after=params.after or 0, limit=limit)
        return m.EventPage(events=page_of(found), more=bool(found) and found[-1].seq < live.state.seq)

    async def approval_answer(self, caller: Caller, params: m.AnswerApproval) -> m.Empty:
        live = await self.sessions.open(caller.user, params.session)
        turn = live.state.turn
        call = turn.calls.get(params.call) if turn else None
        if turn is None or call is None or call.approval is None:
            raise NotFound(f"there is no question about call {params.call} in this session")
        if call.arguments_hash != params.arguments_hash:
            raise Conflict("the question was about other arguments; look at it again")
        if not call.awaits_answer or not live.reserve_answer(call.id, caller.user):
            answer = f" ({call.decision})" if call.decision else ""
            raise Conflict(f"the question is answered already{answer}", decision=call.decision, by=call.decided_by)
        body = ev.ApprovalAnswered(turn=turn.number, call=call.id, decision=params.decision, by=caller.user, note=params.note)
        try:
            await self._append(live.new([body]))
        except BaseException:
            live.release_answer(call.id)
            raise
        return m.Empty()

    async def blob_get(self, caller: Caller, params: m.GetBlob) -> m.BlobPiece:
        live = await self.sessions.open(caller.user, params.session)
        found = await self._store.get_blob(live.state.id, params.blob, params.offset, _PIECE)
        if found is None:
            raise NotFound(f"this session has no blob {params.blob}")
        return m.BlobPiece(data=base64.b64encode(found[0]).decode(), bytes=found[1])

    # --- helpers -----------------------------------------------------------------------------------------------------------

    async def _append(self, events: Sequence[NewEvent], key: IdemKey | None = None) -> Sequence[ev.Event]:
        # Shielded: the caller may hang up, the append happens all the same and its reservation must be settled. It ends
        # with the commit or with an error.
        with trio.CancelScope(shield=True):
            committed = await self._store.append(events, key=key)
        return committed  # noqa: RET504 - mypy takes any cancel scope for one that may swallow the return

    async def _once(self, caller: Caller, name: str, params: Any, action: Callable[[], Awaitable[Any]]) -> Any:
        """Run `action`, or answer as it was answered before under the same key; a second request waits for a running first."""
        if not params.key:
            return await action()
        mine = (caller.user, params.key)
        while (running := self._inflight.get(mine)) is not None:
            await running.wait()
        done = self._inflight[mine] = trio.Event()
        try:
            known = await self._store.answered(*mine)
            if known and known[0] != _digest(name, params):
                raise Conflict("this idempotency key was used for another request; use a new one")
            result = msgspec.Raw(known[1]) if known else await action()
        finally:
            del self._inflight[mine]
            done.set()
        return result


def _digest(name: str, params: Any) -> str:
    return hashlib.sha256(name.encode() + b"\0" + msgspec.json.encode(params)).hexdigest()


def _key(caller: Caller, name: str, params: Any, answer: Callable[[Sequence[ev.Event]], bytes]) -> IdemKey | None:
    if not params.key:
        return None
    return IdemKey(user=caller.user, key=params.key, digest=_digest(name, params), answer=answer)


def _new_info(event: ev.Event) -> SessionInfo:
    body: ev.SessionCreated = event.body
    return SessionInfo(
        id=event.stream,
        title=body.title,
        cwd=body.cwd,
        model=body.model,
        status="idle",
        created_at=event.at,
        updated_at=event.at,
        turns=0,
        queued=0,
    )
