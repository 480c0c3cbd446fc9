"""The life of a daemon that is killed again and again, the clients who live through it, and what must be true of it afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio
from attrs import define, field

from agentwire.errors import Stopping, Unreachable
from tests.fakes.history import Screen, ends, gap_free, iterate, outcomes, text_of
from tests.fakes.real import PATIENCE, Daemon, Home, Models, Peer, call, eventually, rule

ORPHAN_SECONDS = 3.0
"""promises.md says 1 s; a child that is still starting when the daemon dies needs a processor to notice, and CI has few."""

TOOLS = """
import os, time
from agentd.tool import tool

@tool(policy="allow")
def note(text: str) -> str:
    "An effect that must happen once: a line, and a while in which we may be killed."
    file = os.open(os.path.expanduser("~/effects"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{os.environ['AGENTD_CALL_ID']} {text}\\n".encode())
    time.sleep(0.05)
    return "noted"

@tool(effect="read", policy="allow")
def look(n: int) -> str:
    "May be repeated."
    return f"saw {n}"
"""
RULES = [
    rule("job", {"verb": "tokens", "count": 50, "delay": 0.008}, call("note", text="first"), call("look", n=1), after_tools=0),
    rule("job", {"verb": "tokens", "count": 15, "delay": 0.008}, call("note", text="second"), after_tools=2),
    rule("job", {"verb": "tokens", "count": 60, "delay": 0.008}, after_tools=3),
]
WHOLE = "".join(f"w{number} " for count in (50, 15, 60) for number in range(count))
"""What the model says in a turn, however often it was cut."""


@define(eq=False)
class Follower:
    """A client that watches one session through every restart with `after`, and keeps what it saw."""

    session: str
    life: Life
    seen: list[dict[str, Any]] = field(factory=list)
    screen: Screen = field(factory=Screen)
    _boot: str = ""

    async def watch(self, peer: Peer) -> None:
        after = self.seen[-1]["seq"] if self.seen else 0
        self._arrive((await peer.call("session/watch", session=self.session, after=after))["boot"])
        while True:
            self._take(await peer.event())
            self.life.tick()

    def _arrive(self, boot: str) -> None:
        if boot != self._boot:  # what another boot showed of a reply that never became a message is withdrawn
            known = {(event["data"]["turn"], event["data"]["step"]) for event in self.seen if event["kind"] == "assistant_message"}
            self.screen.shown = {key: text for key, text in self.screen.shown.items() if key[:2] in known}
        self._boot = boot

    def _take(self, event: dict[str, Any]) -> None:
        self.screen.take(event)
        if "seq" in event:
            self.seen.append(event)
        if event["kind"] == "assistant_message":
            self._compare(event["data"])

    def _compare(self, message: dict[str, Any]) -> None:
        """Whoever saw the reply stream saw exactly what became the message."""
        said = "".join(part["text"] for part in message["parts"] if part["kind"] == "text")
        shown = self.screen.shown.get((message["turn"], message["step"], 0), said)
        assert shown == said, f"turn {message['turn']} step {message['step']}: shown {shown!r}, kept {said!r}"

    def answered(self, number: int) -> bool:
        """The turn of input `number` was seen to end."""
        turns = [
            event["data"]["turn"] for event in self.seen if event["kind"] == "turn_started" and event["data"]["input"] == number
        ]
        return bool(turns) and turns[0] in ends(self.seen)


@define(eq=False)
class Life:
    """One home, its daemons one after the other, and their clients.

    `acknowledged`: the prompts the daemon answered to, as (follower, text) -> answer. `asking`: those it has not yet.
    """

    home: Home
    models: Models
    random: Random
    daemon: Daemon
    followers: list[Follower] = field(factory=list)
    acknowledged: dict[tuple[Follower, str], dict[str, Any]] = field(factory=dict)
    asking: int = 0
    _next: trio.Event = field(factory=trio.Event)  # set when the daemon after this one is there
    _moment: trio.Event = field(factory=trio.Event)
    _left: int = 0

    # --- clients -----------------------------------------------------------------------------------------------------------

    async def through_it_all(self, action: Callable[[Peer], Awaitable[None]]) -> None:
        """Run `action` on a connection; when that breaks, again on one to the next daemon, until it returns."""
        while True:
            following = self._next
            try:
                async with self.daemon.connect() as peer:
                    return await action(peer)
            except (OSError, Unreachable, Stopping):
                await following.wait()

    async def ask(self, follower: Follower, text: str) -> None:
        """Prompt with a key, again and again until it is acknowledged."""

        async def prompt(peer: Peer) -> None:
            self.acknowledged[follower, text] = await peer.prompt(follower.session, text, key=text)

        self.asking += 1
        await self.through_it_all(prompt)
        self.asking -= 1
        self.tick()

    def tick(self) -> None:
        """Something was seen: is it time to strike?"""
        self._left -= 1
        if self._left <= 0 or self.quiet:
            self._moment.set()

    @property
    def quiet(self) -> bool:
        return not self.asking and all(one.answered(answer["input"]) for (one, _), answer in self.acknowledged.items())

    async def moment(self, frames: int) -> None:
        """Wait until clients have seen so many more frames, or everything is done."""
        self._left, self._moment = frames, trio.Event()
        with trio.fail_after(PATIENCE):
            await self._moment.wait()

    # --- daemons -----------------------------------------------------------------------------------------------------------

    async def kill(self) -> None:
        """kill -9; nothing of the daemon lives on."""
        self.daemon.kill()
        await eventually(lambda: not self.home.processes(), "the end of its children", seconds=ORPHAN_SECONDS)

    async def stop(self) -> None:
        """SIGTERM: ends with 0, in time, and leaves nothing."""
        assert await self.daemon.stop() == 0, self.home.stderr
        assert not self.home.processes()

    def restart(self) -> None:
        self.daemon = self.home.start(self.models)
        self._next.set()
        self._next = trio.Event()

    # --- what must be true --------------------------------------------------------------------------------------------------

    async def check(self) -> None:
        """Compare what clients saw and were promised with what the log says."""
        lines = Counter(words[0] for words in iterate(self.home.path / "effects"))
        assert not [number for number, times in lines.items() if times > 1], f"repeated: {lines}"
        async with self.daemon.connect() as peer:
            for follower in self.followers:
                log = await peer.log(follower.session)
                gap_free(log)
                ends(log)
                _as_it_was_seen(follower, log)
                _acknowledged(self.acknowledged, follower, log)
                _effects(log, lines)


def _as_it_was_seen(follower: Follower, log: Sequence[dict[str, Any]]) -> None:
    """Every event once, in order, the same for whoever saw it and whoever reads it later."""
    seen = list(follower.seen)
    assert seen == log[: len(seen)]


def _acknowledged(
    promises: Mapping[tuple[Follower, str], dict[str, Any]], follower: Follower, log: Sequence[dict[str, Any]]
) -> None:
    """Every acknowledged input is there, where the answer said, and once."""
    inputs = [event for event in log if event["kind"] == "input_accepted"]
    texts = Counter(event["data"]["parts"][0]["text"] for event in inputs)
    assert not [text for text, times in texts.items() if times > 1], "one key, two inputs"
    for (whose, text), answer in promises.items():
        if whose is follower:
            event = log[answer["seq"] - 1]
            assert (event["kind"], event["data"]["input"]) == ("input_accepted", answer["input"])
            assert event["data"]["parts"][0]["text"] == text


def _effects(log: Sequence[dict[str, Any]], lines: Mapping[str, int]) -> None:
    """No effect without a `tool_started` before it, no `ok` without its effect."""
    started = {event["data"]["call"] for event in log if event["kind"] == "tool_started"}
    notes = {event["data"]["call"] for event in log if event["kind"] == "tool_planned" and event["data"]["name"] == "note"}
    ours = {number for number in lines if number in notes}
    assert ours <= started
    assert {number for number, outcome in outcomes(log).items() if outcome == "ok"} & notes <= ours


def complete(follower: Follower) -> None:
    """Every turn is over; one that was done has the whole text, once."""
    log = follower.seen
    resumes = Counter(event["data"]["turn"] for event in log if event["kind"] == "turn_resumed" and event["data"]["resumes"] == 3)
    started = [event["data"]["turn"] for event in log if event["kind"] == "turn_started"]
    assert sorted(ends(log)) == started
    for turn, outcome in ends(log).items():
        assert outcome == "done" or (outcome == "interrupted" and resumes[turn]), f"turn {turn} is {outcome}"
        if outcome == "done":
            assert text_of(log, turn) == WHOLE


@asynccontextmanager
async def life(seed: int, models: Models, sessions: int) -> AsyncIterator[Life]:
    """A daemon with a few followed sessions."""
    with Home(AGENTD_DAEMON_SHUTDOWN_GRACE="0.2") as home:
        home.write("config/tools/effects.py", TOOLS)
        one = Life(home, models, Random(seed), home.start(models))
        async with trio.open_nursery() as nursery:
            async with one.daemon.connect() as peer:
                for _ in range(sessions):
                    session = (await peer.call("session/create", cwd="/"))["id"]
                    one.followers.append(Follower(session, one))
            for follower in one.followers:
                nursery.start_soon(one.through_it_all, follower.watch)
            try:
                yield one
            except BaseException:
                print(home.log[-6000:])  # noqa: T201 - shown with the failure
                raise
            nursery.cancel_scope.cancel()
