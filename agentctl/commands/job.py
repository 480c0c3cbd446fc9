"""`agentctl job`: what runs in the background of a session: which jobs there are, what they say, and their end."""

from __future__ import annotations

import select
import time

from agentctl import arguments
from agentctl.client import Client
from agentctl.output import Output, duration
from agentwire.errors import ToolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from agentwire.paths import Paths

EXAMPLES = """\
agentctl job list 4f2a
agentctl job output 4f2a 1 -f
agentctl job kill 4f2a 1"""
_LOOK_SECONDS = 0.25
"""Between two looks at a job that is followed."""
_KILL_SECONDS = 30.0


def parser() -> ArgumentParser:
    """The arguments of `job`."""
    made = arguments.make("agentctl job", "commands that a session runs in the background", EXAMPLES)
    group = arguments.verbs(made)
    listed = arguments.verb(group, "list", "the jobs that run, and the last ones that did", "agentctl job list 4f2a --json")
    output = arguments.verb(
        group,
        "output",
        "what a job has said: the last mebibyte of it",
        "agentctl job output 4f2a 1\nagentctl job output 4f2a 1 -f          until it ends; exit 54 if it failed",
    )
    output.add_argument("-f", "--follow", action="store_true", help="go on until the job ends; Ctrl-C ends only the looking")
    kill = arguments.verb(group, "kill", "end a job and everything it started", "agentctl job kill 4f2a 1")
    for each in (listed, output, kill):
        each.add_argument("session", metavar="SESSION", help="the session's id; its beginning will do")
        arguments.add_json(each)
    for each in (output, kill):
        each.add_argument("number", metavar="N", type=arguments.positive, help="the job's number, as `job list` shows it")
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Runs the verb."""
    out = Output(args)
    with Client.connect(paths) as client:
        return _VERBS[args.verb](client, args, out)


def _list(client: Client, args: Namespace, out: Output) -> int:
    jobs = client.call("job/list", {"session": args.session})["jobs"]
    if args.json:
        out.document(jobs)
    elif jobs:
        out.table(("N", "STATE", "TIME", "CODE", "DIRECTORY", "COMMAND"), [_row(job, out) for job in jobs], right={0, 3})
    else:
        out.detail("no jobs")
    return 0


def _row(job: dict[str, Any], out: Output) -> tuple[str, ...]:
    seconds = (job["finished_at"] or time.time()) - job["started_at"]
    took = duration(seconds) if out.tty else f"{seconds:.1f}"
    return (str(job["number"]), job["state"], took, "" if job["code"] is None else str(job["code"]), job["cwd"], job["command"])


def _output(client: Client, args: Namespace, out: Output) -> int:
    offset = 0
    while True:
        read = client.call("job/output", {"session": args.session, "number": args.number, "offset": offset})
        if read["offset"] > offset:
            out.note(f"{read['offset'] - offset:,} bytes before this are not kept any more")
        if args.json:
            out.line(read)
        else:
            out.stream(out.safe(read["text"]))
        running, more = read["job"]["state"] == "running", bool(read["text"])
        offset = read["end"]
        if not more and not (args.follow and running):
            return _ended(read["job"], out) if args.follow else 0
        if not more:
            select.select([], [], [], _LOOK_SECONDS)


def _ended(job: dict[str, Any], out: Output) -> int:
    code = "" if job["code"] is None else f", exit code {job['code']}"
    out.note(f"job {job['number']} is over: {job['state']}{code}")
    return 0 if job["state"] == "done" else ToolError.exit_code


def _kill(client: Client, args: Namespace, out: Output) -> int:
    job = client.call("job/kill", {"session": args.session, "number": args.number}, timeout=_KILL_SECONDS)
    if args.json:
        out.document(job)
    else:
        out.note(f"job {job['number']}: {job['state']}")
    return 0


_VERBS = {"list": _list, "output": _output, "kill": _kill}
