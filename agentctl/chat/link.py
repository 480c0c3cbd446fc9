"""A connection that is made again when it is lost, and an outbox whose jobs survive that.

Theory of operation: one task dials, hands the connection to its owner, and gives it events until the connection ends; then again.
Another works off the outbox in order. A job that was under way when the connection ended is done again on the next one: jobs carry
an idempotency key, so what they ask for happens once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from agentctl.chat.connection import Connection, Event, dial
from agentwire.errors import AgentError, Stopping, Unreachable
from agentwire.paths import Paths

DRAIN_SECONDS = 1.0
"""At leaving: how long what was sent may take to arrive."""
FIRST_ATTEMPTS = 3
"""So often the first connection is tried before the chat gives up: a daemon may be just stopping."""


class Job(NamedTuple):
    """Something to do with the daemon. `label`: a message's text, shown until it is sent; empty for all else."""

    run: Callable[[Connection], Awaitable[None]]
    label: str = ""


class Owner(Protocol):
    """Who uses the link."""

    def wants_daemon(self) -> bool:
        """Whether a daemon that is missing is to be started. Nobody likes one to come back that he has stopped."""

    async def connected(self, connection: Connection, *, first: bool) -> None: ...
    async def received(self, connection: Connection, events: Sequence[Event]) -> None: ...
    def disconnected(self) -> None: ...
    def failed(self, job: Job, error: AgentError) -> None: ...
    def changed(self) -> None: ...


class Link:
    """`run` returns only by cancellation, or raises what no further attempt mends."""

    def __init__(self, paths: Paths, environ: Mapping[str, str], owner: Owner) -> None:
        self._paths, self._environ, self._owner = paths, environ, owner
        self.outbox: deque[Job] = deque()
        self.trouble = ""
        self._connection: Connection | None = None
        self._met = False
        self._up, self._down, self._filled, self._emptied = (asyncio.Event() for _ in range(4))

    @property
    def up(self) -> bool:
        """Whether the daemon can be talked to now."""
        return self._up.is_set()

    async def run(self) -> None:
        """Keeps the connection and sends the outbox."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stay_connected())
            tasks.create_task(self._send())

    def do(self, run: Callable[[Connection], Awaitable[None]], label: str = "") -> None:
        """Puts a job at the end of the outbox."""
        self.outbox.append(Job(run, label))
        self._filled.set()
        self._owner.changed()

    async def drain(self) -> list[str]:
        """Waits a moment for what is being sent; returns the labels of what was not."""
        if self.up and self.outbox:
            self._emptied.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), DRAIN_SECONDS)
        return [job.label for job in self.outbox if job.label]

    async def _stay_connected(self) -> None:
        while True:
            connection = await dial(self._paths, self._environ, may_start=self._may_start, failed=self._dial_failed())
            try:
                await self._use(connection)
            except (Unreachable, Stopping):
                pass  # lost while attaching: the same as lost later
            finally:
                connection.close()
                self._up.clear()
                self._down.set()
                self._owner.disconnected()

    async def _use(self, connection: Connection) -> None:
        first, self._met, self.trouble = not self._met, True, ""
        await self._owner.connected(connection, first=first)
        self._connection = connection
        self._down.clear()
        self._up.set()
        self._owner.changed()
        while events := await connection.events():
            await self._owner.received(connection, events)

    def _may_start(self) -> bool:
        return not self._met or bool(self.outbox) or self._owner.wants_daemon()

    def _dial_failed(self) -> Callable[[int, AgentError], None]:
        def failed(attempt: int, error: AgentError) -> None:
            if not self._met and (attempt >= FIRST_ATTEMPTS or not isinstance(error, Unreachable | Stopping)):
                raise error
            quiet = attempt < FIRST_ATTEMPTS
            self.trouble = ("" if quiet else error.message) if self._may_start() else "no daemon; your next message starts it"
            self._owner.changed()

        return failed

    async def _send(self) -> None:
        while True:
            await self._filled.wait()
            await self._up.wait()
            connection, job = self._connection, self.outbox[0]
            assert connection is not None
            try:
                await job.run(connection)
            except (Unreachable, Stopping):
                connection.close()
                await self._down.wait()
                continue
            except AgentError as error:
                self._owner.failed(job, error)
            self.outbox.popleft()
            self._owner.changed()
            if not self.outbox:
                self._filled.clear()
                self._emptied.set()
