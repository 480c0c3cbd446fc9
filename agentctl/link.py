"""A watched session over a connection that may break: every event once, in order, whatever happens to the daemon.

A daemon that dies is started again, and its turn goes on by itself (or had ended); we watch again, read from the log what we missed
since the last seq we saw, and take the server's draft for ours. A daemon that is being stopped on purpose is not started again.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Mapping
from typing import Any

from agentctl.client import Client
from agentctl.turns import RECONNECTED
from agentwire.errors import AgentError, ConfigError, NotFound, Stopping, Unreachable, VersionMismatch
from agentwire.paths import Paths

RETURN_SECONDS = 30.0
"""How long a daemon may take to come back: its start, after the old one has let go of the lock."""
MAX_LOSSES = 5
"""Connections lost in a row without anything new in between: then the daemon dies of what we ask."""
_PAGE = 500


class Link:
    """*Resource handling*: owns its connection; `close()`. *Errors*: `Unreachable` when the daemon stays away."""

    def __init__(self, paths: Paths, *, environ: Mapping[str, str] | None = None) -> None:
        self.client = Client.connect(paths, environ=environ)
        self._paths = paths
        self._session = ""
        self._seq = 0
        self._boot = str(self.client.initialized.get("boot", ""))
        self._behind: dict[str, Any] | None = None  # the watch that begins where we are not yet
        self._losses = 0

    def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The result of a request that may be sent twice: one that only reads, or has an idempotency `key`."""
        while True:
            try:
                result = self.client.call(method, params)
            except (Unreachable, Stopping) as error:
                self._reconnect(error, start=True)
            else:
                self._losses = 0
                return result

    def watch(self, session: str, *, after: int | None = None) -> dict[str, Any]:
        """Watches from now on, or from behind `after`; the answer of `session/watch`. A daemon lost here is found again."""
        watching = self.call("session/watch", {"session": session})
        self._session, self._boot = watching["session"], watching["boot"]
        self._seq = watching["seq"] if after is None else after
        self._behind = watching if after is not None else None
        return watching

    def events(self, *, timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """The session's events as they are on the wire, for ever, and `reconnected` where a connection was lost and found."""
        while True:
            stopping = False
            try:
                yield from self._catch_up()
                for event in self.client.events(timeout=timeout):
                    if event["kind"] == "watch_closed" and event["stream"] == self._session:
                        stopping = _reason(event) == "stopping"
                        if not stopping:
                            break  # we were too slow: watch again
                    elif self._is_new(event):
                        self._losses = 0
                        yield event
            except (Unreachable, Stopping) as error:
                self._reconnect(error, start=not stopping)
            yield from self._watch_again()

    def renew(self) -> None:
        """A connection in a known state, after an interrupt; `events()` then goes on where they stopped."""
        self.client.close()
        self.client = Client.connect(self._paths, start=False)
        self._behind = self.call("session/watch", {"session": self._session})

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
        self._seq = max(seq, self._seq)
        return new

    def _watch_again(self) -> Iterator[dict[str, Any]]:
        self._behind = self.call("session/watch", {"session": self._session})
        restarted = self._behind["boot"] != self._boot
        self._boot = self._behind["boot"]
        yield self._told(RECONNECTED, {"boot": self._boot, "restarted": restarted})

    def _catch_up(self) -> Iterator[dict[str, Any]]:
        """What the log has between the last event we saw and the watch's beginning, then the draft as it was there."""
        while self._behind is not None and self._seq < self._behind["seq"]:
            page = self.client.call("event/list", {"session": self._session, "after": self._seq, "limit": _PAGE})
            # What is newer comes by the watch, in its place among the deltas.
            yield from (event for event in page["events"] if event["seq"] <= self._behind["seq"] and self._is_new(event))
            if not page["more"]:
                break
        draft = self._behind["view"]["draft"] if self._behind else None
        self._behind = None
        if draft is not None:
            yield self._told("draft_reset", draft)

    def _told(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        return {"stream": self._session, "kind": kind, "data": data}

    def _reconnect(self, reason: AgentError, *, start: bool) -> None:
        self.client.close()
        self._losses += 1
        if self._losses > MAX_LOSSES:
            raise reason
        deadline, pause = time.monotonic() + RETURN_SECONDS, 0.05
        while True:
            try:
                self.client = Client.connect(self._paths, start=start)
            except (ConfigError, VersionMismatch):
                raise
            except AgentError as error:
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
