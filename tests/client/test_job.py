"""`agentctl job`: a table for people, values and documents for scripts, and an exit code that says how a job ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.client.cli import agentctl
from tests.fakes.daemon_server import FakeDaemon

JOB: dict[str, Any] = {
    "number": 1,
    "command": "npm run dev\n",
    "cwd": "/w",
    "state": "running",
    "started_at": 1000.0,
    "call": "c",
    "finished_at": None,
    "code": None,
}
OVER = {**JOB, "state": "failed", "finished_at": 1002.5, "code": 3}


def piece(text: str, offset: int, job: dict[str, Any] = JOB) -> dict[str, Any]:
    return {"job": job, "text": text, "offset": offset, "end": offset + len(text), "oldest": 0}


def test_the_jobs_of_a_session(home: Path) -> None:
    """Values in a pipe, the daemon's own words as a document."""
    with FakeDaemon(home, answers={"job/list": {"jobs": [OVER]}}) as daemon:
        assert agentctl(home, "job", "list", "5e55").out == "1\tfailed\t2.5\t3\t/w\tnpm run dev\n"
        assert agentctl(home, "job", "list", "5e55", "--json").document == [OVER]
        assert daemon.asked("job/list") == [{"session": "5e55"}] * 2


def test_what_it_has_said(home: Path) -> None:
    """All that is kept, piece by piece; what is not any more is told of beside it."""
    said = [piece("one\n", 7), piece("two\n", 11), piece("", 15)]
    with FakeDaemon(home, answers={"job/output": said}) as daemon:
        answer = agentctl(home, "job", "output", "5e55", "1")
        assert [asked["offset"] for asked in daemon.asked("job/output")] == [0, 11, 15]
    assert (answer.out, answer.code) == ("one\ntwo\n", 0) and "7 bytes before this" in answer.err


@pytest.mark.parametrize(("end", "code"), [(OVER, 54), ({**OVER, "state": "done", "code": 0}, 0), ({**OVER, "state": "lost"}, 54)])
def test_following_it_to_its_end(home: Path, end: dict[str, Any], code: int) -> None:
    """What comes meanwhile is shown; the exit code is that of a tool that failed, if it did."""
    pieces = [piece("one\n", 0), piece("", 4), piece("two\n", 4, end), piece("", 8, end)]
    with FakeDaemon(home, answers={"job/output": pieces}):
        answer = agentctl(home, "job", "output", "5e55", "1", "-f")
    assert (answer.out, answer.code) == ("one\ntwo\n", code) and f"job 1 is over: {end['state']}" in answer.err


def test_killing_it(home: Path) -> None:
    """The job as it is then."""
    killed = {**JOB, "state": "killed", "finished_at": 1002.5}
    with FakeDaemon(home, answers={"job/kill": killed}) as daemon:
        assert agentctl(home, "job", "kill", "5e55", "1", "--json").document == killed
        assert agentctl(home, "job", "kill", "5e55", "1").code == 0
        assert daemon.asked("job/kill") == [{"session": "5e55", "number": 1}] * 2
