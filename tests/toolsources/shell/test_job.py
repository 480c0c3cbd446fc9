"""The tool `job`, and the shell's `background`: what a model is told of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from attrs import define, evolve, field

from agentd.core.jobs import piece
from agentd.ports import Profile, ToolContext
from agentd.spawn import TrioSpawner
from agentd.toolsources.shell.tools import ShellTools
from agentwire.errors import NotFound, ToolError
from agentwire.types import JobInfo, Text

TOOLS = ShellTools(TrioSpawner(), lambda: 30.0)


@define
class FakeJobs:
    """`ports.Jobs` without processes: each job has said `said` and is as `state` says."""

    said: bytes = b""
    kept: int = 1 << 20
    state: Any = "running"
    code: int | None = None
    jobs: dict[int, JobInfo] = field(factory=dict)
    started: list[tuple[Sequence[str], Profile]] = field(factory=list)
    waited: list[float] = field(factory=list)

    async def start(self, call: str, command: str, argv: Sequence[str], profile: Profile) -> JobInfo:
        await trio.lowlevel.checkpoint()
        self.started.append((argv, profile))
        number = len(self.started)
        self.jobs[number] = JobInfo(
            number=number, command=command, cwd=profile.cwd, state=self.state, started_at=0.0, call=call, code=self.code
        )
        return self.jobs[number]

    def list(self) -> Sequence[JobInfo]:
        return tuple(self.jobs.values())

    async def wait(self, number: int, seconds: float) -> JobInfo:
        await trio.lowlevel.checkpoint()
        if number not in self.jobs:
            raise NotFound(f"there is no job {number} in this session")
        self.waited.append(seconds)
        return self.jobs[number]

    async def output(self, number: int, offset: int) -> tuple[bytes, int, int]:
        await trio.lowlevel.checkpoint()
        return piece(self.said[-self.kept :], len(self.said), offset)

    async def kill(self, number: int) -> JobInfo:
        self.jobs[number] = evolve(await self.wait(number, 0), state="killed")
        return self.jobs[number]


async def tell(jobs: FakeJobs, name: str = "job", **arguments: Any) -> tuple[str, str]:
    context = ToolContext(session="s", cwd="/", environment={}, call="c1", jobs=jobs)
    outcome = await TOOLS.call(name, arguments, context)
    (part,) = outcome.parts
    assert isinstance(part, Text)
    return outcome.outcome, part.text


async def test_a_job_is_started_and_looked_at() -> None:
    """Gated, silent, in the call's environment; the answer has its number and how to read on."""
    jobs = FakeJobs(said=b"\x1b[32mserving\x1b[0m\n")
    told = await tell(jobs, "shell", command="npm run dev", background=True)
    assert told == ("ok", "serving\n[job 1, running]\n[read on at offset 17]")
    ((argv, profile),) = jobs.started
    assert argv[1:] == ["-c", "npm run dev"] and jobs.waited == [0.5]
    assert profile.gated and profile.silent and profile.merged and profile.environment["AGENTD_CALL_ID"] == "c1"


async def test_one_that_fails_at_once_is_an_error() -> None:
    """A job that is over with code 0 is none."""
    assert await tell(FakeJobs(b"no\n", state="failed", code=1), "shell", command="x", background=True) == (
        "error",
        "no\n[job 1, failed, exit code 1]\n[read on at offset 3]",
    )
    assert (await tell(FakeJobs(state="done", code=0), "shell", command="x", background=True))[0] == "ok"


async def test_listing() -> None:
    """A line for each; of a long command its beginning."""
    jobs = FakeJobs()
    assert await tell(jobs, action="list") == ("ok", "there are no jobs")
    await tell(jobs, "shell", command=f"npm {'x' * 300}\nmore", background=True)
    assert await tell(jobs, action="list") == ("ok", f"1, running: npm {'x' * 196}")


async def test_reading_on() -> None:
    """From where it said; a page at a time; what is not kept any more is said to be missing."""
    jobs = FakeJobs(said=b"0123456789" * 5000, kept=45_000)
    await tell(jobs, "shell", command="x", background=True)
    _, text = await tell(jobs, action="output", number=1, offset=10)
    assert text.startswith("0123456789")
    assert text.endswith("[job 1, running]\n[what came before byte 5,000 is not kept]\n[read on at offset 21384, of 50,000]")
    _, text = await tell(jobs, action="output", number=1, offset="21384", wait=20)
    assert text.endswith("[read on at offset 37768, of 50,000]") and jobs.waited[-1] == 20
    _, text = await tell(jobs, action="output", number=1, offset=-4)
    assert text == "6789\n[job 1, running]\n[this begins at byte 49,996]\n[read on at offset 50000]"
    _, text = await tell(jobs, action="output", number=1, offset=50_000)
    assert text == "[job 1, running]\n[nothing new]\n[read on at offset 50000]"


async def test_killing() -> None:
    """And what is not there."""
    jobs = FakeJobs()
    await tell(jobs, "shell", command="x", background=True)
    assert await tell(jobs, action="kill", number=1) == ("ok", "[job 1, killed]")
    for action in ("kill", "output"):
        with pytest.raises(ToolError, match="no job 2"):
            await tell(jobs, action=action, number=2)
