"""The tool `job`: what runs in the background of the session, what it says, and its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from attrs import frozen

from agentd.ports import Jobs, Profile, ToolContext, ToolOutcome, ToolSpec
from agentd.toolsources.arguments import structured
from agentd.toolsources.shell.output import readable
from agentwire.errors import NotFound, ToolError
from agentwire.types import JobInfo, Text

NAME = "job"
FIRST_LOOK = 0.5
"""Seconds in which a job that is wrong from the beginning says so."""
_SHOWN = 16 * 1024
"""Bytes of output that one call shows."""
_LONGEST_WAIT = 600.0

_DESCRIPTION = """\
The session's background jobs, started by shell with `background: true`.
- list: all of them and how they are.
- output: what job `number` has said, from byte `offset` on (negative: from the end; without it the end). The answer says where to \
read on. `wait` gives it up to so many seconds to end first: better than asking again and again.
- kill: end job `number` and everything it started."""


@frozen(kw_only=True)
class JobArguments:
    action: Literal["list", "output", "kill"]
    number: Annotated[int, msgspec.Meta(ge=1)] | None = None
    offset: int = -_SHOWN
    wait: Annotated[float, msgspec.Meta(ge=0, le=_LONGEST_WAIT)] = 0.0


def spec() -> ToolSpec:
    """It ends nothing but what the session began: nobody has to be asked, in no mode."""
    properties = {
        "action": {"type": "string", "enum": ["list", "output", "kill"]},
        "number": {"type": "integer", "minimum": 1, "description": "the job's number, for output and kill"},
        "offset": {"type": "integer", "description": "for output: the byte to begin at; negative: so many from the end"},
        "wait": {
            "type": "number",
            "minimum": 0,
            "maximum": _LONGEST_WAIT,
            "description": "for output: seconds to wait for its end",
        },
    }
    parameters = {"type": "object", "properties": properties, "required": ["action"], "additionalProperties": False}
    return ToolSpec(name=NAME, description=_DESCRIPTION, parameters=parameters, effect="read", policy="allow")


def parse(arguments: Mapping[str, Any]) -> JobArguments:
    """Raises ToolError for what does not fit."""
    asked = structured(arguments, JobArguments)
    if asked.action != "list" and asked.number is None:
        raise ToolError(f"arguments.number: {asked.action} needs the job's number; action list tells them")
    return asked


async def call(asked: JobArguments, context: ToolContext) -> ToolOutcome:
    """One action. Raises ToolError for a job that is not there."""
    jobs = _jobs(context)
    if asked.number is None or asked.action == "list":
        return _said(_listed(jobs.list()))
    try:
        if asked.action == "kill":
            return _said(f"[job {_described(await jobs.kill(asked.number))}]")
        info = await jobs.wait(asked.number, asked.wait)
        return _said(await _output(jobs, info, asked.offset))
    except NotFound as error:
        raise ToolError(error.message) from None


async def begin(command: str, argv: Sequence[str], profile: Profile, context: ToolContext) -> ToolOutcome:
    """Start a job, and tell what it said in its first half second."""
    jobs = _jobs(context)
    info = await jobs.start(context.call, command, argv, profile)
    info = await jobs.wait(info.number, FIRST_LOOK)
    said = await _output(jobs, info, -_SHOWN)
    return ToolOutcome(outcome="error" if info.state == "failed" else "ok", parts=(Text(text=said),))


def _jobs(context: ToolContext) -> Jobs:
    if context.jobs is None:
        raise ToolError("there are no background jobs here: without a session nothing looks after them")
    return context.jobs


async def _output(jobs: Jobs, info: JobInfo, offset: int) -> str:
    data, begin, total = await jobs.output(info.number, offset)
    data = data[:_SHOWN]
    remarks = [f"job {_described(info)}"]
    if offset >= 0 and begin > offset:
        remarks.append(f"what came before byte {begin:,} is not kept")
    elif offset < 0 < begin:
        remarks.append(f"this begins at byte {begin:,}")
    if offset > 0 and not data:
        remarks.append("nothing new")
    end = begin + len(data)
    remarks.append(f"read on at offset {end}" + (f", of {total:,}" if end < total else ""))
    return "\n".join([*filter(None, [readable(data).rstrip("\n")]), *(f"[{remark}]" for remark in remarks)])


def _listed(jobs: Sequence[JobInfo]) -> str:
    return "\n".join(f"{_described(info)}: {info.command.strip().splitlines()[0][:200]}" for info in jobs) or "there are no jobs"


def _described(info: JobInfo) -> str:
    code = f", exit code {info.code}" if info.code is not None and info.code >= 0 else ""
    return f"{info.number}, {_STATES[info.state]}{code}"


_STATES = {
    "running": "running",
    "done": "done",
    "failed": "failed",
    "killed": "killed",
    "lost": "lost: the daemon ended before it",
}


def _said(text: str) -> ToolOutcome:
    return ToolOutcome(outcome="ok", parts=(Text(text=text),))
