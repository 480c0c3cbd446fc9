"""An audience: clients that watch one session, each with a habit, until they have seen its last event, whatever happens meanwhile.

audience = Audience(daemon, session, Random(1))
for number in range(50):
    nursery.start_soon(audience.attend, HABITS[number % len(HABITS)])
...; await audience.end(peer)
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Any

import trio
from attrs import Factory, define, field

from agentwire.errors import NotFound, Stopping, Unreachable
from tests.fakes.history import Event, Log, Screen, texts
from tests.fakes.real import Daemon, Peer
from tests.fakes.witness import Sight, Witness

END = "the end"
"""The title that says so."""


@define(eq=False)
class Audience:
    """`daemon` may be followed by another (`go_on`). `frames` counts what all have heard, `lagged` the watches closed for it."""

    daemon: Daemon
    session: str
    random: Random
    witnesses: list[Witness] = field(factory=list)
    frames: int = 0
    lagged: int = 0
    curtain: trio.Event = field(factory=trio.Event)
    _next: trio.Event = field(factory=trio.Event)  # set when the daemon after this one is there

    async def attend(self, habit: Habit) -> None:
        """One client, on as many connections as it takes."""
        witness = Witness()
        self.witnesses.append(witness)
        while True:
            following = self._next
            try:
                async with self.daemon.connect(witness) as peer:
                    if await habit(self, peer, witness.sight(self.session)):
                        return
            except (OSError, Unreachable, Stopping):
                await following.wait()

    async def follow(self, peer: Peer, sight: Sight, after: int | None, frames: int | None = None) -> bool:
        """Watch until the watch is closed, so many frames were heard, or the last event (True)."""
        view = (await peer.call("session/watch", session=self.session, after=after))["view"]
        if _is_end(sight.events.get(sight.newest)) or (view and view["info"]["title"] == END):
            return True  # it was among what came before the answer, or before this client
        return await self.listen(peer, frames)

    async def listen(self, peer: Peer, frames: int | None = None) -> bool:
        """The rest of `follow`."""
        heard = 0
        while frames is None or heard < frames:
            event = await peer.event()
            heard += 1
            self.frames += 1
            if event["kind"] == "watch_closed":
                self.lagged += event["data"]["reason"] == "lagged"
                return False
            if _is_end(event):
                return True
        return False

    def go_on(self, daemon: Daemon) -> None:
        """The next daemon is there."""
        self.daemon = daemon
        self._next.set()
        self._next = trio.Event()

    async def end(self, peer: Peer) -> None:
        """Let everybody go home once he has seen all."""
        await peer.call("session/rename", session=self.session, title=END)
        self.curtain.set()

    def agree(self, log: Log) -> None:
        """Who was there all the time has seen the whole log, and on every screen stands what is in it."""
        said = texts(log)
        for witness in self.witnesses:
            sight = witness.sight(self.session)
            assert sight.known == len(log), f"left at {sight.known} of {len(log)}"
            shown = sight.screen.shown
            assert shown.items() <= said.items(), f"shown: {shown.items() - said.items()}"
            assert len(sight.log) < len(log) or shown == said


def _is_end(event: Event | None) -> bool:
    return event is not None and event["kind"] == "session_renamed" and event["data"]["title"] == END


Habit = Callable[[Audience, Peer, Sight], Awaitable[bool]]


async def stay(audience: Audience, peer: Peer, sight: Sight) -> bool:
    """From the beginning to the end, with `after` whenever it was broken off."""
    while not await audience.follow(peer, sight, sight.newest):
        pass
    return True


async def come_late(audience: Audience, peer: Peer, sight: Sight) -> bool:
    """In the middle, with a view."""
    await trio.sleep(audience.random.random())
    while not await audience.follow(peer, sight, None):
        pass
    return True


async def hop(audience: Audience, peer: Peer, sight: Sight) -> bool:
    """A few frames, from wherever; then it hangs up with the rest unread."""
    after = audience.random.choice([None, sight.newest, sight.newest, audience.random.randint(0, sight.newest)])
    return await audience.follow(peer, sight, after, audience.random.randint(1, 400))


async def zap(audience: Audience, peer: Peer, sight: Sight) -> bool:
    """The same on one connection: the watch is replaced, or ended and begun anew."""
    for _ in range(audience.random.randint(2, 6)):
        if await hop(audience, peer, sight):
            return True
        if sight.cursor is not None and audience.random.random() < 0.5:
            with suppress(NotFound):  # it was closed as lagged meanwhile
                await peer.call("session/unwatch", session=audience.session)
    return False


async def sleep(audience: Audience, peer: Peer, sight: Sight) -> bool:
    """It watches and does not read until all is over; then it reads what there is, and the rest with `after`."""
    await peer.call("session/watch", session=audience.session, after=sight.newest)
    await audience.curtain.wait()
    return await audience.listen(peer) or await stay(audience, peer, sight)


HABITS: tuple[Habit, ...] = (stay, come_late, hop, zap, hop)


# --- agentctl's own --------------------------------------------------------------------------------------------------------------


@define(eq=False)
class Reader:
    """A person with `agentctl session watch` in a shell that is killed now and then, if `random` is given."""

    environ: Mapping[str, str]
    session: str
    random: Random | None = None
    events: list[Event] = Factory(list)
    screen: Screen = Factory(Screen)
    deaths: int = 0
    restarts: int = 0  # of the daemon, as far as it was told
    _ended: bool = False

    async def read(self) -> None:
        """Until the last event was read."""
        while not self._ended:
            self.screen.lost()
            await self._watch(self.random.randint(50, 500) if self.random else None)
            self.deaths += 1

    async def _watch(self, most: int | None) -> None:
        arguments = ["session", "watch", self.session, "--json", "--after", str(len(self.events))]
        command = [sys.executable, "-m", "agentctl", *arguments]
        process = await trio.lowlevel.open_process(command, env=self.environ, cwd="/", stdout=subprocess.PIPE)
        assert process.stdout is not None
        pending, read = b"", 0
        try:
            while not self._ended and (most is None or read < most):
                data = await process.stdout.receive_some(65536)
                assert data, "agentctl gave up"
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
                read += len(lines)
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.stdout.aclose()
                await process.wait()

    def _take(self, event: dict[str, Any]) -> None:
        assert event.pop("type") == "event"
        if event["kind"] == "reconnected":
            self.restarts += event["data"]["restarted"]
            self.screen.lost()
            return
        self.screen.take(event)
        if "seq" in event:
            assert event["seq"] == len(self.events) + 1
            self.events.append(event)
        self._ended = _is_end(event)
