"""The life of a daemon that is killed again and again, the clients who live through it, and what must be true of it afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import trio
from attrs import define, field

from agentwire.errors import Stopping, Unreachable
from tests.fakes.history import at_rest, ends, text_of
from tests.fakes.real import PATIENCE, Daemon, Home, Models, Peer, call, eventually, rule
from tests.fakes.verdict import judge
from tests.fakes.witness import Sight, Witness

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
    """A client that watches one session through every restart with `after`."""

    session: str
    life: Life
    witness: Witness = field(factory=Witness)

    @property
    def sight(self) -> Sight:
        return self.witness.sight(self.session)

    async def watch(self, peer: Peer) -> None:
        await peer.call("session/watch", session=self.session, after=self.sight.newest)
        while True:
            await peer.event()
            self.life.tick()

    def answered(self, number: int) -> bool:
        """The turn of input `number` was seen to end."""
        seen = self.sight.log
        turns = [event["data"]["turn"] for event in seen if event["kind"] == "turn_started" and event["data"]["input"] == number]
        return bool(turns) and turns[0] in ends(seen)


@define(eq=False)
class Life:
    """One home, its daemons one after the other, and their clients.

    `promised`: the inputs the daemon has acknowledged, as (follower, number). `asking`: prompts it has not answered to yet.
    """

    home: Home
    models: Models
    random: Random
    daemon: Daemon
    followers: list[Follower] = field(factory=list)
    witnesses: list[Witness] = field(factory=list)
    promised: list[tuple[Follower, int]] = field(factory=list)
    asking: int = 0
    _next: trio.Event = field(factory=trio.Event)  # set when the daemon after this one is there
    _moment: trio.Event = field(factory=trio.Event)
    _left: int = 0

    # --- clients -----------------------------------------------------------------------------------------------------------

    async def through_it_all(self, action: Callable[[Peer], Awaitable[None]], witness: Witness) -> None:
        """Run `action` on a connection; when that breaks, again on one to the next daemon, until it returns."""
        self.witnesses.append(witness)
        while True:
            following = self._next
            try:
                async with self.daemon.connect(witness) as peer:
                    return await action(peer)
            except (OSError, Unreachable, Stopping):
                await following.wait()

    async def ask(self, follower: Follower, text: str) -> None:
        """Prompt with a key, again and again until it is acknowledged."""

        async def prompt(peer: Peer) -> None:
            answer = await peer.prompt(follower.session, text, key=text)
            self.promised.append((follower, answer["input"]))

        self.asking += 1
        await self.through_it_all(prompt, Witness())
        self.asking -= 1
        self.tick()

    def tick(self) -> None:
        """Something was seen: is it time to strike?"""
        self._left -= 1
        if self._left <= 0 or self.quiet:
            self._moment.set()

    @property
    def quiet(self) -> bool:
        return not self.asking and all(follower.answered(number) for follower, number in self.promised)

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
        async with self.daemon.connect() as peer:
            await judge(peer, self.witnesses, self.home.path / "effects", "note")


def complete(follower: Follower) -> None:
    """Every turn is over; one that was done has the whole text, once, in the log and before the eyes of whoever followed it."""
    log = follower.sight.log
    resumes = Counter(event["data"]["turn"] for event in log if event["kind"] == "turn_resumed" and event["data"]["resumes"] == 3)
    at_rest(log)
    for turn, outcome in ends(log).items():
        assert outcome == "done" or (outcome == "interrupted" and resumes[turn]), f"turn {turn} is {outcome}"
        if outcome == "done":
            assert text_of(log, turn) == follower.sight.screen.text(turn) == WHOLE


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
                nursery.start_soon(one.through_it_all, follower.watch, follower.witness)
            try:
                yield one
            except BaseException:
                print(home.log[-6000:])  # noqa: T201 - shown with the failure
                raise
            nursery.cancel_scope.cancel()
