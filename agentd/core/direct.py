"""Tool calls that people and programs make themselves. Such a call is its own approval; rules that deny hold all the same.

Theory of operation: the call is in the ledger of its user (`user:<name>`, turn 0) and goes on whoever hangs up: it runs in a
nursery of its own, bounded by the tool's own time limit. Its idempotency key commits with its start, for an answer that says that
nobody knows how it ended, and again with its end: so not even a crash lets the same request take effect twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import msgspec
import structlog
import trio
from attrs import define, evolve, field

from agentd.core.jobs import Background
from agentd.core.live import Live
from agentd.core.once import Once
from agentd.core.permissions import Permissions
from agentd.core.permit import Policy, decide, hidden, walls
from agentd.core.results import bounded
from agentd.core.sessions import Sessions
from agentd.core.tools import NOT_EXECUTED, UNKNOWN, Offered, Tools, arguments_hash, finished
from agentd.core.users import stream_of
from agentd.ports import NewEvent, Place, Store, ToolContext, ToolOutcome
from agentwire import events as ev
from agentwire.errors import AgentError, Denied, InternalError, InvalidParams, SandboxUnavailable, Stopping, StoreError, ToolError
from agentwire.tool_methods import CallTool, ToolCalled
from agentwire.types import Access, BlobRef, ResultPart, Text

log = structlog.get_logger()

METHOD = "tool/call"
_SHOWN = 1024 * 1024
"""Characters of a result that the caller gets: a frame must hold them."""
_END = 5.0
"""Seconds for which a stopping daemon waits until the end of a call is in the log; else the next start writes it."""


@define
class _Asked:
    """Who waits for a call, and for what."""

    done: trio.Event = field(factory=trio.Event)
    result: Any = None
    error: AgentError | None = None


@define(kw_only=True)
class _Planned:
    """A call that may run."""

    user: str
    call: str
    found: Offered
    arguments: Mapping[str, Any]
    arguments_json: str
    accesses: tuple[Access, ...]
    policy: Policy
    place: Place
    live: Live | None
    params: CallTool

    def new(self, bodies: Sequence[Any]) -> list[NewEvent]:
        return [NewEvent(stream_of(self.user), self.user, body) for body in bodies]


class DirectCalls:
    def __init__(
        self, store: Store, sessions: Sessions, once: Once, tools: Tools, permissions: Permissions, jobs: Background
    ) -> None:
        self._store, self._sessions, self._once, self._tools = store, sessions, once, tools
        self._permissions, self._jobs = permissions, jobs
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """The nursery of all such calls. Before the first: what the last boot left open is told to be over."""
        await self._close_open()
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    async def _close_open(self) -> None:
        try:
            left = await self._store.direct_calls()
        except InternalError as error:  # a damaged page: the next start repairs it, and finds them then
            log.error("open_calls_unreadable", reason=str(error))
            return
        for user, call, started in left:
            end = finished(0, call, "unknown", UNKNOWN) if started else finished(0, call, "not_executed", NOT_EXECUTED)
            await self._store.append([NewEvent(stream_of(user), user, end)], essential=True)

    async def call(self, user: str, found: Offered, params: CallTool, place: Place) -> Any:
        """The call's result, once it is over. `place`: where it runs if not in a session.

        Error handling: InvalidParams for arguments that do not fit, Denied if a rule denies; a tool's failure is a result.
        """
        asked = _Asked()
        assert self._nursery is not None
        self._nursery.start_soon(self._answer, asked, user, found, params, place)
        await asked.done.wait()
        if asked.error is not None:
            raise asked.error
        return asked.result

    async def _answer(self, asked: _Asked, user: str, found: Offered, params: CallTool, place: Place) -> None:
        try:
            asked.result = await self._once.run(user, METHOD, params, partial(self._carry_out, user, found, params, place))
        except StoreError:
            raise
        except AgentError as error:
            asked.error = error
        except trio.Cancelled:
            asked.error = Stopping("the daemon stopped during the call; `agentctl tool history` tells what became of it")
            raise
        finally:
            asked.done.set()

    async def _carry_out(self, user: str, found: Offered, params: CallTool, place: Place) -> ToolCalled:
        planned = await self._plan(user, found, params, place)
        began = trio.current_time()
        in_doubt = ToolCalled(call=planned.call, outcome="unknown", parts=(Text(text=UNKNOWN),), seconds=0.0)
        key = self._once.key(user, METHOD, params, lambda _: in_doubt)
        await self._once.append(planned.new([self._body(planned), ev.ToolStarted(turn=0, call=planned.call)]), key)
        try:
            outcome = await self._run(planned)
        except SandboxUnavailable as error:  # nothing has run, and the caller can do something about it
            await self._finish(planned, ToolOutcome(outcome="error", parts=(Text(text=str(error)),)), 0.0)
            raise
        except trio.Cancelled:
            with trio.move_on_after(_END, shield=True):
                await self._store.append(planned.new([finished(0, planned.call, "unknown", UNKNOWN)]), essential=True)
            raise
        return await self._finish(planned, outcome, round(trio.current_time() - began, 3))

    async def _plan(self, user: str, found: Offered, params: CallTool, place: Place) -> _Planned:
        live = await self._sessions.open(user, params.session) if params.session else None
        if live is not None:
            await self._permissions.prepare(user, live.state.cwd)
            policy = self._permissions.policy(live.state)
            place = self._permissions.place(live.state, policy)
        else:
            await self._permissions.prepare(user, place.cwd)
            policy = self._permissions.policy_at(user, place.cwd)
            place = evolve(place, roots=(*policy.roots, *policy.write))
        if found.spec.personal:
            raise InvalidParams(f"params.name: {found.spec.name} is a question of a model to a person; only a model can call it")
        try:
            arguments = self._tools.fit(found.spec, params.arguments)
            accesses = tuple(found.source.accesses(found.spec.name, arguments, place))
        except ToolError as error:
            raise InvalidParams(f"params.arguments: {error}") from None
        planned = _Planned(
            user=user,
            call=uuid4().hex,
            found=found,
            arguments=arguments,
            arguments_json=msgspec.json.encode(params.arguments).decode(),
            accesses=accesses,
            policy=policy,
            place=place,
            live=live,
            params=params,
        )
        await self._refuse_denied(planned)
        return planned

    async def _refuse_denied(self, planned: _Planned) -> None:
        # Who is there to call is there to be asked: for such a call "never ask" is no "no".
        policy = evolve(planned.policy, mode="default") if planned.policy.mode == "dont-ask" else planned.policy
        judged = decide(policy, planned.found.spec, planned.accesses)
        if judged.verdict == "deny":
            end = finished(0, planned.call, "denied", f"denied: {judged.why}")
            await self._once.append(planned.new([self._body(planned, judged.why), end]))
            raise Denied(f"{planned.found.spec.name} is not allowed: {judged.why}")

    def _body(self, planned: _Planned, rule: str = "called by its user") -> ev.ToolPlanned:
        spec = planned.found.spec
        return ev.ToolPlanned(
            turn=0,
            call=planned.call,
            name=spec.name,
            arguments_json=planned.arguments_json,
            arguments_hash=arguments_hash(spec.name, planned.arguments_json),
            effect=spec.effect,
            accesses=planned.accesses,
            rule=rule,
            session=planned.place.session,
        )

    async def _run(self, planned: _Planned) -> ToolOutcome:
        spec, place, stream = planned.found.spec, planned.place, stream_of(planned.user)

        async def keep(content: bytes, media: str) -> BlobRef:
            return BlobRef(blob=await self._store.put_blob(stream, content, essential=True), bytes=len(content), media=media)

        context = ToolContext(
            call=planned.call,
            user=planned.user,
            session=place.session,
            cwd=place.cwd,
            environment=place.environment,
            roots=place.roots,
            accesses=planned.accesses,
            sandbox=walls(planned.policy, spec, planned.accesses),
            jobs=self._jobs.of(planned.live.state) if planned.live else None,
            blob=keep,
            hidden=partial(hidden, planned.policy, spec.name, planned.accesses),
        )
        try:
            return await planned.found.source.call(spec.name, planned.arguments, context)
        except (SandboxUnavailable, StoreError):
            raise
        except ToolError as error:
            return ToolOutcome(outcome="error", parts=(Text(text=str(error)),))
        except Exception:  # as in a turn: a bug of a tool's is its call's end, and nobody else's
            bug = uuid4().hex[:12]
            log.exception("tool_bug", tool=spec.name, id=bug)
            text = f"a bug in agentd ended the call; its traceback is in the log under {bug}"
            return ToolOutcome(outcome="error", parts=(Text(text=text),))

    async def _finish(self, planned: _Planned, outcome: ToolOutcome, seconds: float) -> ToolCalled:
        """The end, its answer, and what of the session it changed, in one commit."""
        if outcome.bodies and planned.live is None:
            text = "this tool changes a session, and none was named: give one (agentctl tool call --session ID)"
            outcome = ToolOutcome(outcome="error", parts=(Text(text=text),))
        called = ToolCalled(call=planned.call, outcome=outcome.outcome, parts=_shown(outcome), seconds=seconds)
        key = self._once.key(planned.user, METHOD, planned.params, lambda _: called)
        parts = await bounded(self._store, stream_of(planned.user), outcome)
        end = ev.ToolFinished(turn=0, call=planned.call, outcome=outcome.outcome, parts=parts, seconds=seconds)
        changes = planned.live.new(outcome.bodies) if planned.live and not planned.live.deleted else []
        with trio.CancelScope(shield=True):
            await self._store.append([*changes, *planned.new([end])], key=key, essential=True)
        return called


def _shown(outcome: ToolOutcome) -> tuple[ResultPart, ...]:
    """The result for the caller: whole, unless no frame would hold it."""
    text = "".join(part.text for part in outcome.parts if isinstance(part, Text))
    if len(text) <= _SHOWN:
        return outcome.parts
    others = tuple(part for part in outcome.parts if not isinstance(part, Text))
    return (Text(text=f"{text[:_SHOWN]}\n[{len(text) - _SHOWN:,} characters more]"), *others)
