"""A life of the house on real files in a real event loop: a turn with tools beside a neighbour's writes, boot after boot.

What must be true is said here once: nothing that was promised is missing, nothing is half, no effect happens twice or unannounced.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import apsw
import trio
from attrs import define, field

from agentd.core.index import index_change
from agentd.core.live import Live
from agentd.ports import Prompt, ToolContext, ToolOutcome
from agentd.store.check import check
from agentd.store.log import EventLog
from agentd.store.opening import open_sound
from agentd.store.reader import Reader
from agentwire import events as ev
from agentwire.errors import InternalError, StorageFull, StoreError
from agentwire.types import SessionFilter
from tests.fakes.history import at_rest, ends, outcomes, valid
from tests.fakes.house import House, TrioClock, open_house
from tests.fakes.models import Ask, FakeModels, Reply, Say, count_results
from tests.fakes.tools import FakeTools, said, spec
from tests.faults.vfs import Gate
from tests.store.running import noise, renamed

EVERY = int(os.environ.get("AGENTD_FAULTS_EVERY", "1"))
"""Strike only at every so manieth operation."""
PATIENCE = 30.0
"""Seconds after which a run that hangs says so."""
LONG = noise(66_000)
"""More than an event holds: a tool's output that becomes a blob."""
_NEIGHBOURS = ("one", "two")


def script(prompt: Prompt) -> Reply:
    """Two calls at once behind a text long enough to be saved as a draft, one with a long output, the answer."""
    replies: list[Reply | None] = [
        Ask([("look", '{"n":1}'), ("pay", '{"n":2}')], "Let me see. " * 400),
        None,
        Ask([("pay", '{"n":3}')], "And now " * 600),
        Say(["All " * 1200, "three " * 1200, "seen. " * 1200, "All of them. " * 400]),
    ]
    reply = replies[count_results(prompt)]
    assert reply is not None, "a request between two results"
    return reply


@define(eq=False)
class Life:
    """One file and its boots.

    `promised`: what the log acknowledged, in its order. `effects`: how often each call that must happen once happened.
    `broken`: rules that were not kept where nothing could be raised.
    """

    path: str
    promised: list[ev.Event] = field(factory=list)
    effects: Counter[str] = field(factory=Counter)
    broken: list[str] = field(factory=list)
    refused: int = 0

    # --- boots -------------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def boot(self) -> AsyncIterator[House]:
        """The house is open; what it commits is promised. A hang fails."""
        with trio.fail_after(PATIENCE):
            async with (
                open_sound(self.path, index_change, TrioClock()) as (store, soundness),
                open_house(FakeModels(script), self._tools(), store=store) as house,
            ):
                assert not soundness.notices, "taken for damage"
                house.events = self.promised
                yield house

    def _tools(self) -> FakeTools:
        number = {"type": "integer"}
        specs = [spec("look", effect="read", n=number), spec("pay", effect="once", n=number)]
        return FakeTools(specs, results={"look": [said("seen")], "pay": [self._pay]})

    def _pay(self, arguments: Any, context: ToolContext) -> ToolOutcome:
        started = {event.body.call for event in self.promised if isinstance(event.body, ev.ToolStarted)}
        if context.call not in started:
            self.broken.append(f"{context.call} ran, and the log did not know")
        self.effects[context.call] += 1
        return said(LONG if arguments["n"] == 3 else "paid")

    async def work(self, house: House) -> None:
        """The turn and its neighbours, to their end. Whoever is refused, or cannot be answered, asks again as a client would.

        Error handling: StoreError once the log has failed; a refusal of any other kind passes, too.
        """
        async with trio.open_nursery() as nursery:
            for name in _NEIGHBOURS:
                nursery.start_soon(self._neighbour, house.store, name)
            live = await self._session(house)
            while not live.state.turns:
                try:
                    await house.prompt(live, "look at three things", key="prompt")
                except (StorageFull, InternalError):
                    await self._again()
            await house.idle(live)

    async def _session(self, house: House) -> Live:
        while True:
            try:
                if rows := await house.store.sessions("local", SessionFilter(), before="", limit=2):
                    return await house.sessions.open("local", rows[0].id)
                await house.create(key="session")
            except (StorageFull, InternalError):
                await self._again()

    async def _neighbour(self, store: EventLog, name: str) -> None:
        for number in range(3):
            try:
                await store.append([renamed(f"{name} {number}", name)])
            except (StorageFull, InternalError):
                await self._again()

    async def _again(self) -> None:
        self.refused += 1
        await trio.sleep(0.002)

    # --- what must be true ---------------------------------------------------------------------------------------------------

    async def come_to_rest(self) -> None:
        """The next boot on a sound disk: it finds what was promised, takes up what is open, and works on."""
        self.inspect()
        async with self.boot() as house:
            await house.recover()
            await self.work(house)
            live = await self._session(house)
            state = live.state
        self.inspect()
        log = self.stored(state.id)
        at_rest(log)
        unknown = [call for call, outcome in outcomes(log).items() if outcome == "unknown"]
        assert ends(log) == {1: "interrupted" if unknown else "done"}, log
        assert all(self.effects[call] <= 1 for call in self.effects), self.effects
        paid = {event["data"]["call"] for event in log if event["kind"] == "tool_planned" and event["data"]["name"] == "pay"}
        assert {call for call, outcome in outcomes(log).items() if outcome == "ok"} & paid <= self.effects.keys()

    def inspect(self) -> None:
        """The file is sound, has all that was promised, and every stream in it is a valid history."""
        assert not self.broken
        found = self._rows()
        missing = [event for event in self.promised if found.get((event.stream, event.seq)) != (event.pos, event.kind)]
        assert not missing, f"promised and not there: {[(event.stream, event.seq, event.kind) for event in missing]}"
        for stream in {stream for stream, _ in found}:
            valid(self.stored(stream))

    def _rows(self) -> dict[tuple[str, int], tuple[int, str]]:
        db = self._open()
        try:
            assert db.pragma("integrity_check") == "ok"
            if not db.pragma("user_version"):
                return {}
            assert check(db, index_change) == [], "what is derived is not what the events say"
            rows = db.execute("SELECT name, seq, pos, kind FROM event JOIN stream ON stream.id = event.stream")
            return {(name, seq): (pos, kind) for name, seq, pos, kind in rows}
        finally:
            db.close()

    def _open(self) -> apsw.Connection:
        db = apsw.Connection(self.path)
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # looking changes nothing
        return db

    def stored(self, stream: str) -> list[dict[str, Any]]:
        """A stream as clients read it."""
        db = self._open()
        try:
            events = Reader(db, self.path).read(stream, 0, 100_000)
        finally:
            db.close()
        return [json.loads(ev.encode_event(event)) for event in events]


async def struck(life: Life, gate: Gate) -> str:
    """A boot in which the fault may happen: whether it did not come up, failed, or came through. A failed log is the only way to
    fail."""
    state = "unopened"
    try:
        async with life.boot() as house:
            state = "failed"
            await life.work(house)
            state = "through" if gate.failures else "untouched"
    except apsw.Error:
        pass  # as a connection closed: SQLite ignores that, apsw tells it all the same
    except Exception as error:
        if not _failed(error):
            raise
        if state != "unopened":
            state = "failed"  # also by what is done behind the last commit
    return state


def _failed(error: Exception) -> bool:
    """The log said that it has failed: the daemon ends with an error."""
    return isinstance(error, StoreError) or (isinstance(error, ExceptionGroup) and error.subgroup(StoreError) is not None)
