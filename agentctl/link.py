"""A watched session over a connection that may break: every event once, in order, whatever happens to the daemon.

A daemon that dies is started again, and its turn goes on by itself (or had ended). We watch again with `after`: the daemon sends
what we missed and its draft. A daemon that is being stopped on purpose is not started again. A log that does not go on from what we
have seen is said to be replaced, and followed from a fresh view.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agentctl.client import Client
from agentctl.turns import RECONNECTED, REPLACED
from agentwire.errors import AgentError, Conflict, CursorExpired, NotFound, Stopping, Unreachable
from agentwire.paths import Paths

RETURN_SECONDS = 30.0
"""How long a daemon may take to come back: its start, after the old one has let go of the lock."""
MAX_LOSSES = 5
"""Connections lost in a row without anything new in between: then the daemon dies of what we ask."""


class Link:
    """*Resource handling*: owns its connection; `close()`. *Errors*: `Unreachable` when the daemon stays away."""

    def __init__(self, paths: Paths, *, environ: Mapping[str, str] | None = None) -> None:
        self.client = Client.connect(paths, environ=environ)
        self._paths = paths
        self._session = ""
        self._seq = 0
        self._boot = str(self.client.initialized.get("boot", ""))
        self._restored: dict[str, Any] | None = None  # what `events` has yet to say of a watch that was begun again
        self._losses = 0

    def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The result of a request that may be sent twice: one that only reads, or has an idempotency `key`."""
        while True:
            try:
                return self.client.call(method, params)
            except (Unreachable, Stopping) as error:
                self._reconnect(error, start=True)

    def watch(self, session: str, *, after: int | None = None) -> dict[str, Any]:
        """Watches from now on, or from behind `after`; the answer of `session/watch`, with a view in both cases if nothing goes on
        from `after`: then the first event is `history_replaced`. A daemon lost here is found again."""
        watching = self._begin(self.call, session, after)
        self._session, self._boot = watching["session"], watching["boot"]
        if after is not None and watching["view"] is not None:
            self._say(REPLACED, seq=watching["seq"], view=watching["view"])
        return watching

    def events(self, *, timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """The session's events as they are on the wire, for ever, with `reconnected` where a connection was lost and found, and
        `history_replaced` where the log is another one and `seq` begins anew.

        Nothing for `timeout` seconds raises `DeadlineExceeded`, a session that was deleted `NotFound`.
        """
        while True:
            stopping = False
            try:
                if self._restored is not None:
                    restored, self._restored = self._restored, None
                    yield restored
                for event in self.client.events(timeout=timeout):
                    if event["kind"] == "watch_closed" and event["stream"] == self._session:
                        reason = _reason(event)
                        stopping = reason == "stopping"
                        if not stopping:  # we were too slow, or the log has a hole behind what we know
                            self._watch_again(None if reason == CursorExpired.code else self._seq)
                            break
                    elif self._is_new(event):
                        yield event
            except Unreachable as error:
                self._reconnect(error, start=not stopping)

    def renew(self) -> None:
        """A connection in a known state, after an interrupt; `events()` then goes on where they stopped."""
        self.client.close()
        self.client = Client.connect(self._paths, start=False)
        self.watch(self._session, after=self._seq)

    def close(self) -> None:
        """Ends the connection; the session's turn goes on."""
        self.client.close()

    def _is_new(self, event: Mapping[str, Any]) -> bool:
        if event["stream"] != self._session:
            return False
        seq = event.get("seq")
        if seq is None:
            return True
        new = bool(seq > self._seq)
        if new:
            self._seq, self._losses = seq, 0
        return new

    def _watch_again(self, after: int | None) -> None:
        """After this the events go on; `reconnected` or `history_replaced` stands between the old ones and the new."""
        watching = self._begin(self.client.call, self._session, after)
        restarted = watching["boot"] != self._boot
        self._boot = watching["boot"]
        if watching["view"] is None:
            self._say(RECONNECTED, boot=self._boot, restarted=restarted)
        else:
            self._say(REPLACED, seq=watching["seq"], view=watching["view"])

    def _begin(self, call: Callable[..., dict[str, Any]], session: str, after: int | None) -> dict[str, Any]:
        """`session/watch`, with a fresh view if nothing goes on from `after`."""
        try:
            watching = call("session/watch", {"session": session, "after": after})
        except CursorExpired:
            watching = call("session/watch", {"session": session})
        self._seq = watching["seq"] if after is None or watching["view"] is not None else after
        return watching

    def _say(self, kind: str, **data: Any) -> None:
        self._restored = {"stream": self._session, "kind": kind, "data": data}

    def _reconnect(self, reason: AgentError, *, start: bool) -> None:
        self._losses += 1
        if self._losses > MAX_LOSSES:
            raise reason
        deadline, pause = time.monotonic() + RETURN_SECONDS, 0.05
        while True:
            self.client.close()
            try:
                self.client = Client.connect(self._paths, start=start)
                if self._session:
                    self._watch_again(self._seq)
            except (Unreachable, Stopping, Conflict) as error:
                # A daemon on its way out still holds the lock against the next one: that passes.
                if error.details.get("untrusted") or time.monotonic() > deadline:
                    raise
                select.select([], [], [], pause)
                pause = min(pause * 2, 1.0)
            else:
                return


def _reason(event: Mapping[str, Any]) -> str:
    reason = str(event["data"]["reason"])
    if reason == "deleted":
        raise NotFound("the session was deleted")
    return reason
