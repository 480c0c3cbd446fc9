"""Background jobs under the real daemon, in the real sandbox: they outlive the turn, and nothing of them outlives the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agentwire.errors import NotFound
from tests.fakes.real import Daemon, Home, Models, Peer, call, eventually, rule, say

pytestmark = pytest.mark.slow

SERVE = "echo serving; setsid sleep 1000 & sleep 1000"
RULES = [
    rule("serve", call("shell", command=SERVE, background=True), after_tools=0),
    rule("serve", say("it serves"), after_tools=1),
    rule("look", call("job", action="output", number=1), after_tools=0),
    rule("look", call("job", action="kill", number=1), after_tools=1),
    rule("look", call("job", action="list"), after_tools=2),
    rule("look", say("seen"), after_tools=3),
    rule("fail", call("shell", command="echo no; exit 3", background=True), after_tools=0),
    rule("fail", say("it failed"), after_tools=1),
]


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as home:
        home.write("config/config.toml", '[permissions]\nallow = ["shell"]\n')
        yield home


def sleeping(home: Home) -> bool:
    return any("sleep 1000" in command for command in home.processes().values())


async def run(peer: Peer, session: str, text: str) -> list[str]:
    """What the tools of a turn said."""
    turn = (await peer.prompt(session, text))["turn"]
    await peer.until("turn_finished", turn=turn)
    ends = [
        event["data"] for event in await peer.log(session) if event["kind"] == "tool_finished" and event["data"]["turn"] == turn
    ]
    return ["".join(part["text"] for part in end["parts"]) for end in ends]


async def serving(daemon: Daemon) -> str:
    """A session in which a job runs, whose turn is over."""
    async with daemon.connect() as peer:
        session = await peer.create()
        (said,) = await run(peer, session, "serve")
        assert said == "serving\n[job 1, running]\n[read on at offset 8]"
        assert sleeping(daemon.home)
        return session


async def jobs_of(daemon: Daemon, session: str) -> list[dict[str, Any]]:
    async with daemon.connect() as peer:
        jobs: list[dict[str, Any]] = (await peer.call("job/list", session=session))["jobs"]
        return jobs


async def test_a_model_looks_after_its_job(home: Home, models: Models) -> None:
    """In a later turn it reads what the job said, and ends it and all that it started."""
    daemon = home.start(models)
    session = await serving(daemon)
    async with daemon.connect() as peer:
        view = (await peer.call("session/watch", session=session))["view"]
        assert [job["number"] for job in view["jobs"]] == [1]
        read, killed, listed = await run(peer, session, "look")
        assert read.startswith("serving\n[job 1, running]") and killed == "[job 1, killed]"
        assert listed == f"1, killed: {SERVE}"
        assert not sleeping(home)


async def test_a_job_that_fails_at_once_is_told_at_once(home: Home, models: Models) -> None:
    """The call is an error, with what it said."""
    async with home.start(models).connect() as peer:
        session = await peer.create()
        assert await run(peer, session, "fail") == ["no\n[job 1, failed, exit code 3]\n[read on at offset 3]"]
        assert "error" in [event["data"].get("outcome") for event in await peer.log(session)]


async def test_a_client_reads_and_kills(home: Home, models: Models) -> None:
    """Without any turn."""
    daemon = home.start(models)
    session = await serving(daemon)
    async with daemon.connect() as peer:
        read = await peer.call("job/output", session=session, number=1, offset=0)
        assert (read["text"], read["end"], read["job"]["state"]) == ("serving\n", 8, "running")
        assert (await peer.call("job/kill", session=session, number=1))["state"] == "killed"
        assert not sleeping(home)
        assert (await peer.call("job/output", session=session, number=1))["text"] == "serving\n"
        with pytest.raises(NotFound):
            await peer.call("job/kill", session=session, number=2)


async def test_kill_9_ends_jobs_and_the_next_daemon_says_so(home: Home, models: Models) -> None:
    """Nothing of them lives a moment later; they are lost, once and for all."""
    session = await serving(daemon := home.start(models))
    daemon.kill()
    await eventually(lambda: not sleeping(home), "the end of the job")
    for _ in range(2):
        daemon = home.start(models)
        (job,) = await jobs_of(daemon, session)
        assert (job["number"], job["state"]) == (1, "lost")
        assert await daemon.stop() == 0


async def test_kill_9_as_a_job_begins(home: Home, models: Models) -> None:
    """When its event is seen, it may have begun or not: nothing of it lives, and it is lost."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "serve")
        await peer.until("job_started")
        daemon.kill()
    await eventually(lambda: not sleeping(home), "the end of the job")
    (job,) = await jobs_of(home.start(models), session)
    assert job["state"] == "lost"


async def test_a_daemon_that_stops_ends_its_jobs(home: Home, models: Models) -> None:
    """And writes it down."""
    session = await serving(daemon := home.start(models))
    assert await daemon.stop() == 0
    assert not sleeping(home)
    (job,) = await jobs_of(home.start(models), session)
    assert job["state"] == "killed"


async def test_a_deleted_session_leaves_no_job(home: Home, models: Models) -> None:
    """When the answer is there, nothing of it lives."""
    session = await serving(daemon := home.start(models))
    async with daemon.connect() as peer:
        await peer.call("session/delete", session=session)
        assert not sleeping(home)
