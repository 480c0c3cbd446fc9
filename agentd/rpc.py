"""A JSON-RPC session over any message stream: handshake, dispatch, watches.

Theory of operation: the transport feeds frames to `handle`, one after the other, and gives an `Outlet` that takes frames without
waiting. Requests of one connection are answered in order. A watch is a subscriber of the bus that writes each event's bytes
straight to the outlet; between taking the view, answering and joining the tail there is no await, so view and tail meet exactly. A
replay reads pages from the store at the pace of the reader, and joins the tail at the moment it has reached it. A cursor from which
the log does not go on without a gap is refused, or ends the replay, as `cursor_expired`: the client begins again with a view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog
import trio
from attrs import define, frozen

from agentd.core.api import Api, Caller
from agentd.core.bus import Bus
from agentd.core.live import Live
from agentd.ports import Store
from agentwire import convert
from agentwire import events as ev
from agentwire import methods as m
from agentwire.codec import Oversized
from agentwire.environment import differing
from agentwire.errors import AgentError, CursorExpired, NotFound, ProtocolError, VersionMismatch
from agentwire.messages import PROTOCOL_VERSION, Request, error_frame, parse_request, result_frame

log = structlog.get_logger()

_PAGE = 200
MAX_FRAMES, MAX_BYTES = 1000, 4 * 1024 * 1024
"""What may wait for a slow reader (promises.md); then its watches end with `lagged`."""


class Outlet(Protocol):
    """A transport's way out."""

    def send(self, frame: bytes) -> None:
        """Take a frame, or several, at once; write now what the peer takes now, the rest later. Never waits, never raises."""

    def post(self, frame: bytes) -> None:
        """The same, in the order of both, but written when those tasks have run that are about to."""

    @property
    def backlog(self) -> tuple[int, int]:
        """(frames, bytes) not yet written."""

    async def drained(self) -> None:
        """Wait until nothing is left to write, or the peer is gone."""


@frozen(kw_only=True)
class Hello:
    """What `initialize` tells of the daemon. `prompting` is called when a client comes that will probably prompt."""

    version: str
    pid: int
    boot: str
    model: str
    environment: Mapping[str, str]
    notice: Callable[[], str]
    prompting: Callable[[], None]


@define(eq=False)
class _Watch:
    """One subscription. `tailing` False: a replay is under way and the bus is not listened to."""

    live: Live
    outlet: Outlet
    bus: Bus
    seq: int
    tailing: bool
    ended: Callable[[_Watch], None]

    def deliver(self, frame: bytes, seq: int | None) -> None:
        if not self.tailing:
            return
        frames, size = self.outlet.backlog
        if frames >= MAX_FRAMES or size >= MAX_BYTES:
            self.close("lagged")
            return
        if seq is None:
            self.outlet.send(frame)
        else:
            self.outlet.post(frame)
            self.seq = seq

    def close(self, reason: str) -> None:
        self.bus.unsubscribe(self.live.state.id, self)
        body = ev.WatchClosed(reason=reason, seq=self.seq)
        self.outlet.send(ev.event_frame(ev.encode_transient(self.live.state.id, body)))
        self.ended(self)


class Session:
    """One peer. `nursery` holds its replays and ends with its connection."""

    def __init__(
        self, api: Api, bus: Bus, store: Store, caller: Caller, hello: Hello, outlet: Outlet, nursery: trio.Nursery
    ) -> None:
        self._api, self._bus, self._store, self._caller = api, bus, store, caller
        self._hello, self._outlet, self._nursery = hello, outlet, nursery
        self._watches: dict[str, _Watch] = {}
        self._initialized = False
        self.closing = False  # the handshake failed: the transport hangs up once the answer is written

    async def handle(self, frame: bytes | Oversized) -> None:
        """Answer one frame."""
        try:
            request = parse_request(frame)
        except ProtocolError as error:
            self._outlet.send(error_frame(error.details.pop("id", None), error))
            return
        try:
            await self._answer(request)
        except AgentError as error:
            if not request.notification:
                self._outlet.send(error_frame(request.id, error))

    async def _answer(self, request: Request) -> None:
        match request.method:
            case "initialize":
                self._reply(request, self._initialize(request.params))
            case _ if not self._initialized:
                raise ProtocolError("the first request must be `initialize`")
            case "session/watch":
                await self._watch(request, convert.structure(request.params, m.Watch))
            case "session/unwatch":
                await self._unwatch(convert.structure(request.params, m.SessionRef))
                self._reply(request, m.Empty())
            case _:
                self._reply(request, await self._api.dispatch(self._caller, request.method, request.params))

    def _reply(self, request: Request, result: Any) -> None:
        if not request.notification:
            self._outlet.send(result_frame(request.id, result))

    def _initialize(self, given: Mapping[str, Any]) -> m.Initialized:
        theirs = given.get("protocol", PROTOCOL_VERSION)
        if isinstance(theirs, int) and theirs != PROTOCOL_VERSION:  # before anything else: its parameters may be others, too
            self.closing = True
            raise VersionMismatch(
                f"the client speaks protocol {theirs}, this daemon ({self._hello.version}) protocol {PROTOCOL_VERSION}: "
                "update the older of the two, then `agentctl daemon restart`",
                client=theirs,
                daemon=PROTOCOL_VERSION,
                version=self._hello.version,
            )
        params = convert.structure(given, m.Initialize)
        self._initialized = True
        if params.prompting:
            self._hello.prompting()
        return m.Initialized(
            protocol=PROTOCOL_VERSION,
            version=self._hello.version,
            pid=self._hello.pid,
            boot=self._hello.boot,
            user=self._caller.user,
            model=self._hello.model,
            environment_differs=differing(params.environment, self._hello.environment, params.salt),
            notice=self._hello.notice(),
        )

    # --- watches -----------------------------------------------------------------------------------------------------------

    async def _watch(self, request: Request, params: m.Watch) -> None:
        live = await self._api.sessions.open(self._caller.user, params.session)
        if params.after is not None and params.after != live.state.seq:
            kept = await self._store.read(live.state.id, after=0, limit=1)
            live = await self._api.sessions.open(self._caller.user, live.state.id)  # it may have been deleted meanwhile
            _refuse_expired(params.after, kept[0].seq if kept else live.state.seq + 1, live.state.seq)
        if earlier := self._watches.get(live.state.id):
            self._drop(earlier)
        # No await from here to the reply: what is in the view is not in the tail, and the other way round.
        start = live.state.seq if params.after is None else params.after
        watch = _Watch(live, self._outlet, self._bus, start, start == live.state.seq, self._forget)
        self._watches[live.state.id] = watch
        self._bus.subscribe(live.state.id, watch)
        self._api.sessions.watch(live, 1)
        view = live.view if params.after is None else None
        self._reply(request, m.Watching(session=live.state.id, seq=live.state.seq, boot=self._hello.boot, view=view))
        if watch.tailing and view is None:
            self._show_draft(watch)
        elif not watch.tailing:
            self._nursery.start_soon(self._replay, watch)

    async def _replay(self, watch: _Watch) -> None:
        stream = watch.live.state.id
        while self._watches.get(stream) is watch:
            if watch.seq == watch.live.state.seq:
                watch.tailing = True  # and no await since the comparison
                self._show_draft(watch)
                return
            page = await self._store.read(stream, after=watch.seq, limit=_PAGE)
            if self._watches.get(stream) is not watch:
                return  # ended or replaced meanwhile: not one event more
            if not page or page[-1].seq != watch.seq + len(page):  # seqs ascend: a page without a hole ends there
                watch.close("deleted" if watch.live.deleted else "cursor_expired")  # the erasure is read before it is heard of
                return
            for event in page:
                self._outlet.send(ev.event_frame(ev.encode_event(event)))
                watch.seq = event.seq
            await self._outlet.drained()

    def _show_draft(self, watch: _Watch) -> None:
        if draft := watch.live.draft:
            body = ev.DraftReset(turn=draft.turn, step=draft.step, parts=draft.shown)
            self._outlet.send(ev.event_frame(ev.encode_transient(watch.live.state.id, body)))

    async def _unwatch(self, params: m.SessionRef) -> None:
        live = await self._api.sessions.open(self._caller.user, params.session)
        if watch := self._watches.get(live.state.id):
            self._drop(watch)
        else:
            raise NotFound(f"this connection does not watch session {params.session}")

    def _drop(self, watch: _Watch) -> None:
        self._bus.unsubscribe(watch.live.state.id, watch)
        self._forget(watch)

    def _forget(self, watch: _Watch) -> None:
        if self._watches.get(watch.live.state.id) is watch:
            del self._watches[watch.live.state.id]
            self._api.sessions.watch(watch.live, -1)

    def close(self) -> None:
        """The peer is gone."""
        for watch in tuple(self._watches.values()):
            self._drop(watch)


def _refuse_expired(after: int, oldest: int, newest: int) -> None:
    """CursorExpired if the log does not go on from `after`: what follows is not kept, or it is of a future that was undone."""
    if not oldest - 1 <= after <= newest:
        raise CursorExpired(
            f"the session's log has the events {oldest} to {newest}, and nothing goes on from {after}; watch it without `after`",
            oldest=oldest,
            newest=newest,
        )
