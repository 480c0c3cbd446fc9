"""The methods about background jobs: which there are, what they say, their end."""

from __future__ import annotations

import codecs
from collections.abc import Mapping

from agentd.core.api import Caller, Handler
from agentd.core.jobs import Background, SessionJobs, piece
from agentd.core.sessions import Sessions
from agentwire import methods as m
from agentwire.types import JobInfo

_PIECE = 64 * 1024


class JobMethods:
    def __init__(self, sessions: Sessions, jobs: Background) -> None:
        self._sessions, self._jobs = sessions, jobs
        self.handlers: Mapping[str, Handler] = {
            "job/list": self._list,
            "job/output": self._output,
            "job/kill": self._kill,
        }

    async def _list(self, caller: Caller, params: m.SessionRef) -> m.JobList:
        return m.JobList(jobs=tuple((await self._of(caller, params)).list()))

    async def _output(self, caller: Caller, params: m.ReadJob) -> m.JobOutput:
        jobs = await self._of(caller, params)
        job = jobs.info(params.number)  # before its output: what is read of one that has ended is all there is
        kept, oldest, total = await jobs.output(params.number, 0)
        data, begin, total = piece(kept, total, params.offset)
        text, used = _whole(data[:_PIECE], more=job.state == "running" or len(data) > _PIECE)
        return m.JobOutput(job=job, text=text, offset=begin, end=begin + used, oldest=oldest)

    async def _kill(self, caller: Caller, params: m.JobRef) -> JobInfo:
        return await (await self._of(caller, params)).kill(params.number)

    async def _of(self, caller: Caller, params: m.SessionRef) -> SessionJobs:
        live = await self._sessions.open(caller.user, params.session)
        return self._jobs.of(live.state)


def _whole(data: bytes, *, more: bool) -> tuple[str, int]:
    """As text, and how many bytes that is: half a character at the end waits for its other half, if there may be `more`."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data, final=not more)
    return text, len(data) - len(decoder.getstate()[0])
