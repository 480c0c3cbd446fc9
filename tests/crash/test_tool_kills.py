"""kill -9 at each point of a shell command in its sandbox, and what is left of it a second later; and many cancels.

A command's effect is a line with its call's id. Whatever the moment, there is at most one line for each call, each line belongs to
a call that the log knows as started, and no process of it is alive one second later.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.history import outcomes
from tests.fakes.real import ROUNDS, Daemon, Home, Models, Peer, call, eventually, rule, say

EACH = max(5, ROUNDS // 4)
"""Kills at each point: 50, or 5 where time is short."""
LEFT = 1.0
"""Seconds after which nothing of a call may live (promises.md)."""

EFFECT = 'echo "$AGENTD_CALL_ID" >> effects'
SCRIPTS = {
    "quick": EFFECT,
    "asks": EFFECT,
    "holds": f"{EFFECT}; sleep 1000",
    "talks": f"{EFFECT}; while :; do echo tick; sleep 0.1; done",
    "escapes": f"{EFFECT}; (setsid sleep 1000 &); nohup sleep 1000 & trap '' TERM HUP INT; sleep 1000; sleep 1000",
}
"""Programs of the workspace; all but `asks` are allowed by a rule."""
RULES = [
    *(rule(f"^{name}", call("shell", command=f"./{name}"), after_tools=0) for name in SCRIPTS),
    rule("", say("I see.")),
]


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


class Work:
    """A home with a workspace, and what the commands did in it."""

    def __init__(self, home: Home) -> None:
        self.home = home
        allowed = ", ".join(f'"shell(./{name})"' for name in SCRIPTS if name != "asks")
        home.write("config/config.toml", f"[permissions]\nallow = [{allowed}]\n")
        for name, script in SCRIPTS.items():
            home.write(f"work/{name}", f"#!/bin/sh\n{script}\n").chmod(0o755)
        self.directory = home.path / "work"

    @property
    def effects(self) -> list[str]:
        path = self.directory / "effects"
        return path.read_text().split() if path.exists() else []

    async def begin(self, peer: Peer, name: str, *, interactive: bool = False) -> str:
        """A session, watched, whose turn makes the command."""
        session: str = (await peer.call("session/create", cwd=str(self.directory)))["id"]
        await peer.call("session/watch", session=session)
        await peer.prompt(session, name, interactive=interactive)
        return session

    async def nothing_left(self) -> None:
        """Of any command, within the promised second (looked for a little longer: the test's own wait is coarse)."""
        await eventually(lambda: not self.commands, f"the end of {self.commands}", seconds=LEFT)

    @property
    def commands(self) -> list[str]:
        known = ("agentd.main", "llama", "_function")
        return [line for line in self.home.processes().values() if not any(word in line for word in known)]


@pytest.fixture
def work() -> Iterator[Work]:
    with Home() as home:
        yield Work(home)


async def settled(daemon: Daemon, session: str) -> list[dict[str, Any]]:
    """The session's log, once its turn is over: somebody watches, so it goes on, and a question is answered with yes."""
    async with daemon.connect() as peer:
        watching = await peer.call("session/watch", session=session)
        for question in watching["view"]["approvals"]:
            asked = {"call": question["call"], "arguments_hash": question["arguments_hash"]}
            await peer.call("approval/answer", session=session, decision="allow", **asked)
        log = await peer.log(session)
        if not any(event["kind"] == "turn_finished" for event in log):
            await peer.until("turn_finished")
        return await peer.log(session)


POINTS = {
    # name of the command, what is waited for before the kill, the outcomes that the call may have in the end
    "started": ("quick", "tool_started", {"ok", "unknown"}),
    "asked": ("asks", "approval_requested", {"ok"}),
    "approved": ("asks", "approval_answered", {"ok", "unknown"}),
    "running": ("holds", "effect", {"unknown"}),
    "talking": ("talks", "tool_progress", {"unknown"}),
    "done": ("quick", "effect", {"ok", "unknown"}),
    "recorded": ("quick", "tool_finished", {"ok"}),
}


async def struck(work: Work, models: Models, command: str, moment: str) -> str:
    """Run the command and kill the daemon at the moment; the session."""
    daemon = work.home.start(models)
    before = len(work.effects)
    async with daemon.connect() as peer:
        session = await work.begin(peer, command, interactive=command == "asks")
        question = (await peer.until("approval_requested"))["data"] if command == "asks" else {}
        if moment == "approval_answered":
            asked = {"call": question["call"], "arguments_hash": question["arguments_hash"]}
            await peer.call("approval/answer", session=session, decision="allow", **asked)
        elif moment == "effect":
            await eventually(lambda: len(work.effects) > before, "the effect")
        elif moment != "approval_requested":
            await peer.until(moment)
    daemon.kill()
    return session


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("point", POINTS)
async def test_killed_when(point: str, work: Work, models: Models) -> None:
    """No effect is repeated, none is unrecorded, and no process is left."""
    command, moment, possible = POINTS[point]
    for _ in range(EACH):
        session = await struck(work, models, command, moment)
        await work.nothing_left()
        daemon = work.home.start(models)
        log = await settled(daemon, session)
        assert await daemon.stop() == 0  # a good end: three bad ones in a row would suspend resuming
        ((one, outcome),) = outcomes(log).items()
        lines = work.effects.count(one)
        assert outcome in possible, (outcome, lines)
        assert lines == 1 if outcome == "ok" or command in ("holds", "talks") else lines <= 1
        assert any(event["kind"] == "tool_started" and event["data"]["call"] == one for event in log) or not lines
    assert len(work.effects) == len(set(work.effects))


async def cancelled(work: Work, models: Models, times: int) -> None:
    daemon = work.home.start(models)
    async with daemon.connect() as peer:
        for _ in range(times):
            before = len(work.effects)
            session = await work.begin(peer, "escapes")
            await eventually(lambda before=before: len(work.effects) > before, "the effect")  # type: ignore[misc]
            await peer.call("session/cancel", session=session)
            await peer.until("turn_finished", outcome="cancelled")
            await work.nothing_left()
    assert len(work.effects) == times == len(set(work.effects))


async def test_nothing_is_left_of_what_is_cancelled(work: Work, models: Models) -> None:
    """Not of a process in a session of its own, nor of one that ignores every signal that can be ignored."""
    await cancelled(work, models, 5)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_nothing_is_left_of_many_that_are_cancelled(work: Work, models: Models) -> None:
    """The same, 200 times (20 where time is short)."""
    await cancelled(work, models, 200 if ROUNDS >= 200 else 20)


async def test_what_is_left_in_the_background_holds_nothing_up(work: Work) -> None:
    """The call is over within a second of its command, and so is what it left."""
    rules = [rule("", call("shell", command="sleep 1000 & echo left"), after_tools=0), rule("", say("I see."))]
    with Models(rules) as models:
        async with work.home.start(models).connect() as peer:
            await work.begin(peer, "go")
            over = (await peer.until("tool_finished"))["data"]
            assert over["outcome"] == "ok" and "left" in over["parts"][0]["text"] and over["seconds"] < 5.0
            await work.nothing_left()


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_long_command_lives_to_its_end(work: Work) -> None:
    """Thirty seconds are nothing to wait for; a limit of its own ends another one, and all of it."""
    commands = [
        call("shell", command="sleep 16; echo half; sleep 16; echo survived"),
        call("shell", command="sleep 1000", timeout=1),
    ]
    rules = [rule("", command, after_tools=index) for index, command in enumerate(commands)]
    with Models([*rules, rule("", say("I see."))]) as models:
        async with work.home.start(models).connect() as peer:
            await work.begin(peer, "go")
            for outcome, says in (("ok", "survived"), ("error", "1 s")):
                while (event := await peer.event())["kind"] != "tool_finished":
                    pass
                assert event["data"]["outcome"] == outcome and says in event["data"]["parts"][0]["text"], event
            await work.nothing_left()
