"""Background jobs: processes of a session that outlive the call and the turn that started them, but not the daemon.

Theory of operation: a job is a task in a nursery of its own. `job_started` commits before its process may do anything, and
`job_finished` when nothing of it lives any more, so that the log knows of every job that may have had an effect. Of what it says
the last mebibyte is kept: in memory while it runs, as the end's event has it (or its blob) after that. Whoever ends a job, a call,
a person, the deletion of its session or the end of the daemon, cancels its task and waits for that event; what a daemon that was
killed has left without one is `lost` at the next start (recovery.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from operator import attrgetter
from typing import Any

import trio
from attrs import define, field

from agentd.core import loading
from agentd.core.settings import Current
from agentd.core.state import SessionState
from agentd.ports import NewEvent, Profile, Spawner, Store
from agentwire import events as ev
from agentwire.errors import NotFound, StorageFull, ToolError
from agentwire.types import BlobRef, JobInfo, JobState, Text

KEPT = 1024 * 1024
"""Bytes of a job's output that are kept: its last ones."""
_IN_EVENT = 64 * 1024
"""Bytes up to which its output is in the event of its end."""
_SHOWN = 4096
_CLOSE = 5.0
"""Seconds for which not even a stopping daemon gives up writing the end of a job; else the next boot writes it."""
_MOST_BACK = 20_000
"""Events that are looked through, from the newest on, for the end of a job."""


class Ring:
    """The last bytes of what was said. `total`: how many there were in all."""

    def __init__(self, size: int = KEPT) -> None:
        self._size, self._kept, self.total = size, bytearray(), 0

    def add(self, data: bytes) -> None:
        self._kept += data
        self.total += len(data)
        if len(self._kept) > 2 * self._size:  # now and then, not with every byte
            del self._kept[: -self._size]

    @property
    def kept(self) -> bytes:
        return bytes(self._kept[-self._size :])


def piece(kept: bytes, total: int, offset: int) -> tuple[bytes, int, int]:
    """`kept`, which ends at byte `total`, from byte `offset` on (negative: from the end), and where that begins."""
    oldest = total - len(kept)
    begin = min(max(offset if offset >= 0 else total + offset, oldest), total)
    return kept[begin - oldest :], begin, total


@define(eq=False)
class _Job:
    """One that runs. `failure`: why it never began; `code` None: it was killed."""

    session: str
    user: str
    number: int
    ring: Ring = field(factory=Ring)
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    began: trio.Event = field(factory=trio.Event)
    over: trio.Event = field(factory=trio.Event)
    recorded: bool = False
    failure: ToolError | None = None
    code: int | None = None

    @property
    def state(self) -> JobState:
        """How it ended."""
        if self.failure is None and self.code is None:
            return "killed"
        return "done" if self.code == 0 else "failed"


class Background:
    """The jobs of all sessions."""

    def __init__(self, store: Store, spawner: Spawner, settings: Current) -> None:
        self._store, self._spawner, self._settings = store, spawner, settings
        self._running: dict[str, dict[int, _Job]] = {}  # by session and number
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """The nursery of all jobs; every job ends with it."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def of(self, state: SessionState) -> SessionJobs:
        """The jobs of one session."""
        return SessionJobs(self, state)

    def running(self, session: str) -> Mapping[int, _Job]:
        return self._running.get(session, {})

    async def end(self, session: str) -> None:
        """Kill what runs in the session; returns when nothing of it lives and the log has its end."""
        jobs = tuple(self.running(session).values())
        for job in jobs:
            job.scope.cancel()
        for job in jobs:
            await job.over.wait()

    async def start(self, state: SessionState, body: ev.JobStarted, argv: Sequence[str], profile: Profile) -> None:
        """Returns when it has begun. Cancelling that ends it. Error handling: ToolError."""
        assert self._nursery is not None  # services run before anybody can ask
        job = _Job(state.id, state.user, body.number)
        self._running.setdefault(state.id, {})[job.number] = job
        self._nursery.start_soon(self._live, job, body, argv, profile)
        try:
            await job.began.wait()
        except trio.Cancelled:
            job.scope.cancel()
            raise
        if job.failure is not None:
            raise job.failure

    def refuse_more(self, session: str) -> None:
        """Error handling: ToolError if as many run as may."""
        limit = self._settings().jobs
        if len(self.running(session)) >= limit:
            raise ToolError(f"{limit} jobs run in this session, and no more may (tools.jobs); kill one that is not needed any more")

    async def output(self, session: str, number: int, offset: int) -> tuple[bytes, int, int]:
        """See ports.Jobs."""
        if job := self.running(session).get(number):
            return piece(job.ring.kept, job.ring.total, offset)
        end = await self._end_of(session, number)
        return piece(await self._content(session, end.parts), end.bytes, offset)

    # --- the life of a job -------------------------------------------------------------------------------------------------

    async def _live(self, job: _Job, body: ev.JobStarted, argv: Sequence[str], profile: Profile) -> None:
        try:
            with job.scope:
                await self._follow(job, body, argv, profile)
        except ToolError as error:  # it could not be started
            job.failure = error
        except StorageFull as error:
            job.failure = ToolError(f"the job was not started: {error.message}")
        finally:
            if job.recorded:
                await self._record(job)
            self._forget(job)
            job.failure = job.failure or (None if job.began.is_set() else ToolError("the job was ended before it began"))
            job.began.set()
            job.over.set()

    def _forget(self, job: _Job) -> None:
        others = self._running[job.session]
        del others[job.number]
        if not others:
            del self._running[job.session]

    async def _follow(self, job: _Job, body: ev.JobStarted, argv: Sequence[str], profile: Profile) -> None:
        async with self._spawner.start(argv, profile) as process:
            with trio.CancelScope(shield=True):  # it is in the log or it is not: nobody has to guess
                await self._store.append([NewEvent(job.session, job.user, body)])
            job.recorded = True
            await process.go()
            job.began.set()
            while data := await process.receive():
                job.ring.add(data)
            job.code = await process.wait()

    async def _record(self, job: _Job) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE) as closing:
            parts = await self._parts(job)
            end = ev.JobFinished(number=job.number, state=job.state, code=job.code, parts=parts, bytes=job.ring.total)
            await self._store.append([NewEvent(job.session, job.user, end)], essential=True)
        if closing.cancelled_caught:  # a full disk: as long as it takes, or until the daemon stops
            await self._store.flush()

    async def _parts(self, job: _Job) -> tuple[Text | BlobRef, ...]:
        """What is kept of its output, byte for byte: where reading goes on does not change with its end."""
        kept = job.ring.kept
        if len(kept) <= _IN_EVENT and (text := _as_text(kept)) is not None:
            return (Text(text=text),) if text else ()
        if self._store.full:
            return ()
        blob = await self._store.put_blob(job.session, kept, essential=True)
        head, tail = (some.decode("utf-8", "replace") for some in (kept[:_SHOWN], kept[-_SHOWN:]))
        return (BlobRef(blob=blob, bytes=len(kept), media="text/plain", head=head, tail=tail),)

    # --- after its end -----------------------------------------------------------------------------------------------------

    async def _end_of(self, session: str, number: int) -> ev.JobFinished:
        """Looked for in the log from its end on: who asks mostly asks soon."""
        async with aclosing(loading.newest(self._store, session, ev.JobFinished, most=_MOST_BACK)) as ends:
            async for end in ends:
                if end.number == number:
                    return end
        return ev.JobFinished(number=number, state="lost")

    async def _content(self, session: str, parts: Sequence[Text | BlobRef]) -> bytes:
        content = b""
        for part in parts:
            if isinstance(part, Text):
                content += part.text.encode()
            elif found := await self._store.get_blob(session, part.blob, 0, KEPT):
                content += found[0]
        return content


def _as_text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


class SessionJobs:
    """`ports.Jobs` of one session."""

    def __init__(self, background: Background, state: SessionState) -> None:
        self._background, self._state = background, state

    async def start(self, call: str, command: str, argv: Sequence[str], profile: Profile) -> JobInfo:
        self._background.refuse_more(self._state.id)
        number = max([*(job.number for job in self._state.jobs), *self._background.running(self._state.id)], default=0) + 1
        body = ev.JobStarted(number=number, call=call, command=command, cwd=profile.cwd)
        await self._background.start(self._state, body, argv, profile)
        return self.info(number)

    def list(self) -> Sequence[JobInfo]:
        return sorted(self._state.jobs, key=attrgetter("number"))

    def info(self, number: int) -> JobInfo:
        """Error handling: NotFound."""
        found = next((job for job in self._state.jobs if job.number == number), None)
        if found is None:
            raise NotFound(f"there is no job {number} in this session")
        return found

    async def wait(self, number: int, seconds: float) -> JobInfo:
        self.info(number)
        if job := self._background.running(self._state.id).get(number):
            with trio.move_on_after(seconds):
                await job.over.wait()
        return self.info(number)

    async def output(self, number: int, offset: int) -> tuple[bytes, int, int]:
        self.info(number)
        return await self._background.output(self._state.id, number, offset)

    async def kill(self, number: int) -> JobInfo:
        self.info(number)
        if job := self._background.running(self._state.id).get(number):
            job.scope.cancel()
            await job.over.wait()
        return self.info(number)
