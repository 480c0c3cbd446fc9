"""A session with background jobs: real processes under a real core, and a mailbox that they can write to."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, evolve

from agentd.core.jobs import SessionJobs
from agentd.core.live import Live
from agentd.ports import Profile
from agentwire import events as ev
from agentwire.types import JobInfo
from tests.fakes.house import SETTINGS, House, open_house
from tests.fakes.models import FakeModels, Say
from tests.fakes.processes import PATIENCE, Mailbox, mailbox

PROFILE = Profile(cwd="/", environment={"PATH": os.environ["PATH"]}, gated=True, silent=True, merged=True)


@define
class Yard:
    """A session with jobs, and a mailbox that they can write to."""

    house: House
    live: Live
    box: Mailbox

    @property
    def jobs(self) -> SessionJobs:
        return self.house.core.jobs.of(self.live.state)

    async def start(self, command: str) -> JobInfo:
        return await self.jobs.start("c1", command, ["/bin/sh", "-c", command], PROFILE)

    async def ended(self, command: str) -> JobInfo:
        info = await self.jobs.wait((await self.start(command)).number, PATIENCE)
        assert info.state != "running"
        return info

    async def said(self, number: int, offset: int = 0) -> tuple[bytes, int, int]:
        return await self.jobs.output(number, offset)

    def finished(self, number: int = 1) -> ev.JobFinished:
        (end,) = [event.body for event in self.house.events if event.kind == "job_finished" and event.body.number == number]
        assert isinstance(end, ev.JobFinished)
        return end


@asynccontextmanager
async def yard(**settings: Any) -> AsyncIterator[Yard]:
    with mailbox() as box:
        async with open_house(FakeModels(lambda _: Say(["ok"])), settings=evolve(SETTINGS, **settings)) as house:
            yield Yard(house, await house.create(), box)
