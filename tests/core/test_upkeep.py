"""What is done beside the work: snapshots, unloading, cleaning up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import structlog
import trio
import trio.testing
from attrs import define, evolve

from agentd.core import upkeep
from agentd.core.live import Live
from agentd.core.upkeep import snapshot_due
from agentd.ports import NewEvent
from agentwire.errors import NotFound
from agentwire.types import SessionFilter
from tests.core.logs import accepted, created
from tests.fakes.house import SETTINGS, House, TrioClock, open_house
from tests.fakes.models import Ask, FakeModels, Say
from tests.fakes.tools import FakeTools, spec
from tests.store.running import fill, free, noise

HELLO = FakeModels(lambda prompt: Say(["Hello"]))
DAY = 24 * 3600.0
Mock = trio.testing.MockClock


def said(text: str) -> Any:
    return {"role": "user", "parts": [{"kind": "text", "text": text}]}


def test_a_short_session_needs_no_snapshot() -> None:
    """500 events are replayed sooner than a snapshot of them would be written and read."""
    assert not snapshot_due(499, 0)
    assert snapshot_due(500, 0)
    assert not snapshot_due(999, 500)


def test_what_is_written_stays_in_proportion() -> None:
    """Over a session's life its snapshots together hold at most six times its events, and a quarter at most is replayed."""
    written = saved = 0
    for seq in range(100_000):
        if snapshot_due(seq, saved):
            saved = seq
            written += seq
        assert seq - saved <= max(500, saved / 4)
    assert written < 6 * 100_000


def memory(house: House) -> list[Live]:
    """The sessions that are loaded."""
    return list(house.sessions.loaded)


# --- unloading -------------------------------------------------------------------------------------------------------------------


async def test_only_what_nobody_uses_leaves_memory(autojump_clock: Mock) -> None:
    """Idle for ten minutes; not while a turn runs or somebody watches. It comes back as it was."""
    models = FakeModels(lambda prompt: Say(["..."], gate=trio.Event()) if "wait" in str(prompt.messages) else Say(["Hello"]))
    async with open_house(models) as house, trio.open_nursery() as nursery:
        nursery.start_soon(house.upkeep.run)
        idle, watched, busy = [await house.create() for _ in range(3)]
        house.sessions.watch(watched, 1)
        await house.prompt(busy, "wait")
        await trio.sleep(590)
        assert len(memory(house)) == 3
        await trio.sleep(100)
        assert memory(house) == [watched, busy]
        again = await house.sessions.open("local", idle.state.id)
        assert again is not idle and again.state == idle.state
        house.sessions.watch(watched, -1)
        await trio.sleep(300)
        assert len(memory(house)) == 3
        await trio.sleep(600)
        assert memory(house) == [busy]
        nursery.cancel_scope.cancel()


async def test_a_full_disk_postpones_upkeep_and_ends_nothing(autojump_clock: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot that cannot be written is written when there is space again."""
    monkeypatch.setattr(upkeep, "_SNAPSHOT_EVERY", 1)
    with structlog.testing.capture_logs() as logs:
        async with open_house(HELLO) as house, trio.open_nursery() as nursery:
            nursery.start_soon(house.upkeep.run)
            live = await house.create()
            house.sessions.watch(live, 1)
            await house.ask("message/add", session=live.state.id, messages=[said(noise(100_000))])
            await fill(house.store)
            await trio.sleep(200)
            assert live.saved_seq == 0 and {entry["event"] for entry in logs} >= {"upkeep_postponed"}
            await free(house.store)
            await trio.sleep(61)
            assert live.saved_seq == live.state.seq
            nursery.cancel_scope.cancel()


# --- cleaning up -----------------------------------------------------------------------------------------------------------------


async def listed(house: House) -> list[str]:
    rows = await house.store.sessions("local", SessionFilter(), before="", limit=1000)
    return sorted(row.id for row in rows)


async def clean(house: House, **params: Any) -> list[str]:
    return sorted(info["id"] for info in (await house.ask("session/clean", **params))["sessions"])


async def test_what_is_idle_and_what_is_old(autojump_clock: Mock) -> None:
    """Idle: nothing has happened for so long. Old: made so long ago, active or not. Both: what either holds for."""
    async with open_house(HELLO) as house:
        used = (await house.create()).state.id
        forgotten = (await house.create()).state.id
        await trio.sleep(10 * DAY)
        imported = (await house.create()).state.id
        await trio.sleep(DAY)
        for session in (used, imported):
            await house.ask("message/add", session=session, messages=[said("hi")])
        fresh = (await house.create()).state.id
        everything = sorted([used, forgotten, imported, fresh])
        for params, gone in (
            ({"idle": 9 * DAY}, [forgotten]),
            ({"age": 9 * DAY}, sorted([used, forgotten])),
            ({"idle": 9 * DAY, "age": 12 * DAY}, [forgotten]),
            ({"idle": 12 * DAY}, []),
        ):
            assert await clean(house, **params, dry_run=True) == gone
            assert await listed(house) == everything, "a dry run deletes nothing"
        assert await clean(house, age=9 * DAY) == sorted([used, forgotten])
        assert await listed(house) == sorted([imported, fresh])
        for session in (used, forgotten):
            with pytest.raises(NotFound):
                await house.sessions.open("local", session)


async def test_what_is_never_cleaned_up(autojump_clock: Mock) -> None:
    """Pinned, running, waiting for an answer, with input that waits, watched; nor anybody else's."""
    models = FakeModels(lambda prompt: Ask([("look", "{}")]) if "look" in str(prompt.messages) else Say([""], gate=trio.Event()))
    async with open_house(models, FakeTools([spec("look", policy="ask")])) as house:
        pinned, running, asking, watched, idle = [await house.create() for _ in range(5)]
        await house.ask("session/set", session=pinned.state.id, preferences={"pinned": True})
        await house.prompt(running, "go")
        await house.prompt(asking, "look", interactive=True)
        house.sessions.watch(watched, 1)
        await house.store.append([NewEvent("f" * 32, "ann", created())])
        await house.store.append([NewEvent("e" * 32, "local", body) for body in (created(), accepted(1))])
        await trio.sleep(DAY / 48)
        assert await clean(house, idle=60, age=60, dry_run=True) == [idle.state.id]
        assert await clean(house, idle=60, age=60) == [idle.state.id]
        assert len(await listed(house)) == 5


async def test_a_clean_up_loads_no_session(autojump_clock: Mock) -> None:
    """What is not in memory is erased without being read; so is what is."""
    async with open_house(HELLO) as house:
        sessions = [await house.create() for _ in range(10)]
        for live in sessions[:8]:
            house.sessions.unload(live)
        await trio.sleep(DAY)
        reads: list[str] = []

        async def read(stream: str, **_: int) -> list[Any]:
            reads.append(stream)
            return []

        house.store.read = read  # type: ignore[method-assign]
        assert len(await clean(house, idle=60)) == 10
        assert memory(house) == [] and await listed(house) == [] and reads == []


async def test_a_clean_up_is_bounded(autojump_clock: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand at once, and the answer says whether there are others; by itself it goes on until there are none."""
    monkeypatch.setattr(upkeep, "_MOST", 3)
    monkeypatch.setattr(upkeep, "_PAGE", 2)
    async with open_house(HELLO, settings=evolve(SETTINGS, clean_idle=DAY)) as house, trio.open_nursery() as nursery:
        for _ in range(10):
            await house.create()
        await trio.sleep(2 * DAY)
        answer = await house.ask("session/clean", idle=DAY)
        assert (len(answer["sessions"]), answer["more"]) == (3, True)
        nursery.start_soon(house.upkeep.run)
        await trio.sleep(3700)
        assert await listed(house) == []
        assert not (await house.ask("session/clean", idle=DAY))["more"]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("setting", "left"), [({}, 2), ({"clean_idle": 30 * DAY}, 1), ({"clean_age": 30 * DAY}, 0)])
async def test_by_itself_only_where_it_is_configured(autojump_clock: Mock, setting: dict[str, Any], left: int) -> None:
    """Off by default. The configuration may change while the daemon runs."""
    async with open_house(HELLO) as house, trio.open_nursery() as nursery:
        kept = await house.create()
        await house.create()
        await trio.sleep(31 * DAY)
        nursery.start_soon(house.upkeep.run)
        await house.ask("session/rename", session=kept.state.id, title="still in use")
        await trio.sleep(2 * 3600)
        assert len(await listed(house)) == 2
        house.settings = evolve(SETTINGS, **setting)
        await trio.sleep(2 * 3600)
        assert len(await listed(house)) == left
        nursery.cancel_scope.cancel()


@define
class JumpingClock:
    """Wall time that somebody sets."""

    ahead: float = 0.0

    def now(self) -> float:
        return TrioClock().now() + self.ahead


@pytest.mark.parametrize("back_after", [60.0, 1800.0, 3000.0])
async def test_a_jump_of_the_clock_makes_nothing_old(autojump_clock: Mock, back_after: float) -> None:
    """A clock that is a year ahead for a while, or was behind until it was put right, deletes nothing within that hour."""
    clock = JumpingClock()
    async with (
        open_house(HELLO, settings=evolve(SETTINGS, clean_idle=30 * DAY), clock=clock) as house,
        trio.open_nursery() as nursery,
    ):
        await house.create()
        nursery.start_soon(house.upkeep.run)
        for _ in range(5):
            await trio.sleep(2 * 3600)
            clock.ahead = 365 * DAY
            await trio.sleep(back_after)
            clock.ahead = 0.0
        assert len(await listed(house)) == 1
        clock.ahead = -3 * DAY
        await trio.sleep(2 * 3600)
        assert len(await listed(house)) == 1
        nursery.cancel_scope.cancel()


# --- at that very moment -------------------------------------------------------------------------------------------------------


async def whole(house: House, session: str) -> bool:
    """Whether the session is there. If not, nothing of it is."""
    count = house.store._writer.db.execute
    rows = {count(f"SELECT count(*) FROM {where} = ?", (session,)).get for where in ("session WHERE id", "stream WHERE name")}
    events = await house.store.read(session, after=0, limit=100)
    assert rows == {int(bool(events))}, "half of it is left"
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return bool(events)


async def prompt(house: House, session: str) -> None:
    await house.ask("session/prompt", session=session, parts=[{"kind": "text", "text": "hi"}])


async def pin(house: House, session: str) -> None:
    await house.ask("session/set", session=session, preferences={"pinned": True})


async def add(house: House, session: str) -> None:
    await house.ask("message/add", session=session, messages=[said("hi")])


async def watch(house: House, session: str) -> None:
    house.sessions.watch(await house.sessions.open("local", session), 1)


async def get(house: House, session: str) -> None:
    await house.ask("session/get", session=session)


async def delete(house: House, session: str) -> None:
    await house.ask("session/delete", session=session)


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("act", [prompt, pin, add, watch, get, delete, clean])
async def test_who_comes_at_that_moment_finds_it_whole_or_gone(
    autojump_clock: Mock, act: Callable[..., Awaitable[None]], loaded: bool
) -> None:
    """Whatever he does, and at whatever step of the clean-up: what was acknowledged to him is not deleted behind his back."""
    async with open_house(HELLO) as house:
        for steps in range(24):
            for late in (True, False):
                live = await house.create()
                if not loaded:
                    house.sessions.unload(live)
                await trio.sleep(DAY)
                assert await meeting(house, live.state.id, act, steps, late=late) in ALLOWED[act]


ALLOWED = {act: {("done", True), ("not found", False)} for act in (prompt, pin, add, watch)} | {
    get: {("done", True), ("done", False), ("not found", False)},
    delete: {("done", False), ("not found", False)},
    clean: {("done", False)},
}


async def meeting(house: House, session: str, act: Any, steps: int, *, late: bool) -> tuple[str, bool]:
    """A clean-up and somebody else, one of them `steps` behind the other: (what he was told, whether it is there)."""
    told: list[str] = []

    async def come() -> None:
        try:
            await (act(house, idle=60) if act is clean else act(house, session))
            told.append("done")
        except NotFound:
            told.append("not found")

    both: list[Any] = [partial(clean, house, idle=60), come]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(both[not late])
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        nursery.start_soon(both[late])
    there = await whole(house, session)
    events = [event.kind for event in house.events if event.kind == "session_deleted" and event.body.session == session]
    assert len(events) == (not there), "deleted once"
    if there:
        live = await house.sessions.open("local", session)
        await house.idle(live)
        live.watchers = 0
        await house.call("session/delete", session=session)
    return told[0], there
